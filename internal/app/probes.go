package app

import (
	"cmp"
	"context"
	"errors"
	"io"

	"breakwater/internal/llm"
	"breakwater/internal/monitor"
	"breakwater/internal/price"
	"breakwater/internal/provider"
	"breakwater/internal/record"
)

// probeTokens is the most that a paid probe may be answered with: OpenAI takes
// no smaller limit for its newer models, see
// https://github.com/maximhq/bifrost/pull/6154 (2026-11).
const probeTokens = 16

// newProber sets up the looks at every endpoint beside its requests.
func (a *App) newProber() *monitor.Prober {
	p := &monitor.Prober{
		Interval: cmp.Or(a.opts.ProbeInterval, a.cfg.Probes.Interval), Idle: a.cfg.Probes.Idle, Completion: a.cfg.Probes.Completion,
		Found: a.pinged, Monitor: a.monitor, Spare: a.gate.Spare,
	}
	prices := price.Default()
	for _, u := range a.upstreams {
		if u.usable() && a.cfg.Probes.Enabled {
			p.Probes = append(p.Probes, monitor.Probe{Provider: u.provider.Name, Endpoint: u.endpoint.Name, Ping: u.client.Ping, Complete: u.complete(prices)})
		}
	}
	return p
}

// complete asks the default model for a few tokens, and gives what they cost.
func (u *upstream) complete(prices *price.Table) func(context.Context) (record.NanoUSD, error) {
	return func(ctx context.Context) (record.NanoUSD, error) {
		target := llm.Target{Provider: u.provider.Name, Endpoint: u.endpoint.Name, Model: u.provider.DefaultModel}
		leave, busy := u.client.Admit(provider.Ask{Model: target.Model, Tokens: func() int64 { return 2 * probeTokens }})
		if busy != nil {
			return 0, monitor.ErrNoRoom
		}
		most := int64(probeTokens)
		req := &llm.Request{
			Dialect: llm.Plain, Model: target.Model, MaxTokens: &most,
			Messages: []llm.Message{{Role: llm.User, Parts: []llm.Part{{Kind: llm.Text, Text: "Say ok."}}}},
		}
		usage, err := read(u.client.Send(ctx, leave, target, req))
		f, _ := llm.AsFailure(err)
		leave.Done(usage, f)
		cost, _ := prices.Cost(target, usage)
		return cost, err
	}
}

// read takes an answer to its end, and gives what it used.
func read(reply *llm.Reply, err error) (used llm.Usage, _ error) {
	if err != nil {
		return used, err
	}
	defer reply.Close()
	for {
		chunk, err := reply.Next()
		if chunk.Usage != nil {
			used = *chunk.Usage
		}
		switch {
		case errors.Is(err, io.EOF):
			return used, nil
		case err != nil:
			return used, err
		}
	}
}
