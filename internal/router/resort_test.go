package router

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"breakwater/internal/bubble"
	"breakwater/internal/llm"
	"breakwater/internal/provider"
	"breakwater/internal/record"
	"breakwater/internal/traffic"
)

// allOpen opens every breaker.
func allOpen(t *testing.T, h *house) {
	t.Helper()
	for range 3 {
		for _, f := range []*fake{h.gemini, h.claude, h.openai, h.local} {
			f.set(&act{fail: serverDown()})
		}
		h.ask(t.Context(), chat("auto", true))
	}
	for _, b := range h.Breakers() {
		if b.State != record.Open {
			t.Fatalf("%s is %s", b.Target, b.State)
		}
	}
}

func TestALastResortWhereAllAreOpenIsOneAtATimeAndOneASecond(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		h := newHouse(t, func(c *Config) { c.LastResort = ResortAlways })
		allOpen(t, h)
		before, changes := h.gemini.count(), len(h.log.changes())
		_, err := h.ask(t.Context(), chat("auto", true))
		if trace := h.log.last(t); err == nil || len(trace.Attempts) != 1 || !trace.Attempts[0].LastResort || trace.Attempts[0].Probe {
			t.Errorf("%v, %+v", err, trace.Attempts)
		}
		h.gemini.set(&act{wait: 5 * time.Second})
		time.Sleep(time.Second)
		done := make(chan string)
		go func() {
			text, _ := h.ask(t.Context(), chat("auto", true))
			done <- text
		}()
		synctest.Wait()
		calls := h.gemini.count()
		for range 3 { // claude, openai and local have their own
			h.ask(t.Context(), chat("auto", true))
		}
		_, err = h.ask(t.Context(), chat("auto", true))
		if e, ok := err.(*Error); !ok || e.Code != "all_breakers_open" || h.gemini.count() != calls {
			t.Errorf("beside the first: %v after %d calls", err, h.gemini.count()-calls)
		}
		if text := <-done; text != "hello from gemini" {
			t.Errorf("got %q", text)
		}
		if got := h.gemini.count() - before; got != 2 || len(h.log.changes()) != changes {
			t.Errorf("%d calls, %d changes", got, len(h.log.changes())-changes)
		}
		for _, b := range h.Breakers() {
			if b.State != record.Open {
				t.Errorf("%s is %s", b.Target, b.State)
			}
		}
	})
}

// narrow is a house of two, of which one has an open breaker and the other no room:
// Claude answers one request at a time, each in half a minute.
func narrow(t *testing.T, how LastResort, opened *llm.Failure) *house {
	t.Helper()
	h := newHouse(t, func(c *Config) {
		c.Endpoints, c.Chain, c.LastResort = c.Endpoints[:2], []llm.Provider{llm.Gemini, llm.Claude}, how
		c.Queue = traffic.NewQueue(traffic.QueueLimits{Size: 100, Wait: 45 * time.Second})
	})
	h.gemini.set(&act{fail: opened})
	for range 3 {
		h.ask(t.Context(), chat("auto", true))
	}
	if got := h.breakerOf(llm.Gemini).state(); got != record.Open {
		t.Fatalf("the breaker is %s", got)
	}
	h.gemini.set(nil)
	h.claude.withKeys(t, limited(1))
	h.claude.set(&act{wait: 30 * time.Second})
	go h.ask(t.Context(), chat("auto", true))
	synctest.Wait()
	return h
}

// asks sends so many requests at once and gives what was said, as it came.
func (h *house) asks(ctx context.Context, n int) <-chan string {
	said := make(chan string, n)
	for range n {
		go func() {
			text, err := h.ask(ctx, chat("auto", true))
			if err != nil {
				text = err.Error()
			}
			said <- text
		}()
	}
	return said
}

func TestWhereTheOthersHaveNoRoomAnOpenTargetIsSentMoreForEachThatItAnswers(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		h := narrow(t, ResortFull, serverDown())
		changes, before := len(h.log.changes()), h.gemini.count()
		h.gemini.set(&act{wait: time.Second})
		var sent []int
		for range 5 {
			h.asks(t.Context(), 20)
			synctest.Wait()
			sent = append(sent, h.gemini.count()-before)
			before = h.gemini.count()
			time.Sleep(1100 * time.Millisecond)
		}
		if want := []int{1, 4, 13, 40}; !slices.Equal(sent[:len(want)], want) { // of those that stand in line, too
			t.Errorf("each second it was sent %v requests, want %v", sent, want)
		}
		last := h.log.last(t)
		if a := last.Attempts[0]; !a.LastResort || a.Probe || last.Reason != "Gemini has an open breaker, and nobody else had room" {
			t.Errorf("%+v", last)
		}
		if got := h.breakerOf(llm.Gemini).state(); got != record.Open || len(h.log.changes()) != changes {
			t.Errorf("the breaker is %s after %v", got, h.log.changes())
		}
		time.Sleep(time.Hour)
		if n := h.breakerOf(llm.Gemini).busy.Load(); n != 0 {
			t.Errorf("%d permits are out", n)
		}
	})
}

func TestLastResortsAreEarnedByWholeAnswers(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		h := narrow(t, ResortFull, serverDown())
		for name, does := range map[string]act{"long": {slowly: time.Minute}, "cut": {cutAt: 1}} {
			h.gemini.set(&does)
			before := h.gemini.count()
			for range 5 {
				h.asks(t.Context(), 3)
				time.Sleep(time.Second)
			}
			if sent := h.gemini.count() - before; sent != 5 {
				t.Errorf("where answers are %s it was sent %d requests in five seconds", name, sent)
			}
		}
	})
}

func TestLastResortsAreSavedUpWithinBounds(t *testing.T) {
	var s resorts
	now := time.Now()
	one := s.take(now, true, true)
	if s.take(now.Add(time.Hour), true, true) != nil {
		t.Error("a second one goes beside one that has not begun")
	}
	one.unsent()
	one = s.take(now, true, true)
	one.begins()
	if s.take(now, true, true) != nil {
		t.Error("two go within a second")
	}
	now = now.Add(time.Second)
	if s.take(now, true, false) != nil {
		t.Error("what is not earned goes to others than newcomers")
	}
	s.take(now, true, true).begins()
	for range 100 {
		one.over(nil)
	}
	if s.earned != mostResorts {
		t.Errorf("%d are saved up", s.earned)
	}
	for _, m := range []struct {
		ends func(*resort)
		left int
	}{
		{func(r *resort) { r.unsent() }, mostResorts}, {func(r *resort) { r.over(errNeutral) }, mostResorts},
		{func(r *resort) { r.over(serverDown()) }, mostResorts - 1}, {func(r *resort) { r.over(&llm.Failure{Class: llm.Timeout}) }, 0},
	} {
		m.ends(s.take(now, true, false))
		if s.earned != m.left {
			t.Errorf("%d are left, want %d", s.earned, m.left)
		}
	}
	if s.take(time.Now().Add(resortRest-time.Second), true, true) != nil || s.take(time.Now().Add(resortRest+time.Second), true, true) == nil {
		t.Error("after one that kept its caller waiting it has no rest of a minute")
	}
}

func TestLastResortsOutliveAProbeButNotTheBreakersClosing(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		h := narrow(t, ResortFull, serverDown())
		earned := func() int { return h.breakerOf(llm.Gemini).resorts.earned }
		<-h.asks(t.Context(), 1)
		time.Sleep(61 * time.Second)
		leave, _ := h.claude.Admit(provider.Ask{}) // it has no room again
		defer leave.Return()
		h.gemini.script = []act{{wait: 10 * time.Second, fail: serverDown()}}
		h.gemini.set(nil)
		h.asks(t.Context(), 1) // the probe
		synctest.Wait()
		probed := time.Now()
		if said := <-h.asks(t.Context(), 1); said != "hello from gemini" || time.Since(probed) > 0 {
			t.Errorf("beside a probe got %q after %s", said, time.Since(probed))
		}
		time.Sleep(11 * time.Second)
		if got := h.breakerOf(llm.Gemini).state(); got != record.Open || earned() != 2*resortsEarned-1 {
			t.Errorf("after a probe that failed it is %s, and %d are earned", got, earned())
		}
		time.Sleep(61 * time.Second)
		h.ask(t.Context(), chat("gemini", true)) // closes it
		h.gemini.set(&act{fail: serverDown()})
		for range 3 {
			h.asks(t.Context(), 1)
			synctest.Wait()
		}
		if got := h.breakerOf(llm.Gemini).state(); got != record.Open || earned() != 0 {
			t.Errorf("when it opens again it is %s, and %d are earned", got, earned())
		}
		time.Sleep(time.Hour)
	})
}

func TestWhereAllAreOpenOneThatKeptCallersWaitingIsTriedToo(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		h := newHouse(t, func(c *Config) {
			c.Endpoints, c.Chain, c.LastResort = c.Endpoints[:1], []llm.Provider{llm.Gemini}, ResortAlways
		})
		h.gemini.set(&act{fail: &llm.Failure{Class: llm.Timeout}})
		for range 3 {
			h.ask(t.Context(), chat("auto", true))
		}
		h.gemini.set(nil)
		text, err := h.ask(t.Context(), chat("auto", true))
		mustSay(t, text, err, "hello from gemini")
	})
}

func TestAnOpenTargetThatAnswersNoneIsSentOneASecondWhileTheOthersHaveNoRoom(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		h := narrow(t, ResortFull, serverDown())
		h.gemini.set(&act{fail: serverDown()})
		before := h.gemini.count()
		for range 10 {
			h.asks(t.Context(), 3)
			time.Sleep(time.Second)
		}
		if sent := h.gemini.count() - before; sent != 10 {
			t.Errorf("it was sent %d requests in ten seconds", sent)
		}
	})
}

func TestARequestWhoseLastResortFailedStandsInLineAsOthersDo(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		h := narrow(t, ResortFull, serverDown())
		h.gemini.set(&act{fail: serverDown()})
		if said := <-h.asks(t.Context(), 1); said != "hello from claude" {
			t.Errorf("got %q", said)
		}
		a := h.log.last(t).Attempts
		if len(a) != 2 || !a[0].LastResort || a[0].Class != llm.Server || a[1].LastResort {
			t.Errorf("%+v", a)
		}
	})
}

func TestNoLastResortBesideOneThatIsMerelyFull(t *testing.T) {
	hung := &llm.Failure{Class: llm.Timeout, Message: "nothing for a minute"}
	for name, m := range map[string]struct {
		how    LastResort
		opened *llm.Failure
		first  func(*house)
	}{
		"where that is off":             {ResortNever, serverDown(), func(*house) {}},
		"where it kept callers waiting": {ResortFull, hung, func(*house) {}},
		"where the operator holds it":   {ResortAlways, serverDown(), func(h *house) { h.hold(llm.Gemini) }},
	} {
		t.Run(name, func(t *testing.T) {
			bubble.Test(t, func(t *testing.T) {
				h := narrow(t, m.how, m.opened)
				m.first(h)
				before := h.gemini.count()
				if said := <-h.asks(t.Context(), 1); said != "hello from claude" || h.gemini.count() != before {
					t.Errorf("got %q after %d requests to the open one", said, h.gemini.count()-before)
				}
			})
		})
	}
}

func TestAnOpenTargetWithoutRoomIsPassedOverAndTriedLater(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		h := narrow(t, ResortFull, serverDown())
		h.gemini.withKeys(t, limited(1))
		leave, _ := h.gemini.Admit(provider.Ask{})
		before := h.gemini.count()
		first := h.asks(t.Context(), 1)
		time.Sleep(2 * time.Second)
		leave.Return()
		if said := <-h.asks(t.Context(), 1); said != "hello from gemini" || h.gemini.count() > before+2 {
			t.Errorf("later got %q after %d requests", said, h.gemini.count()-before)
		}
		if said := <-first; said != "hello from gemini" { // with what was earned
			t.Errorf("at first got %q", said)
		}
	})
}

func TestWhatWasEarnedGoesToTheLineFirst(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		h := narrow(t, ResortFull, serverDown())
		h.gemini.set(&act{wait: 10 * time.Second})
		said := h.asks(t.Context(), 2) // one tries it, the other stands in line
		time.Sleep(10*time.Second + time.Millisecond)
		for range 2 {
			if got := <-said; got != "hello from gemini" {
				t.Errorf("got %q", got)
			}
		}
	})
}

func TestWhoStandsInLineRisksNoPlaceAndLosesNoneToNewcomers(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		h := narrow(t, ResortFull, serverDown())
		h.gemini.set(&act{fail: serverDown()})
		s := &h.breakerOf(llm.Gemini).resorts
		s.last = time.Now()
		h.asks(t.Context(), 2) // within a second after the last one, so that both stand in line
		time.Sleep(2 * time.Second)
		before := h.gemini.count()
		h.queue.Wake()
		synctest.Wait()
		if h.gemini.count() != before {
			t.Error("one of the line took what was not earned")
		}
		s.earned, s.last = 1, time.Now()
		h.asks(t.Context(), 1)
		synctest.Wait()
		if h.gemini.count() != before {
			t.Error("a newcomer took what was earned")
		}
		h.queue.Wake()
		synctest.Wait()
		if h.gemini.count() != before+1 {
			t.Error("nobody in line took it")
		}
	})
}

func TestARequestHasOneLastResortAndNoneForAShortWait(t *testing.T) {
	for _, m := range []struct {
		walk walk
		want bool
	}{
		{walk{busy: true}, true}, {walk{busy: true, resorted: true}, false}, {walk{}, false},
		{walk{busy: true, wait: resortPause}, false}, {walk{busy: true, wait: resortPause + 1}, true},
	} {
		m.walk.r = &HybridRouter{lastResort: ResortFull}
		if m.walk.resortable() != m.want {
			t.Errorf("busy %v, resorted %v, %s to wait: %v", m.walk.busy, m.walk.resorted, m.walk.wait, !m.want)
		}
	}
	bubble.Test(t, func(t *testing.T) {
		h := narrow(t, ResortFull, serverDown())
		h.gemini.set(&act{fail: &llm.Failure{Class: llm.Auth, Status: 401}})
		h.gemini.withKeys(t, provider.Config{})
		<-h.asks(t.Context(), 1)
		if a := h.log.last(t).Attempts; len(a) != 2 || !a[0].LastResort || a[1].Target.Provider != llm.Claude {
			t.Errorf("with keys to spare: %+v", a)
		}
	})
}

func TestALastResortInOnePieceWaitsNoLongerThanAProbe(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		h := narrow(t, ResortFull, serverDown())
		h.gemini.set(&act{silent: true})
		if text, err := h.ask(t.Context(), chat("auto", false)); err != nil || text != "hello from claude" {
			t.Errorf("got %q, %v", text, err)
		}
		if a := h.log.last(t).Attempts[0]; a.Class != llm.Timeout || a.Took != time.Minute {
			t.Errorf("%+v", a)
		}
	})
}

func TestTheBreakerHearsNothingOfLastResorts(t *testing.T) {
	for name, does := range map[string]*act{"answered": nil, "cut": {cutAt: 1}, "failed": {fail: &llm.Failure{Class: llm.Network}}} {
		bubble.Test(t, func(t *testing.T) {
			h := narrow(t, ResortFull, serverDown())
			b := h.breakerOf(llm.Gemini)
			last, row := b.last.Load(), b.callers.row
			h.gemini.set(does)
			<-h.asks(t.Context(), 1)
			if b.last.Load() != last || b.callers.row != row || b.busy.Load() != 0 {
				t.Errorf("of one that was %s it counts %d of %d failures, the last %v", name, b.callers.row, row, b.last.Load().failure)
			}
		})
	}
	trace := record.Trace{Attempts: []record.Attempt{{Target: llm.Target{Provider: llm.Gemini}, Class: llm.Server, LastResort: true}}}
	if trace.FailedElsewhere(llm.Claude) {
		t.Error("what a last resort fails is put down to the request")
	}
}

func TestALastResortThatKeepsItsCallerWaitingIsTheLastForAMinute(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		h := narrow(t, ResortFull, serverDown())
		h.claude.set(&act{wait: 4 * time.Minute})
		h.gemini.set(&act{silent: true})
		before, began := h.gemini.count(), time.Now()
		h.asks(t.Context(), 1)
		for time.Since(began) < 110*time.Second {
			time.Sleep(time.Second)
			h.asks(t.Context(), 1)
		}
		if sent := h.gemini.count() - before; sent > 2 { // and the probe
			t.Errorf("it was sent %d requests", sent)
		}
	})
}

func TestWhatALastResortFailsIsNotWhatTheCallerIsTold(t *testing.T) {
	for _, f := range []*llm.Failure{serverDown(), {Class: llm.NoSuchModel, Status: 404}, {Class: llm.BadRequest, Status: 400}} {
		bubble.Test(t, func(t *testing.T) {
			h := narrow(t, ResortFull, serverDown())
			h.HybridRouter.queue = nil
			h.gemini.set(&act{fail: f})
			_, err := h.ask(t.Context(), chat("auto", true))
			var e *Error
			if !errors.As(err, &e) || e.Code != "all_providers_rate_limited" || e.Status != 429 || e.RetryAfter == 0 || e.Attempts != 1 {
				t.Errorf("%+v", err)
			}
		})
	}
}

func TestAfterAFailureALastResortIsForWhereOthersHaveNoRoomAlone(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		h := newHouse(t, func(c *Config) { c.LastResort = ResortAlways })
		allOpen(t, h)
		time.Sleep(61 * time.Second)
		h.openai.set(nil) // is well again
		h.ask(t.Context(), chat("openai", true))
		for range 2 { // the probes of the others fail
			h.ask(t.Context(), chat("gemini", true))
		}
		h.openai.script = []act{{fail: serverDown()}}
		calls := h.gemini.count()
		if _, err := h.ask(t.Context(), chat("auto", true)); err == nil || h.gemini.count() != calls {
			t.Errorf("%v, %d calls", err, h.gemini.count()-calls)
		}
	})
}
