package wire

import (
	"encoding/json"
	"errors"
	"reflect"
	"slices"
	"testing"

	"breakwater/internal/llm"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/responses"
	"github.com/openai/openai-go/v3/shared"
	"github.com/tidwall/gjson"
)

func TestResponsesRequestOfTheOfficialSDKIsRead(t *testing.T) {
	text := func(s string) responses.ResponseInputContentUnionParam {
		return responses.ResponseInputContentParamOfInputText(s)
	}
	output := func(id, said string) responses.ResponseInputItemUnionParam {
		return responses.ResponseInputItemUnionParam{OfFunctionCallOutput: &responses.ResponseInputItemFunctionCallOutputParam{
			CallID: openai.String(id), Output: responses.ResponseInputItemFunctionCallOutputOutputUnionParam{OfString: openai.String(said)},
		}}
	}
	body, err := json.Marshal(responses.ResponseNewParams{
		Model:        "gemini-3-flash-preview",
		Instructions: openai.String("Be brief."),
		Input: responses.ResponseNewParamsInputUnion{OfInputItemList: responses.ResponseInputParam{
			responses.ResponseInputItemParamOfMessage("Mind the units.", responses.EasyInputMessageRoleDeveloper),
			responses.ResponseInputItemParamOfMessage(responses.ResponseInputMessageContentListParam{
				text("What is this?"),
				{OfInputImage: &responses.ResponseInputImageParam{Detail: "low", ImageURL: openai.String("data:image/png;base64,aGV5")}},
				{OfInputImage: &responses.ResponseInputImageParam{Detail: "auto", ImageURL: openai.String("https://example.com/a.png")}},
				{OfInputFile: &responses.ResponseInputFileParam{Filename: openai.String("a.pdf"), FileData: openai.String("data:application/pdf;base64,JVBERg==")}},
			}, responses.EasyInputMessageRoleUser),
			responses.ResponseInputItemParamOfFunctionCall(`{"city":"Paris"}`, "call_1", "weather"),
			responses.ResponseInputItemParamOfFunctionCall(``, "call_2", "time"),
			output("call_1", "18 °C"), output("call_2", "noon"),
		}},
		Tools: []responses.ToolUnionParam{{OfFunction: &responses.FunctionToolParam{
			Name: "weather", Description: openai.String("Of a city"), Strict: openai.Bool(false), Parameters: map[string]any{"type": "object"},
		}}},
		ToolChoice: responses.ResponseNewParamsToolChoiceUnion{OfAllowedTools: &responses.ToolChoiceAllowedParam{
			Mode: "required", Tools: []map[string]any{{"type": "function", "name": "weather"}},
		}},
		ParallelToolCalls: openai.Bool(false),
		MaxOutputTokens:   openai.Int(99),
		MaxToolCalls:      openai.Int(3),
		Temperature:       openai.Float(0.5),
		TopP:              openai.Float(0.9),
		TopLogprobs:       openai.Int(2),
		Include:           []responses.ResponseIncludable{"message.output_text.logprobs", "reasoning.encrypted_content"},
		Metadata:          shared.Metadata{"job": "7"},
		SafetyIdentifier:  openai.String("u1"),
		ServiceTier:       "flex",
		Store:             openai.Bool(false),
		Truncation:        "auto",
		Reasoning:         shared.ReasoningParam{Effort: "high", Summary: "auto"},
		Text: responses.ResponseTextConfigParam{Verbosity: "low", Format: responses.ResponseFormatTextConfigUnionParam{
			OfJSONSchema: &responses.ResponseFormatTextJSONSchemaConfigParam{Name: "answer", Schema: map[string]any{"type": "object"}, Strict: openai.Bool(true)},
		}},
	})
	if err != nil {
		t.Fatal(err)
	}
	got, state, err := DecodeResponses(body)
	if err != nil {
		t.Fatal(err)
	}
	yes, no := true, false
	said := func(s string) []llm.Part { return []llm.Part{{Kind: llm.Text, Text: s}} }
	result := func(id, name, s string) llm.Message {
		return llm.Message{Role: llm.ToolRole, Parts: []llm.Part{{Kind: llm.Result, Result: &llm.ToolResult{CallID: id, Name: name, Parts: said(s)}}}}
	}
	want := &llm.Request{
		Dialect: llm.OpenAIResponses, Model: "gemini-3-flash-preview", Body: body,
		Messages: []llm.Message{
			{Role: llm.System, Parts: said("Be brief.")},
			{Role: llm.Developer, Parts: said("Mind the units.")},
			{Role: llm.User, Parts: []llm.Part{
				{Kind: llm.Text, Text: "What is this?"},
				{Kind: llm.Image, Media: &llm.Media{MIME: "image/png", Data: "aGV5", Detail: "low"}},
				{Kind: llm.Image, Media: &llm.Media{URL: "https://example.com/a.png", Detail: "auto"}},
				{Kind: llm.Document, Media: &llm.Media{MIME: "application/pdf", Data: "JVBERg==", Name: "a.pdf"}},
			}},
			{Role: llm.Assistant, Parts: []llm.Part{
				{Kind: llm.Call, Call: &llm.ToolCall{ID: "call_1", Name: "weather", Args: json.RawMessage(`{"city":"Paris"}`)}},
				{Kind: llm.Call, Call: &llm.ToolCall{ID: "call_2", Name: "time", Args: json.RawMessage(`{}`)}},
			}},
			result("call_1", "weather", "18 °C"), result("call_2", "time", "noon"),
		},
		Tools:      []llm.Tool{{Name: "weather", Description: "Of a city", Schema: json.RawMessage(`{"type":"object"}`), Strict: &no}},
		ToolChoice: &llm.ToolChoice{Mode: llm.ChooseAny, Among: []string{"weather"}},
		Parallel:   &no,
		Format:     &llm.Format{Kind: llm.FormatSchema, Name: "answer", Schema: json.RawMessage(`{"type":"object"}`), Strict: &yes},
		Thought:    &llm.Thought{Effort: "high", Show: &yes},
		MaxTokens:  pointer[int64](99), Temperature: pointer(0.5), TopP: pointer(0.9), Logprobs: &yes, TopLogprobs: pointer[int64](2),
		User: "u1", Metadata: map[string]string{"job": "7"}, ServiceTier: "flex",
	}
	slices.Sort(got.Aside)
	want.Aside = []string{"text.verbosity", "truncation"}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", string(marshal(got)), string(marshal(want)))
	}
	if state.Store || state.PreviousID != "" || !json.Valid(state.Items) {
		t.Errorf("state: %+v", state)
	}
}

func pointer[T any](v T) *T { return &v }

func TestResponsesRequestThatCannotBeSaid(t *testing.T) {
	for _, test := range []struct {
		name, fields  string
		beyond, aside []string
	}{
		{"nothing", `"input":"hi","metadata":null,"tools":[],"background":false,"prompt_cache_key":"k","client_metadata":{"a":"b"},"stream_options":{"include_obfuscation":false},"text":{"format":{"type":"text"},"verbosity":"medium"},"truncation":"disabled","context_management":[]`, nil, nil},
		{"tools that OpenAI runs", `"input":"hi","tools":[{"type":"web_search"},{"type":"function","name":"f"},{"type":"mcp","server_label":"x"},{"type":"shell","environment":{"type":"container_auto"}},{"type":"computer"}],"tool_choice":"auto"`,
			[]string{"tools[4].computer"}, []string{"tools[0]: web_search", "tools[2]: mcp", "tools[3]: shell"}},
		{"only tools that OpenAI runs, of which one must be used", `"input":"hi","tools":[{"type":"web_search"}],"tool_choice":"required"`, []string{"tool_choice"}, []string{"tools[0]: web_search"}},
		{"one of them by name", `"input":"hi","tool_choice":{"type":"file_search"},"tools":[{"type":"file_search"},{"type":"function","name":"f"}]`, []string{"tool_choice.file_search"}, []string{"tools[0]: file_search"}},
		{"a grammar", `"input":"hi","tools":[{"type":"custom","name":"apply","format":{"type":"grammar","syntax":"lark","definition":"start: /x/"}}]`, nil, []string{"tools[0].format"}},
		{"a function's fields", `"input":"hi","tools":[{"type":"function","name":"f","strict":false,"defer_loading":true,"async":false,"allowed_callers":["direct"],"output_schema":{},"made_up":1},{"type":"function","name":"g","allowed_callers":["programmatic"]}]`,
			[]string{"tools[0].made_up"}, []string{"tools[0].defer_loading", "tools[0].output_schema", "tools[1]"}},
		{"items", `"input":[{"role":"user","content":"hi"},{"type":"web_search_call","id":"w"},{"type":"compaction","encrypted_content":"e"},{"type":"computer_call","id":"c"}]`,
			[]string{"input[2].compaction", "input[3].computer_call"}, []string{"input[1]: web_search_call"}},
		{"what OpenAI keeps", `"previous_response_id":"resp_1","input":[{"type":"item_reference","id":"msg_1"},{"id":"rs_1"}],"prompt":{"id":"p"},"conversation":"conv_1","background":true`,
			[]string{"previous_response_id", "input[0].item_reference", "input[1].item_reference", "prompt", "conversation", "background"}, nil},
		{"a part", `"input":[{"role":"user","content":[{"type":"input_text","text":"hi"},{"type":"input_video"}]}]`, []string{"input[0].content[1].input_video"}, nil},
		{"a choice", `"input":"hi","tool_choice":{"type":"web_search"}`, []string{"tool_choice.web_search"}, nil},
		{"settings", `"input":"hi","moderation":{},"prompt_cache_options":{"prewarm":true},"reasoning":{"context":"all_turns","mode":"pro","effort":"extreme"},"text":{"verbosity":"high"},"include":["made.up"],"made_up":1`,
			[]string{"moderation", "prompt_cache_options", "reasoning.mode", "reasoning.effort", "include[0].made.up", "made_up"}, []string{"reasoning.context", "text.verbosity"}},
	} {
		req, _, err := DecodeResponses([]byte(`{"model":"m",` + test.fields + `}`))
		if err != nil || !reflect.DeepEqual(req.Beyond, test.beyond) || !reflect.DeepEqual(req.Aside, test.aside) {
			t.Errorf("%s: got %+v, %v", test.name, req, err)
		}
	}
}

func TestResponsesRequestThatIsWrong(t *testing.T) {
	item := func(s string) string { return `{"model":"m","input":[` + s + `]}` }
	for _, test := range []struct{ body, want string }{
		{`{"input":"hi"}`, "model: is required: the name of a model or provider"},
		{`{"model":"m"}`, "input: is required: a string or a list with at least one item"},
		{`{"model":"m","input":[]}`, "input: is required: a string or a list with at least one item"},
		{`{"model":"m","input":7}`, "input: must be a string or a list of items, not a number"},
		{`{"model":"m","input":"a","input":"b"}`, "input: is given twice"},
		{`{"model":"m","input":"hi","previous_response_id":"resp_bwk_1"}`, "previous_response_id: conversations are not kept here: send all items in input"},
		{item(`{"type":"item_reference","id":"msg_bwk_1_0"}`), "input: an item_reference names an item that is not kept here: send the item itself"},
		{item(`{"id":"rs_bwk_1_0"}`), "input: an item_reference names an item that is not kept here: send the item itself"},
		{item(`{"type":"shell_call","call_id":"c"}`), "input[0].action: must be an object, not null"},
		{item(`{"content":"hi"}`), `input[0].type: is required: a string such as "message"`},
		{item(`{"role":"tool","content":"hi"}`), `input[0].role: "tool" is none of system, developer, user, assistant`},
		{item(`{"role":"user"}`), "input[0].content: is required: a string or a list of parts"},
		{item(`{"role":"user","content":[{"type":"input_image"}]}`), "input[0].content[0].image_url: is required: an address or a data URL; or a file_id"},
		{item(`{"role":"user","content":[{"type":"input_text"}]}`), "input[0].content[0].text: must be a string, not null"},
		{item(`{"type":"function_call","name":"f","arguments":"{}"}`), "input[0].call_id: is required"},
		{item(`{"type":"function_call_output","call_id":"c"}`), "input[0].output: is required: a string or a list of parts"},
		{item(`{"type":"reasoning","summary":"x"}`), "input[0].summary: must be a list, not a string"},
		{`{"model":"m","input":"hi","tools":[{"type":"function"}]}`, "tools[0].name: is required"},
		{`{"model":"m","input":"hi","tool_choice":"maybe"}`, "tool_choice: must be none, auto or required, or an object"},
		{`{"model":"m","input":"hi","text":{"format":{"type":"json_schema","name":"n"}}}`, "text.format.schema: is required: a JSON schema"},
		{`{"model":"m","input":"hi","max_output_tokens":0}`, "max_output_tokens: must be at least 1"},
		{`{"model":"m","input":"hi","metadata":{"a":1}}`, "metadata.a: must be a string, not a number"},
	} {
		_, err := ResponsesDoor().Decode([]byte(test.body))
		var wrong *RequestError
		if !errors.As(err, &wrong) || err.Error() != test.want {
			t.Errorf("%s:\n got %v\nwant %s", test.body, err, test.want)
		}
	}
}

func TestResponsesConversationIsExpanded(t *testing.T) {
	earlier := json.RawMessage(`[{"role":"user","content":"hi"},{"type":"message","id":"msg_1","role":"assistant","content":[{"type":"output_text","text":"hey"}]}]`)
	kept := map[string]string{"rs_1": `{"type":"reasoning","id":"rs_1","summary":[{"type":"summary_text","text":"hm"}]}`}
	find := func(id string) (json.RawMessage, bool) { v, ok := kept[id]; return json.RawMessage(v), ok }
	body, err := ExpandResponses([]byte(`{"model":"m","input":"and?","previous_response_id":"resp_1"}`), earlier, find)
	if err != nil {
		t.Fatal(err)
	}
	req, state, err := DecodeResponses(body)
	if err != nil || state.PreviousID != "" || req.Beyond != nil || len(req.Messages) != 3 || req.Messages[1].Text() != "hey" || req.Messages[2].Text() != "and?" {
		t.Errorf("got %s, %+v, %v", body, req, err)
	}
	body, err = ExpandResponses([]byte(`{"model":"m","input":[{"type":"item_reference","id":"rs_1"},{"id":"gone"}]}`), nil, find)
	if err != nil || string(body) != `{"model":"m","input":[{"type":"reasoning","id":"rs_1","summary":[{"type":"summary_text","text":"hm"}]},{"id":"gone"}]}` {
		t.Errorf("got %s, %v", body, err)
	}
	if body, err = ExpandResponses([]byte(`{"model":"m","previous_response_id":"resp_1"}`), earlier, find); err != nil || gjson.GetBytes(body, "input.#").Int() != 2 {
		t.Errorf("got %s, %v", body, err)
	}
}

// TestResponsesRequestOfCodexIsRead has the shape of a request of Codex CLI
// whose built-in tools are functions.
func TestResponsesRequestOfCodexIsRead(t *testing.T) {
	req, state, err := DecodeResponses([]byte(`{"model":"claude-sonnet-4-6","instructions":"You are a coding agent.","input":[
		{"type":"message","role":"developer","content":[{"type":"input_text","text":"<permissions>"}]},
		{"type":"message","role":"user","content":[{"type":"input_text","text":"list files"}]},
		{"type":"reasoning","summary":[{"type":"summary_text","text":"**Listing**"}],"content":null,"encrypted_content":"gAAAAABo"},
		{"type":"message","role":"assistant","content":[{"type":"output_text","text":"Looking."}],"phase":"commentary"},
		{"type":"function_call","name":"exec_command","arguments":"{\"cmd\":\"ls\"}","call_id":"call_9"},
		{"type":"function_call_output","call_id":"call_9","output":[{"type":"input_text","text":"a.go"},{"type":"input_image","image_url":"data:image/png;base64,aGV5"}]}],
		"tools":[{"type":"function","name":"exec_command","description":"Runs a command","strict":false,"parameters":{"type":"object","properties":{"cmd":{"type":"string"}}}}],
		"tool_choice":"auto","parallel_tool_calls":false,"reasoning":{"effort":"medium","summary":"auto"},"store":false,"stream":true,
		"include":["reasoning.encrypted_content"],"prompt_cache_key":"0198","client_metadata":{"x-codex-installation-id":"1"}}`))
	if err != nil || req.Beyond != nil || req.Aside != nil || state.Store || !req.Stream {
		t.Fatalf("got %+v, %+v, %v", req, state, err)
	}
	kinds := []llm.PartKind{}
	turn := req.Messages[3]
	for _, p := range turn.Parts {
		kinds = append(kinds, p.Kind)
	}
	if len(req.Messages) != 5 || turn.Role != llm.Assistant || !slices.Equal(kinds, []llm.PartKind{llm.Thinking, llm.Text, llm.Call}) {
		t.Errorf("got %s", marshal(req.Messages))
	}
	if p := turn.Parts[0]; p.SignedBy != llm.OpenAI || p.Signature != "gAAAAABo" || p.Redacted {
		t.Errorf("thinking: %+v", p)
	}
	if r := req.Messages[4].Parts[0].Result; r.Name != "exec_command" || len(r.Parts) != 2 || r.Parts[1].Kind != llm.Image {
		t.Errorf("result: %+v", r)
	}
}

func FuzzDecodeResponses(f *testing.F) {
	f.Add([]byte(`{"model":"m","input":"hi"}`))
	f.Add([]byte(`{"model":"m","input":[{"role":"user","content":[{"type":"input_image","image_url":"data:image/png;base64,aGV5"}]},{"type":"reasoning","summary":[],"encrypted_content":"bwk1_e30"},{"type":"function_call","call_id":"c","name":"f","arguments":"{}"},{"type":"function_call_output","call_id":"c","output":"x"}],"text":{"format":{"type":"json_object"}}}`))
	f.Add([]byte(`{"model":"m","input":[{"id":"x"}],"tools":[{"type":"function","name":"f","parameters":{}}],"tool_choice":{"type":"function","name":"f"}}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		req, state, err := DecodeResponses(body)
		if err != nil {
			var wrong *RequestError
			if !errors.As(err, &wrong) {
				t.Fatalf("%T: %v", err, err)
			}
			return
		}
		if !json.Valid(state.Items) {
			t.Fatalf("items: %s", state.Items)
		}
		for _, m := range req.Messages {
			for _, p := range m.Parts {
				if p.Kind == llm.Call && !validJSON(p.Call.Args) {
					t.Fatalf("arguments: %s", p.Call.Args)
				}
			}
		}
		none := func(string) (json.RawMessage, bool) { return nil, false }
		whole, err := ExpandResponses(body, nil, none)
		if err != nil {
			t.Fatal(err)
		}
		again, _, err := DecodeResponses(whole)
		if err != nil {
			t.Fatal(err)
		}
		if again.Body, req.Body = nil, nil; string(marshal(again)) != string(marshal(req)) {
			t.Fatalf("got %s, want %s", marshal(again), marshal(req))
		}
		if !json.Valid(ResponsesDoor().Answer(Meta{Request: &llm.Request{Body: body}}, Answer{})) {
			t.Fatal("the answer is not JSON")
		}
	})
}
