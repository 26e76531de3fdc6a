package wire

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"breakwater/internal/llm"

	"github.com/tidwall/gjson"
)

const responsesToolsBody = `{"model":"m","input":"hi","tools":[
	{"type":"function","name":"exec","parameters":{"type":"object"}},
	{"type":"custom","name":"apply","description":"Patches","format":{"type":"grammar","syntax":"lark","definition":"start: \"x\""}},
	{"type":"namespace","name":"crm__","description":"Customers","tools":[{"type":"function","name":"find"},{"type":"custom","name":"note"}]},
	{"type":"local_shell"},{"type":"shell"},{"type":"apply_patch"},{"type":"web_search","external_web_access":true}]}`

func TestToolsThatTheCallerRunsAreFunctionsElsewhere(t *testing.T) {
	req, _, err := DecodeResponses([]byte(responsesToolsBody))
	if err != nil || req.Beyond != nil || !reflect.DeepEqual(req.Aside, []string{"tools[1].format", "tools[6]: web_search"}) {
		t.Fatalf("%+v, %v", req, err)
	}
	names := []string{}
	for _, tool := range req.Tools {
		names = append(names, tool.Name)
		if tool.Schema != nil && !json.Valid(tool.Schema) {
			t.Errorf("%s: %s", tool.Name, tool.Schema)
		}
	}
	if got := strings.Join(names, " "); got != "exec apply crm__find crm__note local_shell shell apply_patch" {
		t.Errorf("got %s", got)
	}
	if about := gjson.GetBytes(req.Tools[1].Schema, "properties.input.description").String(); !strings.Contains(about, "lark") || !strings.Contains(about, `start: "x"`) {
		t.Errorf("the model is not told the grammar: %s", about)
	}
	long := flatName("mcp__a_server_with_a_rather_long_name", "and_a_tool_whose_name_is_no_shorter")
	if len(long) > maxToolName || long != flatName("mcp__a_server_with_a_rather_long_name", "and_a_tool_whose_name_is_no_shorter") {
		t.Errorf("got %s", long)
	}
	for choice, want := range map[string]*llm.ToolChoice{
		`{"type":"custom","name":"apply"}`: {Mode: llm.ChooseTool, Name: "apply"},
		`{"type":"shell"}`:                 {Mode: llm.ChooseTool, Name: "shell"},
		`{"type":"allowed_tools","mode":"required","tools":[{"type":"function","name":"exec"},{"type":"web_search"},{"type":"apply_patch"}]}`: {Mode: llm.ChooseAny, Among: []string{"exec", "apply_patch"}},
		`{"type":"allowed_tools","mode":"auto","tools":[{"type":"web_search"}]}`:                                                              {Mode: llm.ChooseNone},
		`"required"`: {Mode: llm.ChooseAny},
	} {
		req, _, err := DecodeResponses([]byte(strings.Replace(responsesToolsBody, `"input"`, `"tool_choice":`+choice+`,"input"`, 1)))
		if err != nil || req.Beyond != nil || !reflect.DeepEqual(req.ToolChoice, want) {
			t.Errorf("%s: got %+v, %v, %v", choice, req.ToolChoice, req.Beyond, err)
		}
	}
}

// responsesToolCalls are calls of each kind of tool, in one piece and in many.
func responsesToolCalls(piece int) []llm.Chunk {
	var chunks []llm.Chunk
	for i, c := range [][2]string{
		{"exec", `{"cmd":"ls"}`},
		{"apply", `{"input": "*** \"a\"\\\n+\u00e9 \ud83d\ude00 é\t"}`},
		{"crm__find", `{"id":1}`},
		{"crm__note", `{"text":"not as it was asked for"}`},
		{"local_shell", `{"command":["ls","-l"],"timeout_ms":5}`},
		{"shell", `{"commands":["ls"]}`},
		{"apply_patch", `{"type":"delete_file","path":"a.txt"}`},
		{"apply", ``},
	} {
		chunks = append(chunks, call(i, fmt.Sprintf("call_%d", i), c[0], ""))
		for args := c[1]; args != ""; {
			n := min(piece, len(args))
			for n < len(args) && args[n]&0xC0 == 0x80 { // a provider cuts no character
				n++
			}
			chunks = append(chunks, call(i, "", "", args[:n]))
			args = args[n:]
		}
	}
	return append(chunks, llm.Chunk{Finish: llm.FinishToolCalls})
}

func TestCallsAreToldInTheCallersOwnItems(t *testing.T) {
	m := responsesMeta
	req, _, err := DecodeResponses([]byte(responsesToolsBody))
	if err != nil {
		t.Fatal(err)
	}
	m.Request = req
	var output string
	for _, piece := range []int{1, 2, 3, 5, 8, 13, 99} {
		stream := writeResponses(m, responsesToolCalls(piece)...)
		events := responsesEvents(t, stream)
		last := events[len(events)-1].Get("response.output").Raw
		if got := replayEvents(t, events); got != last {
			t.Fatalf("the events tell %s\nthe answer %s", got, last)
		}
		if output != "" && last != output {
			t.Fatalf("in pieces of %d: %s\nbefore %s", piece, last, output)
		}
		output = last
		for i, item := range accumulated(t, stream).Output {
			if item.AsAny() == nil || item.Type == "custom_tool_call" && item.Input != gjson.Get(last, fmt.Sprintf("%d.input", i)).String() {
				t.Errorf("the SDK reads %s", item.RawJSON())
			}
		}
	}
	a, _ := Gather(&listed{chunks: responsesToolCalls(4)})
	if whole := gjson.GetBytes(ResponsesDoor().Answer(m, a), "output").Raw; !strings.HasPrefix(output, whole[:len(whole)-200]) {
		t.Errorf("whole it is\n%s\nand streamed\n%s", whole, output)
	}
	var out bytes.Buffer
	for _, item := range gjson.Parse(output).Array() {
		out.WriteString(item.Raw + "\n")
	}
	golden(t, "responses_tools.golden", out.Bytes())

	// And back again, with what the tools gave.
	back := `{"model":"m","tools":` + gjson.Get(responsesToolsBody, "tools").Raw + `,"input":` + output[:len(output)-1] +
		`,{"type":"function_call_output","call_id":"call_0","output":"a.go"},{"type":"custom_tool_call_output","call_id":"call_1","output":"ok"},
		{"type":"local_shell_call_output","id":"call_4","output":"b.go"},{"type":"shell_call_output","call_id":"call_5","output":[{"stdout":"c.go","stderr":"","outcome":{"type":"exit","exit_code":0}}]},
		{"type":"apply_patch_call_output","call_id":"call_6","status":"failed","output":"no such file"}]}`
	again, _, err := DecodeResponses([]byte(back))
	if err != nil || again.Beyond != nil {
		t.Fatalf("%v, %v", err, again.Beyond)
	}
	if got, want := len(again.Messages[0].Parts), len(a.Choices[0].Parts); got != want {
		t.Fatalf("%d calls of %d came back", got, want)
	}
	for i, p := range again.Messages[0].Parts {
		want := a.Choices[0].Parts[i].Call
		if p.Call.ID != want.ID || p.Call.Name != want.Name || !object2(p.Call.Args) {
			t.Errorf("got %s, want %s", marshal(p.Call), marshal(want))
		}
	}
	for i, want := range []string{"exec a.go false", "apply ok false", "local_shell b.go false", `shell [{"stdout":"c.go","stderr":"","outcome":{"type":"exit","exit_code":0}}] false`, "apply_patch no such file true"} {
		r := again.Messages[i+1].Parts[0].Result
		if got := fmt.Sprint(r.Name, " ", r.Parts[0].Text, " ", r.Error); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

func object2(b []byte) bool { _, ok := object(b); return ok }

func TestTheInputOfACustomToolIsReadInAnyPieces(t *testing.T) {
	for args, want := range map[string]string{
		`{"input":"a\"\\\/\b\f\n\r\t\u0041\ud83d\ude00 \ud83d x é"}`: "a\"\\/\b\f\n\r\tA😀 \ufffd x é",
		"\n{ \"input\" :\t\"x\" , \"y\": 1}":                         "x",
		`{"input":""}`:                                               "",
		`{"y":1,"input":"x"}`:                                        "", // told at the end
	} {
		for piece := 1; piece <= len(args); piece++ {
			var r inputReader
			got := ""
			for end := piece; ; end = min(end+piece, len(args)) {
				got += r.next([]byte(args)[:end])
				if end == len(args) {
					break
				}
			}
			if strings.Contains(args, "é") && piece < len(args) { // bytes of a character may be apart here
				continue
			}
			if got != want {
				t.Fatalf("%s in pieces of %d: %q", args, piece, got)
			}
		}
	}
}

func FuzzInputReader(f *testing.F) {
	f.Add([]byte(`{"input":"a\u00e9\ud83d\ude00\n"}`), uint8(2))
	f.Add([]byte(`{"input":"\ud83d\`), uint8(1))
	f.Fuzz(func(t *testing.T, args []byte, piece uint8) {
		var whole, parts inputReader
		want := whole.next(args)
		got := ""
		for end := 0; end < len(args); {
			end = min(end+int(piece)+1, len(args))
			got += parts.next(args[:end])
		}
		if json.Valid(args) && got != want && !strings.Contains(want, "\ufffd") {
			t.Fatalf("at once %q, in pieces %q", want, got)
		}
	})
}
