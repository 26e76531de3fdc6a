package sim

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	openaisdk "github.com/openai/openai-go/v3"
	sdk "github.com/openai/openai-go/v3/responses"
	"github.com/openai/openai-go/v3/shared"

	"breakwater/internal/llm"
)

func responsesTools() []sdk.ToolUnionParam {
	var list []sdk.ToolUnionParam
	for _, name := range []string{"weather", "clock"} {
		list = append(list, sdk.ToolUnionParam{OfFunction: &sdk.FunctionToolParam{Name: name, Parameters: weather, Strict: openaisdk.Bool(true)}})
	}
	return list
}

func inputText(text string) sdk.ResponseNewParamsInputUnion {
	return sdk.ResponseNewParamsInputUnion{OfString: openaisdk.String(text)}
}

// The official client runs a tool loop over stored responses, whole and
// streamed, and sees every event in order.
func TestOfficialClientRunsAToolLoopOverResponses(t *testing.T) {
	s := start(t, llm.OpenAI, Options{Models: []string{"gpt-5"}})
	client := openAIClient(s)
	answer := func(t *testing.T, stream bool, params sdk.ResponseNewParams) *sdk.Response {
		t.Helper()
		if !stream {
			res, err := client.Responses.New(t.Context(), params)
			if err != nil {
				t.Fatal(err)
			}
			return res
		}
		events := client.Responses.NewStreaming(t.Context(), params)
		var last *sdk.Response
		texts := map[string]string{} // deltas, by item
		for n := int64(0); events.Next(); n++ {
			e := events.Current()
			if e.SequenceNumber != n {
				t.Errorf("%s has number %d, want %d", e.Type, e.SequenceNumber, n)
			}
			switch e.Type {
			case "response.output_text.delta", "response.function_call_arguments.delta", "response.reasoning_summary_text.delta":
				texts[e.ItemID] += e.Delta
			case "response.output_text.done", "response.reasoning_summary_text.done":
				if texts[e.ItemID] != e.Text {
					t.Errorf("%q is not %q", texts[e.ItemID], e.Text)
				}
			case "response.function_call_arguments.done":
				if texts[e.ItemID] != e.Arguments {
					t.Errorf("%q is not %q", texts[e.ItemID], e.Arguments)
				}
			case "response.completed", "response.incomplete":
				last = &e.Response
			}
		}
		if events.Err() != nil || last == nil {
			t.Fatalf("%v", events.Err())
		}
		return last
	}
	for _, stream := range []bool{false, true} {
		one := answer(t, stream, sdk.ResponseNewParams{
			Model: "gpt-5", Input: inputText("think twice\nLet me look.\ncall weather {\"city\":\"Oslo\"}\ncall clock"), Tools: responsesTools(),
			Reasoning: shared.ReasoningParam{Summary: "auto"}, Instructions: openaisdk.String("Be brief."),
		})
		if len(one.Output) != 4 || one.Output[0].Summary[0].Text != "twice" || one.OutputText() != "Let me look." || one.Status != "completed" ||
			one.Output[2].Name != "weather" || one.Output[2].Arguments.OfString != `{"city":"Oslo"}` || one.Instructions.OfString != "Be brief." ||
			one.Usage.OutputTokensDetails.ReasoningTokens != 2 {
			t.Fatalf("%s", one.RawJSON())
		}
		params := sdk.ResponseNewParams{Model: "gpt-5", PreviousResponseID: openaisdk.String(one.ID), Tools: responsesTools()}
		for i, said := range []string{"fine", "noon"} {
			params.Input.OfInputItemList = append(params.Input.OfInputItemList, sdk.ResponseInputItemUnionParam{OfFunctionCallOutput: &sdk.ResponseInputItemFunctionCallOutputParam{
				CallID: openaisdk.String(one.Output[2+i].CallID), Output: sdk.ResponseInputItemFunctionCallOutputOutputUnionParam{OfString: openaisdk.String(said)},
			}})
		}
		two := answer(t, stream, params)
		if two.OutputText() != "The tool weather said: fine The tool clock said: noon" {
			t.Errorf("%s", two.RawJSON())
		}
		if kept, err := client.Responses.Get(t.Context(), two.ID, sdk.ResponseGetParams{}); err != nil || kept.OutputText() != two.OutputText() {
			t.Errorf("%v %+v", err, kept)
		}
		if err := client.Responses.Delete(t.Context(), two.ID); err != nil {
			t.Error(err)
		}
		if _, err := client.Responses.Get(t.Context(), two.ID, sdk.ResponseGetParams{}); err == nil {
			t.Error("a deleted response is still there")
		}
		short := answer(t, stream, sdk.ResponseNewParams{Model: "gpt-5", Input: inputText("Hi"), MaxOutputTokens: openaisdk.Int(16)})
		if short.Status != "incomplete" || short.IncompleteDetails.Reason != "max_output_tokens" || short.Usage.OutputTokens != 16 {
			t.Errorf("%s", short.RawJSON())
		}
	}
}

// Without storing, the items themselves carry the conversation, with the
// reasoning sealed.
func TestResponsesCarrySealedReasoning(t *testing.T) {
	s := start(t, llm.OpenAI, Options{})
	ask := obj{"role": "user", "content": []any{obj{"type": "input_text", "text": "think twice\ncall clock"}}}
	tools := []any{obj{"type": "function", "name": "clock", "parameters": weather, "strict": true}}
	send := func(input ...any) got {
		return post(t, s, "/v1/responses", obj{"model": "gpt-5", "input": input, "tools": tools, "store": false, "include": []any{"reasoning.encrypted_content"}})
	}
	one := objects(send(ask).body)[0]
	output, _ := one["output"].([]any)
	if len(output) != 2 || dig(output[0], "type") != "reasoning" || dig(output[0], "encrypted_content") == nil {
		t.Fatalf("%v", one)
	}
	said := obj{"type": "function_call_output", "call_id": dig(output[1], "call_id"), "output": []any{
		obj{"type": "input_text", "text": "noon"}, obj{"type": "input_image", "image_url": "data:image/png;base64," + pixel}}}
	two := send(ask, output[0], output[1], said)
	if text := dig(objects(two.body)[0], "output", 0, "content", 0, "text"); text != "The tool clock said: noon [image/png, 70 bytes]" {
		t.Errorf("%s", two.body)
	}
	id, _ := one["id"].(string)
	if g := get(t, s.URL()+"/v1/responses/"+id); g.status != 404 {
		t.Errorf("a response that was not to be stored is: %s", g.body)
	}
	forged := obj{"type": "reasoning", "id": "rs_1", "summary": []any{}, "encrypted_content": "gAAAAAforged"}
	bare := obj{"type": "reasoning", "id": "rs_1", "summary": []any{}}
	for _, c := range []struct {
		input  []any
		status int
		says   string
	}{
		{[]any{ask, forged, output[1], said}, 400, "The encrypted content gAAA...rged could not be verified."},
		{[]any{ask, bare, output[1], said}, 404, "Item with id 'rs_1' not found."},
		{[]any{ask, output[0], said}, 400, "was provided without its required following item"},
		{[]any{ask, output[1]}, 400, "No tool output found for function call call_"},
		{[]any{ask, said}, 400, "No tool call found for function call output with call_id call_"},
		{[]any{obj{"role": "tool", "content": "x"}}, 400, "Invalid value: 'tool'."},
		{[]any{obj{"role": "user", "content": []any{obj{"type": "text", "text": "x"}}}}, 400, "Invalid value: 'text'. Supported values are: 'input_text'"},
		{[]any{obj{"role": "user", "content": "x", "name": "Bob"}}, 400, "Unknown parameter: 'input[0].name'."},
		{[]any{obj{"type": "item_reference", "id": "msg_1"}}, 404, "Item with id 'msg_1' not found."},
	} {
		if g := send(c.input...); g.status != c.status || !strings.Contains(g.body, c.says) {
			t.Errorf("%v\n%d %s", c.input, g.status, g.body)
		}
	}
}

func TestResponsesRefuseWhatTheRealOneRefuses(t *testing.T) {
	for rest, says := range map[string]string{
		`"max_output_tokens":4`:                         "Expected a value >= 16, but got 4 instead.",
		`"messages":[]`:                                 "Unknown parameter: 'messages'.",
		`"stop":["x"]`:                                  "Unknown parameter: 'stop'.",
		`"reasoning":{"effort":"low"}`:                  "'reasoning.effort' is not supported with this model.",
		`"previous_response_id":"resp_1"`:               "Previous response with id 'resp_1' not found.",
		`"text":{"format":{"type":"json_object"}}`:      "must contain the word 'json'",
		`"tools":[{"type":"function","function":{}}]`:   "Unknown parameter: 'tools[0].function'.",
		`"tools":[{"type":"function","parameters":{}}]`: "Missing required parameter: 'tools[0].name'.",
		`"text":{"format":{"type":"json_schema","schema":{"type":"object"},"name":"n","strict":true}}`: "'additionalProperties' is required to be supplied and to be false.",
		`"temperature":3`: "Invalid 'temperature': decimal above maximum value.",
	} {
		s := start(t, llm.OpenAI, Options{})
		var body obj
		if err := json.Unmarshal([]byte(`{"model":"gpt-4o","input":"hi",`+rest+`}`), &body); err != nil {
			t.Fatal(err)
		}
		if g := post(t, s, "/v1/responses", body); g.status != 400 || !strings.Contains(g.body, says) {
			t.Errorf("%s: %d %s", rest, g.status, g.body)
		}
	}
}

func TestResponsesAnswerAsTheScriptSays(t *testing.T) {
	s := start(t, llm.OpenAI, Options{})
	content := []any{obj{"type": "input_text", "text": "echo so"}, obj{"type": "input_image", "image_url": "https://example.com/a.png"},
		obj{"type": "input_file", "filename": "a.pdf", "file_data": "data:application/pdf;base64,aGVsbG8K"}}
	format := obj{"format": obj{"type": "json_schema", "name": "n", "schema": weather, "strict": true}}
	for want, body := range map[string]obj{
		"I see an image at https://example.com/a.png. I read application/pdf, 6 bytes. so": {"input": []any{obj{"role": "user", "content": content}}},
		`{"city":"text","days":1}`: {"input": "Hi", "text": format},
		"so":                       {"input": []any{obj{"role": "assistant", "content": []any{obj{"type": "output_text", "text": "Hi"}}}, obj{"type": "message", "role": "user", "content": "echo so"}}},
	} {
		body["model"] = "gpt-4o"
		for _, stream := range []bool{false, true} {
			body["stream"] = stream
			g := post(t, s, "/v1/responses", body)
			list := objects(g.body)
			last := list[len(list)-1]
			if stream {
				last, _ = last["response"].(map[string]any)
			}
			if g.status != 200 || dig(last, "output", 0, "content", 0, "text") != want {
				t.Errorf("%s", g.body)
			}
		}
	}
}

func TestFaultsHitResponses(t *testing.T) {
	s := start(t, llm.OpenAI, Options{})
	body := obj{"model": "gpt-5", "input": `call weather {"city":"Oslo"}`, "stream": true,
		"tools": []any{obj{"type": "function", "name": "weather", "parameters": weather}}}
	said := func(g got) (args string, ended bool) {
		for _, o := range objects(g.body) {
			if o["type"] == "response.function_call_arguments.delta" {
				args += fmt.Sprint(o["delta"])
			}
			ended = ended || o["type"] == "response.completed" || o["type"] == "response.output_item.done"
		}
		return args, ended
	}
	for _, c := range []struct {
		fault Fault
		args  string
		says  string
	}{
		{Fault{Kind: Cut, After: 2}, `{"city":`, ""},
		{Fault{Kind: ErrorInStream, After: 2}, `{"city":`, `{"type":"error","sequence_number":5,"code":"server_error"`},
		{Fault{Kind: NoEnd}, `{"city":"Oslo"}`, ""},
	} {
		s.Set(c.fault)
		g := post(t, s, "/v1/responses", body)
		if args, ended := said(g); args != c.args || ended || !strings.Contains(g.body, c.says) || (c.fault.Kind == Cut) != (g.err != nil) {
			t.Errorf("%+v: %q %v %v\n%s", c.fault, args, ended, g.err, g.body)
		}
	}
	s.Set(Fault{Kind: RateLimited})
	if g := post(t, s, "/v1/responses", body); g.status != 429 {
		t.Errorf("%d", g.status)
	}
}
