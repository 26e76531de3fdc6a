// Package sim simulates the four upstreams on loopback: it speaks their real
// wire formats, as recorded from the real APIs, and misbehaves on request.
// Tests and the demo stand Breakwater in front of it. It shares no code with
// the packages that read these formats, so it is a check on them: it refuses
// what the real APIs refuse, in their words. Fields that do not exist, results
// without their call, schemas outside the subset and signatures that it did
// not make are such.
//
// OpenAI is served with Chat Completions, Responses (stored ones too) and
// embeddings, Anthropic with Messages, Google with generateContent and
// embedContent, Ollama with chat, generate and embed; each with its lists of
// models and its way to count tokens. Shapes, headers, error bodies and framing
// are those of November 2026.
//
// # The script
//
// What is answered depends on the last message of the user, the prompt, and is
// the same in every format, whole and streamed. The first that fits is said:
//
//   - Results of tools came since the model's last turn, and no line of the
//     prompt is a command: "The tool NAME said: RESULT" for each, in order, or
//     "The tool NAME failed: RESULT", with " [image/png, N bytes]" for an image.
//     JSON loses its spaces.
//   - Lines "call NAME {json}", where that tool is offered and may be called:
//     one call for each, the first only where parallel calls are off. The text
//     before them is said first. Arguments may be left out.
//   - The tool choice demands a call: one of the named or the first tool, with
//     the smallest instance of its schema.
//   - An answer by schema is wanted: its smallest instance, all properties in
//     their order, "text", 1, 1.5, true, one item in a list, the first of an
//     enumeration. JSON without a schema is {"answer":"text"}.
//   - Otherwise a sentence for each thing beside the text, "I see image/png, N
//     bytes.", "I see an image at URL.", "I read application/pdf, N bytes.", "I
//     hear audio/wav, N bytes.", and then Options.Reply: by default the text
//     after a line's "echo ", or a few sentences that name the provider.
//
// Where the reply was begun it is gone on with: a conversation that ends with
// the model's own words gets what is left of it after them, and one that ends
// with a request to repeat the model's last words, which stand after ":\n", gets
// these words and what is left.
//
// A line "think TEXT" before all that is thought aloud, where the request asks
// for it or the model does so by itself: signed by Claude and Gemini, shown by
// them and by Ollama, counted by all. Models of Gemini's third generation sign
// their calls in any case and demand the signature back.
//
// Models whose name contains "embed" make vectors (see Vector) and nothing
// else; those of Ollama with "text-only" neither see, think nor call tools. A
// token is four characters, of arguments too. Several answers are equal, and
// every token has the same probability.
package sim

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"breakwater/internal/llm"
)

const (
	// SeenLimit is how many requests a Provider remembers: more than any test
	// looks at, and a bound for a demo that runs all day.
	SeenLimit = 256
	// maxBody is how much of a request is read, 32 MiB: the limit of the
	// Messages API. What is cut off there is no JSON and refused as such.
	maxBody = 32 << 20
)

// Options says what a simulated provider offers and how fast it is.
type Options struct {
	// Models are the models that exist. Where it is empty every model does,
	// and the list of models is empty.
	Models []string
	// Reply gives the answer to the last user message; Speech of the
	// provider where it is nil.
	Reply func(prompt string) string
	// FirstToken is the time to the response headers and the first token,
	// PerToken that between two tokens. A whole answer takes their sum.
	FirstToken, PerToken time.Duration
	// Key is the key that requests must present in the provider's own header;
	// none is demanded where it is empty. Keys are others that will do.
	Key  string
	Keys []string
	// Limit is the rate limit that is enforced on each key; the zero Limit is none.
	Limit Limit
	// Seed makes ids and the draw of faults: equal seeds, equal runs.
	Seed int64
}

// Seen is one request as it arrived.
type Seen struct {
	Method string
	Path   string // without the query
	Query  string
	Header http.Header // as it came, keys included
	Body   []byte
	Model  string // of a chat request that could be read
	Stream bool
	Chat   bool // for an answer of a model, a vector too; false for the free endpoints: versions, lists of models, counts
}

// Provider is one simulated upstream, an http.Handler. It is safe for
// concurrent use. Faults that break a connection need a real HTTP server
// around it: they hijack, or panic with http.ErrAbortHandler.
type Provider struct {
	kind   llm.Provider
	opts   Options
	memory memory

	mu        sync.Mutex
	general   *trouble
	ofKey     map[string]*trouble
	buckets   map[string]*bucket // of the limit, by key
	throttled int
	received  uint64 // requests of any kind, to make their ids
	chats     int
	asked     map[string]int // chats by key
	open      int
	seen      []Seen
}

// New makes a simulated provider. It panics for a kind that does not exist.
func New(kind llm.Provider, opts Options) *Provider {
	if _, ok := llm.ParseProvider(string(kind)); !ok {
		panic(fmt.Sprintf("sim: no such provider: %q", kind))
	}
	p := &Provider{kind: kind, opts: opts, ofKey: map[string]*trouble{}, buckets: map[string]*bucket{}, asked: map[string]int{}}
	if p.opts.Reply == nil {
		p.opts.Reply = Speech(kind)
	}
	p.Set(Fault{})
	return p
}

// Requests gives the number of requests for an answer or a vector that were
// received, refused ones included.
func (p *Provider) Requests() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.chats
}

// RequestsWith gives how many of them presented a key.
func (p *Provider) RequestsWith(key string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.asked[key]
}

// Open gives the number of requests of any kind that are under way.
func (p *Provider) Open() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.open
}

// Seen gives the last requests, oldest first, SeenLimit at most.
func (p *Provider) Seen() []Seen {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.seen)
}

// newDialect gives the wire format of one request.
func (p *Provider) newDialect(r *http.Request, ids *rand.Rand) dialect {
	switch p.kind {
	case llm.OpenAI:
		d := openAI{requestID: fmt.Sprintf("req_%016x%016x", ids.Uint64(), ids.Uint64())}
		if r.URL.Path == "/v1/responses" || strings.HasPrefix(r.URL.Path, "/v1/responses/") {
			return responses{d, &p.memory}
		}
		return d
	case llm.Claude:
		return anthropic{requestID: "req_011C" + random(ids, 20)}
	case llm.Gemini:
		return gemini{}
	}
	return ollama{generate: r.URL.Path == "/api/generate"}
}

// dialect is the wire format of one provider.
type dialect interface {
	// chat says whether a request is for an answer of a model, a vector too.
	chat(r *http.Request) bool
	// header sets what every response of the provider carries.
	header(h http.Header)
	// key gives the key that a request presents, "" for none.
	key(r *http.Request) string
	// denied gives the refusal of a key; "" stands for none.
	denied(key string) response
	// meter tells in the headers how the rate limit stands.
	meter(h http.Header, m meter)
	// decode reads a chat request as far as it can, and gives the refusal of
	// one that the real API would not take, or nil.
	decode(r *http.Request, body []byte) (call, *response)
	// free answers any other endpoint.
	free(r *http.Request, body []byte, models []string) response
	// refuse gives the response for a fault that refuses.
	refuse(f Fault, c call) response
	// whole gives the answer in one piece.
	whole(c call, a answer) response
	// stream gives the answer in frames.
	stream(c call, a answer) frames
}

// response is a body that is sent in one piece.
type response struct {
	status int
	header http.Header
	body   string
}

// frames are the pieces of a stream, framing included.
type frames struct {
	contentType string
	head        []string // before the first token
	tokens      []string
	tail        []string // what ends a stream properly
	// failure is an error inside the stream, after so many tokens.
	failure func(sent int) string
}

// token adds the frame of a token.
func (f *frames) token(frame string) { f.tokens = append(f.tokens, frame) }

// along adds a frame that goes out with what stands before it.
func (f *frames) along(frame string) {
	if n := len(f.tokens); n > 0 {
		f.tokens[n-1] += frame
	} else {
		f.head = append(f.head, frame)
	}
}

// ServeHTTP answers one request, or fails it as the fault in force says.
func (p *Provider) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.count(1)
	defer p.count(-1)
	body, err := io.ReadAll(io.LimitReader(r.Body, maxBody))
	if err != nil {
		panic(http.ErrAbortHandler) // the client went away in the middle of its request
	}
	ids := p.nextIDs()
	d := p.newDialect(r, ids)
	seen := Seen{
		Method: r.Method, Path: r.URL.Path, Query: r.URL.RawQuery, Header: r.Header.Clone(), Body: body,
		Chat: d.chat(r),
	}
	var c call
	var refusal *response
	if seen.Chat {
		c, refusal = d.decode(r, body)
		seen.Model, seen.Stream = c.model, c.stream
	}
	key := d.key(r)
	fault := p.take(seen, key)
	d.header(w.Header())
	x := &exchange{w: w, r: r, dialect: d, call: c, fault: fault}
	if x.fail() {
		return
	}
	if !p.accepts(key) {
		x.send(d.denied(key))
		return
	}
	first, pace := p.opts.FirstToken, p.opts.PerToken
	switch fault.Kind {
	case Slow:
		first, pace = scale(first, fault.Factor), scale(pace, fault.Factor)
	case Drip:
		pace = fault.Pace
	}
	switch {
	case !seen.Chat:
		x.send(d.free(r, body, p.opts.Models))
	case refusal != nil:
		x.send(*refusal)
	case fault.Kind == RefusePrefill && c.begun != "":
		x.send(d.refuse(fault, c))
	case !knows(p.opts.Models, c.model):
		x.send(d.refuse(Fault{Kind: NoSuchModel}, c))
	default:
		a := compose(draft(c, p.opts.Reply), c, fault, ids)
		if over := p.throttle(d, w.Header(), key, c, a.output()); over != nil {
			x.send(*over)
			return
		}
		x.answer(a, first, pace)
	}
}

// count notes that a request began or ended.
func (p *Provider) count(n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.open += n
}

// accepts says whether a key will do.
func (p *Provider) accepts(key string) bool {
	return p.opts.Key == "" && len(p.opts.Keys) == 0 || key != "" && (key == p.opts.Key || slices.Contains(p.opts.Keys, key))
}

// nextIDs gives the source of a request's ids.
func (p *Provider) nextIDs() *rand.Rand {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.received++
	return rand.New(rand.NewPCG(uint64(p.opts.Seed), p.received))
}

// take notes a request and gives the fault that hits it. The free endpoints
// fail where the server as a whole does, and never use up a fault.
func (p *Provider) take(s Seen, key string) Fault {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.seen) == SeenLimit {
		p.seen = slices.Delete(p.seen, 0, 1)
	}
	p.seen = append(p.seen, s)
	t := p.general
	if own := p.ofKey[key]; own != nil {
		t = own
	}
	if !s.Chat {
		if t.spent() || t.fault.Share < 1 || !t.fault.Kind.wholeServer() {
			return Fault{}
		}
		return t.fault
	}
	p.chats++
	p.asked[key]++
	return t.strike()
}

// knows says whether a model exists. Ollama's models may be named without
// their tag, which is then "latest".
func knows(models []string, model string) bool {
	return len(models) == 0 || slices.Contains(models, model) ||
		slices.Contains(models, model+":latest") || slices.Contains(models, strings.TrimSuffix(model, ":latest"))
}

func scale(d time.Duration, factor float64) time.Duration { return time.Duration(float64(d) * factor) }
