package faults

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"

	"breakwater/internal/llm"
)

// question is what a caller asks, in a dialect of its own.
type question struct {
	dialect llm.Dialect
	model   string
	text    string // echoed by every provider
	stream  bool
	header  map[string]string
}

// dialects lists those of the callers.
func dialects() []llm.Dialect {
	return []llm.Dialect{llm.OpenAIChat, llm.AnthropicMessages, llm.GeminiGenerate, llm.OllamaChat}
}

// native gives the dialect of a provider, in which bytes pass through.
func native(p llm.Provider) llm.Dialect {
	return map[llm.Provider]llm.Dialect{
		llm.OpenAI: llm.OpenAIChat, llm.Claude: llm.AnthropicMessages, llm.Gemini: llm.GeminiGenerate, llm.Local: llm.OllamaChat,
	}[p]
}

// foreign gives another one, from and to which all is translated.
func foreign(p llm.Provider) llm.Dialect {
	all := dialects()
	return all[(slices.Index(all, native(p))+1)%len(all)]
}

// request writes the question as HTTP.
func (q question) request(ctx context.Context, root string) (*http.Request, error) {
	message := map[string]any{"role": "user", "content": "echo " + q.text}
	body := map[string]any{"model": q.model, "messages": []any{message}, "stream": q.stream}
	path := ""
	switch q.dialect {
	case llm.OpenAIChat:
		path = "/v1/chat/completions"
		if q.stream {
			body["stream_options"] = map[string]any{"include_usage": true}
		}
	case llm.AnthropicMessages:
		path = "/v1/messages"
		body["max_tokens"] = 1000
	case llm.GeminiGenerate:
		path = "/v1beta/models/" + q.model + ":generateContent"
		if q.stream {
			path = "/v1beta/models/" + q.model + ":streamGenerateContent?alt=sse"
		}
		body = map[string]any{"contents": []any{map[string]any{"role": "user", "parts": []any{map[string]any{"text": "echo " + q.text}}}}}
	case llm.OllamaChat:
		path = "/api/chat"
	}
	b, err := json.Marshal(body)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, root+path, bytes.NewReader(b))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Anthropic-Version", "2023-06-01")
	for name, value := range q.header {
		req.Header.Set(name, value)
	}
	return req, nil
}

// heard is what came back, as a careful client of the dialect reads it.
type heard struct {
	id      string // of the request
	status  int
	header  http.Header
	body    string
	text    string
	finish  string // the dialect's own word; "" where none came
	marked  bool   // the end mark came, where the dialect has one
	failure string // the message of the error; "" for none
	code    string // of the error: its code or type
	wrong   string // what breaks the dialect's rules; "" for nothing
}

// ask asks and reads to the end.
func (h *house) ask(ctx context.Context, q question) heard {
	req, err := q.request(ctx, h.URL())
	if err != nil {
		return heard{wrong: err.Error()}
	}
	resp, err := h.client.Do(req)
	if err != nil {
		return heard{wrong: err.Error()}
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	a := heard{id: resp.Header.Get("X-Breakwater-Request-Id"), status: resp.StatusCode, header: resp.Header, body: string(body)}
	if err != nil {
		a.wrong = "the body broke off: " + err.Error()
	}
	events := []event{{data: string(body)}}
	if q.stream && resp.StatusCode == http.StatusOK {
		events = a.events(q.dialect)
	}
	for i, e := range events {
		if a.failure != "" || a.marked {
			a.blame("event %d comes after the end", i)
		}
		a.read(q.dialect, e)
	}
	if resp.StatusCode != http.StatusOK && a.failure == "" {
		a.blame("HTTP %d without an error", resp.StatusCode)
	}
	if !q.stream && resp.StatusCode == http.StatusOK {
		a.marked = true
	}
	return a
}

// blame notes the first thing that is wrong.
func (a *heard) blame(format string, args ...any) {
	if a.wrong == "" {
		a.wrong = fmt.Sprintf(format, args...)
	}
}

// event is one piece of a stream.
type event struct{ name, data string }

// events takes a stream apart: server-sent events, or lines of JSON.
func (a *heard) events(d llm.Dialect) (list []event) {
	if d == llm.OllamaChat {
		for line := range strings.Lines(a.body) {
			list = append(list, event{data: strings.TrimSuffix(line, "\n")})
		}
		return list
	}
	body := strings.ReplaceAll(a.body, "\r\n", "\n")
	if body != "" && !strings.HasSuffix(body, "\n\n") {
		a.blame("the last event has no end")
	}
	for block := range strings.SplitSeq(strings.TrimSuffix(body, "\n\n"), "\n\n") {
		var e event
		for line := range strings.SplitSeq(block, "\n") {
			field, value, _ := strings.Cut(line, ":")
			switch value = strings.TrimPrefix(value, " "); field {
			case "event":
				e.name = value
			case "data":
				e.data += value
			case "": // a comment
			default:
				a.blame("a line that is no event: %q", line)
			}
		}
		if e.data != "" {
			list = append(list, e)
		}
	}
	return list
}

// said is what a body or an event may hold, in all dialects at once.
type said struct {
	Type    string
	Choices []struct {
		Message, Delta struct{ Content string }
		Finish         string `json:"finish_reason"`
	}
	Content    []struct{ Text string } // Anthropic
	StopReason string                  `json:"stop_reason"`
	Delta      struct {
		Text       string
		StopReason string `json:"stop_reason"`
	}
	Candidates []struct {
		Content struct{ Parts []struct{ Text string } }
		Finish  string `json:"finishReason"`
	}
	Feedback struct{ BlockReason string } `json:"promptFeedback"`
	Message  json.RawMessage              // Ollama, and otherwise Anthropic
	Done     bool
	Reason   string `json:"done_reason"`
	Error    json.RawMessage
}

// read takes one event in.
func (a *heard) read(d llm.Dialect, e event) {
	if d == llm.OpenAIChat && e.data == "[DONE]" {
		a.marked = true
		return
	}
	var s said
	if err := json.Unmarshal([]byte(e.data), &s); err != nil {
		a.blame("no JSON: %v in %.80q", err, e.data)
		return
	}
	if s.Error != nil {
		a.refused(d, e, s)
		return
	}
	switch d {
	case llm.OpenAIChat:
		for _, c := range s.Choices {
			a.text += c.Message.Content + c.Delta.Content
			a.finish += c.Finish
		}
	case llm.AnthropicMessages:
		if e.name != "" && e.name != s.Type {
			a.blame("event %s has the type %s", e.name, s.Type)
		}
		for _, c := range s.Content {
			a.text += c.Text
		}
		a.text += s.Delta.Text
		a.finish += s.StopReason + s.Delta.StopReason
		a.marked = a.marked || s.Type == "message_stop"
	case llm.GeminiGenerate:
		for _, c := range s.Candidates {
			for _, p := range c.Content.Parts {
				a.text += p.Text
			}
			a.finish += c.Finish
			a.marked = a.marked || c.Finish != ""
		}
		a.finish += s.Feedback.BlockReason
		a.marked = a.marked || s.Feedback.BlockReason != ""
	case llm.OllamaChat:
		var message struct{ Content string }
		if err := json.Unmarshal(s.Message, &message); err != nil {
			a.blame("no message: %v", err)
		}
		a.text += message.Content
		a.finish += s.Reason
		a.marked = a.marked || s.Done
	}
}

// refused takes an error in, and sees that it has the shape of the dialect.
func (a *heard) refused(d llm.Dialect, e event, s said) {
	var told struct {
		Message, Type, Status string
		Code                  any
	}
	err := json.Unmarshal(s.Error, &told)
	a.failure, a.code = told.Message, told.Type
	switch d {
	case llm.OpenAIChat:
		if told.Type == "" {
			a.blame("an error without a type: %s", s.Error)
		}
		if code, ok := told.Code.(string); ok {
			a.code = code
		}
	case llm.AnthropicMessages:
		if s.Type != "error" || told.Type == "" || e.name != "" && e.name != "error" {
			a.blame("an error of type %q and %q in event %q", s.Type, told.Type, e.name)
		}
	case llm.GeminiGenerate:
		if a.code = told.Status; told.Status == "" {
			a.blame("an error without a status: %s", s.Error)
		}
		if code, _ := told.Code.(float64); a.status != http.StatusOK && int(code) != a.status {
			a.blame("the error says %v and HTTP %d", told.Code, a.status)
		}
	case llm.OllamaChat:
		err = json.Unmarshal(s.Error, &a.failure)
	}
	if err != nil || a.failure == "" {
		a.blame("an error without a message: %s", s.Error)
	}
}

// whole says whether this is the whole answer, and nothing but it.
func (a heard) whole(want string) bool {
	return a.status == http.StatusOK && a.wrong == "" && a.failure == "" && a.marked && a.text == want &&
		slices.Contains([]string{"stop", "end_turn", "STOP"}, a.finish)
}

// clean says whether this is one clean error: with what came before it, if
// anything did, nobody can take it for an answer.
func (a heard) clean(want string) bool {
	return a.wrong == "" && a.failure != "" && a.finish == "" && !(a.marked && a.status == http.StatusOK) && strings.HasPrefix(want, a.text)
}

// filtered says whether the answer says of itself that a filter ended it.
func (a heard) filtered(want string) bool {
	return a.status == http.StatusOK && a.wrong == "" && a.failure == "" && a.marked && strings.HasPrefix(want, a.text) &&
		slices.Contains([]string{"content_filter", "refusal", "SAFETY", "PROHIBITED_CONTENT"}, a.finish)
}
