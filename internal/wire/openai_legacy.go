package wire

import (
	"encoding/json"
	"math"
	"unicode/utf8"

	"breakwater/internal/llm"

	"github.com/tidwall/gjson"
)

// The dialect of POST /v1/completions, see
// https://developers.openai.com/api/reference/resources/completions (2026-11).
// It is a door only: chat models answer.

// OpenAILegacyDoor is the door of POST /v1/completions.
func OpenAILegacyDoor() Door {
	return Door{
		Dialect: llm.OpenAILegacy,
		Decode:  DecodeOpenAILegacy,
		Answer:  openAILegacyAnswer,
		Stream: func(m Meta) Writer {
			s := &legacyStream{include: m.Request.IncludeUsage, choices: make([]legacyStreamed, 1)}
			s.head, s.tail = streamFrame(legacyID(m.RequestID), "text_completion", m.Model, m.Created, s.include)
			return s
		},
		Problem: openAIProblem,
	}
}

func legacyID(requestID string) string { return "cmpl-" + requestID }

// DecodeOpenAILegacy reads the body of POST /v1/completions: the prompt
// becomes the user's message. What only models of that age can do is refused:
// several prompts, prompts in tokens, echo, suffix and best_of. The error is a
// *RequestError. Where no max_tokens is given none is set, although OpenAI
// once set 16: a model that reasons would say nothing.
func DecodeOpenAILegacy(body []byte) (*llm.Request, error) {
	o, err := requestObject(body)
	if err != nil {
		return nil, err
	}
	r := &llm.Request{Dialect: llm.OpenAILegacy, Body: body}
	if err := eachField(o, "", func(name string, v gjson.Result) *RequestError { return legacyField(r, name, v) }); err != nil {
		return nil, err
	}
	switch {
	case r.Model == "":
		return nil, &RequestError{"model", "is required: the name of a model or provider"}
	case r.Messages == nil:
		return nil, &RequestError{"prompt", "is required: a string"}
	}
	return r, nil
}

func legacyField(r *llm.Request, name string, v gjson.Result) (err *RequestError) {
	if v.Type == gjson.Null {
		return nil
	}
	switch name {
	case "model":
		r.Model, err = text(name, v)
	case "prompt":
		if v.IsArray() && v.Get("#").Int() == 1 {
			v = v.Get("0")
		}
		if v.IsArray() || v.Type == gjson.Number {
			return &RequestError{name, "must be one string: several prompts, or prompts in tokens, are not supported"}
		}
		var prompt string
		prompt, err = text(name, v)
		r.Messages = []llm.Message{{Role: llm.User, Parts: []llm.Part{{Kind: llm.Text, Text: prompt}}}}
	case "max_tokens":
		r.MaxTokens, err = integer(name, v, 1, math.MaxInt64)
	case "n":
		r.N, err = integer(name, v, 1, maxChoices)
	case "logprobs":
		r.TopLogprobs, err = integer(name, v, 0, 5)
		wanted := true
		r.Logprobs = &wanted
	case "stream":
		r.Stream, err = boolean(name, v)
	case "stream_options":
		d := chatDecoder{req: r}
		err = d.streamOptions(v)
	case "echo":
		var echo bool
		if echo, err = boolean(name, v); echo {
			err = &RequestError{name, "is not supported: chat models do not repeat the prompt"}
		}
	case "suffix":
		if v.String() != "" {
			err = &RequestError{name, "is not supported: chat models do not insert text"}
		}
	case "best_of":
		var best *int64
		if best, err = integer(name, v, 1, math.MaxInt64); err == nil && *best > 1 {
			err = &RequestError{name, "is not supported: chat models do not rank their answers"}
		}
	default:
		if known, err := samplingField(r, name, v); known {
			return err
		}
		if !emptyList(v) && v.Raw != "{}" {
			r.Beyond = append(r.Beyond, label(name))
		}
	}
	return err
}

// legacyChoice is one of the answers.
type legacyChoice struct {
	Text     string           `json:"text"`
	Index    int              `json:"index"`
	Logprobs *legacyLogprobs  `json:"logprobs"`
	Finish   llm.FinishReason `json:"finish_reason"`
}

// legacyLogprobs are log probabilities in the older shape.
type legacyLogprobs struct {
	Tokens   []string             `json:"tokens"`
	Logprobs []float64            `json:"token_logprobs"`
	Top      []map[string]float64 `json:"top_logprobs"`
	Offsets  []int                `json:"text_offset"`
}

// finite gives a log probability that JSON can say: OpenAI's word for
// impossible is -9999.
func finite(p float64) float64 { return max(min(p, 0), -9999) }

// legacyLogprobsOf turns log probabilities of chat completions, of which
// offset characters came before, into the older shape. It also gives the
// offset behind them.
func legacyLogprobsOf(raw json.RawMessage, offset int) (*legacyLogprobs, int) {
	if raw == nil {
		return nil, offset
	}
	p := &legacyLogprobs{Tokens: []string{}, Logprobs: []float64{}, Top: []map[string]float64{}, Offsets: []int{}}
	for _, token := range gjson.GetBytes(raw, "content").Array() {
		word := token.Get("token").String()
		p.Tokens = append(p.Tokens, word)
		p.Logprobs = append(p.Logprobs, finite(token.Get("logprob").Float()))
		p.Offsets = append(p.Offsets, offset)
		offset += utf8.RuneCountInString(word)
		top := map[string]float64{}
		for _, other := range token.Get("top_logprobs").Array() {
			top[other.Get("token").String()] = finite(other.Get("logprob").Float())
		}
		p.Top = append(p.Top, top)
	}
	return p, offset
}

// legacyFinish gives the reason in the older words, which know no tools.
func legacyFinish(f llm.FinishReason) llm.FinishReason {
	if f == llm.FinishToolCalls {
		return llm.FinishStop
	}
	return finishOr(f)
}

func openAILegacyAnswer(m Meta, a Answer) []byte {
	body := struct {
		ID      string           `json:"id"`
		Object  string           `json:"object"`
		Created int64            `json:"created"`
		Model   string           `json:"model"`
		Choices []legacyChoice   `json:"choices"`
		Usage   *openAIUsageBody `json:"usage,omitempty"`
	}{ID: legacyID(m.RequestID), Object: "text_completion", Created: m.Created.Unix(), Model: m.Model, Usage: usageBody(a.Usage)}
	choices := a.Choices
	if len(choices) == 0 {
		choices = []Choice{{}}
	}
	for i, c := range choices {
		choice := legacyChoice{Index: i, Finish: legacyFinish(c.Finish)}
		choice.Logprobs, _ = legacyLogprobsOf(c.Logprobs, 0)
		for _, p := range c.Parts {
			if p.Kind == llm.Text || p.Kind == llm.Refusal { // which has no place of its own
				choice.Text += p.Text
			}
		}
		body.Choices = append(body.Choices, choice)
	}
	return marshal(body)
}

// legacyStream writes an answer as text_completion events.
type legacyStream struct {
	head, tail string
	include    bool
	choices    []legacyStreamed
	usage      *llm.Usage
}

type legacyStreamed struct {
	finish llm.FinishReason
	offset int // of the next token in the text, in characters
}

// ContentType gives the media type.
func (s *legacyStream) ContentType() string { return "text/event-stream; charset=utf-8" }

// Chunk appends the text that c tells. Finish reason and usage wait for End.
func (s *legacyStream) Chunk(dst []byte, c llm.Chunk) []byte {
	if c.Usage != nil {
		s.usage = c.Usage
	}
	if c.Choice < 0 || c.Choice >= maxChoices {
		return dst
	}
	for len(s.choices) <= c.Choice {
		s.choices = append(s.choices, legacyStreamed{})
	}
	state := &s.choices[c.Choice]
	if c.Finish != "" {
		state.finish = c.Finish
	}
	said := c.Text + c.Refusal
	if said == "" && c.Logprobs == nil {
		return dst
	}
	var probs *legacyLogprobs
	probs, state.offset = legacyLogprobsOf(c.Logprobs, state.offset)
	dst = s.choice(dst, c.Choice, said, probs)
	dst = append(dst, `null}`...)
	return append(dst, s.tail...)
}

// choice appends an event up to its finish reason.
func (s *legacyStream) choice(dst []byte, i int, said string, probs *legacyLogprobs) []byte {
	dst = append(append(dst, s.head...), '{')
	dst = appendField(dst, "text", said)
	dst = append(dst, `,"index":`...)
	dst = append(dst, marshal(i)...)
	dst = append(dst, `,"logprobs":`...)
	dst = append(dst, marshal(probs)...)
	return append(dst, `,"finish_reason":`...)
}

// End appends the end of a complete answer.
func (s *legacyStream) End(dst []byte) []byte {
	for i, state := range s.choices {
		dst = s.choice(dst, i, "", nil)
		dst = append(dst, marshal(legacyFinish(state.finish))...)
		dst = append(append(dst, '}'), s.tail...)
	}
	return endStream(dst, s.head, s.include, s.usage, "")
}

// Fail appends an error as the last event.
func (s *legacyStream) Fail(dst []byte, p Problem) []byte {
	return OpenAIError{Message: p.Message, Type: p.Type, Param: p.Param, Code: p.Code}.Event(dst)
}

var _ Writer = (*legacyStream)(nil)
