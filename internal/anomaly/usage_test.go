package anomaly

import (
	"math"
	"math/rand/v2"
	"runtime"
	"testing"
	"time"
	"unsafe"

	"breakwater/internal/llm"
	"breakwater/internal/record"
)

// days feeds a detector spans of one caller's use: a lognormal amount around a
// daily swing, none at night where there is a night. It gives the findings.
func days(d *Detector, r *rand.Rand, from time.Time, n int, times float64, night bool) (found []Finding, end time.Time) {
	at := from
	for range n * int(24*time.Hour/UsageSpan) {
		hour := float64(at.Hour()) + float64(at.Minute())/60
		level := 50_000 * math.Exp(0.5*math.Sin(2*math.Pi*hour/24)+0.35*r.NormFloat64()) * times
		if night && at.Hour() < 7 {
			level = 0
		}
		found = append(found, d.Tick(at)...)
		if level > 0 {
			found = append(found, d.Observe(Sample{
				Target: openai, At: at.Add(UsageSpan / 2), Took: time.Second, Caller: "app", Asked: "auto",
				Tokens: int64(level), Cost: record.NanoUSD(level * 3000),
			})...)
		}
		// The clock is looked at whether or not there is traffic.
		found = append(found, d.Tick(at.Add(UsageSpan-time.Second))...)
		at = at.Add(UsageSpan)
	}
	return found, at
}

func of(found []Finding, s Signal) (n int, first Finding) {
	for _, f := range found {
		if f.Signal == s {
			if n == 0 {
				first = f
			}
			n++
		}
	}
	return n, first
}

func TestUseThatSwingsByDayAndNightIsNoAnomaly(t *testing.T) {
	for _, night := range []bool{false, true} {
		d := NewDetector(Config{})
		found, _ := days(d, rand.New(rand.NewPCG(3, 1)), start, 30, 1, night)
		if len(found) > 1 {
			t.Errorf("night %v: %d findings in 30 days, the first: %s", night, len(found), found[0].Text)
		}
	}
}

func TestUseFarBeyondThePastIsToldOnceAndDoesNotMoveTraffic(t *testing.T) {
	d := NewDetector(Config{})
	r := rand.New(rand.NewPCG(4, 1))
	_, at := days(d, r, start, 7, 1, false)
	var found []Finding
	begun := at
	for range 12 {
		found = append(found, d.Tick(at)...)
		found = append(found, d.Observe(Sample{
			Target: openai, At: at.Add(UsageSpan / 2), Took: time.Second, Caller: "app", Asked: "auto", Tokens: 600_000, Cost: 600_000 * 3000,
		})...)
		found = append(found, d.Tick(at.Add(UsageSpan-time.Second))...)
		at = at.Add(UsageSpan)
	}
	for _, s := range []Signal{Usage, Cost} {
		n, f := of(found, s)
		if n != 1 || f.Failover || f.Caller != "app" || f.Model != "auto" || f.At.Sub(begun) > 5*UsageSpan {
			t.Errorf("%s: %d findings, the first after %s: %+v", s, n, f.At.Sub(begun), f)
		}
		t.Log(f.Text)
	}
}

func TestOneSpanOfMuchUseIsNoAnomaly(t *testing.T) {
	d := NewDetector(Config{})
	_, at := days(d, rand.New(rand.NewPCG(5, 1)), start, 5, 1, false)
	found := d.Observe(Sample{Target: openai, At: at, Took: time.Second, Caller: "app", Asked: "auto", Tokens: 5_000_000})
	more, _ := days(d, rand.New(rand.NewPCG(6, 1)), at, 1, 1, false)
	if n, f := of(append(found, more...), Usage); n != 0 {
		t.Error(f.Text)
	}
}

func TestTimeInWhichNothingRanIsNotTakenAsTimeWithoutUse(t *testing.T) {
	d := NewDetector(Config{})
	_, at := days(d, rand.New(rand.NewPCG(7, 1)), start, 4, 1, false)
	found, _ := days(d, rand.New(rand.NewPCG(8, 1)), at.Add(24*time.Hour), 2, 1, false)
	if len(found) != 0 {
		t.Error(found[0].Text)
	}
}

func TestAnswersThatGrowAreFoundForTheirCallerAndModel(t *testing.T) {
	d := NewDetector(Config{})
	g := newTraffic(9, openai, 20)
	g.errors, g.callers = 0, []string{"app", "batch"}
	if n, f := of(g.feed(d, 20_000), TokenBloat); n != 0 {
		t.Fatalf("everyday answers: %s", f.Text)
	}
	needed := 0
	for range 200 {
		s := g.next()
		if s.Caller == "app" {
			s.OutputTokens *= 4
			needed++
		}
		if n, f := of(d.Observe(s), TokenBloat); n > 0 {
			if f.Caller != "app" || f.Target != openai || f.Failover || needed > 40 {
				t.Errorf("after %d long answers: %+v", needed, f)
			}
			return
		}
	}
	t.Error("answers four times as long were not found")
}

func TestWhatCallersUseIsBoundedWhateverTheyAskFor(t *testing.T) {
	d := NewDetector(Config{})
	for i := range 3 * DefaultMaxUses {
		d.Observe(Sample{
			Target: llm.Target{Provider: llm.OpenAI, Model: "m"}, At: start.Add(time.Duration(i) * time.Second), Took: time.Second,
			Caller: string(rune('a'+i%26)) + string(rune('0'+i/26)), Asked: "x", Tokens: 10, OutputTokens: 10,
		})
	}
	if len(d.usage.uses) != DefaultMaxUses || len(d.usage.lengths) != DefaultMaxUses {
		t.Errorf("%d uses and %d lengths, want %d", len(d.usage.uses), len(d.usage.lengths), DefaultMaxUses)
	}
	if state := len(d.Save()); state > 4<<20 {
		t.Errorf("%d bytes of state", state)
	}
}

func TestMemoryOfASeries(t *testing.T) {
	use, whole := unsafe.Sizeof(use{}), unsafe.Sizeof(series{})+unsafe.Sizeof(length{})
	t.Logf("on the request path: %d bytes a target and %d a caller and target; by spans: %d a caller and model", unsafe.Sizeof(series{}), unsafe.Sizeof(length{}), use)
	if whole > 1280 || unsafe.Sizeof(series{}) > 1024 || use > 3072 {
		t.Errorf("a series takes %d bytes, a use %d", whole, use)
	}
	const n = 1000
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	d := NewDetector(Config{MaxSeries: n})
	g := newTraffic(1, gemini, 60)
	for i := range n {
		s := g.next()
		s.Class, s.Target.Model = "", string(rune('a'+i%26))+string(rune('0'+i/26))
		d.Observe(s)
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	t.Logf("heap: %d bytes for a target with its caller's part", (after.HeapAlloc-before.HeapAlloc)/n)
	runtime.KeepAlive(d)
}
