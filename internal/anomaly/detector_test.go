package anomaly

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
	"unsafe"

	"breakwater/internal/llm"
)

func matters(f Finding) bool { return f.Failover }

func TestEverydayTrafficGivesNoFinding(t *testing.T) {
	for _, rate := range []float64{1, 5, 20, 60, 600} {
		for _, whole := range []bool{false, true} {
			d := NewDetector(Config{})
			g := newTraffic(7, gemini, rate)
			g.whole = whole
			for _, f := range g.feed(d, 8000) {
				t.Errorf("%v/min, whole %v: %s", rate, whole, f.Text)
			}
		}
	}
}

func TestABackgroundThatFailsInBurstsIsLearned(t *testing.T) {
	const rate, day = 5, 5 * 1440
	d := NewDetector(Config{})
	g := newTraffic(4, gemini, rate)
	g.errors, g.burst = 0.02, 3
	g.feed(d, 7*day)
	if found := g.feed(d, 20*day); len(found) > 1 {
		t.Errorf("%d findings in 20 days, the first: %s", len(found), found[0].Text)
	}
	g.errors, g.burst = 1, 0
	if n := g.until(d, 40, matters); n == 0 {
		t.Error("down, and not found within 40 requests")
	}
}

func TestASeriesIsSmall(t *testing.T) {
	if size := unsafe.Sizeof(series{}) + unsafe.Sizeof(witness{}); size > 1024 {
		t.Errorf("%d bytes with one excursion under way, want at most 1024", size)
	}
}

func TestTroubleIsFoundWithinAHandfulOfRequests(t *testing.T) {
	type past struct {
		seed  uint64
		rate  float64
		whole bool
	}
	type usual struct {
		g *traffic
		d *Detector
	}
	learned := map[past]usual{}
	learn := func(p past) (*traffic, *Detector) {
		if _, ok := learned[p]; !ok {
			d, g := NewDetector(Config{}), newTraffic(p.seed, gemini, p.rate)
			g.whole = p.whole
			g.feed(d, 5000)
			learned[p] = usual{g, d}
		}
		return learned[p].g.fork(learned[p].d)
	}
	for _, c := range []struct {
		name           string
		errors, slow   float64
		whole          bool
		median, at95th int
	}{
		{name: "hard down", errors: 1, slow: 1, median: 6, at95th: 9},
		{name: "half fail", errors: 0.5, slow: 1, median: 18, at95th: 35},
		{name: "a quarter fails", errors: 0.25, slow: 1, median: 45, at95th: 130},
		{name: "twice as slow", errors: 0.01, slow: 2, median: 10, at95th: 16},
		{name: "five times as slow", errors: 0.01, slow: 5, median: 9, at95th: 12},
		{name: "five times as slow, not streamed", errors: 0.01, slow: 5, whole: true, median: 10, at95th: 20},
	} {
		for _, rate := range []float64{5, 60} {
			t.Run(fmt.Sprintf("%s at %v per minute", c.name, rate), func(t *testing.T) {
				var needed []int
				for seed := range uint64(10) {
					g, d := learn(past{seed, rate, c.whole})
					g.errors, g.slow = c.errors, c.slow
					n := g.until(d, 400, func(f Finding) bool { return f.Signal == Errors == (c.slow == 1) })
					if n == 0 {
						t.Fatalf("seed %d: not found within 400 requests", seed)
					}
					needed = append(needed, n)
				}
				slices.Sort(needed)
				median, at95th := needed[len(needed)/2], needed[len(needed)*95/100]
				t.Logf("median %d, 95th %d", median, at95th)
				if median > c.median || at95th > c.at95th {
					t.Errorf("requests needed: median %d, 95th %d; want at most %d, %d", median, at95th, c.median, c.at95th)
				}
			})
		}
	}
}

func TestOnlyASlowdownThatMattersForcesFailover(t *testing.T) {
	d := NewDetector(Config{})
	g := newTraffic(3, gemini, 20)
	g.feed(d, 2000)
	g.slow = 1.6
	if n := g.until(d, 300, matters); n != 0 {
		t.Errorf("1.6 times as slow forced failover after %d requests", n)
	}
	g.slow = 3
	if n := g.until(d, 30, matters); n == 0 {
		t.Error("3 times as slow did not force failover")
	}
}

func TestASlowRampIsFound(t *testing.T) {
	d := NewDetector(Config{})
	g := newTraffic(5, gemini, 20)
	g.feed(d, 20*60*12)
	from := g.now
	for g.now.Before(from.Add(2 * time.Hour)) {
		g.slow = 1 + 3*g.now.Sub(from).Hours()/2
		for _, f := range d.Observe(g.next()) {
			if f.Failover {
				t.Logf("found after %s at x%.1f: %s", g.now.Sub(from).Round(time.Second), g.slow, f.Text)
				return
			}
		}
	}
	t.Error("a ramp from x1 to x4 over two hours was not found")
}

func TestALastingSlowdownBecomesTheUsual(t *testing.T) {
	d := NewDetector(Config{})
	g := newTraffic(6, gemini, 20)
	g.feed(d, 2000)
	g.slow = 1.7
	if len(g.feed(d, 200)) == 0 {
		t.Fatal("not found at all")
	}
	g.feed(d, 20*60*4)
	if found := g.feed(d, 2000); len(found) != 0 {
		t.Errorf("still found after four hours: %s", found[0].Text)
	}
}

func TestAQuietSeriesIsSilent(t *testing.T) {
	d := NewDetector(Config{})
	for i := range 5000 { // the same to the nanosecond, all day
		s := Sample{Target: gemini, At: start.Add(time.Duration(i) * time.Minute), TTFT: time.Second, Took: 2 * time.Second, OutputTokens: 50, Stream: true}
		if i%97 == 0 {
			s.TTFT, s.Took = 1200*time.Millisecond, 2200*time.Millisecond
		}
		if f := d.Observe(s); len(f) != 0 {
			t.Fatalf("request %d: %s", i, f[0].Text)
		}
	}
	// A failure an hour is evidence of nothing.
	for i := range 50 {
		s := Sample{Target: gemini, At: start.Add(time.Duration(5000+60*i) * time.Minute), Class: llm.Server}
		if f := d.Observe(s); len(f) != 0 {
			t.Fatalf("failure %d: %s", i, f[0].Text)
		}
	}
}

func TestNothingIsFoundBeforeThereIsAPast(t *testing.T) {
	d := NewDetector(Config{})
	g := newTraffic(8, gemini, 60)
	g.feed(d, DefaultMinSamples-10)
	g.errors = 1
	if found := g.feed(d, 100); len(found) != 0 {
		t.Error(found[0].Text)
	}
}

func TestFasterThanNoticedIsNoTrouble(t *testing.T) {
	d := NewDetector(Config{})
	for i := range 400 {
		s := Sample{Target: gemini, At: start.Add(time.Duration(i) * time.Second), TTFT: 2 * time.Millisecond, Took: 4 * time.Millisecond, OutputTokens: 40, Stream: true}
		if i > 200 {
			s.TTFT, s.Took = 20*time.Millisecond, 40*time.Millisecond
		}
		if f := d.Observe(s); len(f) != 0 {
			t.Fatal(f[0].Text)
		}
	}
}

func TestFailuresThatAreNotTheTargetsCountNothing(t *testing.T) {
	d := NewDetector(Config{})
	g := newTraffic(9, gemini, 60)
	g.feed(d, 500)
	for _, class := range llm.FailureClasses() {
		if class.CountsAgainstTarget() || class == llm.RateLimit { // which has a test of its own
			continue
		}
		for range 50 {
			s := g.next()
			s.Class = class
			if f := d.Observe(s); len(f) != 0 {
				t.Fatalf("%s: %s", class, f[0].Text)
			}
		}
	}
}

func TestOneCallersFailuresForceNoFailover(t *testing.T) {
	d := NewDetector(Config{})
	g := newTraffic(10, gemini, 60)
	g.feed(d, 1000)
	found := 0
	for i := range 300 {
		s := g.next()
		s.Caller = []string{"poison", "poison", "chat"}[i%3]
		s.Class = ""
		if s.Caller == "poison" {
			s.Class = llm.Server
		}
		for _, f := range d.Observe(s) {
			found++
			if f.Failover || !strings.Contains(f.Text, "one caller") {
				t.Fatalf("request %d: failover %v, %s", i, f.Failover, f.Text)
			}
		}
	}
	if found == 0 {
		t.Error("one caller's failures were not even found")
	}
}

func TestAnIncidentDoesNotTeachItself(t *testing.T) {
	d := NewDetector(Config{})
	g := newTraffic(11, gemini, 20)
	g.feed(d, 3000)
	_, _, before := d.series[gemini].errors.usual()
	g.errors = 0.8
	g.feed(d, 20*120)
	if _, _, after := d.series[gemini].errors.usual(); after > before*1.3 {
		t.Errorf("usual error rate %.4f became %.4f in an incident", before, after)
	}
}

func TestFindingsSayTheirFigures(t *testing.T) {
	d := NewDetector(Config{})
	for i := range 200 {
		s := Sample{Target: gemini, At: start.Add(time.Duration(i) * time.Second), TTFT: 2 * time.Second, Took: 3 * time.Second, Stream: true}
		if i >= 100 {
			s.TTFT, s.Took = 6900*time.Millisecond, 8*time.Second
		}
		for _, f := range d.Observe(s) {
			want := "time to first token 6.9 s, usually 2.0 s (z = "
			if !strings.HasPrefix(f.Text, want) || !f.Failover || f.Again {
				t.Errorf("got %+v, want %q", f, want)
			}
			return
		}
	}
	t.Error("nothing found")
}

func TestScoresShowEveryMeasureWithItsThreshold(t *testing.T) {
	d := NewDetector(Config{})
	newTraffic(12, gemini, 20).feed(d, 500)
	newTraffic(13, claude, 20).feed(d, 500)
	scores := d.Scores()
	if len(scores) != 16 {
		t.Fatalf("%d scores, want 16: %+v", len(scores), scores)
	}
	for _, s := range scores {
		if s.Z < -4 || s.Z > 4 || s.Threshold < 5 || s.Evidence >= s.Threshold || s.Samples < 100 {
			t.Errorf("implausible on everyday traffic: %+v", s)
		}
	}
}

func TestMemoryIsBoundedWhateverModelsAreNamed(t *testing.T) {
	d := NewDetector(Config{MaxSeries: 8})
	at := start
	for i := range 100 {
		at = at.Add(20 * time.Minute)
		d.Observe(Sample{Target: llm.Target{Provider: llm.OpenAI, Model: fmt.Sprint("m", i)}, At: at, TTFT: time.Second, Took: time.Second})
		d.Observe(Sample{Target: llm.Target{Provider: llm.OpenAI, Model: fmt.Sprint("no", i)}, At: at, Class: llm.Server})
	}
	if len(d.series) != 8 {
		t.Errorf("%d series, want 8", len(d.series))
	}
	if _, ok := d.series[llm.Target{Provider: llm.OpenAI, Model: "m99"}]; !ok {
		t.Error("the newest target is not among them")
	}
}

// What a request costs that tells everything: its speed, tokens, cost and prompt.
func BenchmarkObserve(b *testing.B) {
	w, _, _ := watch(WatcherConfig{}, 3)
	g := newTraffic(1, gemini, 600)
	g.tokens = true
	samples := make([]Sample, 1<<14)
	for i := range samples {
		samples[i] = g.next()
		samples[i].Prompt = uint64(i + 1)
	}
	span := samples[len(samples)-1].At.Sub(start)
	i := 0
	for b.Loop() {
		s := samples[i%len(samples)]
		s.At = s.At.Add(time.Duration(i/len(samples)) * span)
		w.Observe(s)
		i++
	}
}

// What the end of a span costs with as many callers as are remembered; it comes
// once in five minutes.
func BenchmarkSpanEnd(b *testing.B) {
	d := NewDetector(Config{})
	at := start
	for i := range DefaultMaxUses {
		d.Observe(Sample{Target: openai, At: at, Took: time.Second, Caller: fmt.Sprint(i), Asked: "auto", Tokens: 1000, Cost: 1000})
	}
	for b.Loop() {
		at = at.Add(UsageSpan)
		d.Tick(at)
	}
}

func BenchmarkSave(b *testing.B) {
	d := NewDetector(Config{})
	g := newTraffic(1, gemini, 600)
	g.tokens = true
	g.feed(d, 10_000)
	for b.Loop() {
		d.Save()
	}
	b.ReportMetric(float64(len(d.Save())), "bytes")
}
