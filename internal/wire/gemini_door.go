package wire

import (
	"encoding/json"
	"net/http"
	"strings"
	"unicode/utf8"

	"breakwater/internal/llm"

	"github.com/tidwall/gjson"
)

// Answers to callers in Gemini's dialect, for what another dialect served, see
// https://ai.google.dev/api/generate-content#v1beta.GenerateContentResponse (2026-11).

// GeminiDoor is the door of generateContent and of streamGenerateContent with
// alt=sse.
func GeminiDoor() Door {
	return geminiDoor(func(m Meta) Writer { return newGeminiWriter(m, false) })
}

// GeminiArrayDoor is the door of streamGenerateContent without alt=sse: the
// answer streams as one JSON array.
func GeminiArrayDoor() Door {
	d := geminiDoor(func(m Meta) Writer { return newGeminiWriter(m, true) })
	d.Reframed = true
	return d
}

func geminiDoor(stream func(Meta) Writer) Door {
	return Door{
		Dialect: llm.GeminiGenerate,
		Decode:  DecodeGemini,
		Answer:  geminiAnswer,
		Stream:  stream,
		Problem: geminiProblem,
	}
}

type geminiSegment struct {
	Start int    `json:"startIndex,omitempty"` // bytes
	End   int    `json:"endIndex,omitempty"`
	Text  string `json:"text,omitempty"`
}

type geminiSupport struct {
	Segment geminiSegment `json:"segment"`
	Chunks  []int         `json:"groundingChunkIndices"`
}

type geminiWeb struct {
	Web struct {
		URI   string `json:"uri"`
		Title string `json:"title,omitempty"`
	} `json:"web"`
}

type geminiGrounding struct {
	Chunks   []geminiWeb     `json:"groundingChunks"`
	Supports []geminiSupport `json:"groundingSupports,omitempty"`
}

type geminiCandidate struct {
	Content   geminiContent    `json:"content"`
	Finish    string           `json:"finishReason,omitempty"`
	Index     int              `json:"index"`
	Grounding *geminiGrounding `json:"groundingMetadata,omitempty"`
	Logprobs  *geminiProbs     `json:"logprobsResult,omitempty"`
}

type geminiModality struct {
	Modality string `json:"modality"`
	Tokens   int64  `json:"tokenCount"`
}

type geminiUsageBody struct {
	Prompt        int64            `json:"promptTokenCount"`
	Candidates    int64            `json:"candidatesTokenCount"`
	Total         int64            `json:"totalTokenCount"`
	Cached        int64            `json:"cachedContentTokenCount,omitempty"`
	PromptDetails []geminiModality `json:"promptTokensDetails,omitempty"`
	Details       []geminiModality `json:"candidatesTokensDetails,omitempty"`
	Thoughts      int64            `json:"thoughtsTokenCount,omitempty"`
	Tier          string           `json:"serviceTier,omitempty"`
}

type geminiResponse struct {
	Candidates []geminiCandidate `json:"candidates"`
	Usage      *geminiUsageBody  `json:"usageMetadata,omitempty"`
	Version    string            `json:"modelVersion"`
	ID         string            `json:"responseId"`
}

// geminiAnswer writes a whole answer.
func geminiAnswer(m Meta, a Answer) []byte {
	r := geminiResponse{
		Candidates: make([]geminiCandidate, max(1, len(a.Choices))),
		Usage:      geminiUsageOf(a.Usage, a.ServiceTier), Version: m.Model, ID: m.RequestID,
	}
	for i := range r.Candidates {
		choice := Choice{Finish: llm.FinishStop}
		if i < len(a.Choices) {
			choice = a.Choices[i]
		}
		w := geminiParts{show: showsThoughts(m.Request)}
		var parts []geminiPart
		for _, p := range choice.Parts {
			parts = append(parts, w.part(p)...)
		}
		parts = append(parts, w.end()...)
		r.Candidates[i] = geminiCandidate{
			Content: geminiContent{Role: "model", Parts: parts}, Index: i,
			Finish:    w.reason(choice.Finish, choice.FinishDetail),
			Grounding: geminiGroundingOf(choice.Citations, llm.Message{Parts: choice.Parts}.Text()),
			Logprobs:  geminiProbsOf(choice.Logprobs),
		}
	}
	return marshal(r)
}

// showsThoughts says whether a caller asked to see the thinking.
func showsThoughts(req *llm.Request) bool {
	return req != nil && req.Thought != nil && req.Thought.Show != nil && *req.Thought.Show
}

// geminiParts writes the parts of one candidate. What another provider signed
// goes into the signature of the next part; thinking itself is shown to those
// who asked for it. Half a call, which Gemini cannot say, is left out.
type geminiParts struct {
	show    bool
	pending []geminiSealed
	called  bool
	broken  bool // a call broke off
}

func (w *geminiParts) part(p llm.Part) []geminiPart {
	foreign := p.SignedBy != "" && p.SignedBy != llm.Gemini
	var out geminiPart
	switch p.Kind {
	case llm.Thinking:
		if foreign && p.Signature != "" {
			w.pending = append(w.pending, geminiSealed{By: p.SignedBy, Text: p.Text, Signature: p.Signature, Redacted: p.Redacted})
		}
		signature := ownSignature(p)
		if p.Text == "" && signature == "" || p.Text != "" && !w.show && signature == "" {
			return nil
		}
		out = geminiPart{Text: &p.Text, Thought: p.Text != "", Signature: signature}
		if p.Text != "" && !w.show {
			out = geminiPart{Text: new(string), Signature: signature}
		}
		return []geminiPart{out}
	case llm.Call:
		args, whole := callArguments(string(p.Call.Args))
		if !whole || p.Call.Name == "" {
			w.broken = true
			return nil
		}
		out = geminiPart{Call: &geminiCall{ID: p.Call.ID, Name: p.Call.Name, Args: args}}
		if out.Signature = w.signature(p); out.Signature == "" && !w.called {
			out.Signature = geminiSkipEncoded // Gemini 3 wants some, should the caller go there with it
		}
		w.called = true
	default:
		if p.Text == "" {
			return nil
		}
		out = geminiPart{Text: &p.Text, Signature: w.signature(p)}
	}
	return []geminiPart{out}
}

// signature gives a part's signature: Gemini's own, or what is pending.
func (w *geminiParts) signature(p llm.Part) string {
	if own := ownSignature(p); own != "" || len(w.pending) == 0 {
		return own
	}
	s := geminiSeal(w.pending)
	w.pending = nil
	return s
}

// end gives a part for what is pending at the end, as Gemini does.
func (w *geminiParts) end() []geminiPart {
	if len(w.pending) == 0 {
		return nil
	}
	return []geminiPart{{Text: new(string), Signature: w.signature(llm.Part{})}}
}

// reason gives a finishReason, Google's own where it was one; calls finish with STOP.
func (w *geminiParts) reason(f llm.FinishReason, detail string) string {
	if w.broken && f == llm.FinishToolCalls {
		return "MALFORMED_FUNCTION_CALL"
	}
	switch detail {
	case "SAFETY", "RECITATION", "LANGUAGE", "OTHER", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII", "MODEL_ARMOR", "MALFORMED_FUNCTION_CALL",
		"MALFORMED_RESPONSE", "UNEXPECTED_TOOL_CALL", "TOO_MANY_TOOL_CALLS", "MISSING_THOUGHT_SIGNATURE",
		"IMAGE_SAFETY", "IMAGE_PROHIBITED_CONTENT", "IMAGE_RECITATION", "IMAGE_OTHER", "NO_IMAGE":
		return detail
	}
	switch f {
	case llm.FinishLength:
		return "MAX_TOKENS"
	case llm.FinishContentFilter:
		return "SAFETY"
	}
	return "STOP"
}

func geminiUsageOf(u *llm.Usage, tier string) *geminiUsageBody {
	if u == nil {
		return nil
	}
	b := &geminiUsageBody{
		Prompt: u.Input, Candidates: max(0, u.Output-u.Reasoning), Total: u.Input + u.Output,
		Cached: u.CacheRead, Thoughts: u.Reasoning, Tier: tier,
	}
	if tier == "default" { // OpenAI's word for it
		b.Tier = "standard"
	}
	if u.AudioIn > 0 {
		b.PromptDetails = []geminiModality{{"TEXT", u.Input - u.AudioIn}, {"AUDIO", u.AudioIn}}
	}
	if u.AudioOut > 0 {
		b.Details = []geminiModality{{"TEXT", b.Candidates - u.AudioOut}, {"AUDIO", u.AudioOut}}
	}
	return b
}

// geminiGroundingOf writes citations; nil where there are none. Places are
// bytes of the text.
func geminiGroundingOf(cites []llm.Citation, text string) *geminiGrounding {
	if len(cites) == 0 {
		return nil
	}
	g := new(geminiGrounding)
	for i, c := range cites {
		var web geminiWeb
		web.Web.URI, web.Web.Title = c.URL, c.Title
		g.Chunks = append(g.Chunks, web)
		if c.End > 0 || c.Text != "" {
			segment := geminiSegment{Text: c.Text}
			if c.End > 0 {
				segment.Start, segment.End = byteIndex(text, c.Start), byteIndex(text, c.End)
			}
			g.Supports = append(g.Supports, geminiSupport{Segment: segment, Chunks: []int{i}})
		}
	}
	return g
}

// byteIndex gives where in a text its nth character begins.
func byteIndex(text string, n int) int {
	at := 0
	for ; n > 0 && at < len(text); n-- {
		_, size := utf8.DecodeRuneInString(text[at:])
		at += size
	}
	return at
}

type geminiProb struct {
	Token   string      `json:"token"`
	Logprob json.Number `json:"logProbability"`
}

type geminiTop struct {
	Candidates []geminiProb `json:"candidates"`
}

type geminiProbs struct {
	Top    []geminiTop  `json:"topCandidates,omitempty"`
	Chosen []geminiProb `json:"chosenCandidates"`
}

// geminiProbsOf writes log probabilities from OpenAI's shape; nil where there
// are none.
func geminiProbsOf(raw json.RawMessage) *geminiProbs {
	list := gjson.GetBytes(raw, "content").Array()
	if len(list) == 0 {
		return nil
	}
	one := func(v gjson.Result) geminiProb {
		p := geminiProb{Token: v.Get("token").String(), Logprob: "0"}
		if n := v.Get("logprob"); n.Type == gjson.Number {
			p.Logprob = json.Number(n.Raw)
		}
		return p
	}
	probs := new(geminiProbs)
	for _, v := range list {
		probs.Chosen = append(probs.Chosen, one(v))
		top := geminiTop{Candidates: []geminiProb{}}
		for _, other := range v.Get("top_logprobs").Array() {
			top.Candidates = append(top.Candidates, one(other))
		}
		probs.Top = append(probs.Top, top)
	}
	return probs
}

// geminiProblem writes an error with the status of google.rpc.Code, see
// https://cloud.google.com/apis/design/errors (2026-11).
func geminiProblem(p Problem) []byte {
	type violation struct {
		Field       string `json:"field"`
		Description string `json:"description"`
	}
	type detail struct {
		Type       string      `json:"@type"`
		Violations []violation `json:"fieldViolations,omitempty"`
		Reason     string      `json:"reason,omitempty"`
		Domain     string      `json:"domain,omitempty"`
	}
	type inner struct {
		Code    int      `json:"code"`
		Message string   `json:"message"`
		Status  string   `json:"status"`
		Details []detail `json:"details,omitempty"`
	}
	e := inner{Code: p.Status, Message: p.Message, Status: geminiStatus(p.Status)}
	if p.Param != "" {
		e.Details = append(e.Details, detail{
			Type:       "type.googleapis.com/google.rpc.BadRequest",
			Violations: []violation{{p.Param, p.Message}},
		})
	}
	if p.Code != "" {
		e.Details = append(e.Details, detail{
			Type: "type.googleapis.com/google.rpc.ErrorInfo", Reason: strings.ToUpper(p.Code), Domain: "breakwater",
		})
	}
	return marshal(struct {
		Error inner `json:"error"`
	}{e})
}

// geminiStatus gives the google.rpc.Code of an HTTP status, see
// https://github.com/googleapis/googleapis/blob/master/google/rpc/code.proto (2026-11).
func geminiStatus(status int) string {
	switch status {
	case http.StatusUnauthorized:
		return "UNAUTHENTICATED"
	case http.StatusForbidden, http.StatusPaymentRequired:
		return "PERMISSION_DENIED"
	case http.StatusNotFound:
		return "NOT_FOUND"
	case http.StatusConflict:
		return "ABORTED"
	case http.StatusPreconditionFailed:
		return "FAILED_PRECONDITION"
	case http.StatusTooManyRequests:
		return "RESOURCE_EXHAUSTED"
	case 499:
		return "CANCELLED"
	case http.StatusNotImplemented:
		return "UNIMPLEMENTED"
	case http.StatusBadGateway, http.StatusServiceUnavailable, 529:
		return "UNAVAILABLE"
	case http.StatusRequestTimeout, http.StatusGatewayTimeout:
		return "DEADLINE_EXCEEDED"
	}
	if status >= 500 {
		return "INTERNAL"
	}
	return "INVALID_ARGUMENT"
}
