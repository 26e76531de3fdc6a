// Package tokens estimates how many tokens a request has, for limits, budgets
// and context windows. It is no vocabulary: it counts by character class and
// learns, from the usage that providers report, by how much each model differs.
package tokens

import (
	"math/rand/v2"
	"strings"
	"sync"

	"breakwater/internal/llm"

	"github.com/tidwall/gjson"
)

// DefaultModels bounds how many models are learned. A router has some dozens
// of targets; callers cannot add any by asking for others, since only answers teach.
const DefaultModels = 1024

// How a ratio is learned.
const (
	priorTokens  = 300    // what is assumed of a model weighs as much as this many counted tokens
	memoryTokens = 100000 // after about this many tokens, older ones begin to count less
	sampleTokens = 4000   // no single request weighs more than this many tokens
	knownTokens  = 40000  // from about this many tokens on a model is known, and only some answers are learned from
	knownLooks   = 200    // so it is after this many answers, of whatever size and use
	oneIn        = 8      // of those answers
	longBytes    = 16000  // about sampleTokens; of longer requests fewer are counted: 90 KB take a third of a millisecond
	fewestTokens = 4      // a shorter text tells nothing
	lowestRatio  = 0.3    // a usage that is further off is not of this text
	highestRatio = 4
)

// Estimator estimates input tokens. It may be used by several goroutines at once.
type Estimator struct {
	mu     sync.Mutex
	models int
	learnt map[key]*ratio
	clock  int64
}

// key tells apart what has a ratio of its own: providers write tools into
// prompts of their own making.
type key struct {
	model string
	tools bool
}

// ratio is what was reported for how much that was counted.
type ratio struct {
	actual, counted float64
	used            int64
	looks           int // answers that were looked at
}

// NewEstimator makes an estimator that learns at most this many models; the
// one that was learned longest ago gives way.
func NewEstimator(models int) *Estimator {
	return &Estimator{models: max(1, models), learnt: make(map[key]*ratio)}
}

// Estimate gives the input tokens that the model, by its provider's name for
// it, will report for req. It is never below 1.
func (e *Estimator) Estimate(model string, req *llm.Request) int64 {
	f := familyOf(model)
	words, fixed := f.count(req)
	e.mu.Lock()
	r := e.ratio(key{model, len(req.Tools) > 0}, f)
	e.mu.Unlock()
	return max(1, int64(words*r+0.5)+fixed)
}

// ratio gives what was learned, else of the model without tools, else what is
// assumed of its family.
func (e *Estimator) ratio(k key, f family) float64 {
	r := e.learnt[k]
	if r == nil && k.tools {
		r = e.learnt[key{model: k.model}]
	}
	if r == nil {
		return f.ratio
	}
	return r.actual / r.counted
}

// Learn takes the input tokens that the model reported for req, cached ones
// included. Of a model that it knows well it takes one report in eight, at
// random, so that no pattern in the traffic decides which, and counts no other
// request: the ratio is the same, and follows a change a little later. Of long
// requests, which weigh no more, it takes fewer by as much as they are longer.
func (e *Estimator) Learn(model string, req *llm.Request, actual int64) {
	if e.knows(key{model, len(req.Tools) > 0}) && rand.N(oneIn*(1+len(req.Body)/longBytes)) > 0 {
		return
	}
	e.learn(model, req, actual)
}

// knows says whether enough was learned of a model.
func (e *Estimator) knows(k key) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	r := e.learnt[k]
	return r != nil && (r.counted >= knownTokens || r.looks >= knownLooks)
}

func (e *Estimator) learn(model string, req *llm.Request, actual int64) {
	f := familyOf(model)
	words, fixed := f.count(req)
	told := float64(actual - fixed)
	e.mu.Lock()
	defer e.mu.Unlock()
	k := key{model, len(req.Tools) > 0}
	r := e.learnt[k]
	if r == nil {
		e.makeRoom()
		r = &ratio{actual: priorTokens * e.ratio(k, f), counted: priorTokens}
		e.learnt[k] = r
	}
	e.clock++
	r.used = e.clock
	r.looks++
	if words < fewestTokens || float64(fixed) > words || told < words*lowestRatio || told > words*highestRatio {
		return
	}
	weight := min(1, sampleTokens/words)
	r.actual += told * weight
	r.counted += words * weight
	if r.counted > memoryTokens {
		r.actual *= memoryTokens / r.counted
		r.counted = memoryTokens
	}
}

// makeRoom forgets the entry that was learned longest ago where no more fit:
// two of each model.
func (e *Estimator) makeRoom() {
	if len(e.learnt) < 2*e.models {
		return
	}
	var oldest key
	at := e.clock + 1
	for k, r := range e.learnt {
		if r.used < at {
			oldest, at = k, r.used
		}
	}
	delete(e.learnt, oldest)
}

// family is what is assumed of a model by its name.
type family struct {
	provider llm.Provider
	newer    bool    // Claude 4.7 and later; Gemini 3 and later
	patches  bool    // OpenAI: images are counted in patches
	digits   int     // of a number in one token
	ratio    float64 // of text, until it is learned
	message  float64 // tokens around each message
	fixed    int64   // tokens around the whole
	tools    int64   // of the provider's own words around tools
	tool     int64   // and around each of them
	formats  int64   // and around a schema of the answer
	thinking int64   // and where the model shall reason
	signed   float64 // tokens for each byte of a signature that comes back
	// rawSchemas says that schemas are told to the model as JSON; others
	// write them shorter, as types.
	rawSchemas bool
}

// familyOf reads a model's name, with or without a vendor before it.
func familyOf(model string) family {
	name := strings.ToLower(model[strings.LastIndexByte(model, '/')+1:])
	has := func(prefixes ...string) bool {
		for _, p := range prefixes {
			if strings.HasPrefix(name, p) {
				return true
			}
		}
		return false
	}
	local := family{provider: llm.Local, digits: 1, ratio: 1, message: 4, fixed: 6, rawSchemas: true}
	switch {
	case strings.Contains(name, ":"): // an Ollama tag, whoever made the model
		return local
	case has("claude"):
		return claude(name, has)
	case has("gemini", "learnlm"):
		f := family{provider: llm.Gemini, digits: 1, ratio: 1, signed: 0.2, newer: !has("gemini-1", "gemini-2", "gemini-pro")}
		if !has("gemini-1", "gemini-2.0") {
			f.tool = 20
		}
		return f
	case has("gpt-oss"):
		return local
	case has("gpt-", "chatgpt", "o1", "o3", "o4", "codex", "ft:gpt-"):
		f := family{provider: llm.OpenAI, digits: 3, ratio: 1, message: 4, fixed: 3, tools: 12, tool: 8, formats: 20}
		f.patches = !has("gpt-4o", "gpt-4-", "gpt-4.5", "o1", "o3", "chatgpt-4o") && name != "gpt-4.1" && name != "gpt-4" && name != "gpt-5"
		if has("gpt-5", "gpt-6") {
			f.tools = 85
		}
		return f
	}
	return local
}

// claude is what is assumed of a Claude model. What its provider writes around
// tools is told for each model, see
// https://platform.claude.com/docs/en/agents-and-tools/tool-use/overview; what
// recorded usage shows is taken where it is more.
func claude(name string, has func(...string) bool) family {
	f := family{provider: llm.Claude, digits: 3, ratio: 1.08, message: 4, fixed: 3, tools: 346, thinking: 28, formats: 100, rawSchemas: true}
	switch {
	case has("claude-2", "claude-3", "claude-instant"):
		f.tools = 264
	case has("claude-sonnet-4-0", "claude-sonnet-4-2", "claude-opus-4-0", "claude-opus-4-1", "claude-opus-4-2"):
	case has("claude-sonnet-4", "claude-haiku-4", "claude-opus-4-5", "claude-opus-4-6"):
		f.tools = 500
	default: // a new vocabulary, of about 30 % more tokens, and larger images
		f.newer, f.ratio, f.tools = true, 1.4, 675
	}
	return f
}

// count gives the tokens of text, as counted, and those that are no text.
func (f family) count(req *llm.Request) (words float64, fixed int64) {
	c := counter{family: f}
	for _, m := range req.Messages {
		c.words += int64(f.message * 1000)
		c.text(m.Name)
		c.parts(m.Parts)
	}
	for _, t := range req.Tools {
		c.text(t.Name)
		c.text(t.Description)
		c.schema(t.Schema)
		c.fixed += f.tool
	}
	if len(req.Tools) > 0 {
		c.fixed += f.tools
	}
	if req.Format != nil && req.Format.Schema != nil && f.provider != llm.Gemini { // which does not count it
		c.fixed += f.formats
		c.text(req.Format.Name)
		c.text(req.Format.Description)
		c.schema(req.Format.Schema)
	}
	if t := req.Thought; t != nil && t.Effort != "none" {
		c.fixed += f.thinking
	}
	return float64(c.words) / 1000, c.fixed + f.fixed
}

type counter struct {
	family
	words int64 // thousandths
	fixed int64
}

func (c *counter) text(s string) { c.words += text(s, c.digits) }

// schema counts a JSON schema: what it names and describes, and where it is
// told as it is, its punctuation too.
func (c *counter) schema(b []byte) {
	if c.rawSchemas {
		c.text(string(b))
		return
	}
	c.shape(gjson.ParseBytes(b))
}

func (c *counter) shape(v gjson.Result) {
	v.ForEach(func(key, v gjson.Result) bool {
		switch {
		case key.Str == "properties":
			v.ForEach(func(name, v gjson.Result) bool {
				c.text(name.Str)
				c.words += 2 * perPunct
				c.shape(v)
				return true
			})
		case v.IsObject(), v.IsArray() && (key.Str == "anyOf" || key.Str == "oneOf" || key.Str == "allOf" || key.Type != gjson.String):
			c.shape(v)
		case key.Str == "enum":
			c.text(v.Raw)
		case key.Str == "description":
			c.text(v.Str)
		case key.Str == "type":
			c.words += perWord
		}
		return true
	})
}

func (c *counter) parts(parts []llm.Part) {
	for _, p := range parts {
		if p.SignedBy == c.provider {
			c.fixed += int64(c.signed * float64(len(p.Signature)))
		}
		switch p.Kind {
		case llm.Text, llm.Refusal, llm.Thinking:
			c.text(p.Text)
		case llm.Call:
			c.text(p.Call.Name)
			c.text(string(p.Call.Args))
		case llm.Result:
			c.parts(p.Result.Parts)
		case llm.Image:
			c.fixed += c.image(p.Media)
		case llm.Document:
			c.fixed += c.document(p.Media)
		case llm.Audio:
			c.fixed += c.audio(p.Media)
		}
	}
}
