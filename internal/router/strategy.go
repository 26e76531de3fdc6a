package router

import (
	"fmt"
	"slices"
	"strings"
)

// Strategy says in which order candidates are tried.
type Strategy string

// The strategies.
const (
	Failover   Strategy = "failover"    // in the order of the configuration
	Latency    Strategy = "latency"     // the lowest expected time for this request first
	Cost       Strategy = "cost"        // the lowest expected price for this request first
	RoundRobin Strategy = "round_robin" // in turn, by weight
	LeastBusy  Strategy = "least_busy"  // the fewest requests under way first
	Quality    Strategy = "quality"     // the best first: the order of the configuration
)

// Strategies lists all strategies.
func Strategies() []Strategy {
	return []Strategy{Failover, Latency, Cost, RoundRobin, LeastBusy, Quality}
}

// ParseStrategy reads a strategy's word; "" is no strategy in particular.
func ParseStrategy(word string) (Strategy, error) {
	s := Strategy(word)
	if word == "" || slices.Contains(Strategies(), s) {
		return s, nil
	}
	var words []string
	for _, s := range Strategies() {
		words = append(words, string(s))
	}
	return "", fmt.Errorf("%q is no strategy; it is one of %s", word, strings.Join(words, ", "))
}

// DefaultHedgeShare lets one request in twenty be asked twice: those that are
// later than 95 of 100 are as many.
const DefaultHedgeShare = 0.05
