package app

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"breakwater/internal/alerts"
	"breakwater/internal/record"
)

const (
	// conditionCalm ends a condition that its finder repeats each minute.
	conditionCalm = 3 * time.Minute
	// conditionLong ends one that is found again only with further traffic, or told once.
	conditionLong = 30 * time.Minute
	// conditionLook is how often ends are looked for.
	conditionLook = 10 * time.Second
)

// standing is a condition that was raised and not cleared.
type standing struct {
	signal alerts.Signal
	until  time.Time       // it ends then unless it is raised again; zero for never by itself
	by     map[string]bool // who raised it
}

// conditions remembers what was raised, so that everything that is raised is
// cleared once, also what a run before this one raised.
type conditions struct {
	signal func(alerts.Signal)

	mu  sync.Mutex
	all map[conditionKey]*standing
}

// conditionKey is what there is one incident of.
type conditionKey struct {
	topic record.Topic
	about string
}

func newConditions(signal func(alerts.Signal)) *conditions {
	return &conditions{signal: signal, all: make(map[conditionKey]*standing)}
}

func keyOf(s alerts.Signal) conditionKey {
	return conditionKey{s.Topic, fmt.Sprint(s.Provider, " ", s.Target.Endpoint, " ", s.Target.Model, " ", s.Name)}
}

// raise says that a condition holds, and for how long unless it is said again; 0
// for until it is cleared. by is who says so: each of them is heard once, unless it
// became better or worse, since what is said each minute in other figures is no news.
func (c *conditions) raise(s alerts.Signal, lasts time.Duration, by string) {
	s.Kind = alerts.Raised
	c.mu.Lock()
	defer c.mu.Unlock()
	key := keyOf(s)
	st := c.all[key]
	news := st == nil || st.signal.Severity != s.Severity || st.signal.Title != s.Title || !st.by[by]
	if st == nil {
		st = &standing{by: map[string]bool{}}
		c.all[key] = st
	}
	st.signal, st.by[by], st.until = s, true, time.Time{}
	if lasts > 0 {
		st.until = s.At.Add(lasts)
	}
	if news {
		c.signal(s)
	}
}

// clear says that a condition does not hold; nothing comes of it where it did not.
func (c *conditions) clear(s alerts.Signal) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.all[keyOf(s)] == nil {
		return
	}
	delete(c.all, keyOf(s))
	s.Kind = alerts.Cleared
	c.signal(s)
}

// restore takes up what a run before this one raised. What nobody raises again
// within a while is over.
func (c *conditions) restore(open []record.Incident, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, in := range open {
		if !slices.Contains(conditionTopics(), in.Topic) {
			continue
		}
		s := alerts.Signal{
			At: now, Kind: alerts.Raised, Topic: in.Topic, Name: in.Name, Severity: in.Severity, Title: in.Title, Provider: in.Subject,
		}
		s.Target.Provider, s.Target.Endpoint, s.Target.Model = in.Subject, in.Endpoint, in.Model
		c.all[keyOf(s)] = &standing{signal: s, until: now.Add(conditionLong), by: map[string]bool{}}
	}
}

// conditionTopics lists what is raised here.
func conditionTopics() []record.Topic {
	return []record.Topic{record.TopicThrottling, record.TopicErrorBudget, record.TopicBudget, record.TopicUsage}
}

// calm clears what was not raised again in time.
func (c *conditions) calm(now time.Time) {
	c.mu.Lock()
	var over []alerts.Signal
	for _, s := range c.all {
		if !s.until.IsZero() && now.After(s.until) {
			s.signal.At, s.signal.Text = now, "As usual again."
			over = append(over, s.signal)
		}
	}
	c.mu.Unlock()
	slices.SortFunc(over, func(a, b alerts.Signal) int {
		return cmp.Or(cmp.Compare(a.Topic, b.Topic), cmp.Compare(keyOf(a).about, keyOf(b).about))
	})
	for _, s := range over {
		c.clear(s)
	}
}

// Run looks for ends until ctx ends.
func (c *conditions) Run(ctx context.Context) error {
	return every(ctx, conditionLook, c.calm)
}
