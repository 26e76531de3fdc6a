package sim

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"breakwater/internal/llm"
)

const (
	// DefaultRetryAfter is what a rate limit asks for where the fault names no
	// time: 20 s, about what the recorded 429 responses ask.
	DefaultRetryAfter = 20 * time.Second
	// DefaultFactor is how much slower Slow is where the fault names no
	// factor: tenfold, which any detector of slowness must see.
	DefaultFactor = 10
	// DefaultPace is the time between two tokens of Drip: so slow that nobody
	// waits for the end, and never silent for long.
	DefaultPace = time.Second
	// DefaultLoop is after how many tokens Looping ends where the caller sets no
	// limit: some pages, as small default limits of real servers are.
	DefaultLoop = 2048
)

// circle is what Looping says again and again.
const circle = "and so it goes on, "

// FaultKind names a way to misbehave.
type FaultKind string

// The kinds of fault.
const (
	Healthy          FaultKind = ""                   // no fault
	Handshake        FaultKind = "handshake"          // the connection is reset inside the TLS handshake; needs a Server
	Refuse           FaultKind = "refuse"             // the connection is reset before any byte
	Errors           FaultKind = "errors"             // an error Status with the provider's own body, 502 as HTML
	RateLimited      FaultKind = "rate_limited"       // 429 that asks to wait RetryAfter
	QuotaExhausted   FaultKind = "quota_exhausted"    // out of quota or credit, in the provider's own status
	Unauthorized     FaultKind = "unauthorized"       // the key is not valid; at Gemini a 400
	NoSuchModel      FaultKind = "no_such_model"      // 404
	ContextLength    FaultKind = "context_length"     // 400: the prompt is too long
	BadRequest       FaultKind = "bad_request"        // another 400
	ContentFilter    FaultKind = "content_filter"     // After 0: the prompt is refused; otherwise the answer ends there. Ollama has no filter and stays healthy
	RefusePrefill    FaultKind = "refuse_prefill"     // 400 for a conversation that ends with the model's words. OpenAI and Ollama take it and stay healthy
	Slow             FaultKind = "slow"               // Factor on the time to the first token and on that between tokens
	Drip             FaultKind = "drip"               // Pace between two tokens: alive, and hardly so
	Hang             FaultKind = "hang"               // accepts, and sends no byte
	HangAfterHeaders FaultKind = "hang_after_headers" // sends the headers of a 200 and no more
	Cut              FaultKind = "cut"                // the connection breaks After tokens; a whole body in its middle
	Short            FaultKind = "short"              // a clean close before Content-Length is reached: After tokens, a whole body in its middle
	Stall            FaultKind = "stall"              // silence After tokens; a whole body from its middle
	Malformed        FaultKind = "malformed"          // the event After so many tokens is half of its JSON, and the stream goes on; a whole body is half of its own
	Garbage          FaultKind = "garbage"            // 200 with an HTML page
	Empty            FaultKind = "empty"              // 200 without a body
	ErrorInStream    FaultKind = "error_in_stream"    // an error object After tokens of a 200; in place of a whole body
	Looping          FaultKind = "looping"            // a proper 200 whose text goes in circles until the caller's limit, or DefaultLoop
	NoEnd            FaultKind = "no_end"             // a stream with all content, then a clean close without finish reason or end mark
	NoMark           FaultKind = "no_mark"            // as a proper stream without its end mark: [DONE], message_stop, done; at Gemini, where the finish reason is the mark, the same as NoEnd
)

// wholeServer says whether the fault is one of the server, so that the free
// endpoints show it too.
func (k FaultKind) wholeServer() bool {
	switch k {
	case Refuse, Errors, Unauthorized, Hang, HangAfterHeaders, Garbage, Empty:
		return true
	}
	return false
}

// Fault says how, how often and how long to misbehave. The zero Fault is
// health.
type Fault struct {
	Kind       FaultKind
	Share      float64       // of the chat requests, drawn by the seed; 0 means all
	Times      int           // only the first so many hits; 0 means without end
	Status     int           // of Errors; 500 where it is 0
	RetryAfter time.Duration // of RateLimited (0: DefaultRetryAfter, negative: not told) and of Errors (0: not told)
	Factor     float64       // of Slow; DefaultFactor where it is 0
	Pace       time.Duration // of Drip; DefaultPace where it is 0
	After      int           // tokens before Cut, Short, Stall, Malformed, ErrorInStream or ContentFilter strikes
	For        time.Duration // how long Hang, HangAfterHeaders and Stall are silent before they go on; 0 for ever
}

// Set puts a fault in force for the requests that arrive from now on, and
// starts its draw and its count anew. Set(Fault{}) heals.
func (p *Provider) Set(f Fault) {
	t := p.trouble(f)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.general = t
}

// SetKey puts a fault in force for the requests that present one key, in place
// of the one that Set put in force for all. SetKey(key, Fault{}) heals.
func (p *Provider) SetKey(key string, f Fault) {
	t := p.trouble(f)
	p.mu.Lock()
	defer p.mu.Unlock()
	if t.fault.Kind == Healthy {
		delete(p.ofKey, key)
		return
	}
	p.ofKey[key] = t
}

// Fault gives the fault in force for all keys, its defaults filled in.
func (p *Provider) Fault() Fault {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.general.fault
}

// trouble is a fault in force, and whom it has hit.
type trouble struct {
	fault Fault
	hits  int        // requests
	draw  *rand.Rand // which requests a fault with a Share hits
}

// trouble fills in a fault's defaults, and makes health of one that means
// nothing at this provider.
func (p *Provider) trouble(f Fault) *trouble {
	if f.Share <= 0 {
		f.Share = 1
	}
	switch {
	case f.Kind == Healthy, f.Kind == ContentFilter && p.kind == llm.Local,
		f.Kind == RefusePrefill && (p.kind == llm.Local || p.kind == llm.OpenAI):
		f = Fault{}
	case f.Kind == Errors && f.Status == 0:
		f.Status = 500
	case f.Kind == Slow && f.Factor == 0:
		f.Factor = DefaultFactor
	case f.Kind == Drip && f.Pace == 0:
		f.Pace = DefaultPace
	case f.Kind == RateLimited && f.RetryAfter == 0:
		f.RetryAfter = DefaultRetryAfter
	case f.Kind == NoMark && p.kind == llm.Gemini:
		f.Kind = NoEnd
	}
	return &trouble{fault: f, draw: rand.New(rand.NewPCG(uint64(p.opts.Seed), 0))}
}

// spent says whether the fault has hit as often as it shall.
func (t *trouble) spent() bool { return t.fault.Times > 0 && t.hits >= t.fault.Times }

// strike gives the fault if it hits this request for an answer.
func (t *trouble) strike() Fault {
	if t.spent() || t.draw.Float64() >= t.fault.Share {
		return Fault{}
	}
	t.hits++
	return t.fault
}

// Step is one change in a Script.
type Step struct {
	At    time.Duration // since the start of the script
	Fault Fault         // in force from then on
	Note  string        // in words, for whoever watches
}

// Script is a story of faults, in the order of time.
type Script []Step

// Play follows a script and returns after its last step, whose fault stays in
// force, or with ctx.Err(). Each step that came into force is told to said,
// which may be nil. Steps out of order are an error.
func (p *Provider) Play(ctx context.Context, script Script, said func(Step)) error {
	for i := 1; i < len(script); i++ {
		if script[i].At < script[i-1].At {
			return fmt.Errorf("step %d of the script comes before step %d", i+1, i)
		}
	}
	start := time.Now()
	for _, step := range script {
		if !pause(ctx, step.At-time.Since(start)) {
			return ctx.Err()
		}
		p.Set(step.Fault)
		if said != nil {
			said(step)
		}
	}
	return nil
}

// pause waits, and says whether the whole time went by before ctx ended.
func pause(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
