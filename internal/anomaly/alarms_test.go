package anomaly

import (
	"flag"
	"fmt"
	"testing"
	"time"

	"breakwater/internal/llm"
)

var alarmDays = flag.Int("alarms", 0, "count false alarms over so many virtual days: go test -run FalseAlarms -v ./internal/anomaly -args -alarms 30")

// Three providers in everyday use, whose failures come alone or in bursts: how
// often is what is no trouble taken for one?
func TestFalseAlarmsOfManyDays(t *testing.T) {
	if *alarmDays == 0 {
		t.Skip("asked for by -args -alarms 30; docs/detection.md has what it gave")
	}
	for _, background := range []struct {
		errors, burst float64
	}{{0.003, 0}, {0.01, 0}, {0.02, 2}, {0.02, 3}} {
		for _, rate := range []float64{1, 5, 20, 60, 600} {
			t.Run(fmt.Sprintf("%g%% in bursts of %g, %g a minute", 100*background.errors, max(1, background.burst), rate), func(t *testing.T) {
				const learning = 7 * 24 * time.Hour // before, a background in bursts is not known
				told, placed, early := map[Signal]int{}, 0, 0
				w, holder, events := watch(WatcherConfig{}, 4)
				var all []*traffic
				for i, target := range []llm.Target{gemini, claude, openai} {
					g := newTraffic(uint64(100+i), target, rate)
					g.errors, g.burst, g.tokens = background.errors, background.burst, true
					all = append(all, g)
				}
				seen := 0
				for end := start.Add(learning + time.Duration(*alarmDays)*24*time.Hour); all[0].now.Before(end); {
					g := all[0]
					for _, other := range all[1:] {
						if other.now.Before(g.now) {
							g = other
						}
					}
					if _, held := holder.held[g.target]; held {
						w.Observe(let(g, holder))
						w.Tick(g.now)
					} else {
						w.Observe(g.next())
					}
					for _, e := range (*events)[seen:] {
						if e.Kind == HoldPlaced && e.At.Sub(start) < learning {
							early++
						} else if e.Kind == HoldPlaced {
							placed++
							t.Log(e.At.Sub(start).Round(time.Minute), e.Target.Provider, e.Text)
						} else if e.Kind == Found && !e.Finding.Again && e.At.Sub(start) >= learning {
							told[e.Finding.Signal]++
						}
					}
					seen = len(*events)
				}
				t.Logf("%d holds, told %v in %d days after 7 of learning with %d", placed, told, *alarmDays, early)
				if placed > 1 {
					t.Errorf("%d false holds in %d days over three providers", placed, *alarmDays)
				}
			})
		}
	}
}
