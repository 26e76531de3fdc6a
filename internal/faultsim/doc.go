// Package faultsim measures, on a virtual clock, what faults of providers cost
// callers. It holds tests alone: the real router and the real detector between
// simulated traffic and stubs of three providers, beside simple policies that
// see the same faults. What comes out is written to docs/fault-simulation.md:
//
//	go test ./internal/faultsim -run Table -timeout 3h -v -args -full -update
//
// Without -full a small part runs, and is held to what it must show.
package faultsim
