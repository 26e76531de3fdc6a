package main

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"
	"github.com/openai/openai-go/v3/shared"
)

func (r run) openAI(key string) openai.Client {
	return openai.NewClient(option.WithBaseURL(r.url+"/v1"), option.WithAPIKey(key), option.WithMaxRetries(0), option.WithOrganization("org-harbour"))
}

// openAIDoor is what the three doors of OpenAI's SDK share.
func openAIDoor(r run, name string) door {
	return door{
		client: "openai-go", name: name,
		words:   map[string]string{"stop": "stop", "sequence": "stop", "length": "length", "calls": "tool_calls"},
		kinds:   map[int]string{400: "invalid_request", 401: "invalid_api_key", 404: "model_not_found", 429: "all_providers_rate_limited"},
		problem: openAIProblem,
		models: func(ctx context.Context) ([]string, error) {
			client := r.openAI(r.key)
			page, err := client.Models.List(ctx)
			if err != nil {
				return nil, err
			}
			var names []string
			for _, m := range page.Data {
				names = append(names, m.ID)
			}
			one, err := client.Models.Get(ctx, r.provider)
			if err != nil {
				return nil, err
			}
			return names, same("one model", one.ID, r.provider)
		},
		embed: func(ctx context.Context, model string, texts []string, dimensions int) (vectors, error) {
			return openAIEmbed(ctx, r.openAI(r.key), model, texts, dimensions)
		},
	}
}

func openAIProblem(err error) (problem, bool) {
	var e *openai.Error
	if !errors.As(err, &e) {
		return problem{}, false
	}
	return problem{e.StatusCode, e.Code, e.Message}, true
}

// openAIEmbed asks for floats, and again for base64, which must be the same.
func openAIEmbed(ctx context.Context, client openai.Client, model string, texts []string, dimensions int) (vectors, error) {
	params := openai.EmbeddingNewParams{Model: model, Input: openai.EmbeddingNewParamsInputUnion{OfArrayOfStrings: texts}}
	if len(texts) == 1 {
		params.Input = openai.EmbeddingNewParamsInputUnion{OfString: openai.String(texts[0])}
	}
	if dimensions > 0 {
		params.Dimensions = openai.Int(int64(dimensions))
	}
	res, err := client.Embeddings.New(ctx, params)
	if err != nil {
		return vectors{}, err
	}
	v := vectors{usage: res.Usage.PromptTokens}
	for i, e := range res.Data {
		if e.Index != int64(i) {
			return vectors{}, fmt.Errorf("vector %d says it is %d", i, e.Index)
		}
		v.list = append(v.list, e.Embedding)
	}
	params.EncodingFormat = openai.EmbeddingNewParamsEncodingFormatBase64
	packed, err := client.Embeddings.New(ctx, params)
	if err != nil {
		return vectors{}, fmt.Errorf("as base64: %w", err)
	}
	for i, e := range packed.Data {
		var text string
		if err := json.Unmarshal([]byte(e.JSON.Embedding.Raw()), &text); err != nil {
			return vectors{}, fmt.Errorf("as base64: %.80s", e.JSON.Embedding.Raw())
		}
		b, err := base64.StdEncoding.DecodeString(text)
		if err != nil || i >= len(v.list) || len(b) != 4*len(v.list[i]) {
			return vectors{}, fmt.Errorf("as base64: %d bytes, %v", len(b), err)
		}
		for j, x := range v.list[i] {
			if y := math.Float32frombits(binary.LittleEndian.Uint32(b[4*j:])); math.Abs(float64(y)-x) > 1e-6 {
				return vectors{}, fmt.Errorf("as base64: %v is not %v", y, x)
			}
		}
	}
	return v, nil
}

func openAIChatDoor(r run) door {
	d := openAIDoor(r, "openai-chat")
	d.alone, d.pieces = true, true
	d.cannot = map[string]string{
		"tool_error": "a tool's result has no mark of an error", "tool_image": "a tool's result is text",
		"count": "OpenAI counts tokens for Responses only",
	}
	d.chat = func(ctx context.Context, key string, a ask) (said, error) {
		client := r.openAI(key)
		params, err := openAIChatParams(a)
		if err != nil {
			return said{}, err
		}
		if a.stream {
			return openAIChatStream(ctx, client, params, a)
		}
		answer, err := client.Chat.Completions.New(ctx, params)
		if err != nil {
			return said{}, err
		}
		return openAIChatSaid(*answer), nil
	}
	d.malformed = func(ctx context.Context) error {
		client := r.openAI(r.key)
		_, err := client.Chat.Completions.New(ctx, openai.ChatCompletionNewParams{Model: r.provider, Messages: []openai.ChatCompletionMessageParamUnion{}})
		return err
	}
	return d
}

func openAIChatParams(a ask) (openai.ChatCompletionNewParams, error) {
	params := openai.ChatCompletionNewParams{Model: a.model}
	if a.system != "" {
		params.Messages = append(params.Messages, openai.SystemMessage(a.system))
	}
	for _, t := range a.turns {
		switch {
		case t.own != nil:
			params.Messages = append(params.Messages, t.own.(openai.ChatCompletionMessage).ToParam())
		case t.assistant != "":
			params.Messages = append(params.Messages, openai.AssistantMessage(t.assistant))
		case t.results != nil:
			for _, res := range t.results {
				params.Messages = append(params.Messages, openai.ToolMessage(res.text, res.id))
			}
		case t.media != nil:
			params.Messages = append(params.Messages, openai.UserMessage(openAIChatParts(t)))
		default:
			params.Messages = append(params.Messages, openai.UserMessage(t.user))
		}
	}
	for _, t := range a.tools {
		var schema shared.FunctionParameters
		if err := json.Unmarshal(t.schema, &schema); err != nil {
			return params, err
		}
		params.Tools = append(params.Tools, openai.ChatCompletionFunctionTool(shared.FunctionDefinitionParam{
			Name: t.name, Description: openai.String(t.description), Parameters: schema, Strict: openai.Bool(true),
		}))
	}
	if a.force != "" {
		params.ToolChoice = openai.ToolChoiceOptionFunctionToolChoice(openai.ChatCompletionNamedToolChoiceFunctionParam{Name: a.force})
	}
	if a.alone {
		params.ParallelToolCalls = openai.Bool(false)
	}
	if a.schema != nil {
		params.ResponseFormat.OfJSONSchema = &shared.ResponseFormatJSONSchemaParam{JSONSchema: shared.ResponseFormatJSONSchemaJSONSchemaParam{
			Name: "harbour", Schema: a.schema, Strict: openai.Bool(true),
		}}
	}
	if a.jsonMode {
		params.ResponseFormat.OfJSONObject = &shared.ResponseFormatJSONObjectParam{}
	}
	if a.stop != "" {
		params.Stop.OfStringArray = []string{a.stop}
	}
	if a.maxTokens > 0 {
		params.MaxCompletionTokens = openai.Int(a.maxTokens)
	}
	if a.n > 0 {
		params.N = openai.Int(a.n)
	}
	if a.logprobs {
		params.Logprobs, params.TopLogprobs = openai.Bool(true), openai.Int(2)
	}
	if a.think {
		params.ReasoningEffort = shared.ReasoningEffortHigh
	}
	if a.stream && !a.blindUsage {
		params.StreamOptions.IncludeUsage = openai.Bool(true)
	}
	return params, nil
}

func openAIChatParts(t turn) []openai.ChatCompletionContentPartUnionParam {
	var parts []openai.ChatCompletionContentPartUnionParam
	for _, m := range t.media {
		data := base64.StdEncoding.EncodeToString(m.data)
		switch m.kind() {
		case "document":
			parts = append(parts, openai.FileContentPart(openai.ChatCompletionContentPartFileFileParam{
				Filename: openai.String("harbour.pdf"), FileData: openai.String(dataURL(m)),
			}))
		case "audio":
			parts = append(parts, openai.InputAudioContentPart(openai.ChatCompletionContentPartInputAudioInputAudioParam{Data: data, Format: "wav"}))
		default:
			parts = append(parts, openai.ImageContentPart(openai.ChatCompletionContentPartImageImageURLParam{URL: dataURL(m)}))
		}
	}
	return append(parts, openai.TextContentPart(t.user))
}

// dataURL gives a medium's address, made of its bytes where it has none.
func dataURL(m media) string {
	if m.url != "" {
		return m.url
	}
	return "data:" + m.mime + ";base64," + base64.StdEncoding.EncodeToString(m.data)
}

func openAIChatSaid(c openai.ChatCompletion) said {
	s := said{id: c.ID, model: c.Model, usage: openAIUsage(c.Usage)}
	for i, choice := range c.Choices {
		s.texts = append(s.texts, choice.Message.Content)
		s.logprobs += len(choice.Logprobs.Content)
		if i > 0 {
			continue
		}
		s.finish, s.own = choice.FinishReason, choice.Message
		for _, t := range choice.Message.ToolCalls {
			s.calls = append(s.calls, call{t.ID, t.Function.Name, t.Function.Arguments})
		}
	}
	return s
}

func openAIUsage(u openai.CompletionUsage) usage {
	return usage{u.PromptTokens, u.CompletionTokens, u.CompletionTokensDetails.ReasoningTokens, u.TotalTokens}
}

func openAIChatStream(ctx context.Context, client openai.Client, params openai.ChatCompletionNewParams, a ask) (said, error) {
	stream := client.Chat.Completions.NewStreaming(ctx, params)
	defer stream.Close()
	var all openai.ChatCompletionAccumulator
	var s said
	for stream.Next() {
		chunk := stream.Current()
		if !all.AddChunk(chunk) {
			return said{}, fmt.Errorf("a chunk of another answer: %s", chunk.RawJSON())
		}
		s.events++
		for _, c := range chunk.Choices {
			for _, t := range c.Delta.ToolCalls {
				if t.Function.Arguments != "" {
					s.pieces++
				}
			}
		}
		if a.onEvent != nil {
			a.onEvent()
		}
	}
	if err := stream.Err(); err != nil {
		return said{}, err
	}
	whole := openAIChatSaid(all.ChatCompletion)
	whole.events, whole.pieces = s.events, s.pieces
	return whole, nil
}

func openAICompletionsDoor(r run) door {
	d := openAIDoor(r, "openai-completions")
	d.cannot = map[string]string{"count": "OpenAI counts tokens for Responses only", "thinking": "it has no setting for it"}
	for _, f := range []string{"system", "multi_turn", "image", "image_url", "document", "audio"} {
		d.cannot[f] = "a prompt is one text"
	}
	for _, f := range []string{"tool", "forced_tool", "parallel_tools", "streamed_tools", "tool_loop", "tool_error", "tool_image", "handover"} {
		d.cannot[f] = "it knows no tools"
	}
	for _, f := range []string{"json_schema", "json_mode"} {
		d.cannot[f] = "it knows no response format"
	}
	d.chat = func(ctx context.Context, key string, a ask) (said, error) {
		client := r.openAI(key)
		params := openai.CompletionNewParams{Model: openai.CompletionNewParamsModel(a.model), Prompt: openai.CompletionNewParamsPromptUnion{OfString: openai.String(a.turns[0].user)}}
		if a.stop != "" {
			params.Stop.OfString = openai.String(a.stop)
		}
		if a.maxTokens > 0 {
			params.MaxTokens = openai.Int(a.maxTokens)
		}
		if a.n > 0 {
			params.N = openai.Int(a.n)
		}
		if a.logprobs {
			params.Logprobs = openai.Int(2)
		}
		if !a.stream {
			answer, err := client.Completions.New(ctx, params)
			if err != nil {
				return said{}, err
			}
			var s said
			s.add(*answer)
			return s, nil
		}
		if !a.blindUsage {
			params.StreamOptions.IncludeUsage = openai.Bool(true)
		}
		stream := client.Completions.NewStreaming(ctx, params)
		defer stream.Close()
		var s said
		for stream.Next() {
			s.events++
			s.add(stream.Current())
			if a.onEvent != nil {
				a.onEvent()
			}
		}
		return s, stream.Err()
	}
	d.malformed = func(ctx context.Context) error {
		client := r.openAI(r.key)
		_, err := client.Completions.New(ctx, openai.CompletionNewParams{Model: openai.CompletionNewParamsModel(r.provider), Prompt: openai.CompletionNewParamsPromptUnion{OfString: openai.String("hi")}},
			option.WithJSONSet("max_tokens", "many"))
		return err
	}
	return d
}

// add adds a completion, or an event of one, whose shape is the same.
func (s *said) add(c openai.Completion) {
	s.id, s.model = c.ID, c.Model
	if c.JSON.Usage.Valid() {
		s.usage = openAIUsage(c.Usage)
	}
	for _, choice := range c.Choices {
		for int64(len(s.texts)) <= choice.Index {
			s.texts = append(s.texts, "")
		}
		s.texts[choice.Index] += choice.Text
		s.logprobs += len(choice.Logprobs.TokenLogprobs)
		if choice.FinishReason != "" {
			s.finish = string(choice.FinishReason)
		}
	}
}
