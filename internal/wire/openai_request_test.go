package wire

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"breakwater/internal/llm"

	"github.com/tidwall/gjson"
)

func ptr[T any](v T) *T { return &v }

func TestDecodeOpenAIChatReadsWhatAllDialectsShare(t *testing.T) {
	body := `{"model":"gpt-4o","messages":[
		{"role":"system","content":"Be brief."},
		{"role":"developer","content":[{"type":"text","text":"Be "},{"type":"text","text":"kind."}]},
		{"role":"user","content":"H\u00e9llo","name":"ann"},
		{"role":"assistant","content":null},
		{"role":"user","content":""}],
		"max_tokens":5,"max_completion_tokens":1e2,"temperature":2,"top_p":0.5,"top_k":40,"frequency_penalty":-2,
		"presence_penalty":0.5,"seed":-7,"stop":["a","b"],"user":"u1","stream":true,"stream_options":{"include_usage":true}}`
	got, err := DecodeOpenAIChat([]byte(body))
	if err != nil {
		t.Fatal(err)
	}
	part := func(s string) llm.Part { return llm.Part{Kind: llm.Text, Text: s} }
	want := &llm.Request{
		Dialect: llm.OpenAIChat, Model: "gpt-4o",
		Messages: []llm.Message{
			{Role: llm.System, Parts: []llm.Part{part("Be brief.")}},
			{Role: llm.Developer, Parts: []llm.Part{part("Be "), part("kind.")}},
			{Role: llm.User, Name: "ann", Parts: []llm.Part{part("Héllo")}},
			{Role: llm.Assistant},
			{Role: llm.User, Parts: []llm.Part{part("")}},
		},
		MaxTokens: ptr[int64](100), Temperature: ptr(2.0), TopP: ptr(0.5), TopK: ptr[int64](40),
		FrequencyPenalty: ptr(-2.0), PresencePenalty: ptr(0.5), Seed: ptr[int64](-7),
		Stop: []string{"a", "b"}, User: "u1", Stream: true, IncludeUsage: true, Body: json.RawMessage(body),
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestDecodeOpenAIChatNamesWhatIsBeyondSharedWords(t *testing.T) {
	const user = `"messages":[{"role":"user","content":"x"}]`
	for _, c := range []struct {
		name, fields string
		want         []string
	}{
		{"nothing", user, nil},
		{"what changes nothing", user + `,"n":1,"response_format":{"type":"text"},"tools":[],"functions":[],"tool_choice":"none",
			"function_call":null,"store":false,"logprobs":false,"top_logprobs":0,"modalities":["text"],"service_tier":"auto",
			"logit_bias":{},"metadata":{"a":"b"},"prompt_cache_key":"k","prompt_cache_options":{"mode":"explicit"},"safety_identifier":"s",
			"reasoning_effort":null,"verbosity":"medium","web_search_options":null,"stream_options":{"include_obfuscation":false},
			"audio":null,"max_tokens":null,"parallel_tool_calls":false`, nil},
		{"what is shared", user + `,"n":2,"tools":[{"type":"function","function":{"name":"f"}}],"tool_choice":"required","parallel_tool_calls":false,
			"response_format":{"type":"json_object"},"logprobs":true,"top_logprobs":2,"reasoning_effort":"low","service_tier":"flex"`, nil},
		{"tools, in order", `"tools":[{"type":"custom","custom":{"name":"c"}},{"type":"function","function":{"name":"f","x":1},"y":2}],` + user +
			`,"tool_choice":{"type":"custom","custom":{"name":"c"}}`,
			[]string{"tools[0].custom", "tools[1].y", "tools[1].function.x", "tool_choice.custom"}},
		{"allowed custom tools", user + `,"tools":[{"type":"custom","custom":{"name":"c"}}],
			"tool_choice":{"type":"allowed_tools","allowed_tools":{"mode":"auto","tools":[{"type":"custom","custom":{"name":"c"}}]}}`,
			[]string{"tools[0].custom", "tool_choice.allowed_tools.tools[0].custom"}},
		{"output", user + `,"response_format":{"type":"grammar"},"logit_bias":{"1":2},"modalities":["text","audio"],"audio":{"voice":"x"}`,
			[]string{"response_format.grammar", "logit_bias", "modalities", "audio"}},
		{"a schema without a schema", user + `,"response_format":{"type":"json_schema","json_schema":{"name":"x","y":1}}`,
			[]string{"response_format.json_schema.y", "response_format.json_schema"}},
		{"service", user + `,"reasoning_effort":"odd","store":true,"web_search_options":{},"moderation":{},"made_up":0`,
			[]string{"reasoning_effort", "store", "web_search_options", "moderation", "made_up"}},
		{"what only tunes", user + `,"verbosity":"low","prediction":{"type":"content","content":"x"},"enable_thinking":true`, nil},
		{"stream options", user + `,"stream_options":{"x":1}`, []string{"stream_options.x"}},
		{"parts", `"messages":[{"role":"user","content":"x"},{"role":"user","content":[{"type":"text","text":"x","cache_control":{}},
			{"type":"image_url","image_url":{"url":"data:image/png,%zz"}},{"type":"made_up"},{"type":"file","file":{"file_id":"f","x":1}}],"y":1}]`,
			[]string{"messages[1].content[0].cache_control", "messages[1].content[1].image_url.url", "messages[1].content[2].made_up",
				"messages[1].content[3].file.x", "messages[1].y"}},
		{"tool loop", `"messages":[{"role":"assistant","content":null,"tool_calls":[{"type":"custom","id":"c","custom":{}},
			{"type":"function","id":"d","function":{"name":"f","arguments":"not JSON"}}],"refusal":null,"annotations":[{}],"audio":{"id":"a"}},
			{"role":"tool","content":"1","tool_call_id":"d","z":1}]`,
			[]string{"messages[0].tool_calls[0].custom", "messages[0].audio", "messages[1].z"}},
		{"a name that breaks lines", user + `,"a\nb":1`, []string{"a b"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, err := DecodeOpenAIChat([]byte(`{"model":"m",` + c.fields + `}`))
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(r.Beyond, c.want) {
				t.Errorf("got  %q\nwant %q", r.Beyond, c.want)
			}
			if aside := c.name == "what only tunes"; aside != (len(r.Aside) == 3) {
				t.Errorf("aside %q", r.Aside)
			}
		})
	}
}

func TestDecodeOpenAIChatSaysWhatIsWrong(t *testing.T) {
	const user = `"messages":[{"role":"user","content":"x"}]`
	with := func(fields string) string { return `{"model":"m",` + user + `,` + fields + `}` }
	messages := func(m string) string { return `{"model":"m","messages":` + m + `}` }
	for _, c := range []struct{ body, field, message string }{
		{``, "", "the body is empty"},
		{`null`, "", "the body is null, not a JSON object"},
		{`[]`, "", "the body is a list, not a JSON object"},
		{"{\n \"model\": \"m\",\n}", "", "(line 3, column 1)"},
		{`{"model":"m"`, "", "unexpected end of JSON input"},
		{with(`"a":1`) + `x`, "", "after top-level value"},
		{`{"model":"` + "\xff" + `"}`, "", "not valid UTF-8"},
		{strings.Repeat(`{"a":`, 100_000), "", "nested deeper than 512 levels"},
		{`{` + user + `}`, "model", "is required"},
		{`{"model":"",` + user + `}`, "model", "is required"},
		{`{"model":1,` + user + `}`, "model", "must be a string, not a number"},
		{`{"model":"m","model":"n",` + user + `}`, "model", "is given twice"},
		{`{"model":"m"}`, "messages", "is required"},
		{messages(`null`), "messages", "is required"},
		{messages(`[]`), "messages", "is required"},
		{messages(`{}`), "messages", "must be a list, not an object"},
		{messages(`["hi"]`), "messages[0]", "must be an object, not a string"},
		{messages(`[{"content":"x"}]`), "messages[0].role", "is required"},
		{messages(`[{"role":"bot","content":"x"}]`), "messages[0].role", `"bot" is none of`},
		{messages(`[{"role":"user"}]`), "messages[0].content", "is required"},
		{messages(`[{"role":"user","content":null}]`), "messages[0].content", "is required"},
		{messages(`[{"role":"user","content":7}]`), "messages[0].content", "must be a string or a list of parts, not a number"},
		{messages(`[{"role":"user","content":["x"]}]`), "messages[0].content[0]", "must be an object"},
		{messages(`[{"role":"user","content":[{"text":"x"}]}]`), "messages[0].content[0].type", "is required"},
		{messages(`[{"role":"user","content":[{"type":"text"}]}]`), "messages[0].content[0].text", "is required"},
		{messages(`[{"role":"user","content":[{"type":"text","text":null}]}]`), "messages[0].content[0].text", "must be a string, not null"},
		{messages(`[{"role":"user","content":"x","content":"y"}]`), "messages[0].content", "is given twice"},
		{messages(`[{"role":"user","content":"x","name":{}}]`), "messages[0].name", "must be a string"},
		{with(`"n":0`), "n", "must be between 1 and 128"},
		{with(`"n":1.5`), "n", "must be a whole number"},
		{with(`"max_tokens":0`), "max_tokens", "must be at least 1"},
		{with(`"max_completion_tokens":"5"`), "max_completion_tokens", "must be a whole number, not a string"},
		{with(`"max_tokens":1e300`), "max_tokens", "must be a whole number of a usual size"},
		{with(`"temperature":2.1`), "temperature", "must be between 0 and 2"},
		{with(`"temperature":"hot"`), "temperature", "must be a number, not a string"},
		{with(`"top_p":-1`), "top_p", "must be between 0 and 1"},
		{with(`"presence_penalty":3`), "presence_penalty", "must be between -2 and 2"},
		{with(`"frequency_penalty":1e999`), "frequency_penalty", "must be between -2 and 2"},
		{with(`"seed":"x"`), "seed", "must be a whole number"},
		{with(`"stop":5`), "stop", "must be a string or a list of strings"},
		{with(`"stop":["a",5]`), "stop[1]", "must be a string, not a number"},
		{with(`"stream":"yes"`), "stream", "must be true or false, not a string"},
		{with(`"stream_options":true`), "stream_options", "must be an object, not a boolean"},
		{with(`"stream_options":{"include_usage":1}`), "stream_options.include_usage", "must be true or false"},
		{with(`"tools":{}`), "tools", "must be a list, not an object"},
		{with(`"response_format":"json"`), "response_format", "must be an object, not a string"},
		{with(`"user":1`), "user", "must be a string"},
	} {
		refuses(t, c.body, c.field, c.message)
	}
}

// refuses holds that the door refuses a body for a field.
func refuses(t *testing.T, body, field, message string) {
	t.Helper()
	_, err := DecodeOpenAIChat([]byte(body))
	var failed *RequestError
	if !errors.As(err, &failed) || failed.Field != field || !strings.Contains(failed.Message, message) {
		t.Errorf("%.80s\n got %#v\nwant %q %q", body, err, field, message)
	}
}

func TestDecodeOpenAIChatSaysWhatIsWrongWithToolsAndMedia(t *testing.T) {
	with := func(fields string) string {
		return `{"model":"m","messages":[{"role":"user","content":"x"}],` + fields + `}`
	}
	messages := func(m string) string { return `{"model":"m","messages":` + m + `}` }
	for _, c := range []struct{ body, field, message string }{
		{with(`"n":129`), "n", "must be between 1 and 128"},
		{with(`"logprobs":1`), "logprobs", "must be true or false"},
		{with(`"top_logprobs":21`), "top_logprobs", "must be between 0 and 20"},
		{with(`"metadata":{"a":1}`), "metadata.a", "must be a string"},
		{with(`"reasoning_effort":3`), "reasoning_effort", "must be a string"},
		{with(`"response_format":{}`), "response_format.type", "is required"},
		{with(`"response_format":{"type":"json_schema"}`), "response_format.json_schema", "must be an object"},
		{with(`"response_format":{"type":"json_schema","json_schema":{"schema":[]}}`), "response_format.json_schema.schema", "must be an object"},
		{with(`"tools":["x"]`), "tools[0]", "must be an object"},
		{with(`"tools":[{"type":"function"}]`), "tools[0].function", "must be an object"},
		{with(`"tools":[{"type":"function","function":{}}]`), "tools[0].function.name", "is required"},
		{with(`"tools":[{"type":"function","function":{"name":"f","parameters":"x"}}]`), "tools[0].function.parameters", "must be an object"},
		{with(`"functions":[{"name":""}]`), "functions[0].name", "is required"},
		{with(`"tool_choice":"any"`), "tool_choice", `"any" is none of`},
		{with(`"tool_choice":"required"`), "tool_choice", "there are none"},
		{with(`"tool_choice":{"type":"function"}`), "tool_choice", "names no function"},
		{with(`"tools":[{"function":{"name":"f"}}],"tool_choice":{"type":"function","function":{"name":"g"}}`), "tool_choice", `"g", which is none`},
		{with(`"tool_choice":"auto","function_call":"auto"`), "function_call", "cannot be given beside tool_choice"},
		{with(`"tools":[{"function":{"name":"f"}}],"tool_choice":{"type":"allowed_tools","allowed_tools":{"mode":"auto"}}`), "tool_choice.allowed_tools.tools", "is required"},
		{messages(`[{"role":"user","content":[{"type":"image_url"}]}]`), "messages[0].content[0].image_url", "must be a string"},
		{messages(`[{"role":"user","content":[{"type":"image_url","image_url":{"url":""}}]}]`), "messages[0].content[0].image_url.url", "is empty"},
		{messages(`[{"role":"user","content":[{"type":"input_audio","input_audio":{"data":"x"}}]}]`), "messages[0].content[0].input_audio.format", "must be a string"},
		{messages(`[{"role":"user","content":[{"type":"file","file":{}}]}]`), "messages[0].content[0].file", "neither"},
		{messages(`[{"role":"assistant","tool_calls":{}}]`), "messages[0].tool_calls", "must be a list"},
		{messages(`[{"role":"assistant","tool_calls":[{}]}]`), "messages[0].tool_calls[0].id", "is required"},
		{messages(`[{"role":"assistant","tool_calls":[{"id":"c"}]}]`), "messages[0].tool_calls[0].function.name", "is required"},
		{messages(`[{"role":"assistant","thinking_blocks":[{"type":"x"}]}]`), "messages[0].thinking_blocks[0].type", "must be thinking"},
		{messages(`[{"role":"tool","content":"x"}]`), "messages[0].tool_call_id", "is required"},
		{messages(`[{"role":"function","name":"f","content":"x"}]`), "messages[0].name", "was not called before"},
	} {
		refuses(t, c.body, c.field, c.message)
	}
}

// TestDecodeOpenAIChatReadsToolsAndMedia holds what becomes of everything that
// a conversation may hold.
func TestDecodeOpenAIChatReadsToolsAndMedia(t *testing.T) {
	r, err := DecodeOpenAIChat([]byte(`{"model":"m","messages":[
		{"role":"user","content":[
			{"type":"text","text":"Look","prompt_cache_breakpoint":{"mode":"explicit","ttl":"30m"}},
			{"type":"image_url","image_url":{"url":"https://x/y.png","detail":"low"}},
			{"type":"image_url","image_url":{"url":"data:image/png;base64,AAAA"},"cache_control":{"type":"ephemeral"}},
			{"type":"image_url","image_url":"data:image/svg+xml;charset=utf-8,%3Csvg%3E"},
			{"type":"input_audio","input_audio":{"data":"BBBB","format":"mp3"}},
			{"type":"file","file":{"filename":"a.pdf","file_data":"data:application/pdf;base64,CCCC"}},
			{"type":"file","file":{"filename":"b.txt","file_data":"DDDD"}},
			{"type":"file","file":{"file_id":"file-1"}}]},
		{"role":"assistant","content":[{"type":"text","text":"Hm"},{"type":"refusal","refusal":"No"}],"reasoning_content":"ignored",
			"thinking_blocks":[{"type":"thinking","thinking":"I see","signature":"sig"},{"type":"redacted_thinking","data":"dark"}],
			"extra_content":{"google":{"thought_signature":"said"}},
			"tool_calls":[{"id":"c1","type":"function","index":0,"function":{"name":"f","arguments":"{\"a\": 1}"},"extra_content":{"google":{"thought_signature":"gem"}}},
				{"id":"c2","type":"function","function":{"name":"g","arguments":""}}]},
		{"role":"tool","tool_call_id":"c2","content":[{"type":"text","text":"two"}]},
		{"role":"tool","tool_call_id":"c1","content":null},
		{"role":"assistant","content":null,"reasoning":"hm","function_call":{"name":"f","arguments":"{}"}},
		{"role":"function","name":"f","content":"{}"},
		{"role":"assistant","refusal":"Never"}],
		"tools":[{"type":"function","function":{"name":"f","description":"d","strict":true,"parameters":{"type":"object"}},"cache_control":{"type":"ephemeral","ttl":"1h"}},
			{"type":"function","function":{"name":"g"}}],
		"tool_choice":{"type":"allowed_tools","allowed_tools":{"mode":"required","tools":[{"type":"function","function":{"name":"g"}}]}},
		"parallel_tool_calls":false,"n":3,"logprobs":true,"top_logprobs":4,"reasoning_effort":"xhigh","service_tier":"flex",
		"metadata":{"k":"v"},"user":"old","safety_identifier":"new",
		"response_format":{"type":"json_schema","json_schema":{"name":"s","description":"d","strict":false,"schema":{"type":"object"}}}}`))
	if err != nil {
		t.Fatal(err)
	}
	if r.Beyond != nil {
		t.Errorf("beyond %q", r.Beyond)
	}
	r.Body = nil
	b, err := json.MarshalIndent(r, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "openai_request.golden", b)
}

func TestTheCallersCacheKeyIsReadThroughBothDoors(t *testing.T) {
	chat, err := DecodeOpenAIChat([]byte(`{"model":"gpt-4o","prompt_cache_key":"thread-1","messages":[{"role":"user","content":"hi"}]}`))
	if err != nil || chat.CacheKey != "thread-1" || len(chat.Beyond) > 0 {
		t.Errorf("chat: %+v, %v", chat, err)
	}
	responses, _, err := DecodeResponses([]byte(`{"model":"gpt-4o","prompt_cache_key":"thread-1","input":"hi"}`))
	if err != nil || responses.CacheKey != "thread-1" || len(responses.Beyond) > 0 {
		t.Errorf("responses: %+v, %v", responses, err)
	}
}

func TestToolChoicesOfOpenAIAreRead(t *testing.T) {
	const tools = `"tools":[{"type":"function","function":{"name":"f"}}]`
	for fields, want := range map[string]*llm.ToolChoice{
		tools:                               nil,
		`"tool_choice":"auto"`:              nil,
		tools + `,"tool_choice":"auto"`:     {Mode: llm.ChooseAuto},
		tools + `,"tool_choice":"none"`:     {Mode: llm.ChooseNone},
		tools + `,"tool_choice":"required"`: {Mode: llm.ChooseAny},
		tools + `,"tool_choice":{"type":"function","function":{"name":"f"}}`:                                                                    {Mode: llm.ChooseTool, Name: "f"},
		`"functions":[{"name":"f"}],"function_call":{"name":"f"}`:                                                                               {Mode: llm.ChooseTool, Name: "f"},
		`"functions":[{"name":"f","parameters":{}}],"function_call":"none"`:                                                                     {Mode: llm.ChooseNone},
		tools + `,"tool_choice":{"type":"allowed_tools","allowed_tools":{"mode":"auto","tools":[{"type":"function","function":{"name":"f"}}]}}`: {Mode: llm.ChooseAuto, Among: []string{"f"}},
	} {
		r, err := DecodeOpenAIChat([]byte(`{"model":"m","messages":[{"role":"user","content":"x"}],` + fields + `}`))
		if err != nil || !reflect.DeepEqual(r.ToolChoice, want) {
			t.Errorf("%s: got %+v, %v", fields, r.ToolChoice, err)
		}
	}
}

func TestRecordedRequestsAreDecoded(t *testing.T) {
	var out bytes.Buffer
	for _, x := range corpus(t) {
		if !strings.HasSuffix(x.Request.Path, "/chat/completions") {
			continue
		}
		fmt.Fprintf(&out, "%s\n\t", x.Name)
		r, err := DecodeOpenAIChat(x.Request.Body)
		if err != nil {
			fmt.Fprintf(&out, "REFUSED %v\n", err)
			continue
		}
		kinds := map[llm.PartKind]int{}
		for _, m := range r.Messages {
			for _, p := range m.Parts {
				kinds[p.Kind]++
			}
		}
		fmt.Fprintf(&out, "%d messages %v, %d tools, beyond %q, aside %q\n", len(r.Messages), kinds, len(r.Tools), r.Beyond, r.Aside)
	}
	golden(t, "requests.golden", out.Bytes())
}

func FuzzDecodeOpenAIChat(f *testing.F) {
	f.Add([]byte(`{"model":"m","messages":[{"role":"user","content":[{"type":"text","text":"x"}]}],"stream":true,"stop":"x"}`))
	f.Add([]byte(`{"model":"m","messages":[{"role":"assistant","content":"x"},{"role":"tool","content":""}],"n":1,"max_tokens":1e3}`))
	f.Add([]byte(`{"mod\u0065l":"m","messages":[{"role":"user","content":"\ud800"}],"stream":true,"stream_options":null}`))
	f.Add([]byte(`{"model":"m","messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"data:image/png;base64,AA"}},{"type":"file","file":{"file_data":"AA","filename":"a.txt"}},{"type":"input_audio","input_audio":{"data":"A","format":"wav"}}]},{"role":"assistant","reasoning_content":"r","thinking_blocks":[{"type":"thinking","thinking":"r","signature":"s"}],"tool_calls":[{"id":"c","type":"function","function":{"name":"f","arguments":"{}"},"extra_content":{"google":{"thought_signature":"g"}}}]},{"role":"tool","tool_call_id":"c","content":"x"}],"tools":[{"type":"function","function":{"name":"f","strict":true,"parameters":{"type":"object","properties":{}}}}],"tool_choice":{"type":"function","function":{"name":"f"}},"response_format":{"type":"json_schema","json_schema":{"name":"n","schema":{"type":"object"}}},"reasoning_effort":"low","logprobs":true,"n":2}`))
	f.Add([]byte(`{"model":"m","messages":[{"role":"assistant","function_call":{"name":"f","arguments":""}},{"role":"function","name":"f","content":null}],"functions":[{"name":"f"}],"function_call":{"name":"f"},"metadata":{"a":"b"}}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		r, err := DecodeOpenAIChat(body)
		if err != nil {
			if failed := (*RequestError)(nil); !errors.As(err, &failed) || failed.Message == "" {
				t.Fatalf("a bare error: %v", err)
			}
			return
		}
		translated := *r
		translated.Dialect, translated.Beyond = llm.OpenAIResponses, nil
		if e, err := encodeOpenAI("target", &translated); err == nil {
			if again, err := DecodeOpenAIChat(e.Body); err != nil || len(again.Messages) < len(r.Messages) || len(again.Tools) != len(r.Tools) {
				t.Fatalf("%s became %s: %v", body, e.Body, err)
			}
		}
		for _, d := range []llm.Dialect{llm.OpenAIChat, llm.AnthropicMessages, llm.GeminiGenerate, llm.OllamaChat} {
			c, _ := CodecFor(d)
			e, err := c.Encode("target", r)
			if err != nil {
				if d == llm.OpenAIChat {
					t.Fatalf("%s cannot be passed on: %v", body, err)
				}
				continue
			}
			if !json.Valid(e.Body) {
				t.Fatalf("%s: invalid body %s", d, e.Body)
			}
			if d == llm.OpenAIChat {
				again, err := DecodeOpenAIChat(e.Body)
				if err != nil || again.Model != "target" || again.Stream && !again.IncludeUsage {
					t.Fatalf("%s passed on as %s: %v", body, e.Body, err)
				}
				if got := gjson.GetBytes(e.Body, "messages").Raw; got != gjson.GetBytes(body, "messages").Raw {
					t.Fatalf("messages passed on as %s", got)
				}
			}
		}
	})
}
