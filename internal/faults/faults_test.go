package faults

import (
	"slices"
	"testing"
	"time"

	"breakwater/internal/llm"
	"breakwater/internal/sim"
)

// table lists the faults of one provider.
func table() []tableCase {
	network, timeout, server := []llm.FailureClass{llm.Network}, []llm.FailureClass{llm.Timeout}, []llm.FailureClass{llm.Server}
	garbage, limited := []llm.FailureClass{llm.Garbage}, []llm.FailureClass{llm.RateLimit}
	broken := []llm.FailureClass{llm.StreamCut, llm.Network, llm.Garbage, llm.Timeout, llm.Server}
	wait := seconds(5 * time.Second)
	return []tableCase{
		{name: "429 once, with a short `Retry-After`", fault: sim.Fault{Kind: sim.RateLimited, RetryAfter: wait, Times: 1},
			options: options{patience: wait + time.Second/2}, streamed: rescued, class: limited, attempts: 2},
		{name: "429 for ever, with a long `Retry-After`", fault: sim.Fault{Kind: sim.RateLimited, RetryAfter: time.Minute}, streamed: rescued, class: limited, attempts: 1},
		{name: "429 for ever, without `Retry-After`", fault: sim.Fault{Kind: sim.RateLimited, RetryAfter: -1}, streamed: rescued, class: limited, attempts: 1},
		{name: "out of quota or credit", fault: sim.Fault{Kind: sim.QuotaExhausted}, streamed: rescued, class: []llm.FailureClass{llm.Quota}, attempts: 1},
		{name: "the key is revoked", fault: sim.Fault{Kind: sim.Unauthorized}, streamed: rescued, class: []llm.FailureClass{llm.Auth}, attempts: 1},
		{name: "the model does not exist", fault: sim.Fault{Kind: sim.NoSuchModel}, streamed: rescued, class: []llm.FailureClass{llm.NoSuchModel}, attempts: 1},
		{name: "500 once", fault: sim.Fault{Kind: sim.Errors, Status: 500, Times: 1}, streamed: rescued, class: server, attempts: 2},
		{name: "502 with a page of HTML, for ever", fault: sim.Fault{Kind: sim.Errors, Status: 502}, streamed: rescued, class: server, attempts: 3},
		{name: "503 for ever", fault: sim.Fault{Kind: sim.Errors, Status: 503}, streamed: rescued, class: server, attempts: 3},
		{name: "529 for ever", fault: sim.Fault{Kind: sim.Errors, Status: 529}, streamed: rescued, class: server, attempts: 3},
		{name: "connection reset before the headers, once", fault: sim.Fault{Kind: sim.Refuse, Times: 1}, streamed: rescued, class: network, attempts: 2},
		{name: "connection reset before the headers, for ever", fault: sim.Fault{Kind: sim.Refuse}, streamed: rescued, class: network, attempts: 2},
		{name: "connection reset inside the TLS handshake", fault: sim.Fault{Kind: sim.Handshake}, providers: []llm.Provider{llm.Claude},
			options: options{tls: []llm.Provider{llm.Claude}}, streamed: rescued, class: network, attempts: 2},
		{name: "accepted and silent", fault: sim.Fault{Kind: sim.Hang}, streamed: rescued, class: timeout, attempts: 1},
		{name: "headers, then 20 s of nothing", fault: sim.Fault{Kind: sim.HangAfterHeaders, For: 20 * time.Second}, streamed: rescued, class: timeout, attempts: 1},
		{name: "cut after two thirds", fault: sim.Fault{Kind: sim.Cut, After: twoThirds}, streamed: rescued, class: broken, attempts: 2},
		{name: "stalled after two thirds", fault: sim.Fault{Kind: sim.Stall, After: twoThirds}, streamed: rescued, class: broken, attempts: 1},
		{name: "a body that stops before its `Content-Length`", fault: sim.Fault{Kind: sim.Short, After: twoThirds}, streamed: rescued, class: broken, attempts: 2},
		{name: "a malformed event, or a malformed body", fault: sim.Fault{Kind: sim.Malformed, After: twoThirds}, streamed: rescued, class: broken, attempts: 2},
		{name: "no end mark (`[DONE]`, `message_stop`, `finishReason`, `done`)", fault: sim.Fault{Kind: sim.NoMark}, streams: true, streamed: rescued, class: broken, attempts: 2, lenient: true},
		{name: "neither finish reason nor end mark", fault: sim.Fault{Kind: sim.NoEnd}, streams: true, streamed: rescued, class: broken, attempts: 2, lenient: true},
		{name: "200 without a body", fault: sim.Fault{Kind: sim.Empty}, streamed: rescued, class: garbage, attempts: 1},
		{name: "200 with a page of HTML", fault: sim.Fault{Kind: sim.Garbage}, streamed: rescued, class: garbage, attempts: 1},
		{name: "200 with an error object inside", fault: sim.Fault{Kind: sim.ErrorInStream}, streamed: rescued, class: broken, attempts: 3},
		{name: "an error object after two thirds of a stream", fault: sim.Fault{Kind: sim.ErrorInStream, After: twoThirds}, streamed: rescued, class: broken, attempts: 3},
		{name: "alive at one token a second", fault: sim.Fault{Kind: sim.Drip, Pace: scaled(time.Second)}, options: options{alive: true}, streamed: rescued, whole: rescued, class: timeout, attempts: 1, lenient: true},
		{name: "`Retry-After` longer than the caller's deadline", fault: sim.Fault{Kind: sim.RateLimited, RetryAfter: time.Minute},
			options: options{patience: time.Hour}, header: map[string]string{"X-Breakwater-Timeout": "20000"}, streamed: rescued, class: limited, attempts: 1},
		{name: "context length exceeded, and others take more", fault: sim.Fault{Kind: sim.ContextLength}, providers: []llm.Provider{llm.OpenAI, llm.Claude},
			streamed: rescued, class: []llm.FailureClass{llm.ContextLength}, attempts: 1},
		{name: "context length exceeded, and nobody takes more", fault: sim.Fault{Kind: sim.ContextLength}, providers: []llm.Provider{llm.Gemini},
			streamed: clean, class: []llm.FailureClass{llm.ContextLength}, attempts: 1, status: 400, why: "the caller alone can shorten the prompt, and gets the provider's reason"},
		{name: "400: the request is wrong", fault: sim.Fault{Kind: sim.BadRequest}, streamed: clean, class: []llm.FailureClass{llm.BadRequest}, attempts: 1, status: 400,
			why: "the caller alone can mend it, and gets the provider's reason"},
		{name: "the prompt is refused by a content filter", fault: sim.Fault{Kind: sim.ContentFilter}, providers: []llm.Provider{llm.OpenAI, llm.Claude, llm.Gemini},
			streamed: told, class: []llm.FailureClass{llm.ContentFilter}, attempts: 1, status: 400, why: "nobody else is asked to say what one provider refused, unless `content_filter_failover` is on"},
		{name: "the answer is ended by a content filter", fault: sim.Fault{Kind: sim.ContentFilter, After: twoThirds}, providers: []llm.Provider{llm.OpenAI, llm.Claude, llm.Gemini},
			streamed: told, class: []llm.FailureClass{llm.ContentFilter}, attempts: 1, why: "the answer ends with the filter's own finish reason"},
	}
}

func TestFaults(t *testing.T) {
	var rows, told []*row // of the table and of the stories, which take longest and begin first
	var everywhere []*general
	t.Run("all", func(t *testing.T) { // ends when all that runs in parallel has
		for _, s := range stories() {
			r := newRow(s.name, "")
			told = append(told, r)
			t.Run(s.name, func(t *testing.T) { t.Parallel(); s.play(t, r) })
		}
		for _, c := range table() {
			r := newRow(c.name, c.why)
			rows = append(rows, r)
			for _, s := range shapes() {
				if s.stream || !c.streams {
					t.Run(c.name+"/"+s.String(), func(t *testing.T) { t.Parallel(); c.run(t, s, r) })
				}
			}
		}
		for i, c := range table() {
			if !c.simple() {
				continue
			}
			g := &general{name: c.name}
			everywhere = append(everywhere, g)
			for j, d := range dialects() {
				t.Run("everywhere/"+c.name+"/"+string(d), func(t *testing.T) { t.Parallel(); c.everywhere(t, d, (i+j)%2 == 0, g) })
			}
		}
	})
	rows = append(rows, told...)
	missed := slices.ContainsFunc(rows, func(r *row) bool { return len(r.endings) == 0 }) // -run chose some cases only
	if !t.Failed() && !missed {
		tell(t, rows, everywhere)
	}
}
