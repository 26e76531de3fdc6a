package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/ollama/ollama/api"
)

// bearer adds a key, for which Ollama's SDK has no setting.
type bearer string

func (b bearer) RoundTrip(req *http.Request) (*http.Response, error) {
	req = req.Clone(req.Context())
	req.Header.Set("Authorization", "Bearer "+string(b))
	return http.DefaultTransport.RoundTrip(req)
}

func ollamaDoors(r run) ([]door, error) {
	base, err := url.Parse(r.url)
	if err != nil {
		return nil, err
	}
	client := func(key string) *api.Client { return api.NewClient(base, &http.Client{Transport: bearer(key)}) }
	shared := door{
		client: "ollama-go",
		words:  map[string]string{"stop": "stop", "sequence": "stop", "length": "length", "calls": "stop"},
		problem: func(err error) (problem, bool) {
			var e api.StatusError
			var denied api.AuthorizationError
			switch {
			case errors.As(err, &e):
				return problem{e.StatusCode, "", e.ErrorMessage}, true
			case errors.As(err, &denied):
				return problem{denied.StatusCode, "", denied.Status}, true
			}
			return problem{}, false
		},
		models: func(ctx context.Context) ([]string, error) { return ollamaModels(ctx, client(r.key), r.provider) },
		embed: func(ctx context.Context, model string, texts []string, dimensions int) (vectors, error) {
			return ollamaEmbed(ctx, client(r.key), model, texts, dimensions)
		},
	}
	chat, generate := shared, shared
	chat.name = "ollama-chat"
	chat.cannot = map[string]string{
		"forced_tool": "it knows no call that must be made", "image_url": "images come as base64 only",
		"tool_error": "a tool's result has no mark of an error", "tool_image": "a tool's result is text", "document": "it takes no documents", "audio": "it takes no audio",
		"n": "it gives one answer", "count": "Ollama counts no tokens",
	}
	chat.chat = func(ctx context.Context, key string, a ask) (said, error) { return ollamaChat(ctx, client(key), a) }
	chat.malformed = func(ctx context.Context) error {
		return client(r.key).Chat(ctx, &api.ChatRequest{Model: r.provider, Messages: []api.Message{{Role: "user", Content: "hi"}}, Format: json.RawMessage(`"xml"`)}, func(api.ChatResponse) error { return nil })
	}
	generate.name = "ollama-generate"
	generate.cannot = map[string]string{
		"multi_turn": "a prompt is one turn", "image_url": "images come as base64 only", "document": "it takes no documents", "audio": "it takes no audio",
		"n": "it gives one answer", "count": "Ollama counts no tokens",
	}
	for _, f := range []string{"tool", "forced_tool", "parallel_tools", "streamed_tools", "tool_loop", "tool_error", "tool_image", "handover"} {
		generate.cannot[f] = "it knows no tools"
	}
	generate.chat = func(ctx context.Context, key string, a ask) (said, error) { return ollamaGenerate(ctx, client(key), a) }
	generate.malformed = func(ctx context.Context) error {
		return client(r.key).Generate(ctx, &api.GenerateRequest{Model: r.provider, Prompt: "hi", Format: json.RawMessage(`"xml"`)}, func(api.GenerateResponse) error { return nil })
	}
	return []door{chat, generate}, nil
}

// ollamaModels asks everything that Ollama tells of models and of itself.
func ollamaModels(ctx context.Context, client *api.Client, provider string) ([]string, error) {
	list, err := client.List(ctx)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, m := range list.Models {
		names = append(names, m.Name)
	}
	if _, err := client.Show(ctx, &api.ShowRequest{Model: provider}); err != nil {
		return nil, err
	}
	if i := slices.IndexFunc(names, func(name string) bool { return strings.HasSuffix(name, ":latest") }); provider == "local" && i >= 0 {
		shown, err := client.Show(ctx, &api.ShowRequest{Model: names[i]})
		if err != nil {
			return nil, err
		}
		if !slices.Contains(shown.Capabilities, "completion") { // as the local server itself tells
			return nil, fmt.Errorf("%s can do %v", names[i], shown.Capabilities)
		}
	}
	version, err := client.Version(ctx)
	if err != nil {
		return nil, err
	}
	if _, err := client.ListRunning(ctx); err != nil {
		return nil, err
	}
	return names, errors.Join(client.Heartbeat(ctx), must("it tells a version", version != ""))
}

func ollamaEmbed(ctx context.Context, client *api.Client, model string, texts []string, dimensions int) (vectors, error) {
	req := &api.EmbedRequest{Model: model, Input: texts, Dimensions: dimensions}
	if len(texts) == 1 {
		req.Input = texts[0]
	}
	res, err := client.Embed(ctx, req)
	if err != nil {
		return vectors{}, err
	}
	v := vectors{usage: int64(res.PromptEvalCount)}
	for _, e := range res.Embeddings {
		var x []float64
		for _, c := range e {
			x = append(x, float64(c))
		}
		v.list = append(v.list, x)
	}
	if dimensions > 0 || len(texts) > 1 {
		return v, nil
	}
	older, err := client.Embeddings(ctx, &api.EmbeddingRequest{Model: model, Prompt: texts[0]})
	if err != nil {
		return vectors{}, fmt.Errorf("the older call: %w", err)
	}
	if len(v.list) != 1 || len(older.Embedding) != len(v.list[0]) {
		return vectors{}, fmt.Errorf("the older call gives %d dimensions", len(older.Embedding))
	}
	return v, nil
}

func ollamaOptions(a ask) map[string]any {
	options := map[string]any{}
	if a.stop != "" {
		options["stop"] = []string{a.stop}
	}
	if a.maxTokens > 0 {
		options["num_predict"] = a.maxTokens
	}
	return options
}

func ollamaFormat(a ask) json.RawMessage {
	if a.jsonMode {
		return json.RawMessage(`"json"`)
	}
	return a.schema
}

func ollamaThink(a ask) *api.ThinkValue {
	if !a.think {
		return nil
	}
	return &api.ThinkValue{Value: true}
}

func ollamaChat(ctx context.Context, client *api.Client, a ask) (said, error) {
	req := &api.ChatRequest{Model: a.model, Stream: &a.stream, Format: ollamaFormat(a), Options: ollamaOptions(a), Think: ollamaThink(a)}
	if a.logprobs {
		req.Logprobs, req.TopLogprobs = true, 2
	}
	if a.system != "" {
		req.Messages = append(req.Messages, api.Message{Role: "system", Content: a.system})
	}
	for _, t := range a.turns {
		switch {
		case t.own != nil:
			req.Messages = append(req.Messages, t.own.(api.Message))
		case t.assistant != "":
			req.Messages = append(req.Messages, api.Message{Role: "assistant", Content: t.assistant})
		case t.results != nil:
			for _, res := range t.results {
				req.Messages = append(req.Messages, api.Message{Role: "tool", Content: res.text, ToolName: res.name, ToolCallID: res.id})
			}
		default:
			m := api.Message{Role: "user", Content: t.user}
			for _, medium := range t.media {
				m.Images = append(m.Images, medium.data)
			}
			req.Messages = append(req.Messages, m)
		}
	}
	for _, t := range a.tools {
		tool := api.Tool{Type: "function", Function: api.ToolFunction{Name: t.name, Description: t.description}}
		if err := json.Unmarshal(t.schema, &tool.Function.Parameters); err != nil {
			return said{}, err
		}
		req.Tools = append(req.Tools, tool)
	}
	s := said{texts: []string{""}}
	own := api.Message{Role: "assistant"}
	err := client.Chat(ctx, req, func(res api.ChatResponse) error {
		own.Content += res.Message.Content
		own.Thinking += res.Message.Thinking
		own.ToolCalls = append(own.ToolCalls, res.Message.ToolCalls...)
		for _, c := range res.Message.ToolCalls {
			args, err := json.Marshal(c.Function.Arguments)
			if err != nil {
				return err
			}
			s.calls = append(s.calls, call{c.ID, c.Function.Name, string(args)})
		}
		s.event(a, res.Model, res.Message.Content, res.Message.Thinking, res.DoneReason, res.Metrics, len(res.Logprobs))
		return nil
	})
	s.own = own
	return s, ended(s, err)
}

func ollamaGenerate(ctx context.Context, client *api.Client, a ask) (said, error) {
	req := &api.GenerateRequest{
		Model: a.model, Prompt: a.turns[0].user, System: a.system, Stream: &a.stream,
		Format: ollamaFormat(a), Options: ollamaOptions(a), Think: ollamaThink(a),
	}
	if a.logprobs {
		req.Logprobs, req.TopLogprobs = true, 2
	}
	for _, m := range a.turns[0].media {
		req.Images = append(req.Images, m.data)
	}
	s := said{texts: []string{""}}
	err := client.Generate(ctx, req, func(res api.GenerateResponse) error {
		s.event(a, res.Model, res.Response, res.Thinking, res.DoneReason, res.Metrics, len(res.Logprobs))
		return nil
	})
	return s, ended(s, err)
}

// event adds a line of an answer.
func (s *said) event(a ask, model, text, thinking, finish string, m api.Metrics, logprobs int) {
	s.events++
	s.model, s.finish = model, finish
	s.texts[0] += text
	s.thinking += thinking
	s.logprobs += logprobs
	s.usage = usage{int64(m.PromptEvalCount), int64(m.EvalCount), -1, -1}
	if a.onEvent != nil {
		a.onEvent()
	}
}

// ended holds that an answer has its last line.
func ended(s said, err error) error {
	if err == nil && s.finish == "" {
		return fmt.Errorf("the answer has no last line after %d lines", s.events)
	}
	return err
}
