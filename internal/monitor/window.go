package monitor

import (
	"sync"
	"time"

	"breakwater/internal/llm"
	"breakwater/internal/store"
)

// Minutes is how far back a window reaches: the hour that the page draws.
const Minutes = 60

// Minute is what happened to one subject in one minute.
type Minute struct {
	Start   time.Time
	Served  int64
	Failed  int64 // by the provider's fault; of callers: requests without a whole answer
	Other   int64 // neither: rate limits, bad requests, callers that went away
	Latency store.Sketch
}

// add counts one end into the minute.
func (m *Minute) add(served, failed bool, took time.Duration) {
	switch {
	case served:
		m.Served++
		m.Latency.Add(took)
	case failed:
		m.Failed++
	default:
		m.Other++
	}
}

// window is a ring of the last hour's minutes.
type window struct {
	mu      sync.Mutex
	minutes [Minutes]Minute
	// lastError is what went wrong last, or "" when all is well since.
	lastError string
}

// minute gives the minute of an instant, emptied if the ring has come round. Older
// than the ring gives nil, unless what stands there is of a future that a
// clock set back has made. The window's mutex is held.
func (w *window) minute(at time.Time) *Minute {
	start := at.UTC().Truncate(time.Minute)
	m := &w.minutes[int(start.Unix()/60)%Minutes]
	if m.Start.After(start) && m.Start.Before(time.Now().Add(time.Minute)) {
		return nil
	}
	if !m.Start.Equal(start) {
		*m = Minute{Start: start}
	}
	return m
}

// note counts one end. trouble is why it failed, "" when it did not.
func (w *window) note(at time.Time, class llm.FailureClass, trouble string, took time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if m := w.minute(at); m != nil {
		m.add(class == "", class.CountsAgainstTarget(), took)
	}
	if class == "" || class.TellsOnlyOfTarget() {
		w.lastError = trouble
	}
}

// fill puts a stored minute in place, as at a start.
func (w *window) fill(r store.Rollup) {
	w.mu.Lock()
	defer w.mu.Unlock()
	m := w.minute(r.Start)
	if m == nil {
		return
	}
	m.Served += int64(r.Served)
	m.Failed += int64(r.Failed)
	m.Other += int64(r.Throttled + r.Other + r.Cancelled)
	m.Latency.Merge(r.Latency)
}

// last gives the minutes of the last n minutes that had traffic, oldest first.
func (w *window) last(n int, now time.Time) []Minute {
	w.mu.Lock()
	defer w.mu.Unlock()
	from := now.UTC().Truncate(time.Minute).Add(-time.Duration(n-1) * time.Minute)
	var minutes []Minute
	for i := range n {
		start := from.Add(time.Duration(i) * time.Minute)
		m := w.minutes[int(start.Unix()/60)%Minutes]
		if m.Start.Equal(start) {
			var copied store.Sketch // a sketch shares its lines with its copies
			copied.Merge(m.Latency)
			m.Latency = copied
			minutes = append(minutes, m)
		}
	}
	return minutes
}

func (w *window) trouble() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.lastError
}

// Sum merges minutes into one.
func Sum(minutes []Minute) Minute {
	var sum Minute
	for i, m := range minutes {
		if i == 0 {
			sum.Start = m.Start
		}
		sum.Served += m.Served
		sum.Failed += m.Failed
		sum.Other += m.Other
		sum.Latency.Merge(m.Latency)
	}
	return sum
}
