package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/anthropics/anthropic-sdk-go"
	"github.com/anthropics/anthropic-sdk-go/option"
)

func (r run) anthropic(key string) anthropic.Client {
	return anthropic.NewClient(option.WithoutEnvironmentDefaults(), option.WithBaseURL(r.url), option.WithAPIKey(key), option.WithMaxRetries(0),
		option.WithHeader("anthropic-beta", "harbour-2026-11-01"))
}

func anthropicDoor(r run) door {
	return door{
		client: "anthropic-go", name: "anthropic-messages",
		words: map[string]string{"stop": "end_turn", "sequence": "stop_sequence HALT", "length": "max_tokens", "calls": "tool_use"},
		kinds: map[int]string{400: "invalid_request_error", 401: "authentication_error", 404: "not_found_error", 429: "rate_limit_error"},
		alone: true, pieces: true,
		cannot: map[string]string{
			"json_mode": "Anthropic knows JSON of a schema only", "n": "it gives one answer", "logprobs": "it knows no log probabilities",
			"audio": "it takes no audio", "embeddings": "Anthropic has no embeddings", "embeddings_batch": "Anthropic has no embeddings",
		},
		chat: func(ctx context.Context, key string, a ask) (said, error) {
			client := r.anthropic(key)
			params, err := anthropicParams(a)
			if err != nil {
				return said{}, err
			}
			if a.stream {
				return anthropicStream(ctx, client, params, a)
			}
			answer, err := client.Messages.New(ctx, params)
			if err != nil {
				return said{}, err
			}
			return anthropicSaid(*answer), nil
		},
		malformed: func(ctx context.Context) error {
			client := r.anthropic(r.key)
			_, err := client.Messages.New(ctx, anthropic.MessageNewParams{Model: r.provider, MaxTokens: -1, Messages: []anthropic.MessageParam{anthropic.NewUserMessage(anthropic.NewTextBlock("hi"))}})
			return err
		},
		problem: func(err error) (problem, bool) {
			var e *anthropic.Error
			if !errors.As(err, &e) {
				return problem{}, false
			}
			var body struct{ Error struct{ Message string } }
			if json.Unmarshal([]byte(e.RawJSON()), &body) != nil {
				return problem{}, false
			}
			return problem{e.StatusCode, string(e.Type()), body.Error.Message}, true
		},
		models: func(ctx context.Context) ([]string, error) {
			client := r.anthropic(r.key)
			var names []string
			pages := client.Models.ListAutoPaging(ctx, anthropic.ModelListParams{})
			for pages.Next() {
				names = append(names, pages.Current().ID)
			}
			if err := pages.Err(); err != nil {
				return nil, err
			}
			one, err := client.Models.Get(ctx, r.provider, anthropic.ModelGetParams{})
			if err != nil {
				return nil, err
			}
			return names, same("one model", one.ID, r.provider)
		},
		count: func(ctx context.Context, text string) (int64, error) {
			client := r.anthropic(r.key)
			n, err := client.Messages.CountTokens(ctx, anthropic.MessageCountTokensParams{
				Model: r.provider, Messages: []anthropic.MessageParam{anthropic.NewUserMessage(anthropic.NewTextBlock(text))},
			})
			if err != nil {
				return 0, err
			}
			return n.InputTokens, nil
		},
	}
}

func anthropicParams(a ask) (anthropic.MessageNewParams, error) {
	params := anthropic.MessageNewParams{Model: a.model, MaxTokens: 1000}
	if a.maxTokens > 0 {
		params.MaxTokens = a.maxTokens
	}
	if len(a.turns) == 1 && len(a.turns[0].user) > 2000 {
		params.MaxTokens = 20000
	}
	if a.system != "" {
		params.System = []anthropic.TextBlockParam{{Text: a.system}}
	}
	for _, t := range a.turns {
		params.Messages = append(params.Messages, anthropicMessage(t))
	}
	for _, t := range a.tools {
		var schema anthropic.ToolInputSchemaParam
		if err := json.Unmarshal(t.schema, &schema); err != nil {
			return params, err
		}
		tool := anthropic.ToolUnionParamOfTool(schema, t.name)
		tool.OfTool.Description = anthropic.String(t.description)
		params.Tools = append(params.Tools, tool)
	}
	if a.force != "" {
		params.ToolChoice = anthropic.ToolChoiceParamOfTool(a.force)
	}
	if a.alone {
		params.ToolChoice.OfAuto = &anthropic.ToolChoiceAutoParam{DisableParallelToolUse: anthropic.Bool(true)}
	}
	if a.schema != nil {
		if err := json.Unmarshal(a.schema, &params.OutputConfig.Format.Schema); err != nil {
			return params, err
		}
	}
	if a.stop != "" {
		params.StopSequences = []string{a.stop}
	}
	if a.think {
		params.Thinking.OfAdaptive = &anthropic.ThinkingConfigAdaptiveParam{Display: anthropic.ThinkingConfigAdaptiveDisplaySummarized}
	}
	return params, nil
}

func anthropicMessage(t turn) anthropic.MessageParam {
	switch {
	case t.own != nil:
		return t.own.(anthropic.Message).ToParam()
	case t.assistant != "":
		return anthropic.NewAssistantMessage(anthropic.NewTextBlock(t.assistant))
	}
	var blocks []anthropic.ContentBlockParamUnion
	for _, res := range t.results {
		block := anthropic.NewToolResultBlock(res.id, res.text, res.failed)
		if res.picture != nil {
			image := anthropic.NewImageBlockBase64("image/png", base64.StdEncoding.EncodeToString(res.picture))
			block.OfToolResult.Content = append(block.OfToolResult.Content, anthropic.ToolResultBlockParamContentUnion{OfImage: image.OfImage})
		}
		blocks = append(blocks, block)
	}
	for _, m := range t.media {
		switch {
		case m.kind() == "document":
			blocks = append(blocks, anthropic.NewDocumentBlock(anthropic.Base64PDFSourceParam{Data: base64.StdEncoding.EncodeToString(m.data)}))
		case m.url != "":
			blocks = append(blocks, anthropic.NewImageBlock(anthropic.URLImageSourceParam{URL: m.url}))
		default:
			blocks = append(blocks, anthropic.NewImageBlockBase64(m.mime, base64.StdEncoding.EncodeToString(m.data)))
		}
	}
	if t.user != "" {
		blocks = append(blocks, anthropic.NewTextBlock(t.user))
	}
	return anthropic.NewUserMessage(blocks...)
}

func anthropicSaid(m anthropic.Message) said {
	s := said{
		id: m.ID, model: string(m.Model), texts: []string{""}, finish: string(m.StopReason), own: m,
		usage: usage{m.Usage.InputTokens, m.Usage.OutputTokens, m.Usage.OutputTokensDetails.ThinkingTokens, -1},
	}
	if !m.Usage.JSON.OutputTokensDetails.Valid() {
		s.usage.reasoning = -1
	}
	if m.StopSequence != "" {
		s.finish += " " + m.StopSequence
	}
	for _, block := range m.Content {
		switch block := block.AsAny().(type) {
		case anthropic.TextBlock:
			s.texts[0] += block.Text
		case anthropic.ThinkingBlock:
			s.thinking += block.Thinking
		case anthropic.ToolUseBlock:
			s.calls = append(s.calls, call{block.ID, block.Name, string(block.Input)})
		}
	}
	return s
}

func anthropicStream(ctx context.Context, client anthropic.Client, params anthropic.MessageNewParams, a ask) (said, error) {
	stream := client.Messages.NewStreaming(ctx, params)
	defer stream.Close()
	var m anthropic.Message
	events, pieces, ended := 0, 0, false
	for stream.Next() {
		event := stream.Current()
		if err := m.Accumulate(event); err != nil {
			return said{}, err
		}
		events++
		switch event := event.AsAny().(type) {
		case anthropic.ContentBlockDeltaEvent:
			if event.Delta.PartialJSON != "" {
				pieces++
			}
		case anthropic.MessageStopEvent:
			ended = true
		}
		if a.onEvent != nil {
			a.onEvent()
		}
	}
	if err := stream.Err(); err != nil {
		return said{}, err
	}
	if !ended {
		return said{}, fmt.Errorf("the stream has no message_stop after %d events", events)
	}
	s := anthropicSaid(m)
	s.events, s.pieces = events, pieces
	return s, nil
}
