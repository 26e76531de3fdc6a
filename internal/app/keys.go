package app

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"breakwater/internal/alerts"
	"breakwater/internal/llm"
	"breakwater/internal/record"
)

// lostLook is how often it is looked whether a lost key or model is still
// configured. A rotation is told within that time.
const lostLook = 5 * time.Second

// keyChanged hears of every change of a key, its endpoint's name included. It
// never blocks.
func (a *App) keyChanged(c record.KeyChange) {
	c.ID = a.ids.Next(c.At)
	a.monitor.Key(c)
	if c.To == record.KeyUsable {
		a.flow.queue.Wake()
	}
}

// keyAlert tells the incidents of a key that is lost, or works again. One that
// cools down comes back by itself and is not told.
func (a *App) keyAlert(c record.KeyChange) {
	s := alerts.Signal{
		At: c.At, Provider: c.Provider, Target: llm.Target{Provider: c.Provider, Endpoint: c.Endpoint, Model: c.Model},
		Key: c.Key, Last4: c.Last4, State: c.To, Text: c.Reason,
	}
	switch {
	case !c.To.Works():
		s.Kind, s.Next, s.Serving = alerts.KeyLost, c.Until, a.servesWithout(c)
	case !c.From.Works():
		s.Kind = alerts.KeyBack
	default:
		return
	}
	a.alerts.Signal(s)
}

// servesWithout says who serves while a key is lost.
func (a *App) servesWithout(c record.KeyChange) string {
	var others []string
	one := ""
	for _, k := range a.flow.keys(c.Provider) {
		if k.State.Works() && (k.Name != c.Key || k.Endpoint != c.Endpoint) {
			others, one = append(others, record.KeyLabel(k.Name, k.Last4)), record.KeyNamed(k.Name, k.Last4)
		}
	}
	who := c.Provider.Title()
	switch len(others) {
	case 0:
	case 1:
		return fmt.Sprintf("%s's %s serves on.", who, one)
	default:
		return fmt.Sprintf("%d other keys of %s's serve on: %s.", len(others), who, strings.Join(others, ", "))
	}
	lost := fmt.Sprintf("It was %s's last key", who)
	if c.Model != "" {
		lost = fmt.Sprintf("No other key of %s's is usable", who)
	}
	for _, p := range a.cfg.Chain {
		if p != c.Provider && slices.Contains(usable(a.cfg), p) {
			return fmt.Sprintf("%s: requests go to the next provider of the chain, %s.", lost, p.Title())
		}
	}
	return lost + ", and no other provider is set up: requests fail."
}

// said gives a provider's words about a failed attempt.
func said(a record.Attempt) string {
	text := fmt.Sprintf("HTTP %d", a.Status)
	if a.Code != "" {
		text += " " + a.Code
	}
	if a.Message != "" {
		text += ": " + a.Message
	}
	return text
}

// configured says whether the configuration names a target, so that its absence
// is the operator's business and not a caller's mistake.
func (a *App) configured(t llm.Target) bool {
	for _, p := range a.cfg.Providers {
		if p.Name != t.Provider {
			continue
		}
		if p.DefaultModel == t.Model {
			return true
		}
		for _, e := range p.Endpoints {
			if e.Name == t.Endpoint && slices.Contains(e.Models, t.Model) {
				return true
			}
		}
	}
	word := string(t.Provider) + "/" + t.Model
	for _, target := range a.cfg.Aliases {
		if target == word {
			return true
		}
	}
	for _, r := range a.cfg.Routes {
		if slices.Contains(r.Targets, word) {
			return true
		}
	}
	return false
}

// watchLost ends the incidents of keys and models that are no longer in the
// configuration: no request will show that they are well.
func (a *App) watchLost(ctx context.Context) error {
	return every(ctx, lostLook, func(now time.Time) {
		for _, in := range a.alerts.Open() {
			if (in.Topic == record.TopicKey || in.Topic == record.TopicModel) && !a.stillConfigured(in) {
				a.alerts.Signal(alerts.Signal{
					At: now, Provider: in.Subject, Kind: alerts.Removed, Key: in.Key,
					Target: llm.Target{Provider: in.Subject, Endpoint: in.Endpoint, Model: in.Model},
				})
			}
		}
	})
}

func (a *App) stillConfigured(in record.Incident) bool {
	if in.Key == "" {
		return a.configured(llm.Target{Provider: in.Subject, Endpoint: in.Endpoint, Model: in.Model})
	}
	for _, k := range a.flow.keys(in.Subject) {
		if k.Name == in.Key && k.Endpoint == in.Endpoint {
			return true
		}
	}
	return false
}
