package app

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"time"

	"breakwater/internal/config"
	"breakwater/internal/llm"
	"breakwater/internal/monitor"
	"breakwater/internal/price"
	"breakwater/internal/record"
	"breakwater/internal/store"
)

const (
	historyDays = 90
	// historyHours is the part of the history that is kept by the hour, from
	// which the page knows what is usual.
	historyHours = 8 * 24
	// historyTokens are what a simulated answer takes: input and output.
	historyInput, historyOutput = 30, 45
)

// pastIncident is an outage in the seeded history.
type pastIncident struct {
	subject llm.Provider
	ago     time.Duration
	lasted  time.Duration
	share   float64 // of the requests in it that failed
	title   string
}

// pastIncidents lists the outages, oldest first.
func pastIncidents() []pastIncident {
	const day = 24 * time.Hour
	return []pastIncident{
		{llm.OpenAI, 71*day + 5*time.Hour, 75 * time.Minute, 0.6, "OpenAI was failing"},
		{llm.Claude, 52*day + 8*time.Hour, 47 * time.Minute, 0.8, "Claude was failing"},
		{llm.Gemini, 33*day + 2*time.Hour, 25 * time.Minute, 0.5, "Gemini was failing"},
		{llm.OpenAI, 17*day + 9*time.Hour, 33 * time.Minute, 1, "OpenAI was failing"},
		{llm.Claude, 9*day + 6*time.Hour, 2 * time.Hour, 0.3, "Claude was failing"},
		{llm.OpenAI, 4*day + 3*time.Hour, 20 * time.Minute, 0.7, "OpenAI was failing"},
	}
}

// seedHistory gives what fills a demo's store with 90 days of plausible
// history, all of it marked as simulated.
func seedHistory(cfg *config.Config, now time.Time) func(context.Context, *store.Store) error {
	return func(ctx context.Context, st *store.Store) error {
		h := history{rand: rand.New(rand.NewPCG(1, 2)), now: now, prices: price.Default(), models: defaultModels(cfg)}
		hour := now.Truncate(time.Hour)
		days, hours := h.spans(hour)
		if err := st.SeedRollups(ctx, store.Day, days); err != nil {
			return err
		}
		if err := st.SeedRollups(ctx, store.Hour, hours); err != nil {
			return err
		}
		return h.incidents(ctx, st)
	}
}

// history makes up the past.
type history struct {
	rand   *rand.Rand
	now    time.Time
	prices *price.Table
	models map[llm.Provider]string
}

// spans gives the rollups: by the hour for the last days, by the day before.
func (h *history) spans(until time.Time) (days, hours []store.Rollup) {
	recent := until.Add(-historyHours * time.Hour).Truncate(24 * time.Hour)
	first := until.Truncate(24*time.Hour).AddDate(0, 0, 1-historyDays)
	for at := first; at.Before(recent); at = at.AddDate(0, 0, 1) {
		days = append(days, h.span(at, 24*time.Hour, 60)...)
	}
	for at := recent; at.Before(until); at = at.Add(time.Hour) {
		hours = append(hours, h.span(at, time.Hour, 60)...)
	}
	return days, hours
}

// span makes up one span: a rollup for each provider and one of the callers.
// Latencies are a sample, not one for each request.
func (h *history) span(at time.Time, length time.Duration, sample int) []store.Rollup {
	callers := store.Rollup{Start: at, Callers: true, Simulated: true}
	var all []store.Rollup
	shares := map[llm.Provider]float64{llm.Gemini: 0.4, llm.OpenAI: 0.35, llm.Claude: 0.15, llm.Local: 0.1}
	for _, p := range llm.Providers() {
		if p == llm.Local && h.now.Sub(at) > 69*24*time.Hour {
			continue // the local server came later
		}
		target := llm.Target{Provider: p, Model: h.models[p]}
		r := store.Rollup{Start: at, Target: target, Simulated: true}
		busy := 1 + 0.4*math.Sin(float64(at.Hour()-9)/24*2*math.Pi)
		if length > time.Hour {
			busy = 1
		}
		requests := int64(length.Minutes() * 60 * demoRate * shares[p] * busy * (0.9 + 0.2*h.rand.Float64()))
		r.Failed = h.failures(p, at, length, requests)
		r.Served = requests - r.Failed
		for range sample {
			took := h.latency(p)
			r.Latency.Add(took)
			callers.Latency.Add(took)
		}
		r.Usage = llm.Usage{Input: historyInput * r.Served, Output: historyOutput * r.Served}
		r.Cost, _ = h.prices.Cost(target, r.Usage)
		callers.Served += requests // every failure was served elsewhere
		callers.Usage = callers.Usage.Add(r.Usage)
		callers.Cost += r.Cost
		all = append(all, r)
	}
	return append(all, callers)
}

// failures draws the failed requests of a span: a few always, more in an outage.
func (h *history) failures(p llm.Provider, at time.Time, length time.Duration, requests int64) int64 {
	share := 0.001 * h.rand.Float64()
	for _, in := range pastIncidents() {
		began := h.now.Add(-in.ago)
		if in.subject == p {
			inside := monitor.Within([]monitor.Span{{From: began, To: began.Add(in.lasted)}}, at, at.Add(length))
			share += in.share * inside.Seconds() / length.Seconds()
		}
	}
	return int64(float64(requests) * min(share, 1))
}

// latency draws how long an answer took, about as long as the simulated
// providers take.
func (h *history) latency(p llm.Provider) time.Duration {
	pace := demoPace(p)
	usual := pace.first + historyOutput*pace.token
	return time.Duration(float64(usual) * math.Exp(0.12*h.rand.NormFloat64()))
}

// incidents writes the outages of the last days as resolved incidents.
func (h *history) incidents(ctx context.Context, st *store.Store) error {
	ids := record.NewIDs(record.MaxInstance, 0)
	for _, past := range pastIncidents() {
		began := h.now.Add(-past.ago)
		ended := began.Add(past.lasted)
		in := record.Incident{
			ID: ids.Next(began), Topic: record.TopicProvider, Severity: record.Warning, Subject: past.subject, State: record.Ongoing, Title: past.title,
			Began: began, Opened: began.Add(time.Minute),
			Timeline: []record.Event{
				{At: began, Kind: "breaker", Text: "Breaker opened after 3 failures in a row, last: server error, HTTP 503."},
				{At: began.Add(time.Minute), Kind: "opened", Text: "The first probe failed."},
			},
		}
		if err := st.SaveIncident(ctx, &in, nil); err != nil {
			return fmt.Errorf("seed an incident: %w", err)
		}
		in.State, in.Ended = record.Resolved, ended
		in.Timeline = append(in.Timeline, record.Event{At: ended, Kind: "resolved", Text: "The probe succeeded; the breaker is closed."})
		if err := st.SaveIncident(ctx, &in, nil); err != nil {
			return fmt.Errorf("seed an incident: %w", err)
		}
	}
	return nil
}
