package monitor

import (
	"bytes"
	"context"
	"log/slog"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"breakwater/internal/llm"
	"breakwater/internal/provider"
	"breakwater/internal/record"
	"breakwater/internal/traffic"
)

// madeUpFlow is a Flow with something of everything.
func madeUpFlow() Flow {
	return Flow{
		Upstreams: func() []Upstream {
			return []Upstream{
				{Provider: llm.Gemini, Keys: []provider.KeyUse{
					{Name: "main", State: record.KeyCooling, Requests: 7, Tokens: 70},
					{Name: "main", State: record.KeyUsable, Requests: 3, Tokens: 30},
					{Name: "spare", State: record.KeyUsable},
				}, Pool: provider.PoolUse{InUse: 2, Idle: 5, Opened: 9, Reused: 90, Handshake: 80 * time.Millisecond}},
				{Provider: llm.Local},
			}
		},
		Limits: func() map[llm.Provider]traffic.Use {
			return map[llm.Provider]traffic.Use{
				llm.Gemini: {Limits: traffic.Limits{Requests: 60, Tokens: 1000}, Allowed: 42, Under: 2},
				llm.Claude: {Under: 1},
			}
		},
		Queue: func() map[traffic.Priority]int { return map[traffic.Priority]int{traffic.Batch: 3} },
		Load:  func() float64 { return 0.25 },
	}
}

func TestFlowIsShownAsItStandsAtEachLook(t *testing.T) {
	atNoon(t, func(t *testing.T, p *post) {
		p.registry = prometheus.NewRegistry()
		f := madeUpFlow()
		load := 0.25
		f.Load = func() float64 { return load }
		New(Config{Store: p.store, Registry: p.registry, Log: slog.New(slog.DiscardHandler), Flow: f})
		p.want(map[string]float64{
			"key_state{endpoint=,key=main,provider=gemini,state=cooling}": 1,
			"key_state{endpoint=,key=main,provider=gemini,state=usable}":  0,
			"key_state{endpoint=,key=spare,provider=gemini,state=usable}": 1,
			// A key that is being rotated is one series: the old secret's figures are in it.
			"key_requests_total{endpoint=,key=main,provider=gemini}":   10,
			"key_tokens_total{endpoint=,key=main,provider=gemini}":     100,
			"pool_connections{endpoint=,provider=gemini,state=in_use}": 2,
			"pool_connections{endpoint=,provider=gemini,state=idle}":   5,
			"pool_opened_total{endpoint=,provider=gemini}":             9,
			"pool_reused_total{endpoint=,provider=gemini}":             90,
			"pool_handshake_seconds{endpoint=,provider=gemini}":        0.08,
			"pool_connections{endpoint=,provider=local,state=idle}":    0,
			"limit_requests_per_minute{provider=gemini}":               42,
			"limit_under_way{provider=gemini}":                         2,
			"limit_tokens_left{provider=gemini}":                       0,
			"limit_requests_per_minute{provider=claude}":               -1, // not bounded
			"limit_tokens_left{provider=claude}":                       -1,
			"queue_waiting{priority=batch}":                            3,
			"queue_waiting{priority=urgent}":                           0,
			"load_ratio{}":                                             0.25,
		})
		load = 1
		p.want(map[string]float64{"load_ratio{}": 1})
	})
}

func TestWaitsAndHedgesAreCounted(t *testing.T) {
	atNoon(t, func(t *testing.T, p *post) {
		p.watch()
		won := p.served(claude, time.Second)
		won.Queued = 300 * time.Millisecond
		won.Attempts[0].Hedge = true
		p.Trace(won)
		lost := p.failedOver(gemini, claude)
		lost.Attempts[0].Class, lost.Attempts[0].Hedge = llm.Cancelled, true
		p.Trace(lost)
		p.Trace(p.served(claude, time.Second))
		p.want(map[string]float64{
			"hedges_total{result=won}": 1, "hedges_total{result=lost}": 1, "queue_wait_seconds{}": 1,
		})
	})
}

func TestAChangeOfAKeyReachesStoreListenersAndLogWithoutItsSecret(t *testing.T) {
	atNoon(t, func(t *testing.T, p *post) {
		var out bytes.Buffer
		p.log = slog.New(slog.NewTextHandler(&out, nil))
		var heard []record.KeyChange
		p.Listen(func(e Event) {
			if e.Key != nil {
				heard = append(heard, *e.Key)
			}
		})
		stop := p.watch()
		change := record.KeyChange{
			ID: p.ids.Next(noon), At: noon, Provider: llm.Gemini, Key: "main", Last4: "x7Qf", From: record.KeyUsable,
			To: record.KeyExhausted, Until: noon.Add(time.Hour), Reason: "HTTP 429: quota exceeded",
		}
		p.Key(change)
		synctest.Wait()
		stop()
		synctest.Wait()
		if !reflect.DeepEqual(heard, []record.KeyChange{change}) {
			t.Errorf("heard %+v, want the change", heard)
		}
		p.flush()
		if kept, err := p.store.KeyChanges(context.Background(), "", noon, 0); err != nil || !reflect.DeepEqual(kept, heard) {
			t.Errorf("the store has %+v (%v), want the change", kept, err)
		}
		if line := out.String(); !strings.Contains(line, "level=WARN") || !strings.Contains(line, `key="main ····x7Qf"`) {
			t.Errorf("the log says %q, want a warning with the key's name and last four", line)
		}
	})
}
