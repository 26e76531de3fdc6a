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
	success, took, looked            *prometheus.Desc
	availability, score, down, calls *prometheus.Desc
	z, evidence                      *prometheus.Desc
	signals, refused, replays        *prometheus.Desc
	waiting, oldest                  *prometheus.Desc
}

func newReadings(r Readings) *readings {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc(name, help, labels, nil)
	}
	return &readings{
		Readings:     r,
		success:      desc("breakwater_probe_success", "1 when the endpoint answered its last probe, 0 when it did not.", "provider", "endpoint", "probe"),
		took:         desc("breakwater_probe_duration_seconds", "Time that the last probe took.", "provider", "endpoint", "probe"),
		looked:       desc("breakwater_probe_timestamp_seconds", "When the last probe began, in seconds since 1970.", "provider", "endpoint", "probe"),
		availability: desc("breakwater_provider_availability_ratio", "Share of attempts that were answered, of those answered or failed by the provider's fault.", "provider", "window"),
		score:        desc("breakwater_provider_health_score", "Health score, 0 to 100: as availability, with answers that were slow counted half.", "provider", "window"),
		down:         desc("breakwater_provider_downtime_seconds", "Time of the window in which an incident of the provider lasted, without planned maintenance.", "provider", "window"),
		calls:        desc("breakwater_callers_availability_ratio", "Share of callers' requests that were served, of those served or failed, whoever served them.", "window"),
		z:            desc("breakwater_anomaly_z", "Distance of a target's measure from its usual, in its own standard deviations.", "provider", "endpoint", "model", "measure"),
		evidence:     desc("breakwater_anomaly_evidence_ratio", "Evidence that a target's measure is unusual, as a share of what decides.", "provider", "endpoint", "model", "measure"),
		signals:      desc("breakwater_signals_dropped_total", "Signals of trouble that found no room to wait, so that incidents may miss them."),
		refused:      desc("breakwater_gate_refused_total", "Requests that were turned away because Breakwater was full.", "priority"),
		replays:      desc("breakwater_replays_total", "Requests with the Idempotency-Key of an earlier one, by what they got.", "result"),
		waiting:      desc("breakwater_outbox_messages", "Messages that wait to be sent to a channel.", "channel"),
		oldest:       desc("breakwater_outbox_oldest_seconds", "Age of the oldest message that should have been sent to a channel; 0 when there is none.", "channel"),
	}
}

// Describe implements prometheus.Collector.
func (r *readings) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		r.success, r.took, r.looked, r.availability, r.score, r.down, r.calls, r.z, r.evidence, r.signals, r.refused, r.replays, r.waiting, r.oldest,
	} {
		to <- d
	}
}

// Collect implements prometheus.Collector.
func (r *readings) Collect(to chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		to <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	counter := func(d *prometheus.Desc, v uint64, labels ...string) {
		to <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v), labels...)
	}
	r.collectHealth(gauge)
	if r.SignalsDropped != nil {
		counter(r.signals, r.SignalsDropped())
	}
	if r.Refused != nil {
		refused := r.Refused()
		for _, p := range traffic.Priorities() {
			counter(r.refused, refused[p], p.String())
		}
	}
	if r.Replays != nil {
		n := r.Replays()
		counter(r.replays, n.Replayed, "replayed")
		counter(r.replays, n.Joined, "joined")
		counter(r.replays, n.Mismatched, "mismatched")
		counter(r.replays, n.TooLarge, "too_large")
	}
	if r.Outbox != nil {
		for _, o := range r.Outbox() {
			gauge(r.waiting, float64(o.Waiting), o.Channel)
			gauge(r.oldest, o.Oldest.Seconds(), o.Channel)
		}
	}
}

func (r *readings) collectHealth(gauge func(d *prometheus.Desc, v float64, labels ...string)) {
	if r.Looks != nil {
		for _, l := range r.Looks() {
			probe := "free"
			if l.Paid {
				probe = "paid"
			}
			labels := []string{string(l.Provider), l.Endpoint, probe}
			gauge(r.success, one(l.Error == ""), labels...)
			gauge(r.took, l.Took.Seconds(), labels...)
			gauge(r.looked, float64(l.At.UnixMilli())/1000, labels...)
		}
	}
	if r.Rates != nil {
		for _, a := range r.Rates() {
			switch {
			case a.Provider == "" && a.Known:
				gauge(r.calls, a.Availability, a.Window)
			case a.Provider != "":
				gauge(r.down, a.Downtime.Seconds(), string(a.Provider), a.Window)
				if a.Known {
					gauge(r.availability, a.Availability, string(a.Provider), a.Window)
					gauge(r.score, a.Score, string(a.Provider), a.Window)
				}
			}
		}
	}
	if r.Scores != nil {
		for _, s := range r.Scores() {
			labels := []string{string(s.Target.Provider), s.Target.Endpoint, s.Target.Model, s.Measure}
			gauge(r.z, s.Z, labels...)
			gauge(r.evidence, s.Evidence, labels...)
		}
	}
}
