package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"google.golang.org/genai"
)

func (r run) gemini(key string) (*genai.Client, error) {
	return genai.NewClient(context.Background(), &genai.ClientConfig{
		APIKey: key, Backend: genai.BackendGeminiAPI, HTTPOptions: genai.HTTPOptions{BaseURL: r.url},
	})
}

func geminiDoor(r run) (door, error) {
	client, err := r.gemini(r.key)
	if err != nil {
		return door{}, err
	}
	stranger, err := r.gemini("wrong-key")
	if err != nil {
		return door{}, err
	}
	return door{
		client: "genai-go", name: "gemini-generate",
		words: map[string]string{"stop": "STOP", "sequence": "STOP", "length": "MAX_TOKENS", "calls": "STOP"},
		kinds: map[int]string{400: "INVALID_ARGUMENT", 401: "UNAUTHENTICATED", 404: "NOT_FOUND", 429: "RESOURCE_EXHAUSTED"},
		chat: func(ctx context.Context, key string, a ask) (said, error) {
			c := client
			if key != r.key {
				c = stranger
			}
			contents, config := geminiParams(a)
			if a.stream {
				return geminiStream(ctx, c, contents, config, a)
			}
			answer, err := c.Models.GenerateContent(ctx, a.model, contents, config)
			if err != nil {
				return said{}, err
			}
			var s said
			return s, s.addGemini(answer)
		},
		malformed: func(ctx context.Context) error {
			_, err := client.Models.GenerateContent(ctx, r.provider, genai.Text("hi"), &genai.GenerateContentConfig{
				HTTPOptions: &genai.HTTPOptions{ExtraBody: map[string]any{"contents": 7}},
			})
			return err
		},
		problem: func(err error) (problem, bool) {
			var e genai.APIError
			if !errors.As(err, &e) {
				return problem{}, false
			}
			return problem{e.Code, e.Status, e.Message}, true
		},
		models: func(ctx context.Context) ([]string, error) {
			var names []string
			for m, err := range client.Models.All(ctx) {
				if err != nil {
					return nil, err
				}
				names = append(names, strings.TrimPrefix(m.Name, "models/"))
			}
			one, err := client.Models.Get(ctx, r.provider, nil)
			if err != nil {
				return nil, err
			}
			return names, same("one model", one.Name, "models/"+r.provider)
		},
		count: func(ctx context.Context, text string) (int64, error) {
			n, err := client.Models.CountTokens(ctx, r.provider, genai.Text(text), nil)
			if err != nil {
				return 0, err
			}
			return int64(n.TotalTokens), nil
		},
		embed: func(ctx context.Context, model string, texts []string, dimensions int) (vectors, error) {
			return geminiEmbed(ctx, client, model, texts, dimensions)
		},
	}, nil
}

func geminiEmbed(ctx context.Context, client *genai.Client, model string, texts []string, dimensions int) (vectors, error) {
	var contents []*genai.Content
	for _, text := range texts {
		contents = append(contents, genai.NewContentFromText(text, genai.RoleUser))
	}
	config := &genai.EmbedContentConfig{}
	if dimensions > 0 {
		config.OutputDimensionality = genai.Ptr(int32(dimensions))
	}
	res, err := client.Models.EmbedContent(ctx, model, contents, config)
	if err != nil {
		return vectors{}, err
	}
	v := vectors{usage: -1}
	for _, e := range res.Embeddings {
		var x []float64
		for _, c := range e.Values {
			x = append(x, float64(c))
		}
		v.list = append(v.list, x)
	}
	return v, nil
}

func geminiParams(a ask) ([]*genai.Content, *genai.GenerateContentConfig) {
	config := &genai.GenerateContentConfig{CandidateCount: int32(a.n), MaxOutputTokens: int32(a.maxTokens)}
	if a.system != "" {
		config.SystemInstruction = genai.NewContentFromText(a.system, genai.RoleUser)
	}
	var contents []*genai.Content
	for _, t := range a.turns {
		contents = append(contents, geminiContent(t))
	}
	var functions []*genai.FunctionDeclaration
	for _, t := range a.tools {
		functions = append(functions, &genai.FunctionDeclaration{Name: t.name, Description: t.description, ParametersJsonSchema: t.schema})
	}
	if functions != nil {
		config.Tools = []*genai.Tool{{FunctionDeclarations: functions}}
	}
	if a.force != "" {
		config.ToolConfig = &genai.ToolConfig{FunctionCallingConfig: &genai.FunctionCallingConfig{
			Mode: genai.FunctionCallingConfigModeAny, AllowedFunctionNames: []string{a.force},
		}}
	}
	if a.schema != nil {
		config.ResponseMIMEType, config.ResponseJsonSchema = "application/json", a.schema
	}
	if a.jsonMode {
		config.ResponseMIMEType = "application/json"
	}
	if a.stop != "" {
		config.StopSequences = []string{a.stop}
	}
	if a.logprobs {
		config.ResponseLogprobs, config.Logprobs = true, genai.Ptr(int32(2))
	}
	if a.think {
		config.ThinkingConfig = &genai.ThinkingConfig{IncludeThoughts: true, ThinkingLevel: genai.ThinkingLevelHigh}
	}
	return contents, config
}

func geminiContent(t turn) *genai.Content {
	switch {
	case t.own != nil:
		return t.own.(*genai.Content)
	case t.assistant != "":
		return genai.NewContentFromText(t.assistant, genai.RoleModel)
	}
	var parts []*genai.Part
	for _, res := range t.results {
		response := map[string]any{"error": res.text}
		if !res.failed && json.Unmarshal([]byte(res.text), &response) == nil {
			delete(response, "error")
		}
		part := genai.NewPartFromFunctionResponse(res.name, response)
		part.FunctionResponse.ID = res.id
		if res.picture != nil {
			part.FunctionResponse.Parts = []*genai.FunctionResponsePart{genai.NewFunctionResponsePartFromBytes(res.picture, "image/png")}
		}
		parts = append(parts, part)
	}
	for _, m := range t.media {
		if m.url != "" {
			parts = append(parts, genai.NewPartFromURI(m.url, m.mime))
		} else {
			parts = append(parts, genai.NewPartFromBytes(m.data, m.mime))
		}
	}
	if t.user != "" {
		parts = append(parts, genai.NewPartFromText(t.user))
	}
	return genai.NewContentFromParts(parts, genai.RoleUser)
}

// addGemini adds an answer, or a piece of one, whose shape is the same.
func (s *said) addGemini(res *genai.GenerateContentResponse) error {
	s.id, s.model = res.ResponseID, res.ModelVersion
	if u := res.UsageMetadata; u != nil {
		s.usage = usage{int64(u.PromptTokenCount), int64(u.CandidatesTokenCount), int64(u.ThoughtsTokenCount), int64(u.TotalTokenCount)}
	}
	for _, c := range res.Candidates {
		for len(s.texts) <= int(c.Index) {
			s.texts = append(s.texts, "")
		}
		if c.LogprobsResult != nil {
			s.logprobs += len(c.LogprobsResult.ChosenCandidates)
		}
		if c.FinishReason != "" {
			s.finish = string(c.FinishReason)
		}
		if c.Content == nil {
			continue
		}
		own, _ := s.own.(*genai.Content)
		if own == nil {
			own = &genai.Content{Role: genai.RoleModel}
		}
		for _, p := range c.Content.Parts {
			if c.Index == 0 && (p.Text != "" || p.FunctionCall != nil || p.ThoughtSignature != nil) { // the SDK's own chats leave empty ones out, too
				own.Parts = append(own.Parts, p)
			}
			switch {
			case p.FunctionCall != nil:
				args, err := json.Marshal(p.FunctionCall.Args)
				if err != nil {
					return err
				}
				s.calls = append(s.calls, call{p.FunctionCall.ID, p.FunctionCall.Name, string(args)})
			case p.Thought:
				s.thinking += p.Text
			default:
				s.texts[c.Index] += p.Text
			}
		}
		s.own = own
	}
	return nil
}

func geminiStream(ctx context.Context, client *genai.Client, contents []*genai.Content, config *genai.GenerateContentConfig, a ask) (said, error) {
	var s said
	for res, err := range client.Models.GenerateContentStream(ctx, a.model, contents, config) {
		if err != nil {
			return said{}, err
		}
		s.events++
		if err := s.addGemini(res); err != nil {
			return said{}, err
		}
		if a.onEvent != nil {
			a.onEvent()
		}
	}
	if s.finish == "" {
		return said{}, fmt.Errorf("the stream has no finish reason after %d events: %w", s.events, context.Cause(ctx))
	}
	return s, nil
}
