package app

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"breakwater/internal/llm"
	"breakwater/internal/monitor"
	"breakwater/internal/sim"
)

// patience is how long the story waits for something that it brought about; a
// machine that is busy needs several times as long as an idle one.
const patience = 3 * time.Minute

// demoWellFor is how long all must be well until an incident is over: a demo has
// less time than a night on call.
const demoWellFor = 3 * time.Second

// story plays an outage and a slowdown, and waits each time until all is well.
func (d *demo) story(ctx context.Context) error {
	d.say("All four providers are well. Traffic is %d requests a second.", demoRate)
	if !wait(ctx, 15*time.Second) {
		return nil
	}
	if err := d.outage(ctx); err != nil || ctx.Err() != nil {
		return err
	}
	if !wait(ctx, 4*time.Second) {
		return nil
	}
	if err := d.slowdown(ctx); err != nil || ctx.Err() != nil {
		return err
	}
	// On a busy machine others look slow, too, and OpenAI's incident goes on as one of several.
	if err := d.until(ctx, "every incident to resolve", func() bool { return len(d.app.alerts.Open()) == 0 }); err != nil {
		return err
	}
	if wait(ctx, 2*time.Second) {
		d.say("All is well again.")
	}
	return nil
}

// outage takes Gemini away and brings it back.
func (d *demo) outage(ctx context.Context) error {
	d.say("STORY  Gemini goes down: its simulator is killed.")
	d.sims[llm.Gemini].Kill()
	if err := d.until(ctx, "an incident of Gemini to open", d.incident(llm.Gemini)); err != nil {
		return err
	}
	if !wait(ctx, 5*time.Second) {
		return nil
	}
	d.say("STORY  Gemini is back.")
	if err := d.sims[llm.Gemini].Revive(); err != nil {
		return err
	}
	return d.until(ctx, "the incident of Gemini to resolve", d.over(llm.Gemini))
}

// slowdown makes OpenAI slow, without a single error, and mends it.
func (d *demo) slowdown(ctx context.Context) error {
	d.say("STORY  OpenAI turns slow: six times its usual latency, and no error.")
	d.sims[llm.OpenAI].Set(sim.Fault{Kind: sim.Slow, Factor: 6})
	if err := d.until(ctx, "an incident of OpenAI to open", d.incident(llm.OpenAI)); err != nil {
		return err
	}
	if !wait(ctx, 5*time.Second) {
		return nil
	}
	d.say("STORY  OpenAI is as fast as before.")
	d.sims[llm.OpenAI].Set(sim.Fault{})
	return d.until(ctx, "the incident of OpenAI to resolve", d.over(llm.OpenAI))
}

// incident says whether a provider has an incident that people hear of.
func (d *demo) incident(p llm.Provider) func() bool {
	return func() bool {
		for _, in := range d.app.alerts.Open() {
			if in.Subject == p && in.State.Lasts() {
				return true
			}
		}
		return false
	}
}

// over says whether a provider has no live incident.
func (d *demo) over(p llm.Provider) func() bool {
	return func() bool {
		for _, in := range d.app.alerts.Open() {
			if in.Subject == p {
				return false
			}
		}
		return true
	}
}

// until waits for something to come true.
func (d *demo) until(ctx context.Context, what string, done func() bool) error {
	deadline := time.Now().Add(patience)
	for !done() {
		if time.Now().After(deadline) {
			return fmt.Errorf("the demo waited %s for %s, in vain", patience, what)
		}
		if !wait(ctx, 100*time.Millisecond) {
			return nil
		}
	}
	return nil
}

// wait pauses; false when ctx ended first.
func wait(ctx context.Context, pause time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(pause):
		return true
	}
}

// narrate tells the events as they happen.
func (d *demo) narrate(e monitor.Event) {
	switch {
	case e.Transition != nil:
		t := e.Transition
		d.say("breaker  %s: %s -> %s (%s)", t.Target.Provider.Title(), t.From, t.To, t.Reason)
	case e.Hold != nil && !e.Hold.Ended.IsZero():
		d.say("hold     %s released: %s", e.Hold.Target.Provider.Title(), e.Hold.Ending)
	case e.Hold != nil && e.Hold.ID == d.held:
		d.say("hold     %s extended until %s: canary requests do not show it well yet", e.Hold.Target.Provider.Title(), e.Hold.Expires.Format("15:04:05"))
	case e.Hold != nil:
		d.held = e.Hold.ID
		d.say("hold     %s until %s: %s", e.Hold.Target.Provider.Title(), e.Hold.Expires.Format("15:04:05"), e.Hold.Reason)
	}
}

// watchSlack tells what the fake Slack receives.
func (d *demo) watchSlack(ctx context.Context) {
	told := 0
	for ctx.Err() == nil {
		messages := d.slack.Messages()
		for _, m := range messages[told:] {
			d.say("slack    #%s: %s", m.Name, strings.ReplaceAll(m.Text, "\u200b", ""))
		}
		told = len(messages)
		_ = d.slack.Wait(ctx, func(m []sim.SlackMessage) bool { return len(m) > told }) // its error is ctx's
	}
}

// conclude sums up, and fails when a client's request failed.
func (d *demo) conclude() error {
	sent, failed := d.sum.read()
	d.say("%d client requests, %d failed.", sent, failed)
	if failed > 0 {
		return errors.New("a client's request failed: " + d.sum.first())
	}
	return nil
}
