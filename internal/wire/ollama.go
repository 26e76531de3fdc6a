package wire

import (
	"breakwater/internal/llm"

	"github.com/tidwall/gjson"
)

// This path speaks to Ollama with structs of its own: the client of package
// github.com/ollama/ollama/api takes a buffer of 8 MB for every streaming call
// (v0.34).

type ollamaMessage struct {
	Role    llm.Role `json:"role"`
	Content string   `json:"content"`
}

type ollamaOptions struct {
	Temperature      *float64 `json:"temperature,omitempty"`
	TopP             *float64 `json:"top_p,omitempty"`
	TopK             *int64   `json:"top_k,omitempty"`
	NumPredict       *int64   `json:"num_predict,omitempty"`
	Seed             *int64   `json:"seed,omitempty"`
	FrequencyPenalty *float64 `json:"frequency_penalty,omitempty"`
	PresencePenalty  *float64 `json:"presence_penalty,omitempty"`
	Stop             []string `json:"stop,omitempty"`
}

// encodeOllama writes the body of POST /api/chat, see
// https://github.com/ollama/ollama/blob/main/docs/api.md (2026-11). It always
// asks for a stream: a local model may think for minutes, and only a stream
// tells thinking from hanging.
func encodeOllama(model string, req *llm.Request) (Encoded, error) {
	if err := translatable(req, llm.OllamaChat); err != nil {
		return Encoded{}, err
	}
	body := struct {
		Model    string          `json:"model"`
		Messages []ollamaMessage `json:"messages"`
		Stream   bool            `json:"stream"`
		Options  ollamaOptions   `json:"options,omitzero"`
	}{Model: model, Messages: []ollamaMessage{}, Stream: true}
	body.Options = ollamaOptions{
		Temperature: req.Temperature, TopP: req.TopP, TopK: req.TopK, NumPredict: req.MaxTokens,
		Seed: req.Seed, FrequencyPenalty: req.FrequencyPenalty, PresencePenalty: req.PresencePenalty,
		Stop: req.Stop,
	}
	var a adjusted
	a.names(req.Messages)
	a.dropped("user", req.User != "")
	for _, m := range req.Messages {
		if m.Role == llm.Developer {
			m.Role = llm.System
		}
		body.Messages = append(body.Messages, ollamaMessage{m.Role, m.Text()})
	}
	return encoded(body, a)
}

// ollamaEvents reads the lines of a streamed answer. The one that says done
// ends it; a line with an error may come at any time. Thinking is not text:
// it is content for those who speak Ollama's dialect.
func ollamaEvents(req *llm.Request) decoder {
	own := req.Dialect == llm.OllamaChat
	called := false // tools were called: the answer finishes with "stop" all the same
	return func(e Event) (c llm.Chunk, at progress, f *llm.Failure) {
		o, ok := object(e.Data)
		switch {
		case !ok:
			return c, more, garbage("a line of the answer is not a JSON object", nil)
		case o.Get("error").Exists():
			return c, more, ollamaFailure(0, e.Data)
		}
		message := o.Get("message")
		c.Model = o.Get("model").String()
		c.Text = message.Get("content").String()
		if calls := message.Get("tool_calls"); calls.IsArray() && !emptyList(calls) {
			called = true
			c.Opaque = true
		}
		if own && message.Get("thinking").String() != "" {
			c.Opaque = true
		}
		if !o.Get("done").Bool() {
			return c, more, nil
		}
		c.Finish = ollamaFinish(o.Get("done_reason"), called)
		c.Usage = ollamaUsage(o)
		return c, ended, nil
	}
}

func ollamaFinish(reason gjson.Result, called bool) llm.FinishReason {
	switch {
	case reason.String() == "length":
		return llm.FinishLength
	case called:
		return llm.FinishToolCalls
	}
	return llm.FinishStop
}

// ollamaUsage reads the counts of the last line; nil where there are none.
func ollamaUsage(o gjson.Result) *llm.Usage {
	input, output := o.Get("prompt_eval_count"), o.Get("eval_count")
	if !input.Exists() && !output.Exists() {
		return nil
	}
	return &llm.Usage{Input: count(input), Output: count(output)}
}

// wholeOllama reads an answer that was not streamed.
func wholeOllama(body []byte, req *llm.Request) (llm.Chunk, error) {
	c, at, f := ollamaEvents(req)(Event{Data: body})
	switch {
	case f != nil:
		return llm.Chunk{}, f
	case at != ended:
		return llm.Chunk{}, garbage("the answer is not whole", nil)
	}
	c.Raw = body
	return c, nil
}
