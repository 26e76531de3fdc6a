package wire

import (
	"bytes"
	"encoding/json"
	"strings"
	"unicode/utf8"

	"breakwater/internal/llm"

	"github.com/tidwall/gjson"
)

// geminiFinish reads a finishReason, see
// https://ai.google.dev/api/generate-content#FinishReason (2026-11). MODEL_ARMOR
// is Vertex AI's. detail is Google's word where it says more than the finish.
func geminiFinish(v gjson.Result) (finish llm.FinishReason, detail string) {
	reason := v.String()
	if v.Type == gjson.Number { // with enum-encoding=int
		words := []string{"", "STOP", "MAX_TOKENS", "SAFETY", "RECITATION", "OTHER", "LANGUAGE", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII", "MALFORMED_FUNCTION_CALL", "IMAGE_SAFETY"}
		if i := int(v.Num); 0 <= i && i < len(words) {
			reason = words[i]
		}
	}
	switch reason {
	case "", "FINISH_REASON_UNSPECIFIED":
		return "", ""
	case "STOP":
		return llm.FinishStop, ""
	case "MAX_TOKENS":
		return llm.FinishLength, ""
	case "SAFETY", "RECITATION", "LANGUAGE", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII", "MODEL_ARMOR",
		"IMAGE_SAFETY", "IMAGE_PROHIBITED_CONTENT", "IMAGE_RECITATION":
		return llm.FinishContentFilter, reason
	}
	return llm.FinishStop, label(reason)
}

// geminiUsage reads usageMetadata, see
// https://ai.google.dev/api/generate-content#UsageMetadata (2026-11); nil where
// it counts nothing yet. Thoughts come on top of the candidates' tokens, the
// results of tools that Google ran on top of the prompt's.
func geminiUsage(v gjson.Result) *llm.Usage {
	var u llm.Usage
	var tools, total int64
	told, answered := false, false
	v.ForEach(func(key, v gjson.Result) bool {
		switch key.Str {
		case "promptTokenCount":
			u.Input, told = count(v), true
		case "toolUsePromptTokenCount":
			tools = count(v)
		case "cachedContentTokenCount":
			u.CacheRead = count(v)
		case "candidatesTokenCount":
			u.Output, told, answered = count(v), true, true
		case "thoughtsTokenCount":
			u.Reasoning = count(v)
		case "totalTokenCount":
			total, told = count(v), true
		case "promptTokensDetails", "toolUsePromptTokensDetails":
			u.AudioIn += geminiAudio(v)
		case "candidatesTokensDetails":
			u.AudioOut = geminiAudio(v)
		}
		return true
	})
	if !told && u.Reasoning == 0 {
		return nil
	}
	u.Input += tools
	if !answered {
		u.Output = max(0, total-u.Input-u.Reasoning)
	}
	u.Output += u.Reasoning
	return &u
}

// geminiAudio gives the tokens of recordings among those of all modalities.
func geminiAudio(details gjson.Result) (tokens int64) {
	details.ForEach(func(_, v gjson.Result) bool {
		if v.Get("modality").String() == "AUDIO" {
			tokens += count(v.Get("tokenCount"))
		}
		return true
	})
	return tokens
}

// geminiReader reads the GenerateContentResponses of one answer: a whole one
// or its events.
type geminiReader struct {
	own     bool // for a caller of Gemini's dialect, to whom thoughts are content
	single  bool // the caller wants one call at a time, which Gemini cannot be told
	seed    string
	choices map[int]*geminiChoice
}

// geminiChoice is what is known of one candidate.
type geminiChoice struct {
	calls    int
	open     *geminiOpenArgs // the call whose arguments are arriving
	text     []byte          // so far, for the places of citations
	cited    map[llm.Citation]bool
	finished bool
}

// maxCitedText bounds the text that is kept for citations, in bytes: later
// ones have no place.
const maxCitedText = 1 << 20

func newGeminiReader(req *llm.Request) *geminiReader {
	own := req.Dialect == llm.GeminiGenerate
	return &geminiReader{
		own: own, single: !own && req.Parallel != nil && !*req.Parallel,
		choices: make(map[int]*geminiChoice, 1),
	}
}

// read appends what one response tells. complete says that all candidates have
// finished, as far as they are known.
func (g *geminiReader) read(dst []llm.Chunk, data []byte) (chunks []llm.Chunk, complete bool, f *llm.Failure) {
	o, ok := object(data)
	if !ok {
		return dst, false, garbage("the answer is not a JSON object", nil)
	}
	var id, model string
	var failed, candidates, feedback, usage gjson.Result
	o.ForEach(func(key, v gjson.Result) bool {
		switch key.Str {
		case "error":
			failed = v
		case "responseId":
			id = v.String()
		case "modelVersion":
			model = v.String()
		case "candidates":
			candidates = v
		case "promptFeedback":
			feedback = v
		case "usageMetadata":
			usage = v
		}
		return true
	})
	if failed.IsObject() {
		return dst, false, geminiFailure(0, data)
	}
	if g.seed == "" {
		if g.seed = id; id == "" {
			g.seed = string(data)
		}
	}
	first := len(dst)
	if reason := feedback.Get("blockReason").String(); reason != "" && (!candidates.IsArray() || emptyList(candidates)) {
		if !g.own {
			return dst, false, newFailure(llm.ContentFilter, 0, reason, "the prompt was blocked: "+reason)
		}
		dst = append(dst, llm.Chunk{Opaque: true, Finish: llm.FinishContentFilter, FinishDetail: label(reason)})
		complete = true
	}
	candidates.ForEach(func(_, v gjson.Result) bool {
		dst = g.candidate(dst, v)
		return true
	})
	if len(dst) == first {
		dst = append(dst, llm.Chunk{})
	}
	c := &dst[first]
	c.ID, c.Model, c.Usage = id, model, geminiUsage(usage)
	c.ServiceTier = strings.ToLower(usage.Get("serviceTier").String())
	for _, choice := range g.choices {
		if !choice.finished {
			return dst, false, nil
		}
	}
	return dst, complete || len(g.choices) > 0, nil
}

// candidate appends what a candidate tells, its finish last.
func (g *geminiReader) candidate(dst []llm.Chunk, v gjson.Result) []llm.Chunk {
	index := 0
	var content, reason, cited, grounding, logprobs gjson.Result
	v.ForEach(func(key, v gjson.Result) bool {
		switch key.Str {
		case "index":
			index = int(v.Int())
		case "content":
			content = v
		case "finishReason":
			reason = v
		case "citationMetadata":
			cited = v
		case "groundingMetadata":
			grounding = v
		case "logprobsResult":
			logprobs = v
		}
		return true
	})
	if index < 0 || index >= maxChoices {
		return dst
	}
	choice := g.choices[index]
	if choice == nil {
		choice = new(geminiChoice)
		g.choices[index] = choice
	}
	first := len(dst)
	content.Get("parts").ForEach(func(_, part gjson.Result) bool {
		dst = g.part(dst, choice, index, part)
		return true
	})
	finish, detail := geminiFinish(reason)
	if finish != "" {
		dst = choice.close(dst)
	}
	dst = choice.citations(dst, cited, grounding)
	if probs := geminiLogprobs(logprobs); probs != nil {
		dst = append(dst, llm.Chunk{Logprobs: probs})
	}
	if finish != "" {
		choice.finished = true
		if choice.calls > 0 && finish == llm.FinishStop {
			finish = llm.FinishToolCalls
		}
		dst = append(dst, llm.Chunk{Finish: finish, FinishDetail: detail})
	}
	for i := first; i < len(dst); i++ {
		dst[i].Choice = index
	}
	return dst
}

// part appends what one part of a candidate tells.
func (g *geminiReader) part(dst []llm.Chunk, choice *geminiChoice, index int, part gjson.Result) []llm.Chunk {
	var c llm.Chunk
	var said, call gjson.Result
	var thought, other bool
	part.ForEach(func(key, v gjson.Result) bool {
		switch key.Str {
		case "text":
			said = v
		case "functionCall":
			call = v
		case "thought":
			thought = v.Bool()
		case "thoughtSignature":
			if c.Signature = v.String(); c.Signature != "" {
				c.SignedBy = llm.Gemini
			}
		default:
			other = true
		}
		return true
	})
	text := said.String()
	switch {
	case call.Exists():
		if g.single && choice.calls > 0 && !choice.continues(call) {
			return dst
		}
		return choice.call(dst, c, call, func(n int) string { return madeUpCallID(g.seed, index<<16+n) })
	case thought:
		c.Thinking = text
		c.Opaque = g.own
	case said.Exists():
		c.Text = text
		if len(choice.text) < maxCitedText {
			choice.text = append(choice.text, text...)
		}
		c.Opaque = g.own && text == "" && c.Signature != ""
	default: // inlineData, executableCode, codeExecutionResult and others; or a signature alone
		c.Opaque = other || g.own && c.Signature != ""
	}
	if c.Text == "" && c.Thinking == "" && c.Signature == "" && !c.Opaque {
		return dst
	}
	return append(dst, c)
}

// wholeGemini reads the answer of generateContent.
func wholeGemini(body []byte, req *llm.Request) ([]llm.Chunk, error) {
	chunks, _, f := newGeminiReader(req).read(nil, body)
	if f != nil {
		return nil, f
	}
	content := false
	for _, c := range chunks {
		content = content || c.HasContent()
	}
	if !content {
		return nil, garbage("the answer is empty", nil)
	}
	chunks[0].Raw = body
	return chunks, nil
}

// geminiEvents reads the events of streamGenerateContent. There is no closing
// event: the answer is complete when the stream ends after a finishReason.
func geminiEvents(req *llm.Request) decoder {
	g := newGeminiReader(req)
	return func(dst []llm.Chunk, e Event) ([]llm.Chunk, progress, *llm.Failure) {
		dst, complete, f := g.read(dst, e.Data)
		if complete {
			return dst, mayEnd, f
		}
		return dst, more, f
	}
}

// call appends a functionCall. One whose arguments are streamed, which Vertex
// AI does where it is asked, has its name at once and its arguments at the end.
func (c *geminiChoice) call(dst []llm.Chunk, chunk llm.Chunk, v gjson.Result, id func(n int) string) []llm.Chunk {
	if c.continues(v) {
		c.open.add(v.Get("partialArgs"))
		if !v.Get("willContinue").Bool() {
			dst = c.close(dst)
		}
		return dst
	}
	dst = c.close(dst)
	d := &llm.CallDelta{Index: c.calls, ID: v.Get("id").String(), Name: v.Get("name").String()}
	if d.ID == "" {
		d.ID = id(c.calls)
	}
	c.calls++
	chunk.Call = d
	if v.Get("willContinue").Bool() || v.Get("partialArgs").Exists() {
		c.open = &geminiOpenArgs{index: d.Index}
		c.open.add(v.Get("partialArgs"))
		dst = append(dst, chunk)
		if !v.Get("willContinue").Bool() {
			dst = c.close(dst)
		}
		return dst
	}
	d.Args = "{}"
	if args := v.Get("args"); args.IsObject() {
		d.Args = compact(args.Raw)
	}
	return append(dst, chunk)
}

// continues says whether a functionCall goes on with the one before.
func (c *geminiChoice) continues(v gjson.Result) bool {
	return c.open != nil && v.Get("name").String() == ""
}

// close appends the arguments of the call that was arriving.
func (c *geminiChoice) close(dst []llm.Chunk) []llm.Chunk {
	if c.open == nil {
		return dst
	}
	d := &llm.CallDelta{Index: c.open.index, Args: "{}"}
	if !c.open.args.list {
		d.Args = string(c.open.args.json(nil))
	}
	c.open = nil
	return append(dst, llm.Chunk{Call: d})
}

func compact(raw string) string {
	var b bytes.Buffer
	if json.Compact(&b, []byte(raw)) != nil {
		return raw
	}
	return b.String()
}

// citations appends the sources that a candidate names, each once, since
// streams repeat them: https://ai.google.dev/api/generate-content#GroundingMetadata
// and #v1beta.CitationMetadata (2026-11).
func (c *geminiChoice) citations(dst []llm.Chunk, cited, grounding gjson.Result) []llm.Chunk {
	add := func(cite llm.Citation) {
		if c.cited == nil {
			c.cited = make(map[llm.Citation]bool)
		}
		if !c.cited[cite] && len(c.cited) < 1000 {
			c.cited[cite] = true
			dst = append(dst, llm.Chunk{Cite: &cite})
		}
	}
	for _, list := range [...]string{"citationSources", "citations"} {
		cited.Get(list).ForEach(func(_, v gjson.Result) bool {
			cite := llm.Citation{URL: v.Get("uri").String(), Title: v.Get("title").String()}
			cite.Start, cite.End = c.place(v, "")
			add(cite)
			return true
		})
	}
	sources := grounding.Get("groundingChunks").Array()
	used := make(map[int64]bool)
	grounding.Get("groundingSupports").ForEach(func(_, v gjson.Result) bool {
		segment := v.Get("segment")
		v.Get("groundingChunkIndices").ForEach(func(_, i gjson.Result) bool {
			if i.Int() < 0 || i.Int() >= int64(len(sources)) {
				return true
			}
			used[i.Int()] = true
			cite := geminiSource(sources[i.Int()])
			cite.Text = segment.Get("text").String()
			cite.Start, cite.End = c.place(segment, cite.Text)
			add(cite)
			return true
		})
		return true
	})
	for i, source := range sources {
		if !used[int64(i)] {
			add(geminiSource(source))
		}
	}
	return dst
}

// geminiSource reads a groundingChunk: web, retrievedContext or maps.
func geminiSource(v gjson.Result) (cite llm.Citation) {
	v.ForEach(func(_, v gjson.Result) bool {
		cite.URL, cite.Title = v.Get("uri").String(), v.Get("title").String()
		return false
	})
	return cite
}

// place turns a segment's place, which Google counts in bytes, to characters
// of the text so far. Where the segment's own words stand elsewhere, since it
// counts from the start of some part, they are looked for.
func (c *geminiChoice) place(segment gjson.Result, words string) (start, end int) {
	from, to := segment.Get("startIndex").Int(), segment.Get("endIndex").Int()
	if from < 0 || to <= from || to > int64(len(c.text)) || words != "" && string(c.text[from:to]) != words {
		at := -1
		if words != "" {
			at = bytes.Index(c.text, []byte(words))
		}
		if at < 0 {
			return 0, 0
		}
		from, to = int64(at), int64(at+len(words))
	}
	start = utf8.RuneCount(c.text[:from])
	return start, start + utf8.RuneCount(c.text[from:to])
}

// geminiLogprobs turns a logprobsResult to OpenAI's shape; nil where there is none.
func geminiLogprobs(v gjson.Result) json.RawMessage {
	chosen := v.Get("chosenCandidates").Array()
	if len(chosen) == 0 {
		return nil
	}
	top := v.Get("topCandidates").Array()
	list := make([]openAILogprob, len(chosen))
	for i, token := range chosen {
		list[i] = openAILogprobOf(token)
		list[i].Top = []openAILogprob{}
		if i < len(top) {
			for _, other := range top[i].Get("candidates").Array() {
				list[i].Top = append(list[i].Top, openAILogprobOf(other))
			}
		}
	}
	return marshal(map[string]any{"content": list})
}

// openAILogprob is a token's log probability in OpenAI's shape.
type openAILogprob struct {
	Token   string          `json:"token"`
	Logprob json.Number     `json:"logprob"`
	Bytes   []int           `json:"bytes"`
	Top     []openAILogprob `json:"top_logprobs,omitempty"`
}

func openAILogprobOf(v gjson.Result) openAILogprob {
	p := openAILogprob{Token: v.Get("token").String(), Logprob: "0"}
	if n := v.Get("logProbability"); n.Type == gjson.Number {
		p.Logprob = json.Number(n.Raw)
	}
	for i := range len(p.Token) {
		p.Bytes = append(p.Bytes, int(p.Token[i]))
	}
	return p
}
