package monitor

import (
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"breakwater/internal/llm"
	"breakwater/internal/replay"
	"breakwater/internal/traffic"
)

// madeUpReadings is a Readings with something of everything.
func madeUpReadings() Readings {
	return Readings{
		Looks: func() []Look {
			return []Look{
				{Provider: llm.Gemini, At: noon, Took: 120 * time.Millisecond},
				{Provider: llm.Gemini, Endpoint: "eu", At: noon, Took: time.Second, Error: "connection refused"},
				{Provider: llm.Gemini, Paid: true, At: noon, Took: 2 * time.Second},
			}
		},
		Rates: func() []Rate {
			return []Rate{
				{Window: "5m", Availability: 0.999, Known: true}, {Window: "1h"},
				{Provider: llm.Gemini, Window: "5m", Availability: 0.75, Score: 70, Known: true},
				{Provider: llm.Gemini, Window: "1h", Downtime: time.Minute},
			}
		},
		Scores:         func() []Score { return []Score{{Target: gemini, Measure: "errors", Z: 4.2, Evidence: 0.5}} },
		SignalsDropped: func() uint64 { return 2 },
		Refused:        func() map[traffic.Priority]uint64 { return map[traffic.Priority]uint64{traffic.Batch: 5} },
		Replays:        func() replay.Counts { return replay.Counts{Replayed: 3, Joined: 1, Mismatched: 4} },
		Outbox: func() []Outbox {
			return []Outbox{{Channel: "ops", Waiting: 3, Oldest: 90 * time.Second}, {Channel: "pager"}}
		},
	}
}

func TestReadingsAreShownAsTheyStandAtEachLook(t *testing.T) {
	atNoon(t, func(t *testing.T, p *post) {
		p.registry = prometheus.NewRegistry()
		p.registry.MustRegister(newReadings(madeUpReadings()))
		at := float64(noon.Unix())
		want := map[string]float64{
			"probe_success{endpoint=,probe=free,provider=gemini}": 1, "probe_success{endpoint=eu,probe=free,provider=gemini}": 0,
			"probe_duration_seconds{endpoint=,probe=paid,provider=gemini}": 2, "probe_timestamp_seconds{endpoint=,probe=free,provider=gemini}": at,
			"callers_availability_ratio{window=5m}": 0.999, "callers_availability_ratio{window=1h}": -1,
			"provider_availability_ratio{provider=gemini,window=5m}": 0.75, "provider_health_score{provider=gemini,window=5m}": 70,
			"provider_availability_ratio{provider=gemini,window=1h}": -1, "provider_downtime_seconds{provider=gemini,window=1h}": 60,
			"anomaly_z{endpoint=,measure=errors,model=gemini-2.5-pro,provider=gemini}":              4.2,
			"anomaly_evidence_ratio{endpoint=,measure=errors,model=gemini-2.5-pro,provider=gemini}": 0.5,
			"signals_dropped_total{}": 2, "gate_refused_total{priority=batch}": 5, "gate_refused_total{priority=urgent}": 0,
			"replays_total{result=replayed}": 3, "replays_total{result=mismatched}": 4, "replays_total{result=too_large}": 0,
			"outbox_messages{channel=ops}": 3, "outbox_oldest_seconds{channel=ops}": 90, "outbox_messages{channel=pager}": 0, "outbox_oldest_seconds{channel=pager}": 0,
		}
		p.want(want)
		p.registry = prometheus.NewRegistry()
		p.registry.MustRegister(newReadings(Readings{}))
		if n := len(p.figures()); n != 0 {
			t.Errorf("%d series of nothing", n)
		}
	})
}
