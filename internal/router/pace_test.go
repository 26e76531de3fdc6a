package router

import (
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"breakwater/internal/bubble"
	"breakwater/internal/llm"
)

// learn has a target answer n streams whose first content takes 200 ms and
// 100 µs for each input token, at 50 output tokens a second.
func learn(p *pace, n int) {
	for i := range n {
		input := int64(100 + i%10*400)
		p.served(200*time.Millisecond+time.Duration(input)*100*time.Microsecond, 2*time.Second, llm.Usage{Input: input, Output: 100}, true)
	}
}

func near(got, want time.Duration, share float64) bool {
	return math.Abs(float64(got-want)) <= share*float64(want)
}

func TestAPaceIsUnknownBeforeTwentyAnswers(t *testing.T) {
	var p pace
	learn(&p, evidence-1)
	_, late := p.late()
	_, rate := p.usualRate()
	_, time := p.expect(100, 100)
	_, _, output := p.usualOutput()
	if late || rate || time || output {
		t.Errorf("19 answers tell late %v, rate %v, time %v, output %v", late, rate, time, output)
	}
	learn(&p, 1)
	_, late = p.late()
	_, rate = p.usualRate()
	_, time = p.expect(100, 100)
	_, _, output = p.usualOutput()
	if !late || !rate || !time || !output {
		t.Errorf("20 answers tell late %v, rate %v, time %v, output %v", late, rate, time, output)
	}
}

func TestTheExpectedTimeGrowsWithTheRequest(t *testing.T) {
	var p pace
	learn(&p, 500)
	for _, c := range []struct {
		input, output int64
		want          time.Duration
	}{
		{0, 0, 200 * time.Millisecond},
		{1000, 0, 300 * time.Millisecond},
		{1000, 100, 2300 * time.Millisecond},
		{20000, 500, 12200 * time.Millisecond}, // far beyond what was seen
	} {
		if got, _ := p.expect(c.input, c.output); !near(got, c.want, 0.05) {
			t.Errorf("%d in, %d out: %s, want about %s", c.input, c.output, got, c.want)
		}
	}
	if got, _ := p.usualRate(); math.Abs(got-50) > 0.5 {
		t.Errorf("%.1f tokens a second, want 50", got)
	}
	if paid, shown, _ := p.usualOutput(); paid != 100 || shown != 100 {
		t.Errorf("usual output %d paid, %d shown", paid, shown)
	}
}

func TestWhatACacheHadTakesNoTime(t *testing.T) {
	var p pace
	for i := range 100 {
		fresh := int64(100 + i%10*400)
		p.served(time.Duration(fresh)*time.Millisecond, time.Second, llm.Usage{Input: 50_000 + fresh, CacheRead: 50_000, Output: 50}, true)
	}
	if got, _ := p.expect(1000, 0); !near(got, time.Second, 0.1) {
		t.Errorf("1,000 tokens are expected to take %s, want about 1s", got)
	}
}

func TestReasoningIsPaidForButBelongsToTheFirstContent(t *testing.T) {
	var p pace
	for range 50 {
		p.served(10*time.Second, time.Second, llm.Usage{Input: 100, Output: 1100, Reasoning: 1000}, true)
	}
	if rate, _ := p.usualRate(); math.Abs(rate-100) > 1 {
		t.Errorf("%.0f tokens a second, want 100", rate)
	}
	if paid, shown, _ := p.usualOutput(); paid != 1100 || shown != 100 {
		t.Errorf("usual output %d paid, %d shown", paid, shown)
	}
}

func TestAnswersInOnePieceTellTheWholeTime(t *testing.T) {
	var p pace
	for i := range 100 {
		output := int64(50 + i%10*100)
		p.served(time.Second+time.Duration(output)*10*time.Millisecond, 0, llm.Usage{Input: 100, Output: output}, false)
	}
	if got, known := p.expect(100, 500); !known || !near(got, 6*time.Second, 0.1) {
		t.Errorf("expected %s, want about 6s", got)
	}
	if _, known := p.late(); known {
		t.Error("answers in one piece say when a stream is late")
	}
	if _, known := p.usualRate(); known {
		t.Error("answers in one piece say how fast a stream comes")
	}
}

func TestOneHangingAnswerChangesLittle(t *testing.T) {
	var p pace
	learn(&p, 100)
	before, _ := p.expect(1000, 100)
	p.served(time.Hour, time.Hour, llm.Usage{Input: 1000, Output: 100}, true)
	if after, _ := p.expect(1000, 100); after > before*11/10 {
		t.Errorf("from %s to %s after one answer of two hours", before, after)
	}
}

func TestOneEndlessAnswerIsStillOne(t *testing.T) {
	var p pace
	learn(&p, 100)
	p.served(time.Second, 40_000*time.Second/100, llm.Usage{Input: 100, Output: 10_000}, true) // at half the speed
	if rate, _ := p.usualRate(); rate < 45 {
		t.Errorf("one long answer makes it %.1f tokens a second, usual are 50", rate)
	}
}

func TestAShortAnswerTellsNothingOfTheRate(t *testing.T) {
	var p pace
	for range 50 {
		p.served(time.Second, time.Microsecond, llm.Usage{Input: 100, Output: fewTokens - 1}, true)
	}
	if rate, known := p.usualRate(); known {
		t.Errorf("pieces that came together make %.0f tokens a second", rate)
	}
}

func TestNoRequestIsExpectedToTakeLessThanNothing(t *testing.T) {
	var p pace
	for i := range 100 { // a line through these is below zero up to 1,000 tokens
		input := int64(1500 + i%10*300)
		p.served(time.Duration(input-1000)*time.Millisecond, 0, llm.Usage{Input: input}, true)
	}
	if got, _ := p.expect(0, 0); got != 0 {
		t.Errorf("nothing takes %s", got)
	}
	if got, _ := p.expect(3000, 0); !near(got, 2*time.Second, 0.1) {
		t.Errorf("3,000 tokens take %s, want about 2s", got)
	}
}

func TestARateThatHasFadedIsNoNoise(t *testing.T) {
	var r rate
	r.add(100, 1)
	for range 3000 {
		r.fade(0.7)
		if got := r.perToken(); got != 0 && math.Abs(got-0.01) > 1e-9 {
			t.Fatalf("%v seconds a token, it was 0.01", got)
		}
	}
}

func TestALastingChangeIsLearned(t *testing.T) {
	var p pace
	learn(&p, 10_000)
	for range 400 {
		p.served(3*time.Second, 20*time.Second, llm.Usage{Input: 1000, Output: 100}, true)
	}
	if got, _ := p.usualRate(); math.Abs(got-5) > 1 {
		t.Errorf("after 400 answers at 5 tokens a second: %.1f", got)
	}
	for range 400 {
		p.served(3*time.Second, 20*time.Second, llm.Usage{Input: 1000, Output: 50}, true)
	}
	if got, _, _ := p.usualOutput(); got > 60 {
		t.Errorf("after 400 answers of 50 tokens: %d", got)
	}
	for range 400 {
		p.served(3*time.Second, 20*time.Second, llm.Usage{Input: 1000, Output: 100}, true)
	}
	if got, _ := p.expect(1000, 100); !near(got, 23*time.Second, 0.2) {
		t.Errorf("after 400 answers of 23s: %s", got)
	}
	if got, _ := p.late(); !near(got, 3*time.Second, 0.13) {
		t.Errorf("late after %s, want 3s", got)
	}
}

func TestWhatWasLearnedAnHourAgoCountsLess(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		var old, now pace
		for range 100 {
			old.served(time.Second, time.Second, llm.Usage{Input: 100, Output: 100}, true)
			now.served(time.Second, time.Second, llm.Usage{Input: 100, Output: 100}, true)
		}
		time.Sleep(time.Hour)
		for range 50 {
			old.served(2*time.Second, time.Second, llm.Usage{Input: 100, Output: 100}, true)
		}
		// 100 answers of 1 s that count a quarter, 50 of 2 s.
		if got, _ := old.expect(100, 0); !near(got, 1667*time.Millisecond, 0.01) {
			t.Errorf("expected %s, want 1.667s", got)
		}
		if _, known := now.expect(100, 0); !known {
			t.Error("100 answers are forgotten after an hour")
		}
		time.Sleep(12 * time.Hour)
		if _, known := now.expect(100, 0); known {
			t.Error("a pace of half a day ago is still believed")
		}
		if _, known := now.late(); known {
			t.Error("what was late half a day ago is still believed")
		}
	})
}

func TestRequestsUnderWayAreCounted(t *testing.T) {
	var p pace
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 1000 {
				p.begin()
				p.served(time.Millisecond, time.Millisecond, llm.Usage{Output: 10}, true)
				p.expect(1, 1)
				p.end()
			}
			p.begin()
		})
	}
	all.Wait()
	if got := p.busy(); got != 8 {
		t.Errorf("%d under way, want 8", got)
	}
}

// The 95th percentile is never below the real one, and at most an eighth above.
func TestLateIsTheNinetyFifthPercentile(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		times := rapid.SliceOfN(rapid.Int64Range(int64(time.Millisecond), int64(5*time.Minute)), evidence, memory-1).Draw(t, "times")
		var p pace
		for _, ns := range times {
			p.served(time.Duration(ns), 0, llm.Usage{}, true)
		}
		slices.Sort(times)
		// The smallest that at least 95 % are not beyond.
		real := time.Duration(times[int(math.Ceil(0.95*float64(len(times))))-1])
		got, known := p.late()
		if !known || got < real || got > real+real/8+grain {
			t.Fatalf("late after %s, %v; the percentile is %s", got, known, real)
		}
	})
}

func TestEstimatesStayFiniteAndGrowWithTheRequest(t *testing.T) {
	anyTime := rapid.Custom(func(t *rapid.T) time.Duration {
		return time.Duration(rapid.OneOf(rapid.Int64(), rapid.Int64Range(0, int64(time.Minute))).Draw(t, "ns"))
	})
	anyCount := rapid.OneOf(rapid.Int64(), rapid.Int64Range(0, 5000))
	rapid.Check(t, func(t *rapid.T) {
		var p pace
		for range rapid.IntRange(0, 300).Draw(t, "answers") {
			p.served(anyTime.Draw(t, "ttft"), anyTime.Draw(t, "rest"), llm.Usage{
				Input: anyCount.Draw(t, "input"), CacheRead: anyCount.Draw(t, "read"),
				Output: anyCount.Draw(t, "output"), Reasoning: anyCount.Draw(t, "reasoning"),
			}, rapid.Bool().Draw(t, "streamed"))
			if hours := rapid.IntRange(0, 50).Draw(t, "hours"); hours > 40 {
				p.aged = p.aged.Add(-time.Duration(hours-40) * time.Hour)
			}
		}
		input, output := anyCount.Draw(t, "more"), anyCount.Draw(t, "more")
		got, known := p.expect(input, output)
		wider, _ := p.expect(max(input, input+rapid.Int64Range(0, 1e6).Draw(t, "wider")), output)
		longer, _ := p.expect(input, max(output, output+rapid.Int64Range(0, 1e6).Draw(t, "longer")))
		// Weights fade between the calls, which moves a mean by a rounding.
		const rounding = time.Microsecond
		if got < 0 || wider < got-rounding || longer < got-rounding {
			t.Fatalf("expected %s (%v), with more input %s, with more output %s", got, known, wider, longer)
		}
		if rate, known := p.usualRate(); known && (rate <= 0 || math.IsInf(rate, 0) || math.IsNaN(rate)) {
			t.Fatalf("a rate of %v", rate)
		}
		if late, known := p.late(); known && late <= 0 {
			t.Fatalf("late after %s", late)
		}
		if paid, shown, known := p.usualOutput(); known && (paid < 0 || shown < 0) {
			t.Fatalf("usual output %d, %d", paid, shown)
		}
	})
}

func BenchmarkPace(b *testing.B) {
	used := llm.Usage{Input: 1000, Output: 200}
	b.Run("a request", func(b *testing.B) { // all that a served stream does
		var p pace
		times := make([]time.Duration, 1024)
		for i := range times {
			times[i] = time.Duration(rand.Int64N(int64(time.Second)))
		}
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			p.begin()
			p.served(times[i%1024], 2*time.Second, used, true)
			p.end()
		}
	})
	b.Run("expect", func(b *testing.B) {
		var p pace
		learn(&p, 100)
		b.ReportAllocs()
		for b.Loop() {
			p.expect(1000, 200)
		}
	})
	b.Run("late", func(b *testing.B) {
		var p pace
		learn(&p, 100)
		b.ReportAllocs()
		for b.Loop() {
			p.late()
		}
	})
}
