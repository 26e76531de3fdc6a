package wire

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"breakwater/internal/llm"

	"github.com/tidwall/gjson"
	"github.com/tidwall/sjson"
)

// Tools of the Responses API, see
// https://developers.openai.com/api/docs/guides/tools and
// https://developers.openai.com/api/docs/guides/function-calling#custom-tools
// (2026-11). Elsewhere a tool is a function. So tools that the caller runs are
// made functions, and their calls are told in the caller's own items again.
// Tools that OpenAI runs can run nowhere else: where the model merely may use
// them they fall away, and the caller is told.

// clientTool is a kind of tool that the caller runs, and that has items of its
// own: a call, whose field holds what the model said, and an output.
type clientTool struct {
	kind, prefix, field string
	about, schema       string
	base                string // what field holds at least
}

// customTool takes any text, or text of a grammar.
const customTool = "custom"

// clientTools gives the kinds but for functions and custom tools, by their name,
// which the model sees too.
func clientTools() []clientTool {
	return []clientTool{
		{kind: "local_shell", prefix: "lsh_", field: "action", base: `{"type":"exec","command":[],"env":{}}`,
			about:  "Runs a command on the user's machine.",
			schema: `{"type":"object","properties":{"command":{"type":"array","items":{"type":"string"},"description":"The program and its arguments"},"working_directory":{"type":"string"},"timeout_ms":{"type":"integer"}},"required":["command"],"additionalProperties":false}`},
		{kind: "shell", prefix: "sh_", field: "action", base: `{"commands":[],"timeout_ms":null,"max_output_length":null}`,
			about:  "Runs shell commands on the user's machine, each on its own, and gives their output.",
			schema: `{"type":"object","properties":{"commands":{"type":"array","items":{"type":"string"}},"timeout_ms":{"type":"integer"},"max_output_length":{"type":"integer","description":"Characters of output that are wanted at most"}},"required":["commands"],"additionalProperties":false}`},
		{kind: "apply_patch", prefix: "apc_", field: "operation", base: `{}`,
			about: "Creates, updates or deletes one file. A diff consists of lines that begin with + (added), - (removed) or a space (unchanged, for context); " +
				"the diff of a new file has only added lines; a line with @@ and a line of the file before a change says where it is.",
			schema: `{"type":"object","properties":{"type":{"type":"string","enum":["create_file","update_file","delete_file"]},"path":{"type":"string"},"diff":{"type":"string","description":"Not for delete_file"}},"required":["type","path"],"additionalProperties":false}`},
	}
}

// clientToolOf finds the kind of tool of an item's type: its own name and suffix.
func clientToolOf(kind, suffix string) (clientTool, bool) {
	for _, t := range clientTools() {
		if kind == t.kind+suffix {
			return t, true
		}
	}
	return clientTool{}, false
}

// hosted says whether OpenAI runs tools of a kind, so that a conversation is
// still one without them.
func hosted(kind string) bool {
	switch kind {
	case "web_search", "web_search_2025_08_26", "web_search_preview", "web_search_preview_2025_03_11", "file_search",
		"code_interpreter", "image_generation", "mcp", "tool_search", "programmatic_tool_calling", "shell":
		return true
	}
	return false
}

// hostedItem says whether an item tells of what OpenAI ran, or found.
func hostedItem(kind string) bool {
	switch kind {
	case "web_search_call", "file_search_call", "code_interpreter_call", "image_generation_call", "mcp_list_tools", "mcp_call", "tool_search_call":
		return true
	}
	return false
}

// maxToolName is what providers take.
const maxToolName = 64

// flatName is the name of a tool of a namespace among all others.
func flatName(namespace, name string) string {
	if namespace == "" {
		return name
	}
	flat := strings.TrimSuffix(namespace, "__") + "__" + name
	if len(flat) > maxToolName {
		sum := sha256.Sum256([]byte(flat))
		flat = flat[:maxToolName-13] + "_" + hex.EncodeToString(sum[:6])
	}
	return flat
}

// aside notes what another dialect's target goes without.
func (d *responsesDecoder) aside(name string) {
	if !slices.Contains(d.req.Aside, name) {
		d.req.Aside = append(d.req.Aside, name)
	}
}

func (d *responsesDecoder) tools(path string, v gjson.Result, namespace string) *RequestError {
	if !v.IsArray() {
		return wrongType(path, v, "a list")
	}
	for i, tool := range v.Array() {
		at := fmt.Sprintf("%s[%d]", path, i)
		kind := tool.Get("type")
		switch {
		case !tool.IsObject():
			return wrongType(at, tool, "an object")
		case kind.Type != gjson.String || kind.Str == "":
			return &RequestError{at + ".type", "is required: a string such as \"function\""}
		}
		if err := d.tool(at, kind.Str, tool, namespace); err != nil {
			return err
		}
	}
	return nil
}

func (d *responsesDecoder) tool(path, kind string, v gjson.Result, namespace string) *RequestError {
	client, known := clientToolOf(kind, "")
	container := strings.HasPrefix(v.Get("environment.type").String(), "container")
	switch {
	case kind == "function", kind == customTool:
		return d.function(path+".", v, namespace)
	case kind == "namespace" && namespace == "":
		name, err := text(path+".name", v.Get("name"))
		if err != nil {
			return err
		}
		return d.tools(path+".tools", v.Get("tools"), name)
	case known && !container:
		d.offer(llm.Tool{Name: kind, Description: client.about, Schema: json.RawMessage(client.schema)})
	case hosted(kind):
		d.fallen = true
		d.aside(path + ": " + kind)
	default:
		d.beyond(path+".", kind)
	}
	return nil
}

// function takes a function, or a custom tool: a function with one argument.
func (d *responsesDecoder) function(path string, v gjson.Result, namespace string) *RequestError {
	var t llm.Tool
	var format gjson.Result
	custom := v.Get("type").String() == customTool
	direct := true
	err := eachField(v, path, func(name string, v gjson.Result) (err *RequestError) {
		switch {
		case name == "type", v.Type == gjson.Null, v.Type == gjson.False && name != "strict":
		case name == "name":
			t.Name, err = text(path+name, v)
		case name == "description":
			t.Description, err = text(path+name, v)
		case name == "parameters" && !custom:
			t.Schema, err = schema(path+name, v)
		case name == "strict" && !custom:
			t.Strict, err = optional(boolean(path+name, v))
		case name == "format" && custom:
			format = v
		case name == "allowed_callers":
			direct = slices.ContainsFunc(v.Array(), func(v gjson.Result) bool { return v.String() == "direct" })
		case name == "defer_loading", name == "async", name == "output_schema": // it is there at once, and answered in turn
			d.aside(path + name)
		default:
			d.beyond(path, name)
		}
		return err
	})
	switch {
	case err != nil:
		return err
	case t.Name == "":
		return &RequestError{path + "name", "is required"}
	case !direct: // only programs that OpenAI runs may call it
		d.fallen = true
		d.aside(strings.TrimSuffix(path, "."))
		return nil
	}
	if custom {
		t.Schema = d.customSchema(path, format)
	}
	t.Name = flatName(namespace, t.Name)
	d.offer(t)
	return nil
}

// offer adds a tool. One that was found in the conversation may come again.
func (d *responsesDecoder) offer(t llm.Tool) {
	if !slices.ContainsFunc(d.req.Tools, func(o llm.Tool) bool { return o.Name == t.Name }) {
		d.req.Tools = append(d.req.Tools, t)
	}
}

// customSchema gives the schema of a custom tool. A grammar is told to the
// model, but nothing makes it keep to it.
func (d *responsesDecoder) customSchema(path string, format gjson.Result) json.RawMessage {
	about := "The whole input of the tool, as plain text"
	if format.Get("type").String() == "grammar" {
		about = fmt.Sprintf("%s that follows this grammar (%s):\n%s", about, format.Get("syntax").String(), format.Get("definition").String())
		d.aside(path + "format")
	}
	return json.RawMessage(`{"type":"object","properties":{"input":{"type":"string","description":` + string(gjson.AppendJSONString(nil, about)) +
		`}},"required":["input"],"additionalProperties":false}`)
}

// toolChoice restricts the tools, which all are known by now.
func (d *responsesDecoder) toolChoice(v gjson.Result) *RequestError {
	const path = "tool_choice."
	switch {
	case v.Type == gjson.Null:
		return nil
	case v.Type == gjson.String:
		mode, ok := responsesChoice(v.Str)
		switch {
		case !ok:
			return &RequestError{"tool_choice", "must be none, auto or required, or an object"}
		case len(d.req.Tools) > 0 || !d.fallen:
			d.req.ToolChoice = &llm.ToolChoice{Mode: mode}
		case mode == llm.ChooseAny: // only tools that OpenAI runs
			d.beyond("", "tool_choice")
		}
		return nil
	case !v.IsObject():
		return wrongType("tool_choice", v, "a string or an object")
	}
	switch kind := v.Get("type").String(); kind {
	case "":
		return &RequestError{path + "type", "is required"}
	case "function", customTool:
		name, err := text(path+"name", v.Get("name"))
		d.req.ToolChoice = &llm.ToolChoice{Mode: llm.ChooseTool, Name: name}
		return err
	case "allowed_tools":
		return d.allowedTools(path, v)
	default:
		if !d.offers(kind) {
			d.beyond(path, kind)
			return nil
		}
		d.req.ToolChoice = &llm.ToolChoice{Mode: llm.ChooseTool, Name: kind}
	}
	return nil
}

// offers says whether the request has a tool that the caller runs and that is
// no function.
func (d *responsesDecoder) offers(kind string) bool {
	_, known := clientToolOf(kind, "")
	return known && slices.ContainsFunc(d.req.Tools, func(t llm.Tool) bool { return t.Name == kind })
}

// allowedTools takes a choice among some of the tools.
func (d *responsesDecoder) allowedTools(path string, v gjson.Result) *RequestError {
	mode, ok := responsesChoice(v.Get("mode").String())
	if !ok || mode == llm.ChooseNone {
		return &RequestError{path + "mode", "must be auto or required"}
	}
	choice := &llm.ToolChoice{Mode: mode}
	listed := v.Get("tools").Array()
	if len(listed) == 0 {
		return &RequestError{path + "tools", "must name at least one tool"}
	}
	for i, tool := range listed {
		switch kind := tool.Get("type").String(); {
		case kind == "function", kind == customTool:
			choice.Among = append(choice.Among, flatName(tool.Get("namespace").String(), tool.Get("name").String()))
		case d.offers(kind):
			choice.Among = append(choice.Among, kind)
		case !hosted(kind):
			d.beyond(fmt.Sprintf("%stools[%d].", path, i), kind)
		}
	}
	switch {
	case choice.Among != nil:
	case mode == llm.ChooseAny:
		d.beyond("", "tool_choice")
		return nil
	default: // it may use what fell away, and nothing else
		choice = &llm.ToolChoice{Mode: llm.ChooseNone}
	}
	if len(d.req.Tools) > 0 {
		d.req.ToolChoice = choice
	}
	return nil
}

// clientCall takes the call of a tool that the caller runs and that is no function.
func (d *responsesDecoder) clientCall(path string, tool clientTool, v gjson.Result) *RequestError {
	id, err := text(path+"call_id", v.Get("call_id"))
	if err != nil {
		return err
	}
	said := v.Get(tool.field)
	if !said.IsObject() {
		return wrongType(path+tool.field, said, "an object")
	}
	args := said.Raw
	if tool.kind == "local_shell" {
		args, _ = sjson.Delete(args, "type") // which is always exec
	}
	d.called(&llm.ToolCall{ID: id, Name: tool.kind, Args: json.RawMessage(args)})
	return nil
}

// clientOutput takes what such a tool gave: text, or a list that is told as it is.
func (d *responsesDecoder) clientOutput(path string, tool clientTool, v gjson.Result) *RequestError {
	id := v.Get("call_id").String()
	if id == "" {
		id = v.Get("id").String() // of local_shell
	}
	if id == "" {
		return &RequestError{path + "call_id", "is required"}
	}
	said := v.Get("output")
	words := said.String()
	if said.IsArray() {
		words = said.Raw
	}
	d.gave(&llm.ToolResult{CallID: id, Name: tool.kind, Parts: []llm.Part{{Kind: llm.Text, Text: words}}, Error: v.Get("status").String() == "failed"})
	return nil
}

// answerTool is what a call of an answer is in the caller's own items.
type answerTool struct {
	custom          bool
	client          clientTool // where it has a kind
	name, namespace string
}

// answerTools finds the tools of a request that are no plain functions, by the
// names that other providers know.
func answerTools(body gjson.Result) map[string]answerTool {
	var found map[string]answerTool
	var add func(list gjson.Result, namespace string)
	add = func(list gjson.Result, namespace string) {
		list.ForEach(func(_, v gjson.Result) bool {
			name := v.Get("name").String()
			t := answerTool{name: name, namespace: namespace}
			switch kind := v.Get("type").String(); kind {
			case "namespace":
				if namespace == "" {
					add(v.Get("tools"), name)
				}
				return true
			case "function":
				if namespace == "" {
					return true
				}
			case customTool:
				t.custom = true
			default:
				var ok bool
				if t.client, ok = clientToolOf(kind, ""); !ok {
					return true
				}
				t.name = kind
			}
			if found == nil {
				found = map[string]answerTool{}
			}
			if flat := flatName(namespace, t.name); found[flat].name == "" {
				found[flat] = t
			}
			return true
		})
	}
	add(body.Get("tools"), "")
	body.Get("input").ForEach(func(_, item gjson.Result) bool {
		if kind := item.Get("type").String(); kind == "additional_tools" || kind == "tool_search_output" {
			add(item.Get("tools"), "")
		}
		return true
	})
	return found
}

// told gives the field of a call's item that says what the model said.
func (t clientTool) told(args []byte) string {
	said := []byte(t.base)
	o, ok := object(args)
	if !ok {
		return t.base
	}
	o.ForEach(func(key, v gjson.Result) bool {
		if whole, err := sjson.SetRawBytes(said, escapedPath(key.String()), []byte(oneLine(v.Raw))); err == nil {
			said = whole
		}
		return true
	})
	return string(said)
}

// escapedPath names a field for sjson, to which some characters mean more.
func escapedPath(name string) string {
	return strings.NewReplacer(`\`, `\\`, ".", `\.`, "*", `\*`, "?", `\?`, "|", `\|`, "#", `\#`, "@", `\@`, ":", `\:`, "!", `\!`, "{", `\{`, "[", `\[`).Replace(name)
}

// inputReader reads the one argument of a custom tool out of a call's arguments
// while they come.
type inputReader struct {
	at    int // of the arguments, how much is read
	began bool
	ended bool
	lost  bool // the arguments are not of the form that is asked for
}

// next gives what has been added to the input since it was last asked.
func (r *inputReader) next(args []byte) string {
	if !r.began && !r.lost {
		r.begin(args)
	}
	if !r.began || r.ended {
		return ""
	}
	from, end := r.at, r.at
	for end < len(args) && !r.ended {
		n := 1
		switch args[end] {
		case '"':
			r.ended = true
			n = 0
		case '\\':
			n = escape(args[end:])
			if n == 0 { // its rest is still to come
				r.at = end
				return unquoted(args[from:end])
			}
		}
		end += n
	}
	r.at = end
	return unquoted(args[from:end])
}

// begin reads up to the value's first character.
func (r *inputReader) begin(args []byte) {
	i := 0
	for _, want := range [...]string{"{", `"input"`, ":", `"`} {
		for i < len(args) && strings.IndexByte(" \t\r\n", args[i]) >= 0 {
			i++
		}
		for j := range len(want) {
			if i == len(args) {
				return
			}
			if args[i] != want[j] {
				r.lost = true
				return
			}
			i++
		}
	}
	r.began, r.at = true, i
}

// escape gives the length of the escape that b begins with; 0 where it is not whole.
func escape(b []byte) int {
	switch {
	case len(b) < 2:
		return 0
	case b[1] != 'u':
		return 2
	case len(b) < 6:
		return 0
	case b[2] != 'd' && b[2] != 'D' || strings.IndexByte("89abAB", b[3]) < 0:
		return 6
	case len(b) > 6 && b[6] != '\\' || len(b) > 7 && b[7] != 'u': // half a pair
		return 6
	case len(b) < 12:
		return 0
	}
	return 12
}

// unquoted gives the text of what stands between the quotes of a JSON string.
func unquoted(b []byte) string {
	quoted := make([]byte, 0, len(b)+2)
	quoted = append(append(append(quoted, '"'), b...), '"')
	return gjson.ParseBytes(quoted).String()
}

// wholeInput gives the input of a custom tool's call that did not come in the
// form that was asked for.
func wholeInput(args []byte) string {
	if o, ok := object(args); ok {
		if input := o.Get("input"); input.Type == gjson.String {
			return input.String()
		}
	}
	return string(args)
}
