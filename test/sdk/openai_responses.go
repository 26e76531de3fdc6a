package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"
	"github.com/openai/openai-go/v3/packages/param"
	"github.com/openai/openai-go/v3/responses"
	"github.com/openai/openai-go/v3/shared"
)

func openAIResponsesDoor(r run) door {
	d := openAIDoor(r, "openai-responses")
	d.words = map[string]string{"stop": "completed", "length": "incomplete max_output_tokens", "calls": "completed"}
	d.alone, d.pieces = true, true
	d.cannot = map[string]string{
		"tool_error": "a tool's result has no mark of an error", "stop": "it knows no stop sequences",
		"n": "it gives one answer", "audio": "it takes no audio",
	}
	d.chat = func(ctx context.Context, key string, a ask) (said, error) {
		client := r.openAI(key)
		params, err := responsesParams(a)
		if err != nil {
			return said{}, err
		}
		if a.stream {
			return responsesStream(ctx, client, params, a)
		}
		answer, err := client.Responses.New(ctx, params)
		if err != nil {
			return said{}, err
		}
		return responsesSaid(*answer), nil
	}
	d.malformed = func(ctx context.Context) error {
		client := r.openAI(r.key)
		_, err := client.Responses.New(ctx, responses.ResponseNewParams{Model: r.provider}, option.WithJSONSet("input", 7))
		return err
	}
	d.count = func(ctx context.Context, text string) (int64, error) {
		client := r.openAI(r.key)
		n, err := client.Responses.InputTokens.Count(ctx, responses.InputTokenCountParams{
			Model: openai.String(r.provider), Input: responses.InputTokenCountParamsInputUnion{OfString: openai.String(text)},
		})
		if err != nil {
			return 0, err
		}
		return n.InputTokens, nil
	}
	return d
}

func responsesParams(a ask) (responses.ResponseNewParams, error) {
	params := responses.ResponseNewParams{Model: a.model, Store: openai.Bool(false)}
	if a.system != "" {
		params.Instructions = openai.String(a.system)
	}
	for _, t := range a.turns {
		params.Input.OfInputItemList = append(params.Input.OfInputItemList, responsesItems(t)...)
	}
	for _, t := range a.tools {
		var schema map[string]any
		if err := json.Unmarshal(t.schema, &schema); err != nil {
			return params, err
		}
		tool := responses.ToolParamOfFunction(t.name, schema, true)
		tool.OfFunction.Description = openai.String(t.description)
		params.Tools = append(params.Tools, tool)
	}
	if a.force != "" {
		params.ToolChoice.OfFunctionTool = &responses.ToolChoiceFunctionParam{Name: a.force}
	}
	if a.alone {
		params.ParallelToolCalls = openai.Bool(false)
	}
	if a.schema != nil {
		var schema map[string]any
		if err := json.Unmarshal(a.schema, &schema); err != nil {
			return params, err
		}
		params.Text.Format.OfJSONSchema = &responses.ResponseFormatTextJSONSchemaConfigParam{Name: "harbour", Schema: schema, Strict: openai.Bool(true)}
	}
	if a.jsonMode {
		params.Text.Format.OfJSONObject = &shared.ResponseFormatJSONObjectParam{}
	}
	if a.maxTokens > 0 {
		params.MaxOutputTokens = openai.Int(a.maxTokens)
	}
	if a.logprobs {
		params.Include, params.TopLogprobs = []responses.ResponseIncludable{responses.ResponseIncludableMessageOutputTextLogprobs}, openai.Int(2)
	}
	if a.think {
		params.Reasoning = shared.ReasoningParam{Effort: shared.ReasoningEffortHigh, Summary: shared.ReasoningSummaryAuto}
		params.Include = append(params.Include, responses.ResponseIncludableReasoningEncryptedContent)
	}
	return params, nil
}

func responsesItems(t turn) []responses.ResponseInputItemUnionParam {
	switch {
	case t.own != nil:
		var items []responses.ResponseInputItemUnionParam
		for _, item := range t.own.([]responses.ResponseOutputItemUnion) {
			items = append(items, param.Override[responses.ResponseInputItemUnionParam](json.RawMessage(item.RawJSON())))
		}
		return items
	case t.assistant != "":
		return []responses.ResponseInputItemUnionParam{responses.ResponseInputItemParamOfMessage(t.assistant, responses.EasyInputMessageRoleAssistant)}
	case t.results != nil:
		var items []responses.ResponseInputItemUnionParam
		for _, res := range t.results {
			var output responses.ResponseInputItemUnionParam
			if res.picture == nil {
				output = responses.ResponseInputItemParamOfFunctionCallOutput(res.text)
			} else {
				output = responses.ResponseInputItemParamOfFunctionCallOutput(responses.ResponseFunctionCallOutputItemListParam{
					{OfInputText: &responses.ResponseInputTextContentParam{Text: res.text}},
					{OfInputImage: &responses.ResponseInputImageContentParam{ImageURL: openai.String(dataURL(media{mime: "image/png", data: res.picture}))}},
				})
			}
			output.OfFunctionCallOutput.CallID = openai.String(res.id)
			items = append(items, output)
		}
		return items
	case t.media == nil:
		return []responses.ResponseInputItemUnionParam{responses.ResponseInputItemParamOfMessage(t.user, responses.EasyInputMessageRoleUser)}
	}
	var parts responses.ResponseInputMessageContentListParam
	for _, m := range t.media {
		if m.kind() == "document" {
			parts = append(parts, responses.ResponseInputContentUnionParam{OfInputFile: &responses.ResponseInputFileParam{
				Filename: openai.String("harbour.pdf"), FileData: openai.String("data:" + m.mime + ";base64," + base64.StdEncoding.EncodeToString(m.data)),
			}})
			continue
		}
		parts = append(parts, responses.ResponseInputContentUnionParam{OfInputImage: &responses.ResponseInputImageParam{
			Detail: responses.ResponseInputImageDetailAuto, ImageURL: openai.String(dataURL(m)),
		}})
	}
	parts = append(parts, responses.ResponseInputContentParamOfInputText(t.user))
	return []responses.ResponseInputItemUnionParam{responses.ResponseInputItemParamOfMessage(parts, responses.EasyInputMessageRoleUser)}
}

func responsesSaid(res responses.Response) said {
	s := said{
		id: res.ID, model: res.Model, texts: []string{res.OutputText()}, finish: string(res.Status), own: res.Output,
		usage: usage{res.Usage.InputTokens, res.Usage.OutputTokens, res.Usage.OutputTokensDetails.ReasoningTokens, res.Usage.TotalTokens},
	}
	if res.IncompleteDetails.Reason != "" {
		s.finish += " " + string(res.IncompleteDetails.Reason)
	}
	for _, item := range res.Output {
		switch item := item.AsAny().(type) {
		case responses.ResponseFunctionToolCall:
			s.calls = append(s.calls, call{item.CallID, item.Name, item.Arguments})
		case responses.ResponseReasoningItem:
			for _, part := range item.Summary {
				s.thinking += part.Text
			}
		case responses.ResponseOutputMessage:
			for _, part := range item.Content {
				s.logprobs += len(part.Logprobs)
			}
		}
	}
	return s
}

// responsesStream puts a stream together out of its pieces, and compares that
// with the whole answer that its last event has.
func responsesStream(ctx context.Context, client openai.Client, params responses.ResponseNewParams, a ask) (said, error) {
	stream := client.Responses.NewStreaming(ctx, params)
	defer stream.Close()
	var s said
	var text string
	var sequence int64 = -1
	args := map[string]string{}
	for stream.Next() {
		event := stream.Current()
		s.events++
		if event.SequenceNumber <= sequence {
			return said{}, fmt.Errorf("event %d comes after event %d", event.SequenceNumber, sequence)
		}
		sequence = event.SequenceNumber
		switch event := event.AsAny().(type) {
		case responses.ResponseTextDeltaEvent:
			text += event.Delta
		case responses.ResponseFunctionCallArgumentsDeltaEvent:
			s.pieces++
			args[event.ItemID] += event.Delta
		case responses.ResponseFunctionCallArgumentsDoneEvent:
			if args[event.ItemID] != event.Arguments {
				return said{}, fmt.Errorf("the pieces of arguments %q are not the whole %q", args[event.ItemID], event.Arguments)
			}
		case responses.ResponseCompletedEvent:
			s.own = event.Response
		case responses.ResponseIncompleteEvent:
			s.own = event.Response
		case responses.ResponseErrorEvent:
			return said{}, fmt.Errorf("an error in the stream: %s", event.Message)
		}
		if a.onEvent != nil {
			a.onEvent()
		}
	}
	if err := stream.Err(); err != nil {
		return said{}, err
	}
	last, ok := s.own.(responses.Response)
	if !ok {
		return said{}, fmt.Errorf("the stream has no last event after %d events", s.events)
	}
	whole := responsesSaid(last)
	whole.events, whole.pieces = s.events, s.pieces
	return whole, same("the pieces of the text", text, whole.text())
}
