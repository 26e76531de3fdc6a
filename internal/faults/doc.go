// Package faults shows what becomes of callers when providers misbehave. It
// holds tests alone: whole Breakwaters between real HTTP callers and simulated
// providers, a soak of mixed faults, and limits under load. What they see is
// written to docs/faults.md:
//
//	go test ./internal/faults -run Faults -args -update
//
// Times are a tenth of what they are in earnest. At full length, and the soak
// for as long as one likes:
//
//	go test ./internal/faults -run Faults -timeout 1h -args -full
//	go test -race ./internal/faults -run Soak -timeout 1h -args -soak 20m
package faults
