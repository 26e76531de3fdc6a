// Package price says what an answer costs: list prices of the providers' chat
// and embedding models, exact in integers. A model that the table does not name has no
// price; nothing is guessed from a prefix of its name.
package price

import (
	"maps"
	"math"
	"math/bits"
	"slices"
	"time"

	"breakwater/internal/llm"
	"breakwater/internal/record"
)

// Rates are the prices of a million tokens, in nano-dollars.
type Rates struct {
	Input      int64
	CacheRead  int64 // input read from the prompt cache; Input where the provider names no other price
	CacheWrite int64 // input written to the prompt cache for 5 minutes; Input where the provider names no other price
	// CacheWrite1h is input written to the prompt cache for an hour: twice Input at
	// Anthropic, see https://platform.claude.com/docs/en/about-claude/pricing
	// (2026-11); the others sell none, and it is CacheWrite.
	CacheWrite1h int64
	Output       int64 // reasoning included
}

// Tier is what a request costs from a date on, above a length.
type Tier struct {
	From  time.Time // UTC midnight; zero where the price has always held
	Above int64     // holds when all input tokens, cached ones included, exceed this
	Rates Rates     // of every token of the request, not only of those above
}

// Model is one row of the table.
type Model struct {
	Provider llm.Provider
	ID       string
	Context  int64  // tokens of input and output together, as published
	Tiers    []Tier // by From, then by Above; the first holds always
}

// at gives the rates for a request of that many input tokens. Of the tiers in
// force the last wins: the newest date, and in it the highest bound passed.
func (m Model) at(input int64, when time.Time) Rates {
	rates := m.Tiers[0].Rates
	for _, t := range m.Tiers[1:] {
		if !when.Before(t.From) && input > t.Above {
			rates = t.Rates
		}
	}
	return rates
}

// Table holds the prices of the models of the three cloud providers.
type Table struct {
	date   time.Time
	models map[llm.Provider]map[string]Model
}

// Date is the day on which the newest source of the table was read.
func (t *Table) Date() time.Time { return t.date }

// Lookup gives a cloud provider's model by its exact id.
func (t *Table) Lookup(p llm.Provider, id string) (Model, bool) {
	m, ok := t.models[p][id]
	return m, ok
}

// Known says whether Cost knows the price of a target.
func (t *Table) Known(target llm.Target) bool {
	_, ok := t.models[target.Provider][target.Model]
	return ok || target.Provider == llm.Local
}

// Models lists a cloud provider's models by id.
func (t *Table) Models(p llm.Provider) []Model {
	var models []Model
	for _, id := range slices.Sorted(maps.Keys(t.models[p])) {
		models = append(models, t.models[p][id])
	}
	return models
}

// Cost gives what an answer costs at today's list price, rounded half up to a
// nano-dollar. Local models are free. It gives false where the model's price
// is unknown.
func (t *Table) Cost(target llm.Target, usage llm.Usage) (record.NanoUSD, bool) {
	return t.CostAt(target, usage, time.Now())
}

// CostAt is Cost at the list price of another time. A cached token that the
// provider reports beyond the input is not billed, and no count is below zero.
func (t *Table) CostAt(target llm.Target, usage llm.Usage, when time.Time) (record.NanoUSD, bool) {
	if target.Provider == llm.Local {
		return 0, true
	}
	m, ok := t.models[target.Provider][target.Model]
	if !ok {
		return 0, false
	}
	input := max(usage.Input, 0)
	read := min(max(usage.CacheRead, 0), input)
	write := min(max(usage.CacheWrite, 0), input-read)
	hour := min(max(usage.CacheWrite1h, 0), write)
	rates := m.at(input, when)
	var s sum
	s.add(input-read-write, rates.Input)
	s.add(read, rates.CacheRead)
	s.add(write-hour, rates.CacheWrite)
	s.add(hour, rates.CacheWrite1h)
	s.add(max(usage.Output, 0), rates.Output)
	return s.perMillion(), true
}

// sum adds products of 63-bit numbers in 128 bits: the five of an answer, whose
// parts of the input are no more than the input, cannot overflow it.
type sum struct{ hi, lo uint64 }

func (s *sum) add(tokens, rate int64) {
	hi, lo := bits.Mul64(uint64(tokens), uint64(rate))
	var carry uint64
	s.lo, carry = bits.Add64(s.lo, lo, 0)
	s.hi, _ = bits.Add64(s.hi, hi, carry)
}

// perMillion divides by a million, rounds half up, and stops at the largest amount.
func (s sum) perMillion() record.NanoUSD {
	const million = 1_000_000
	lo, carry := bits.Add64(s.lo, million/2, 0)
	hi := s.hi + carry
	if hi >= million {
		return math.MaxInt64
	}
	n, _ := bits.Div64(hi, lo, million)
	return record.NanoUSD(min(n, math.MaxInt64))
}
