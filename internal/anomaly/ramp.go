package anomaly

import (
	"fmt"
	"time"
)

// How traffic comes back when the canaries are well.
const (
	// RampStage is how long a share lasts at least: trouble that comes with load
	// shows within seconds, and three shares take a minute and a half.
	RampStage = 30 * time.Second
	// RampRequests is how many requests go at a share at least. Three shares are
	// enough together to tell that a quarter fails from the everyday; more at each
	// would keep a target with a request a second away for three minutes longer.
	RampRequests = 10
	// RampEvidence is the part of the usual evidence that ends a ramp: the target
	// was in trouble a minute ago, so a relapse is likelier than trouble is.
	RampEvidence = 0.6
)

// RampShares gives the percentages of its traffic that a target gets on its way
// back, before all of it.
func RampShares() []int { return []int{5, 25, 50} }

// ramp is how far a target is on its way back.
type ramp struct {
	stage int // of RampShares
	began time.Time
	seen  int // requests of this stage
	all   int // of all stages
}

// comeBack begins the ramp at the first share that is more than the canaries
// were, each the next request after a pause: where traffic is so low that they
// were most of it, it is back. A handful of them, counted, would not tell.
func (w *Watcher) comeBack(h *watched, now time.Time) {
	shares := RampShares()
	had := 100 / (1 + w.detector.rate(h.hold.Target)*w.cfg.Canary.Minutes())
	for stage, share := range shares {
		if float64(share) > had {
			w.detector.Clear(h.hold.Target, now)
			h.ramp.all = 0
			w.step(h, stage, now)
			return
		}
	}
	w.end(h, now, fmt.Sprintf("well again: %d canary requests went as usual", h.trial.seen))
	r := w.rests[h.hold.Target]
	r.watched = RampRequests * len(shares)
	w.rests[h.hold.Target] = r
}

// step lets a share of the traffic through.
func (w *Watcher) step(h *watched, stage int, now time.Time) {
	shares := RampShares()
	if stage == len(shares) {
		w.end(h, now, fmt.Sprintf("well again: %d requests of a growing share went as usual", h.ramp.all))
		return
	}
	h.ramp.stage, h.ramp.began, h.ramp.seen = stage, now, 0
	h.hold.Share = shares[stage]
	h.hold.Expires = w.until(h, now.Add(w.cfg.MaxHold))
	w.renew(h, now, HoldRamped, fmt.Sprintf("coming back with %d %% of its traffic", h.hold.Share))
}

// climb lets one request of the share speak.
func (w *Watcher) climb(h *watched, s Sample) {
	tells := w.try(h, s)
	for _, f := range w.detector.observeAt(s, RampEvidence) {
		if f.Failover {
			w.alarm(s.Target.Provider, s.At)
			w.relapse(h, s.At, f.Text)
			return
		}
		w.act(f)
	}
	if !tells {
		return
	}
	if h.trial.lasts() {
		w.relapse(h, s.At, "it is as it was")
		return
	}
	h.ramp.seen++
	h.ramp.all++
	if h.ramp.seen >= RampRequests && s.At.Sub(h.ramp.began) >= RampStage {
		w.step(h, h.ramp.stage+1, s.At)
	}
}

// relapse sends the traffic elsewhere again.
func (w *Watcher) relapse(h *watched, now time.Time, why string) {
	why = fmt.Sprintf("not well yet with %d %% of its traffic: %s", h.hold.Share, why)
	h.retry(now)
	h.hold.Share = 0
	h.again++
	h.level++
	w.detector.Clear(h.hold.Target, now)
	h.hold.Expires = w.until(h, now.Add(w.length(h.level)))
	w.renew(h, now, HoldRelapsed, why)
}
