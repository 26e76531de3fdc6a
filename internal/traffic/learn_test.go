package traffic

import (
	"net/http"
	"slices"
	"strconv"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// send has a limiter asked each gap for the time d, and gives how many went and when it ended.
func send(l *Limiter, now time.Time, gap, d time.Duration) (n int, end time.Time) {
	for end = now.Add(d); now.Before(end); now = now.Add(gap) {
		if _, ok := l.Take(now, 0); ok {
			l.Done(now, 0, 0)
			n++
		}
	}
	return n, end
}

func TestA429BoundsWhatWasNotConfigured(t *testing.T) {
	l, now := NewLimiter(Limits{}), time.Now()
	n, now := send(l, now, time.Second/2, time.Minute)
	if n != 120 {
		t.Fatalf("%d of 120 went before anything was learned", n)
	}
	l.Refused(now, 0, 0)
	if got := l.Use(now).Allowed; got < 76 || got > 84 { // slots of five seconds: at least 55 s are counted
		t.Errorf("%g a minute are allowed; want about 7/10 of 120", got)
	}
	n, _ = send(l, now, time.Second/10, time.Minute)
	if n < 70 || n > 110 {
		t.Errorf("%d went in the minute after; want about 84 and what it recovers", n)
	}
}

func TestThoseWhoWaitedForARefusalsEndGoOneByOneAndSoonFaster(t *testing.T) {
	l, now := NewLimiter(Limits{}), time.Now()
	l.Take(now, 0)
	l.Refused(now, 5*time.Second, 0)
	var gaps []time.Duration
	for range 4 {
		wait, ok := l.Take(now, 0)
		if ok {
			t.Fatalf("the request after %v goes at once", gaps)
		}
		gaps, now = append(gaps, wait), now.Add(wait)
		if _, ok := l.Take(now, 0); !ok {
			t.Fatalf("it does not go after the wait told, the last of %v", gaps)
		}
	}
	if want := []time.Duration{5 * time.Second, time.Second, time.Second / 2, time.Second / 3}; !slices.Equal(gaps, want) {
		t.Errorf("they go after %v, want %v", gaps, want)
	}
	_, now = send(l, now, time.Millisecond, 3*time.Second)
	for range 10 {
		if wait, ok := l.Take(now, 0); !ok {
			t.Fatalf("after three seconds in which as many went as might, one still waits %s", wait)
		}
	}
}

func TestWhereNobodyIsInAHurryNothingIsSpacedAfterARefusal(t *testing.T) {
	l, now := NewLimiter(Limits{}), time.Now()
	l.Take(now, 0)
	l.Refused(now, time.Second, 0)
	for range 2 {
		now = now.Add(LearnInterval + 2*time.Second)
		if _, ok := l.Take(now, 0); !ok {
			t.Fatal("one that comes long after does not go")
		}
	}
	if wait, ok := l.Take(now, 0); !ok {
		t.Errorf("another one at the same time waits %s", wait)
	}
}

func TestTheRefusalsOfOneBurstCountOnce(t *testing.T) {
	l, now := NewLimiter(Limits{}), time.Now()
	_, now = send(l, now, time.Second/2, time.Minute)
	l.Refused(now, 20*time.Second, 0)
	first := l.Use(now).Allowed
	for range 30 {
		now = now.Add(600 * time.Millisecond)
		l.Refused(now, 0, 0)
	}
	if got := l.Use(now).Allowed; got != first {
		t.Errorf("%g a minute are allowed after the refusals of the same burst; want %g", got, first)
	}
}

func TestARefusalOfWhatWasAllowedShrinksThat(t *testing.T) {
	l, now := NewLimiter(Limits{}), time.Now()
	_, now = send(l, now, time.Second/2, time.Minute)
	l.Refused(now, 0, 0)
	first := l.Use(now).Allowed
	now = now.Add(LearnInterval)
	l.Refused(now, 0, 0) // what was sent before the first refusal is still of the last minute
	if got := l.Use(now).Allowed; got > first*.71 {
		t.Errorf("%g a minute are allowed after a second refusal; want 7/10 of %g", got, first)
	}
}

func TestARefusalShrinksWhatIsConfiguredNotWhatABurstMade(t *testing.T) {
	l, now := NewLimiter(Limits{Requests: 10, Burst: 100}), time.Now()
	if n, _ := send(l, now, time.Nanosecond, 200); n != 100 {
		t.Fatalf("%d went at once", n)
	}
	l.Refused(now, 0, 0)
	if got := l.Use(now).Allowed; got != 7 {
		t.Errorf("%g a minute are allowed; want 7/10 of the 10 configured", got)
	}
}

func TestARefusalInTheFirstSecondsShrinksThePaceWhereALimitIsConfigured(t *testing.T) {
	for _, tt := range []struct {
		gap, d     time.Duration
		configured int64
		min, max   float64
	}{
		{time.Second / 20, 3 * time.Second, 1200, 800, 840}, // as fast as it may
		{time.Second / 20, 3 * time.Second, 600, 420, 420},
		{time.Second / 5, 6 * time.Second, 1200, 205, 220}, // much slower, and refused all the same
		{2 * time.Second, time.Minute, 1200, 19, 23},       // so that seven tenths of 1200 would bound nothing
	} {
		l, now := NewLimiter(Limits{}), time.Now()
		_, now = send(l, now, tt.gap, tt.d)
		l.Refused(now, 0, tt.configured)
		if got := l.Use(now).Allowed; got < tt.min || got > tt.max {
			t.Errorf("%g a minute are allowed after one each %s for %s; want %g to %g", got, tt.gap, tt.d, tt.min, tt.max)
		}
	}
}

// A limit that is configured twenty times too high is believed once.
func TestALimitConfiguredTooHighIsLearnedAllTheSame(t *testing.T) {
	l, now := NewLimiter(Limits{}), time.Now()
	refused := 0
	for range 10 { // minutes of a provider that counts 60 in each
		next := now.Add(time.Minute)
		for taken := 0; now.Before(next); now = now.Add(time.Second / 20) {
			if _, ok := l.Take(now, 0); !ok {
				continue
			}
			if l.Done(now, 0, 0); taken < 60 {
				taken++
				continue
			}
			l.Refused(now, next.Sub(now), 1200)
			refused++
			if got := l.Use(now).Allowed; refused > 1 && got > 50 {
				t.Errorf("%g a minute are allowed after refusal %d of a provider that takes 60", got, refused)
			}
		}
	}
	if refused < 2 || refused > 8 {
		t.Errorf("%d were refused in ten minutes", refused)
	}
}

// Nobody knows whether the first requests were a burst or a pace: it begins low,
// and does not take minutes to find out.
func TestWhatOneBurstTaughtIsTriedHigherSoon(t *testing.T) {
	l, now := NewLimiter(Limits{}), time.Now()
	_, now = send(l, now, time.Second/20, 3*time.Second)
	rises := func(wants ...float64) {
		t.Helper()
		for _, want := range wants {
			if got := l.Use(now).Allowed; got < want*.97 || got > want*1.03 {
				t.Errorf("%g a minute are allowed; want %g", got, want)
			}
			_, now = send(l, now, time.Second/20, LearnInterval+time.Second)
		}
	}
	l.Refused(now, time.Second, 0)
	rises(42, 84, 168, 336, 672, 840, 900)
	l.Refused(now, time.Second, 0)
	rises(414, 588, 630)
}

func TestNothingGoesBeforeTheWaitOfARefusalHasPassed(t *testing.T) {
	for _, tt := range []struct{ told, want time.Duration }{
		{20 * time.Second, 20 * time.Second},
		{30 * 24 * time.Hour, MaxBlock},
	} {
		l, now := NewLimiter(Limits{}), time.Now()
		l.Take(now, 0)
		l.Refused(now, tt.told, 0)
		l.Refused(now, time.Millisecond, 0) // an older one that says less
		if wait, ok := l.Take(now, 0); ok || wait != tt.want {
			t.Errorf("told %s, it waits %s; want %s", tt.told, wait, tt.want)
		}
	}
}

func TestWhatWasLearnedIsRecoveredFromAndForgotten(t *testing.T) {
	l, now := NewLimiter(Limits{}), time.Now()
	_, now = send(l, now, time.Second/2, time.Minute)
	l.Refused(now, 0, 0)
	before := l.Use(now).Allowed
	_, now = send(l, now, time.Second/2, 2*time.Minute)
	if got := l.Use(now).Allowed; got <= before {
		t.Errorf("%g a minute are allowed after two minutes without a refusal; want more than %g", got, before)
	}
	_, now = send(l, now, time.Second/2, 20*time.Minute)
	if got := l.Use(now).Allowed; got != 0 || l.bounded.Load() {
		t.Errorf("%g a minute are allowed long after; want it forgotten", got)
	}
}

func TestIdleTimeRecoversNothingUntilItIsForgotten(t *testing.T) {
	l, now := NewLimiter(Limits{}), time.Now()
	_, now = send(l, now, time.Second/2, time.Minute)
	l.Refused(now, 0, 0)
	before := l.Use(now).Allowed
	now = now.Add(50 * time.Minute)
	l.Take(now, 0)
	if got := l.Use(now).Allowed; got > before*1.1 { // slots of five seconds, as above
		t.Errorf("%g a minute are allowed after a pause; want one step above %g", got, before)
	}
	l.Take(now.Add(10*time.Minute), 0)
	if got := l.Use(now).Allowed; got != 0 {
		t.Errorf("%g a minute are allowed an hour after; want it forgotten", got)
	}
}

func TestWhatIsLearnedIsNeverAboveWhatIsConfigured(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		limits := Limits{Requests: rapid.Int64Range(1, 200).Draw(t, "requests")}
		l, now := NewLimiter(limits), time.Now()
		var grants []grant
		for range 300 {
			now = now.Add(time.Duration(rapid.Int64Range(0, int64(20*time.Second)).Draw(t, "later")))
			if rapid.IntRange(0, 40).Draw(t, "refused") == 0 {
				l.Refused(now, 0, 0)
			}
			if _, ok := l.Take(now, 0); ok {
				grants = append(grants, grant{at: now})
				l.Done(now, 0, 0)
			}
			if got := l.Use(now).Allowed; got > float64(limits.Requests) || got <= 0 {
				t.Fatalf("%g a minute are allowed, configured are %d", got, limits.Requests)
			}
		}
		if problem := exceeded(limits, grants); problem != "" {
			t.Fatal(problem)
		}
	})
}

func openAI(limit, left int64, reset string, tokens, tokensLeft int64, tokensReset string) http.Header {
	h := http.Header{}
	h.Set("x-ratelimit-limit-requests", strconv.FormatInt(limit, 10))
	h.Set("x-ratelimit-remaining-requests", strconv.FormatInt(left, 10))
	h.Set("x-ratelimit-reset-requests", reset)
	h.Set("x-ratelimit-limit-tokens", strconv.FormatInt(tokens, 10))
	h.Set("x-ratelimit-remaining-tokens", strconv.FormatInt(tokensLeft, 10))
	h.Set("x-ratelimit-reset-tokens", tokensReset)
	return h
}

// anthropic gives headers of which all but the input tokens are full, with a
// clock of the provider's.
func anthropic(date time.Time, limit, left int64, reset time.Duration) http.Header {
	h := http.Header{}
	h.Set("date", date.UTC().Format(http.TimeFormat))
	full := date.UTC().Format(time.RFC3339)
	for what, n := range map[string]string{"requests": "4000", "tokens": "480000", "output-tokens": "80000"} {
		h.Set("anthropic-ratelimit-"+what+"-limit", n)
		h.Set("anthropic-ratelimit-"+what+"-remaining", n)
		h.Set("anthropic-ratelimit-"+what+"-reset", full)
	}
	h.Set("anthropic-ratelimit-input-tokens-limit", strconv.FormatInt(limit, 10))
	h.Set("anthropic-ratelimit-input-tokens-remaining", strconv.FormatInt(left, 10))
	h.Set("anthropic-ratelimit-input-tokens-reset", date.Add(reset).UTC().Format(time.RFC3339))
	return h
}

func TestHeadersOfATargetFarFromItsLimitsChangeNothing(t *testing.T) {
	now := time.Now()
	for name, h := range map[string]http.Header{ // as recorded
		"OpenAI":              openAI(10000, 9999, "6ms", 30_000_000, 29_999_521, "0s"),
		"OpenAI, of a day":    openAI(10000, 9995, "37.973s", 200_000, 199_947, "15ms"),
		"Anthropic":           anthropic(now, 400_000, 399_000, time.Second),
		"of another provider": {"Content-Type": {"application/json"}},
		"years away":          openAI(10, 0, "87600h", 100, 0, "-1s"),
		"unknown to Azure":    openAI(-1, -1, "0", -1, -1, "0"),
		"more than the limit": openAI(10, 11, "1m0s", 100, 101, "1m0s"),
		"without a limit":     {"X-Ratelimit-Remaining-Requests": {"119"}, "X-Ratelimit-Remaining-Tokens": {"119984"}},
	} {
		l := NewLimiter(Limits{})
		l.Take(now, 500)
		l.Told(now, h)
		if l.bounded.Load() || l.CountsTokens() {
			t.Errorf("%s: it bounds something: %+v", name, l.Use(now))
		}
		if n := testing.AllocsPerRun(10, func() { l.Told(now, h) }); n > 0 && name != "years away" {
			t.Errorf("%s: %g allocations", name, n)
		}
	}
}

func TestWhatAProviderHasLeftIsFollowed(t *testing.T) {
	now := time.Now()
	for _, tt := range []struct {
		name   string
		header http.Header
		tokens int64
		want   time.Duration
	}{
		{"no request is left, one fills in each second", openAI(60, 0, "1m0s", 9e6, 9e6, "0s"), 0, time.Second},
		{"one request is left", openAI(60, 1, "59s", 9e6, 9e6, "0s"), 0, 0},
		{"no request of a day is left", openAI(10000, 0, "24h0m0s", 9e6, 9e6, "0s"), 0, 8640 * time.Millisecond},
		{"none is left, and all will be at once", openAI(60, 0, "20s", 9e6, 9e6, "0s"), 0, 20 * time.Second},
		{"too few tokens are left", openAI(5000, 5000, "0s", 60_000, 1000, "59s"), 3000, 2 * time.Second},
		{"enough tokens are left", openAI(5000, 5000, "0s", 60_000, 4000, "56s"), 3000, 0},
		{"no input tokens are left", anthropic(now.Add(-time.Hour), 60_000, 0, time.Minute), 3000, 3 * time.Second},
		{"seconds without a unit", http.Header{"X-Ratelimit-Remaining-Tokens": {"0"}, "X-Ratelimit-Reset-Tokens": {"12"}}, 100, 12 * time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := NewLimiter(Limits{})
			l.Told(now, tt.header)
			wait, ok := l.Take(now, tt.tokens)
			if wait != tt.want || ok != (tt.want == 0) {
				t.Errorf("told to wait %s, %t; want %s", wait, ok, tt.want)
			}
		})
	}
}

func TestALowLimitIsKeptFromTheFirstAnswerOn(t *testing.T) {
	l, now := NewLimiter(Limits{}), time.Now()
	l.Take(now, 0)
	l.Told(now, openAI(60, 59, "1s", 9e6, 9e6, "0s"))
	n, _ := send(l, now, time.Millisecond, time.Second)
	if n != 59 {
		t.Errorf("%d went within a second; want the 59 that are left", n)
	}
}

func TestAStaleHeaderOpensNothing(t *testing.T) {
	now := time.Now()
	for name, headers := range map[string][2]http.Header{
		"filling evenly": {openAI(60, 0, "1m0s", 60_000, 0, "1m0s"), openAI(60, 20, "40s", 60_000, 30_000, "30s")},
		"in windows":     {openAI(60, 0, "20s", 60_000, 0, "20s"), openAI(60, 20, "19s", 60_000, 30_000, "10s")},
	} {
		l := NewLimiter(Limits{})
		l.Told(now, headers[0])
		before, _ := l.Take(now, 1000)
		l.Told(now, headers[1])
		if after, ok := l.Take(now, 1000); ok || after < before {
			t.Errorf("%s: told to wait %s after a stale header, %s before", name, after, before)
		}
	}
}

func TestRequestsUnderWayCountBeforeTheProviderTellsOfThem(t *testing.T) {
	l, now := NewLimiter(Limits{}), time.Now()
	for range 40 {
		l.Take(now, 0)
	}
	l.Told(now, openAI(60, 59, "1s", 9e6, 9e6, "0s")) // the first of them is answered
	n, _ := send(l, now, time.Millisecond, 500*time.Millisecond)
	if n != 20 {
		t.Errorf("%d more went; want the 20 that are left beside the 40 under way", n)
	}
}

func TestTokensUnderWayCountBeforeTheProviderTellsOfThem(t *testing.T) {
	l, now := NewLimiter(Limits{}), time.Now()
	l.Told(now, openAI(5000, 5000, "0s", 60_000, 20_000, "40s"))
	if !l.CountsTokens() {
		t.Error("tokens do not count although few are left")
	}
	n := 0
	for {
		if _, ok := l.Take(now, 5000); !ok {
			break
		}
		n++
	}
	if n != 4 {
		t.Errorf("%d of 5000 tokens went with 20000 left", n)
	}
	for range n {
		l.Done(now, 5000, 5000)
	}
	if _, ok := l.Take(now.Add(time.Hour), 5000); !ok || l.bounded.Load() || l.CountsTokens() {
		t.Error("what was told is kept after all is there again")
	}
}

func TestAbsurdHeadersAreHarmless(t *testing.T) {
	numbers := rapid.OneOf(rapid.Just("0"), rapid.SampledFrom([]string{"-1", "", "99999999999999999999", "999999999999", "1e9", "NaN", "1", "2", "60"}), rapid.String())
	resets := rapid.OneOf(rapid.SampledFrom([]string{"-1s", "0s", "1ns", "87600h", "9999999h", "24h", "1m", "1.5s", "0", "4294967296", "2999-01-01T00:00:00Z", "1970-01-01T00:00:00Z", ""}), rapid.String())
	rapid.Check(t, func(t *rapid.T) {
		l, now := NewLimiter(Limits{}), time.Now()
		for range rapid.IntRange(1, 20).Draw(t, "answers") {
			l.Take(now, rapid.Int64().Draw(t, "tokens"))
			h := http.Header{}
			for _, what := range []string{"Requests", "Tokens", "Input-Tokens", "Output-Tokens"} {
				for _, n := range []string{"Limit", "Remaining"} {
					h["X-Ratelimit-"+n+"-"+what] = []string{numbers.Draw(t, "number")}
					h["Anthropic-Ratelimit-"+what+"-"+n] = []string{numbers.Draw(t, "number")}
				}
				h["X-Ratelimit-Reset-"+what] = []string{resets.Draw(t, "reset")}
				h["Anthropic-Ratelimit-"+what+"-Reset"] = []string{resets.Draw(t, "reset")}
			}
			if rapid.Bool().Draw(t, "anthropic") {
				delete(h, "X-Ratelimit-Remaining-Requests")
				delete(h, "X-Ratelimit-Remaining-Tokens")
			}
			l.Told(now, h)
			now = now.Add(time.Duration(rapid.Int64Range(0, int64(time.Minute)).Draw(t, "later")))
		}
		if wait, _ := l.Take(now, 0); wait > MaxBlock {
			t.Fatalf("told to wait %s", wait)
		}
		if l.told.requests.n > 0 && l.told.requests.wait(l.instant(now), 1) > int64(MaxBlock) {
			t.Fatalf("a request waits longer than MaxBlock")
		}
	})
}

func BenchmarkTold(b *testing.B) {
	now := time.Now()
	for name, h := range map[string]http.Header{
		"OpenAI":    openAI(10000, 9999, "6ms", 30_000_000, 29_999_521, "0s"),
		"Anthropic": anthropic(now, 400_000, 399_000, time.Second),
		"scarce":    openAI(500, 200, "36s", 30_000, 1000, "58s"),
		"none":      {"Content-Type": {"application/json"}},
	} {
		b.Run(name, func(b *testing.B) {
			l := NewLimiter(Limits{})
			b.ReportAllocs()
			for b.Loop() {
				l.Told(now, h)
			}
		})
	}
}
