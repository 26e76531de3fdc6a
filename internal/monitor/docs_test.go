package monitor

import (
	"os"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"breakwater/internal/llm"
	"breakwater/internal/record"
)

// described remembers what is registered, with or without series so far.
type described struct {
	*prometheus.Registry
	labels map[string]string // by name: "a, b"
}

// MustRegister reads the descriptions of what it registers. A Desc gives its
// parts only as text.
func (d *described) MustRegister(all ...prometheus.Collector) {
	parts := regexp.MustCompile(`fqName: "([^"]+)".*variableLabels: \{([^}]*)\}`)
	for _, c := range all {
		descs := make(chan *prometheus.Desc, 100)
		c.Describe(descs)
		close(descs)
		for desc := range descs {
			m := parts.FindStringSubmatch(desc.String())
			d.labels[m[1]] = strings.ReplaceAll(m[2], ",", ", ")
		}
	}
	d.Registry.MustRegister(all...)
}

func TestThePageOfMetricsIsTrue(t *testing.T) {
	atNoon(t, func(t *testing.T, p *post) {
		d := &described{Registry: prometheus.NewRegistry(), labels: map[string]string{}}
		p.Monitor = New(Config{Store: p.store, Registry: d, Version: "v1", Providers: llm.Providers(), Log: p.log, Flow: madeUpFlow(), Readings: madeUpReadings()})
		p.registry = d.Registry
		p.watch()
		hedged := p.failedOver(gemini, claude)
		hedged.Queued, hedged.Attempts[1].Hedge, hedged.Attempts[1].Looping = time.Second, true, true
		p.Trace(hedged)
		p.Transition(record.Transition{ID: p.ids.Next(noon), At: noon, Target: gemini, From: record.Closed, To: record.Open})
		p.Hold(record.Hold{ID: p.ids.Next(noon), Target: gemini, Expires: noon.Add(time.Minute)})
		p.Unpriced(llm.Gemini)
		p.metrics.up.WithLabelValues("gemini").Set(1)
		p.metrics.probeCost.WithLabelValues("gemini").Add(1)
		synctest.Wait()
		families, err := d.Gather()
		if err != nil {
			t.Fatal(err)
		}

		raw, err := os.ReadFile("../../docs/metrics.md")
		if err != nil {
			t.Fatal(err)
		}
		page := string(raw)
		rows := map[string]string{} // by name: "type | labels"
		for _, m := range regexp.MustCompile("(?m)^\\| `(breakwater_[a-z_]+)` \\| ([a-z]+) \\| ([^|]*)\\|").FindAllStringSubmatch(page, -1) {
			rows[m[1]] = m[2] + " | " + strings.TrimSpace(strings.ReplaceAll(m[3], "`", ""))
		}
		known := map[string]bool{}
		for _, f := range families {
			name, kind := f.GetName(), strings.ToLower(f.GetType().String())
			known[name] = true
			if kind == "histogram" {
				known[name+"_bucket"] = true
			}
			if want := kind + " | " + d.labels[name]; rows[name] != want {
				t.Errorf("%s: the page says %q, the code %q", name, rows[name], want)
			}
		}
		for name := range d.labels {
			if !known[name] {
				t.Errorf("%s has no series in this test, so its type is not compared", name)
			}
		}
		for _, name := range regexp.MustCompile(`breakwater_[a-z_]+`).FindAllString(page, -1) {
			if !known[name] {
				t.Errorf("the page names %s, which does not exist", name)
			}
		}
	})
}
