package wire

import (
	"bytes"
	"encoding/json"
	"strings"

	"breakwater/internal/llm"

	"github.com/tidwall/gjson"
	"github.com/tidwall/sjson"
)

// encodeOpenAI writes the body of POST /chat/completions, see
// https://platform.openai.com/docs/api-reference/chat/create (2026-11).
func encodeOpenAI(model string, req *llm.Request) (Encoded, error) {
	if req.Dialect == llm.OpenAIChat {
		return spliceOpenAI(model, req)
	}
	if err := translatable(req, llm.OpenAIChat); err != nil {
		return Encoded{}, err
	}
	type message struct {
		Role    llm.Role `json:"role"`
		Content string   `json:"content"`
		Name    string   `json:"name,omitempty"`
	}
	type streamOptions struct {
		IncludeUsage bool `json:"include_usage"`
	}
	body := struct {
		Model               string         `json:"model"`
		Messages            []message      `json:"messages"`
		MaxTokens           *int64         `json:"max_tokens,omitempty"`
		MaxCompletionTokens *int64         `json:"max_completion_tokens,omitempty"`
		Temperature         *float64       `json:"temperature,omitempty"`
		TopP                *float64       `json:"top_p,omitempty"`
		FrequencyPenalty    *float64       `json:"frequency_penalty,omitempty"`
		PresencePenalty     *float64       `json:"presence_penalty,omitempty"`
		Seed                *int64         `json:"seed,omitempty"`
		Stop                []string       `json:"stop,omitempty"`
		User                string         `json:"user,omitempty"`
		Stream              bool           `json:"stream,omitempty"`
		StreamOptions       *streamOptions `json:"stream_options,omitempty"`
	}{
		Model: model, Seed: req.Seed, Stop: req.Stop, User: req.User, Stream: req.Stream,
	}
	var a adjusted
	instructions := llm.System
	if openAIReasons(model) {
		instructions = llm.Developer
		body.MaxCompletionTokens = req.MaxTokens
		a.dropped("temperature", isSet(req.Temperature, 1))
		a.dropped("top_p", isSet(req.TopP, 1))
		a.dropped("frequency_penalty", isSet(req.FrequencyPenalty, 0))
		a.dropped("presence_penalty", isSet(req.PresencePenalty, 0))
	} else {
		body.MaxTokens = req.MaxTokens
		body.Temperature, body.TopP = req.Temperature, req.TopP
		body.FrequencyPenalty, body.PresencePenalty = req.FrequencyPenalty, req.PresencePenalty
	}
	a.dropped("top_k", req.TopK != nil)
	if req.Stream {
		body.StreamOptions = &streamOptions{IncludeUsage: true}
	}
	for _, m := range req.Messages {
		if m.Role == llm.System || m.Role == llm.Developer {
			m.Role = instructions
		}
		body.Messages = append(body.Messages, message{m.Role, m.Text(), m.Name})
	}
	return encoded(body, a)
}

// encoded marshals a body.
func encoded(body any, a adjusted) (Encoded, error) {
	b, err := json.Marshal(body)
	if err != nil { // NaN and infinity, which no door lets in
		return Encoded{}, &RequestError{Message: "a number cannot be written as JSON"}
	}
	return Encoded{Body: b, Adjusted: a}, nil
}

// spliceOpenAI keeps the caller's body but for the model's name and, so that
// every stream's tokens are counted, stream_options.include_usage.
func spliceOpenAI(model string, req *llm.Request) (Encoded, error) {
	body := []byte(req.Body)
	var err error
	if gjson.GetBytes(body, "model").String() != model {
		if body, err = sjson.SetBytes(body, "model", model); err != nil {
			return Encoded{}, &RequestError{"model", "cannot be replaced in the body"}
		}
	}
	if req.Stream && !req.IncludeUsage {
		path, value := "stream_options.include_usage", `true`
		if !gjson.GetBytes(body, "stream_options").IsObject() {
			path, value = "stream_options", `{"include_usage":true}`
		}
		if body, err = sjson.SetRawBytes(body, path, []byte(value)); err != nil {
			return Encoded{}, &RequestError{"stream_options", "cannot be extended in the body"}
		}
	}
	return Encoded{Body: body}, nil
}

// openAIReasons says whether a model is one of OpenAI's reasoning models (o1
// and later, gpt-5 and later): they want max_completion_tokens and developer
// messages, and most of them refuse other sampling than the default, see
// https://platform.openai.com/docs/guides/reasoning (2026-11). A model of
// theirs that would take a temperature is served without it.
func openAIReasons(model string) bool {
	name := strings.TrimPrefix(model, "ft:")
	if version, ok := strings.CutPrefix(name, "gpt-"); ok {
		digits := strings.TrimLeft(version, "0123456789")
		number := version[:len(version)-len(digits)]
		return len(number) > 1 || number >= "5"
	}
	return len(name) > 1 && name[0] == 'o' && '0' < name[1] && name[1] <= '9'
}

// openAIFinish reads a finish_reason. One that is not known ended the answer
// in order all the same.
func openAIFinish(v gjson.Result) llm.FinishReason {
	switch v.String() {
	case "":
		return ""
	case "length":
		return llm.FinishLength
	case "tool_calls", "function_call":
		return llm.FinishToolCalls
	case "content_filter":
		return llm.FinishContentFilter
	}
	return llm.FinishStop
}

// openAIUsage reads a usage object; nil where there is none.
func openAIUsage(v gjson.Result) *llm.Usage {
	if !v.IsObject() {
		return nil
	}
	return &llm.Usage{
		Input:      count(v.Get("prompt_tokens")),
		CacheRead:  count(v.Get("prompt_tokens_details.cached_tokens")),
		CacheWrite: count(v.Get("prompt_tokens_details.cache_write_tokens")),
		Output:     count(v.Get("completion_tokens")),
		Reasoning:  count(v.Get("completion_tokens_details.reasoning_tokens")),
	}
}

// openAIContent reads a message or a delta into c. What a caller of the same
// dialect sees beside text makes c opaque: for another caller only what other
// words could not say either.
func openAIContent(c *llm.Chunk, v gjson.Result, own bool) {
	v.ForEach(func(key, v gjson.Result) bool {
		given := v.Type != gjson.Null && v.Raw != `""` && !emptyList(v)
		switch key.Str {
		case "content":
			if v.Type == gjson.String {
				c.Text = v.String()
			} else if given {
				c.Opaque = true
			}
		case "tool_calls", "function_call", "refusal", "audio":
			c.Opaque = c.Opaque || given
		case "reasoning_content", "reasoning": // of compatible servers
			c.Opaque = c.Opaque || own && given
		}
		return true
	})
}

// wholeOpenAI reads a chat completion.
func wholeOpenAI(body []byte, req *llm.Request) (llm.Chunk, error) {
	o, ok := object(body)
	choices := o.Get("choices")
	switch {
	case !ok:
		return llm.Chunk{}, garbage("the answer is not a JSON object", nil)
	case o.Get("error").IsObject():
		return llm.Chunk{}, openAIFailure(0, body)
	case !choices.IsArray() || choices.Get("#").Int() == 0:
		return llm.Chunk{}, garbage("the answer has no choices", nil)
	}
	c := llm.Chunk{ID: o.Get("id").String(), Model: o.Get("model").String(), Usage: openAIUsage(o.Get("usage")), Raw: body}
	first := choices.Get("0")
	openAIContent(&c, first.Get("message"), req.Dialect == llm.OpenAIChat)
	c.Finish = openAIFinish(first.Get("finish_reason"))
	c.Opaque = c.Opaque || choices.Get("#").Int() > 1
	if !c.HasContent() {
		return llm.Chunk{}, garbage("the answer is empty", nil)
	}
	return c, nil
}

// openAIEvents reads chat completion chunks. The stream ends with [DONE]; the
// usage comes before it in a chunk of its own without choices, which is hidden
// when the caller did not ask for it.
func openAIEvents(req *llm.Request) decoder {
	own := req.Dialect == llm.OpenAIChat
	return func(e Event) (llm.Chunk, progress, *llm.Failure) {
		if string(bytes.TrimSpace(e.Data)) == "[DONE]" {
			return llm.Chunk{}, ended, nil
		}
		o, ok := object(e.Data)
		if !ok {
			return llm.Chunk{}, more, garbage("an event of the answer is not a JSON object", nil)
		}
		var c llm.Chunk
		var failed bool
		choices := 0
		o.ForEach(func(key, v gjson.Result) bool {
			switch key.Str {
			case "error":
				failed = v.Type != gjson.Null
			case "id":
				c.ID = v.String()
			case "model":
				c.Model = v.String()
			case "usage":
				c.Usage = openAIUsage(v)
			case "choices":
				v.ForEach(func(_, choice gjson.Result) bool {
					choices++
					if choice.Get("index").Int() != 0 {
						c.Opaque = true // only the first of several answers is read
						return true
					}
					openAIContent(&c, choice.Get("delta"), own)
					c.Finish = openAIFinish(choice.Get("finish_reason"))
					return true
				})
			}
			return true
		})
		if failed {
			return llm.Chunk{}, more, openAIFailure(0, e.Data)
		}
		c.Hidden = own && !req.IncludeUsage && choices == 0 && c.Usage != nil
		return c, more, nil
	}
}
