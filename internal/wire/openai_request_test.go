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
			"function_call":"auto","store":false,"logprobs":false,"top_logprobs":0,"modalities":["text"],"service_tier":"auto",
			"logit_bias":{},"metadata":{"a":"b"},"prompt_cache_key":"k","safety_identifier":"s","reasoning_effort":null,
			"web_search_options":null,"stream_options":{"include_obfuscation":false},"audio":null,"max_tokens":null`, nil},
		{"in order", `"tools":[{"type":"function"}],"n":2,` + user + `,"tool_choice":"required","parallel_tool_calls":false`,
			[]string{"tools", "n", "tool_choice", "parallel_tool_calls"}},
		{"output", user + `,"response_format":{"type":"json_object"},"logprobs":true,"top_logprobs":2,"logit_bias":{"1":2},
			"modalities":["text","audio"],"audio":{"voice":"x"}`,
			[]string{"response_format", "logprobs", "top_logprobs", "logit_bias", "modalities", "audio"}},
		{"service", user + `,"reasoning_effort":"low","verbosity":"low","service_tier":"flex","store":true,"web_search_options":{},
			"prediction":{},"made_up":0`,
			[]string{"reasoning_effort", "verbosity", "service_tier", "store", "web_search_options", "prediction", "made_up"}},
		{"stream options", user + `,"stream_options":{"x":1}`, []string{"stream_options.x"}},
		{"images", `"messages":[{"role":"user","content":"x"},{"role":"user","content":[{"type":"text","text":"x","cache_control":{}},
			{"type":"image_url","image_url":{}},{"type":"made_up"}]}]`,
			[]string{"messages[1].content[0].cache_control", "messages[1].content[1].image_url", "messages[1].content[2].made_up"}},
		{"tool loop", `"messages":[{"role":"assistant","content":null,"tool_calls":[{}],"refusal":null,"annotations":[]},
			{"role":"tool","content":"1","tool_call_id":"c"},{"role":"function","content":null,"name":"f"}]`,
			[]string{"messages[0].tool_calls", "messages[1].role", "messages[1].tool_call_id", "messages[2].role"}},
		{"reasoning sent back", `"messages":[{"role":"assistant","content":"","reasoning_content":"x"}]`, []string{"messages[0].reasoning_content"}},
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
		{with(`"n":0`), "n", "must be at least 1"},
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
		_, err := DecodeOpenAIChat([]byte(c.body))
		var failed *RequestError
		if !errors.As(err, &failed) || failed.Field != c.field || !strings.Contains(failed.Message, c.message) {
			t.Errorf("%.80s\n got %#v\nwant %q %q", c.body, err, c.field, c.message)
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
		fmt.Fprintf(&out, "%d messages, beyond %q\n", len(r.Messages), r.Beyond)
	}
	golden(t, "requests.golden", out.Bytes())
}

func FuzzDecodeOpenAIChat(f *testing.F) {
	f.Add([]byte(`{"model":"m","messages":[{"role":"user","content":[{"type":"text","text":"x"}]}],"stream":true,"stop":"x"}`))
	f.Add([]byte(`{"model":"m","messages":[{"role":"assistant","content":"x"},{"role":"tool","content":""}],"n":1,"max_tokens":1e3}`))
	f.Add([]byte(`{"mod\u0065l":"m","messages":[{"role":"user","content":"\ud800"}],"stream":true,"stream_options":null}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		r, err := DecodeOpenAIChat(body)
		if err != nil {
			if failed := (*RequestError)(nil); !errors.As(err, &failed) || failed.Message == "" {
				t.Fatalf("a bare error: %v", err)
			}
			return
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
