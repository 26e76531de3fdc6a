package sim

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"breakwater/internal/bubble"
	"breakwater/internal/llm"
)

// patience is how long a test waits before it takes silence for silence.
const patience = 50 * time.Millisecond

func TestRefusalsHaveTheProvidersOwnStatusAndBody(t *testing.T) {
	type want struct {
		status int
		says   string
	}
	for _, c := range []struct {
		fault Fault
		want  map[llm.Provider]want
	}{
		{Fault{Kind: Errors}, map[llm.Provider]want{
			llm.OpenAI: {500, "The server had an error while processing your request. Sorry about that!"},
			llm.Claude: {500, `"type":"api_error","message":"Internal server error"`},
			llm.Gemini: {500, `"status": "INTERNAL"`},
			llm.Local:  {500, `{"error":"llama runner`},
		}},
		{Fault{Kind: Errors, Status: 503, RetryAfter: 4500 * time.Millisecond}, map[llm.Provider]want{
			llm.OpenAI: {503, `"code": "service_unavailable"`},
			llm.Claude: {503, `"type":"api_error"`},
			llm.Gemini: {503, `"status": "UNAVAILABLE"`},
			llm.Local:  {503, "server busy, please try again."},
		}},
		{Fault{Kind: Errors, Status: 504}, map[llm.Provider]want{
			llm.OpenAI: {504, "Gateway Timeout"}, llm.Claude: {504, "timeout_error"},
			llm.Gemini: {504, "DEADLINE_EXCEEDED"}, llm.Local: {504, "Gateway Timeout"},
		}},
		{Fault{Kind: Errors, Status: 529}, map[llm.Provider]want{
			llm.OpenAI: {529, "server_error"}, llm.Claude: {529, `"type":"overloaded_error","message":"Overloaded"`},
			llm.Gemini: {529, "UNKNOWN"}, llm.Local: {529, `{"error":`},
		}},
		{Fault{Kind: Errors, Status: 502}, map[llm.Provider]want{
			llm.OpenAI: {502, "<h1>502 Bad Gateway</h1>"}, llm.Claude: {502, "<h1>502 Bad Gateway</h1>"},
			llm.Gemini: {502, "<h1>502 Bad Gateway</h1>"}, llm.Local: {502, "<h1>502 Bad Gateway</h1>"},
		}},
		{Fault{Kind: RateLimited, RetryAfter: 18642 * time.Millisecond}, map[llm.Provider]want{
			llm.OpenAI: {429, "Please try again in 18.642s."}, llm.Claude: {429, `"rate_limit_error"`},
			llm.Gemini: {429, `"retryDelay": "18.642s"`}, llm.Local: {429, "too many concurrent requests"},
		}},
		{Fault{Kind: RateLimited, RetryAfter: -1}, map[llm.Provider]want{
			llm.OpenAI: {429, "rate_limit_exceeded"}, llm.Claude: {429, `"rate_limit_error"`},
			llm.Gemini: {429, "PerMinutePer"}, llm.Local: {429, "too many concurrent requests"},
		}},
		{Fault{Kind: QuotaExhausted}, map[llm.Provider]want{
			llm.OpenAI: {429, `"code": "insufficient_quota"`}, llm.Claude: {400, "Your credit balance is too low"},
			llm.Gemini: {429, "GenerateRequestsPerDayPerProjectPerModel"}, llm.Local: {429, "usage limit"},
		}},
		{Fault{Kind: Unauthorized}, map[llm.Provider]want{
			llm.OpenAI: {401, `"code": "invalid_api_key"`}, llm.Claude: {401, "authentication_error"},
			llm.Gemini: {400, "API_KEY_INVALID"}, llm.Local: {401, "unauthorized"},
		}},
		{Fault{Kind: NoSuchModel}, map[llm.Provider]want{
			llm.OpenAI: {404, "model_not_found"}, llm.Claude: {404, "not_found_error"},
			llm.Gemini: {404, "NOT_FOUND"}, llm.Local: {404, "model 'llama3' not found"},
		}},
		{Fault{Kind: ContextLength}, map[llm.Provider]want{
			llm.OpenAI: {400, `"code": "context_length_exceeded"`}, llm.Claude: {400, "prompt is too long: "},
			llm.Gemini: {400, "exceeds the maximum number of tokens allowed"}, llm.Local: {400, "the input length exceeds the context length"},
		}},
		{Fault{Kind: BadRequest}, map[llm.Provider]want{
			llm.OpenAI: {400, "unsupported_value"}, llm.Claude: {400, "temperature: range: 0..1"},
			llm.Gemini: {400, "Request contains an invalid argument."}, llm.Local: {400, "does not support tools"},
		}},
		{Fault{Kind: ContentFilter}, map[llm.Provider]want{
			llm.OpenAI: {400, `"code": "invalid_prompt"`}, llm.Claude: {400, "Output blocked by content filtering policy"},
			llm.Gemini: {200, "PROHIBITED_CONTENT"}, llm.Local: {200, `"done_reason":"stop"`},
		}},
		{Fault{Kind: Garbage}, map[llm.Provider]want{
			llm.OpenAI: {200, "<h1>It works!</h1>"}, llm.Claude: {200, "<html>"}, llm.Gemini: {200, "<html>"}, llm.Local: {200, "<html>"},
		}},
	} {
		t.Run(fmt.Sprintf("%s %d", c.fault.Kind, c.fault.Status), func(t *testing.T) {
			modes(t, func(t *testing.T, kind llm.Provider, stream bool) {
				s := start(t, kind, Options{})
				s.Set(c.fault)
				g := ask{stream: stream}.send(t, s)
				if w := c.want[kind]; g.status != w.status || !strings.Contains(g.body, w.says) {
					t.Errorf("got %d %s\nwant %d %q", g.status, g.body, w.status, w.says)
				}
				told := g.header.Get("Retry-After")
				switch {
				case c.fault.RetryAfter <= 0 && told != "",
					c.fault.Kind == RateLimited && kind == llm.Gemini && told != "", // it tells in the body
					c.fault.Kind == RateLimited && kind != llm.Gemini && c.fault.RetryAfter > 0 && told != "19",
					c.fault.Kind == Errors && c.fault.RetryAfter > 0 && told != "5":
					t.Errorf("Retry-After %q", told)
				}
			})
		})
	}
}

func TestRefuseResetsBeforeAnyByte(t *testing.T) {
	modes(t, func(t *testing.T, kind llm.Provider, stream bool) {
		s := start(t, kind, Options{})
		s.Set(Fault{Kind: Refuse})
		if g := (ask{stream: stream}).send(t, s); g.err == nil || !strings.Contains(g.err.Error(), "reset") {
			t.Errorf("%+v", g)
		}
	})
}

func TestEmptyIsA200WithoutABody(t *testing.T) {
	modes(t, func(t *testing.T, kind llm.Provider, stream bool) {
		s := start(t, kind, Options{})
		proper := ask{stream: stream}.send(t, s)
		s.Set(Fault{Kind: Empty})
		g := ask{stream: stream}.send(t, s)
		if g.err != nil || g.status != 200 || g.body != "" || g.header.Get("Content-Type") != proper.header.Get("Content-Type") {
			t.Errorf("%+v", g)
		}
	})
}

func TestLoopingSaysTheSameUntilTheLimit(t *testing.T) {
	modes(t, func(t *testing.T, kind llm.Provider, stream bool) {
		s := start(t, kind, Options{})
		s.Set(Fault{Kind: Looping})
		finishes := map[llm.Provider]string{llm.OpenAI: "length", llm.Claude: "max_tokens", llm.Gemini: "MAX_TOKENS", llm.Local: "length"}
		for _, limit := range []int{0, 100, 3000} {
			g := ask{stream: stream, max: limit}.send(t, s)
			text, finish := textOf(kind, g.body)
			tokens := limit
			switch {
			case limit == 0 && kind == llm.Claude: // whose requests always have one
				tokens = 1024
			case limit == 0:
				tokens = DefaultLoop
			}
			if want := strings.Repeat(circle, 1000)[:tokens*tokenLength]; g.status != 200 || finish != finishes[kind] || text != want {
				t.Errorf("limit %d: %d, finish %q, %d bytes: %.60q", limit, g.status, finish, len(text), text)
			}
		}
	})
}

func TestHangSendsNothing(t *testing.T) {
	modes(t, func(t *testing.T, kind llm.Provider, stream bool) {
		s := start(t, kind, Options{})
		s.Set(Fault{Kind: Hang})
		if g := (ask{stream: stream, timeout: patience}).send(t, s); g.err == nil || g.status != 0 {
			t.Errorf("%+v", g)
		}
		s.Set(Fault{Kind: HangAfterHeaders})
		g := ask{stream: stream}.sendUntil(t, s, func(got) bool { return true })
		if g.err == nil || g.status != 200 || g.body != "" {
			t.Errorf("%+v", g)
		}
	})
}

func TestStallSendsAPartAndHolds(t *testing.T) {
	modes(t, func(t *testing.T, kind llm.Provider, stream bool) {
		s := start(t, kind, Options{Reply: echo})
		s.Set(Fault{Kind: Stall, After: 3})
		const part = "one two thre"
		g := ask{stream: stream, prompt: "one two three four"}.sendUntil(t, s, func(g got) bool {
			if stream {
				text, _ := textOf(kind, g.body)
				return text == part
			}
			length, _ := strconv.Atoi(g.header.Get("Content-Length"))
			return len(g.body) == length/2
		})
		if text, finish := textOf(kind, g.body); g.err == nil || finish != "" || stream && text != part {
			t.Errorf("%+v", g)
		}
	})
}

func TestBrokenAnswersKeepWhatWasSentAndDoNotEnd(t *testing.T) {
	const prompt = "one two three four five six"
	modes(t, func(t *testing.T, kind llm.Provider, stream bool) {
		s := start(t, kind, Options{Reply: echo})
		for _, c := range []struct {
			fault    Fault
			text     string // of a stream
			err      error
			contains string
		}{
			{Fault{Kind: Cut, After: 2}, "one two ", io.ErrUnexpectedEOF, ""},
			{Fault{Kind: Cut, After: 2000}, prompt, io.ErrUnexpectedEOF, ""},
			{Fault{Kind: Cut}, "", io.ErrUnexpectedEOF, ""},
			{Fault{Kind: Short, After: 2}, "one two ", io.ErrUnexpectedEOF, ""},
			{Fault{Kind: Short}, "", io.ErrUnexpectedEOF, ""},
			{Fault{Kind: ErrorInStream, After: 1}, "one ", nil, `"error"`},
			{Fault{Kind: ErrorInStream}, "", nil, `"error"`},
		} {
			s.Set(c.fault)
			g := ask{stream: stream, prompt: prompt}.send(t, s)
			text, finish := textOf(kind, g.body)
			if g.status != 200 || finish != "" || !errors.Is(g.err, c.err) || !strings.Contains(g.body, c.contains) {
				t.Errorf("%+v: %d %v %q %q\n%s", c.fault, g.status, g.err, text, finish, g.body)
			}
			if stream && text != c.text {
				t.Errorf("%+v: text %q, want %q", c.fault, text, c.text)
			}
		}
	})
}

func TestContentFilterEndsAnAnswer(t *testing.T) {
	finishes := map[llm.Provider]string{llm.OpenAI: "content_filter", llm.Claude: "refusal", llm.Gemini: "SAFETY", llm.Local: "stop"}
	modes(t, func(t *testing.T, kind llm.Provider, stream bool) {
		s := start(t, kind, Options{Reply: echo})
		s.Set(Fault{Kind: ContentFilter, After: 1})
		g := ask{stream: stream, prompt: "one two"}.send(t, s)
		want := "one "
		if kind == llm.Local {
			want = "one two"
		}
		if text, finish := textOf(kind, g.body); text != want || finish != finishes[kind] {
			t.Errorf("%q %q\n%s", text, finish, g.body)
		}
	})
}

func TestPaceAndSlowness(t *testing.T) {
	modes(t, func(t *testing.T, kind llm.Provider, stream bool) {
		bubble.Test(t, func(t *testing.T) {
			p := New(kind, Options{Reply: echo, FirstToken: 200 * time.Millisecond, PerToken: 20 * time.Millisecond})
			for _, c := range []struct {
				fault Fault
				took  time.Duration
			}{
				{Fault{}, 240 * time.Millisecond},
				{Fault{Kind: Slow}, 2400 * time.Millisecond},
				{Fault{Kind: Slow, Factor: 2.5}, 600 * time.Millisecond},
				{Fault{Kind: Drip}, 2200 * time.Millisecond},
				{Fault{Kind: Drip, Pace: 100 * time.Millisecond}, 400 * time.Millisecond},
				{Fault{Kind: Hang, For: time.Second}, 1240 * time.Millisecond},
				{Fault{Kind: HangAfterHeaders, For: time.Second}, 1240 * time.Millisecond},
				{Fault{Kind: Stall, For: time.Second}, 1240 * time.Millisecond},
			} {
				p.Set(c.fault)
				began := time.Now()
				w := httptest.NewRecorder()
				p.ServeHTTP(w, ask{stream: stream, prompt: "three tokens"}.request(t, kind, "http://sim"))
				if took := time.Since(began); took != c.took || w.Code != 200 {
					t.Errorf("%+v: took %v, want %v", c.fault, took, c.took)
				}
			}
		})
	})
}

func TestShareIsDrawnBySeed(t *testing.T) {
	hits := func(seed int64, f Fault) (pattern string) {
		p := New(llm.OpenAI, Options{Seed: seed})
		p.Set(Fault{Kind: Hang}) // an earlier fault leaves no trace in the draw
		p.take(Seen{Chat: true}, "")
		p.Set(f)
		for range 400 {
			hit := "."
			if p.take(Seen{Chat: true}, "").Kind != Healthy {
				hit = "x"
			}
			pattern += hit
		}
		return pattern
	}
	f := Fault{Kind: Errors, Share: 0.3}
	one := hits(1, f)
	if n := strings.Count(one, "x"); n < 90 || n > 150 {
		t.Errorf("%d of 400 for a share of 0.3", n)
	}
	if one != hits(1, f) || one == hits(2, f) {
		t.Error("the draw does not follow the seed")
	}
	f.Times = 5
	if n := strings.Count(hits(1, f), "x"); n != 5 {
		t.Errorf("%d hits of 5", n)
	}
	if p := hits(1, Fault{Kind: Errors, Times: 2}); !strings.HasPrefix(p, "xx.") || strings.Count(p, "x") != 2 {
		t.Error(p)
	}
}

func TestFreeEndpointsFailWithTheWholeServerOnly(t *testing.T) {
	s := start(t, llm.Local, Options{})
	for _, c := range []struct {
		fault  Fault
		status int
	}{
		{Fault{Kind: Errors, Status: 503}, 503},
		{Fault{Kind: Errors, Status: 503, Share: 0.5}, 200},
		{Fault{Kind: Errors, Status: 503, Times: 1}, 503},
		{Fault{Kind: Unauthorized}, 401},
		{Fault{Kind: RateLimited}, 200},
		{Fault{Kind: Cut}, 200},
		{Fault{Kind: Refuse}, 0},
	} {
		s.Set(c.fault)
		for range 2 { // it uses nothing up
			if g := get(t, s.URL()+"/api/version"); g.status != c.status {
				t.Errorf("%+v: %d %v", c.fault, g.status, g.err)
			}
		}
	}
	if s.Requests() != 0 {
		t.Errorf("%d chat requests", s.Requests())
	}
}

func TestPlayFollowsAScript(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		p := New(llm.Gemini, Options{})
		began := time.Now()
		var story []string
		script := Script{
			{At: time.Second, Fault: Fault{Kind: Errors, Status: 503}, Note: "Gemini goes down"},
			{At: time.Minute, Fault: Fault{}, Note: "Gemini is back"},
			{At: time.Minute, Fault: Fault{Kind: Slow}, Note: "but slow"},
		}
		err := p.Play(t.Context(), script, func(s Step) {
			story = append(story, fmt.Sprintf("%v %s %s", time.Since(began), p.Fault().Kind, s.Note))
		})
		want := "1s errors Gemini goes down, 1m0s  Gemini is back, 1m0s slow but slow"
		if got := strings.Join(story, ", "); err != nil || got != want {
			t.Errorf("%v\n got %s\nwant %s", err, got, want)
		}
		if p.Fault().Kind != Slow {
			t.Errorf("in force at the end: %+v", p.Fault())
		}
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		if err := p.Play(ctx, script, nil); !errors.Is(err, context.DeadlineExceeded) || p.Fault().Status != 503 {
			t.Errorf("%v %+v", err, p.Fault())
		}
		if err := p.Play(t.Context(), Script{{At: 2}, {At: 1}}, nil); err == nil {
			t.Error("took a script out of order")
		}
	})
}
