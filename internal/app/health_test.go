package app

import (
	"context"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"breakwater/internal/anomaly"
	"breakwater/internal/config"
	"breakwater/internal/llm"
	"breakwater/internal/monitor"
	"breakwater/internal/record"
	"breakwater/internal/router"
	"breakwater/internal/store"
	"breakwater/web"
)

// kept is a store with two days of one provider's history, up to noon.
func kept(t *testing.T) (*healths, time.Time) {
	t.Helper()
	st, err := store.Open(t.Context(), store.Options{Path: filepath.Join(t.TempDir(), "test.db")})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- st.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		st.Close()
	})
	noon := time.Now().UTC().Truncate(24 * time.Hour).Add(12 * time.Hour)
	var minutes []store.Rollup
	for at := noon.Add(-48 * time.Hour); !at.After(noon); at = at.Add(time.Minute) {
		r := store.Rollup{Start: at, Target: llm.Target{Provider: llm.Gemini, Model: "m"}, Served: 9, Failed: 1, Throttled: 2, Cost: 5}
		for range 9 {
			r.Latency.Add(time.Second)
			r.TTFT.Add(time.Second / 4)
		}
		callers := store.Rollup{Start: at, Callers: true, Served: 10}
		minutes = append(minutes, r, callers)
	}
	if err := st.SeedRollups(t.Context(), store.Minute, minutes); err != nil {
		t.Fatal(err)
	}
	return &healths{store: st, breakers: closed{}, providers: []llm.Provider{llm.Gemini, llm.Claude}, started: noon.Add(-72 * time.Hour)}, noon
}

// closed are no breakers but closed ones.
type closed struct{}

func (closed) Breakers() []router.BreakerState { return nil }

func TestHealthIsReadOverEveryWindow(t *testing.T) {
	h, noon := kept(t)
	target := llm.Target{Provider: llm.Gemini, Model: "m"}
	ids := record.NewIDs(0, 0)
	for _, c := range []struct {
		ago      time.Duration
		from, to record.State
	}{{30 * time.Minute, record.Closed, record.Open}, {20 * time.Minute, record.Open, record.HalfOpen}, {19 * time.Minute, record.HalfOpen, record.Closed}} {
		at := noon.Add(-c.ago)
		h.store.RecordTransition(record.Transition{ID: ids.Next(at), At: at, Target: target, From: c.from, To: c.to})
	}
	placed := noon.Add(-30 * time.Hour)
	h.store.RecordHold(record.Hold{ID: ids.Next(placed), Target: target, Placed: placed, Expires: placed.Add(time.Hour), Ended: placed.Add(5 * time.Minute)})
	if err := h.store.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	incident := record.Incident{ID: ids.Next(noon), Topic: record.TopicProvider, Subject: llm.Gemini, State: record.Resolved, Began: noon.Add(-30 * time.Minute), Opened: noon.Add(-30 * time.Minute), Ended: noon.Add(-15 * time.Minute)}
	if err := h.store.SaveIncident(t.Context(), &incident, nil); err != nil {
		t.Fatal(err)
	}
	for _, s := range []record.Silence{
		{Maintenance: true, Provider: llm.Gemini, From: noon.Add(-25 * time.Minute), Until: noon, Ended: noon.Add(-20 * time.Minute)},
		{Provider: llm.Gemini, From: noon.Add(-time.Hour), Until: noon},                                            // no maintenance
		{Maintenance: true, Provider: llm.Gemini, Topic: record.TopicKey, From: noon.Add(-time.Hour), Until: noon}, // of its keys alone
		{Maintenance: true, Provider: llm.Claude, From: noon.Add(-time.Hour), Until: noon},
	} {
		s.ID, s.Reason = ids.Next(noon), "planned"
		if err := h.store.SaveSilence(t.Context(), s); err != nil {
			t.Fatal(err)
		}
	}
	all, err := h.now(t.Context(), noon)
	if err != nil {
		t.Fatal(err)
	}
	for i, r := range all.records(llm.Gemini) {
		if r.Availability != web.Known(0.9) || r.Health != web.Known(90.0) || r.Errors != web.Known(0.25) || r.Callers != web.Known(1.0) {
			t.Errorf("%s: %+v", r.Window, r)
		}
		open, held, down := 10*time.Minute, 5*time.Minute, 10*time.Minute
		if i < 1 {
			open, down = 0, 0
		}
		if i < 3 {
			held = 0
		}
		if r.In[record.Open] != open || r.In[monitor.Held] != held || r.Downtime != web.Known(down) {
			t.Errorf("%s: in %v, down %v", r.Window, r.In, r.Downtime)
		}
	}
	unseen := all.records(llm.Gemini)[5].In[monitor.Unseen]
	if want := noon.Sub(monitor.Windows()[5].From(noon)) - 48*time.Hour; unseen != want {
		t.Errorf("of 90 days nothing is known for %v, want %v", unseen, want)
	}
	for _, r := range all.records(llm.Claude) {
		if r.Availability.Known || r.Health.Known || r.P95.Known || r.In != nil || r.Downtime.Known || !r.Callers.Known {
			t.Errorf("without data: %+v", r)
		}
	}
	want := []web.Uptime{{Window: "24h", Share: web.Known(0.9)}, {Window: "7d", Share: web.Known(0.9)}, {Window: "30d", Share: web.Known(0.9)}, {Window: "90d", Share: web.Known(0.9)}}
	if got := all.uptimes(llm.Gemini); !slices.Equal(got, want) {
		t.Errorf("uptimes %+v", got)
	}
}

func TestANewIncidentIsSeenAtOnce(t *testing.T) {
	h, noon := kept(t)
	if all, err := h.latest(t.Context(), noon); err != nil || len(all.incidents)+len(all.planned) != 0 {
		t.Fatalf("%+v and %+v before anything was (%v)", all.incidents, all.planned, err)
	}
	ids, soon := record.NewIDs(0, 0), noon.Add(time.Second)
	incident := record.Incident{ID: ids.Next(soon), Topic: record.TopicProvider, Subject: llm.Gemini, State: record.Ongoing, Began: noon, Opened: soon}
	if err := h.store.SaveIncident(t.Context(), &incident, nil); err != nil {
		t.Fatal(err)
	}
	work := record.Silence{ID: ids.Next(soon), Maintenance: true, Provider: llm.Claude, From: noon, Until: noon.Add(time.Hour), Reason: "planned"}
	if err := h.store.SaveSilence(t.Context(), work); err != nil {
		t.Fatal(err)
	}
	all, err := h.latest(t.Context(), soon)
	if err != nil || len(all.incidents) != 1 || len(all.planned) != 1 || len(all.down[llm.Gemini]) != 1 {
		t.Errorf("%+v, %+v, down %+v a second later (%v)", all.incidents, all.planned, all.down, err)
	}
	if !all.At.Equal(noon) {
		t.Errorf("the figures were read anew at %v", all.At)
	}
}

func TestACourseHasAPointForEachStepAndGapsWhereNothingHappened(t *testing.T) {
	h, noon := kept(t)
	s := &status{store: h.store, healths: h}
	now := noon.Add(10 * time.Minute)
	all, err := h.now(t.Context(), now)
	if err != nil {
		t.Fatal(err)
	}
	for span, want := range map[web.Span]struct{ points, rows int }{web.LastHour: {56, 12}, web.LastDay: {140, 24}, web.LastMonth: {119, 30}} {
		c, err := s.course(t.Context(), llm.Gemini, span, &all)
		if err != nil {
			t.Fatal(err)
		}
		var points, rows int64
		for _, m := range c.Points {
			points += m.Served
		}
		for _, m := range c.Rows {
			rows += m.Served
		}
		if points != c.Sum.Served || rows != c.Sum.Served || points == 0 {
			t.Errorf("%s: the points have %d answers, the rows %d, all %d", span, points, rows, c.Sum.Served)
		}
		if len(c.Points) != want.points || len(c.Rows) != want.rows || !c.Rows[0].At.Equal(c.From) || !c.To.Equal(now) {
			t.Errorf("%s: %d points, %d rows from %v to %v", span, len(c.Points), len(c.Rows), c.From, c.To)
		}
		if last := c.Points[len(c.Points)-1]; span != web.LastMonth && (last.P95.Known || last.Served != 0) {
			t.Errorf("%s: the last step had nothing and is %+v", span, last)
		}
		if first, last := c.Stretches[0], c.Stretches[len(c.Stretches)-1]; !first.From.Equal(c.From) || !last.To.Equal(c.To) {
			t.Errorf("%s: the stretches are from %v to %v", span, first.From, last.To)
		}
	}
}

func TestMeasuresNearestToAFindingComeFirst(t *testing.T) {
	of := llm.Target{Provider: llm.Gemini, Model: "m"}
	got := measures([]anomaly.Score{
		{Target: of, Measure: "errors", Signal: anomaly.Errors, Evidence: 2, Threshold: 10},
		{Target: llm.Target{Provider: llm.Claude}, Measure: "errors"},
		{Target: of, Measure: "time for an answer", Signal: anomaly.Latency, Evidence: 9, Threshold: 10, Z: 3},
	}, llm.Gemini)
	if len(got) != 2 || got[0].Name != "time for an answer" || got[0].Evidence != 0.9 || !got[0].Seconds || got[1].Evidence != 0.2 || !got[1].Share {
		t.Errorf("got %+v", got)
	}
}

func TestAProviderWhoseKeysAllCoolDownIsDegraded(t *testing.T) {
	s := &status{router: &router.HybridRouter{}}
	for keys, want := range map[web.KeysOut]web.State{
		{Usable: 2, All: 2}:             web.Unknown,
		{Usable: 2, All: 2, Cooling: 1}: web.Unknown,
		{Usable: 2, All: 2, Cooling: 2}: web.Degraded,
		{Usable: 1, All: 2, Cooling: 1}: web.Degraded,
		{Usable: 0, All: 2}:             web.Down,
	} {
		row := web.Provider{Name: llm.Gemini, Keys: keys, Breaker: web.Breaker{State: record.Closed}}
		if got := s.state(row, monitor.Minute{}, nil); got != want {
			t.Errorf("%+v: %s, want %s", keys, got, want)
		}
	}
}

func TestProbesThatAreOffAreNotSent(t *testing.T) {
	u := &upstream{provider: config.Provider{Name: llm.Gemini, Enabled: true}}
	a := &App{cfg: &config.Config{Probes: config.Probes{Interval: time.Minute}}, upstreams: []*upstream{u}}
	if p := a.newProber(); len(p.Probes) != 0 {
		t.Errorf("%d are sent", len(p.Probes))
	}
	a.cfg.Probes.Enabled = true
	if p := a.newProber(); len(p.Probes) != 1 || p.Interval != time.Minute || p.Completion != 0 {
		t.Errorf("got %+v", p)
	}
}
