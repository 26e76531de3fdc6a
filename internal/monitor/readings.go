package monitor

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"breakwater/internal/llm"
	"breakwater/internal/replay"
	"breakwater/internal/traffic"
)

// Readings tells what others know of health, detection and what was turned
// away. It is asked at each look at /metrics and never on the way of a request.
// A nil function has no metrics.
type Readings struct {
	Looks          func() []Look                      // the last probe of each endpoint
	Rates          func() []Rate                      // how everybody did, by window
	Scores         func() []Score                     // of the configured targets
	SignalsDropped func() uint64                      // signals of incidents that found no room
	Refused        func() map[traffic.Priority]uint64 // requests that the gate turned away
	Replays        func() replay.Counts
	Outbox         func() []Outbox // of each channel
}

// Outbox is what waits to be sent to one channel.
type Outbox struct {
	Channel string
	Waiting int
	Oldest  time.Duration // age of the oldest message that should have been sent; 0 where there is none
}

// Rate is how a provider did in one window; without a Provider, how Breakwater
// did for its callers.
type Rate struct {
	Provider     llm.Provider
	Window       string
	Availability float64 // 0 to 1
	Known        bool    // there is data to make Availability and Score of
	Score        float64 // 0 to 100; of providers alone
	Downtime     time.Duration
}

// Score is how far one measure of a target is from its usual.
type Score struct {
	Target   llm.Target
	Measure  string
	Z        float64
	Evidence float64 // as a share of what decides
}

// readings is the collector of what Readings tells.
type readings struct {
	Readings
	*asked
	success, took, looked            show
	availability, score, down, calls show
	z, evidence                      show
	signals, refused, replays        show
	waiting, oldest                  show
}

func newReadings(r Readings) *readings {
	all := &asked{}
	return &readings{
		Readings:     r,
		asked:        all,
		success:      all.gauge("breakwater_probe_success", "1 when the endpoint answered its last probe, 0 when it did not.", "provider", "endpoint", "probe"),
		took:         all.gauge("breakwater_probe_duration_seconds", "Time that the last probe took.", "provider", "endpoint", "probe"),
		looked:       all.gauge("breakwater_probe_timestamp_seconds", "When the last probe began, in seconds since 1970.", "provider", "endpoint", "probe"),
		availability: all.gauge("breakwater_provider_availability_ratio", "Share of attempts that were answered, of those answered or failed by the provider's fault.", "provider", "window"),
		score:        all.gauge("breakwater_provider_health_score", "Health score, 0 to 100: as availability, with answers that were slow counted half.", "provider", "window"),
		down:         all.gauge("breakwater_provider_downtime_seconds", "Time of the window in which an incident of the provider lasted, without planned maintenance.", "provider", "window"),
		calls:        all.gauge("breakwater_callers_availability_ratio", "Share of callers' requests that were served, of those served or failed, whoever served them.", "window"),
		z:            all.gauge("breakwater_anomaly_z", "Distance of a target's measure from its usual, in its own standard deviations.", "provider", "endpoint", "model", "measure"),
		evidence:     all.gauge("breakwater_anomaly_evidence_ratio", "Evidence that a target's measure is unusual, as a share of what decides.", "provider", "endpoint", "model", "measure"),
		signals:      all.counter("breakwater_signals_dropped_total", "Signals of trouble that found no room to wait, so that incidents may miss them."),
		refused:      all.counter("breakwater_gate_refused_total", "Requests that were turned away because Breakwater was full.", "priority"),
		replays:      all.counter("breakwater_replays_total", "Requests with the Idempotency-Key of an earlier one, by what they got.", "result"),
		waiting:      all.gauge("breakwater_outbox_messages", "Messages that wait to be sent to a channel.", "channel"),
		oldest:       all.gauge("breakwater_outbox_oldest_seconds", "Age of the oldest message that should have been sent to a channel; 0 when there is none.", "channel"),
	}
}

// Collect implements prometheus.Collector.
func (r *readings) Collect(to chan<- prometheus.Metric) {
	r.collectHealth(to)
	if r.SignalsDropped != nil {
		r.signals(to, float64(r.SignalsDropped()))
	}
	if r.Refused != nil {
		refused := r.Refused()
		for _, p := range traffic.Priorities() {
			r.refused(to, float64(refused[p]), p.String())
		}
	}
	if r.Replays != nil {
		n := r.Replays()
		r.replays(to, float64(n.Replayed), "replayed")
		r.replays(to, float64(n.Joined), "joined")
		r.replays(to, float64(n.Mismatched), "mismatched")
		r.replays(to, float64(n.TooLarge), "too_large")
	}
	if r.Outbox != nil {
		for _, o := range r.Outbox() {
			r.waiting(to, float64(o.Waiting), o.Channel)
			r.oldest(to, o.Oldest.Seconds(), o.Channel)
		}
	}
}

func (r *readings) collectHealth(to chan<- prometheus.Metric) {
	if r.Looks != nil {
		for _, l := range r.Looks() {
			probe := "free"
			if l.Paid {
				probe = "paid"
			}
			labels := []string{string(l.Provider), l.Endpoint, probe}
			r.success(to, one(l.Error == ""), labels...)
			r.took(to, l.Took.Seconds(), labels...)
			r.looked(to, float64(l.At.UnixMilli())/1000, labels...)
		}
	}
	if r.Rates != nil {
		for _, a := range r.Rates() {
			switch {
			case a.Provider == "" && a.Known:
				r.calls(to, a.Availability, a.Window)
			case a.Provider != "":
				r.down(to, a.Downtime.Seconds(), string(a.Provider), a.Window)
				if a.Known {
					r.availability(to, a.Availability, string(a.Provider), a.Window)
					r.score(to, a.Score, string(a.Provider), a.Window)
				}
			}
		}
	}
	if r.Scores != nil {
		for _, s := range r.Scores() {
			labels := []string{string(s.Target.Provider), s.Target.Endpoint, s.Target.Model, s.Measure}
			r.z(to, s.Z, labels...)
			r.evidence(to, s.Evidence, labels...)
		}
	}
}
