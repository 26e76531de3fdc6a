package api

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"breakwater/internal/llm"
	"breakwater/internal/provider"
	"breakwater/internal/wire"

	"github.com/tidwall/gjson"
	"github.com/tidwall/sjson"
)

// generations are the models that recorded requests are sent to: the first are
// those of the table in docs/compatibility.md.
func generations() []map[llm.Provider]string {
	return []map[llm.Provider]string{
		{llm.Gemini: "gemini-3-flash-preview", llm.Claude: "claude-sonnet-4-5", llm.OpenAI: "gpt-4.1", llm.Local: "qwen3"},
		{llm.Gemini: "gemini-2.5-pro", llm.Claude: "claude-opus-5-5", llm.OpenAI: "gpt-5.1", llm.Local: "gemma3"},
		{llm.Gemini: "gemini-2.0-flash", llm.Claude: "claude-3-haiku-20240307", llm.OpenAI: "o3-mini", llm.Local: "gpt-oss"},
		{llm.Gemini: "gemini-flash-latest", llm.Claude: "claude-haiku-4-6", llm.OpenAI: "gpt-5.6", llm.Local: "m"},
		{llm.Gemini: "gemini-3-pro-preview", llm.Claude: "claude-sonnet-5", llm.OpenAI: "some/other-model", llm.Local: "m"},
	}
}

// asked is an upstream that keeps the last body it was sent and always answers.
type asked struct {
	dialect llm.Dialect
	body    []byte
}

func (a *asked) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.body, _ = io.ReadAll(r.Body)
	door, _ := wire.DoorFor(a.dialect)
	meta := wire.Meta{RequestID: "r", Model: "m", Created: time.Unix(1, 0), Request: &llm.Request{Dialect: a.dialect}}
	stream := gjson.GetBytes(a.body, "stream")
	if stream.Bool() || a.dialect == llm.OllamaChat && !stream.Exists() || strings.Contains(r.URL.Path, "streamGenerate") {
		writer := door.Stream(meta)
		w.Header().Set("Content-Type", writer.ContentType())
		w.Write(writer.End(writer.Chunk(nil, llm.Chunk{Text: "ok", Finish: llm.FinishStop})))
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Write(door.Answer(meta, wire.Answer{Choices: []wire.Choice{{Parts: []llm.Part{{Kind: llm.Text, Text: "ok"}}, Finish: llm.FinishStop}}}))
}

// send sends a recorded request at its own door, for a provider: its own is
// asked for the model that was recorded.
func send(t *testing.T, s *httptest.Server, r recording, p llm.Provider) (int, []byte, http.Header) {
	t.Helper()
	path, query, _ := strings.Cut(r.Request.Path, "?")
	own, _ := r.target()
	body, model := []byte(r.Request.Body), string(p)
	if p == own {
		model += "/" + r.Model
	}
	switch own {
	case llm.Gemini:
		_, method, _ := strings.Cut(path, "/models/")
		_, method, _ = strings.Cut(method, ":")
		path = "/v1beta/models/" + model + ":" + method
		if query != "" {
			path += "?alt=sse"
		}
	default:
		path = map[llm.Provider]string{llm.OpenAI: "/v1/chat/completions", llm.Claude: "/v1/messages", llm.Local: "/api/chat"}[own]
		if gjson.GetBytes(body, "model").Exists() {
			body, _ = sjson.SetBytes(body, "model", model)
		}
	}
	status, got, header := sendTo(t, s.URL+path, "POST", string(body), "Content-Type", "application/json")
	return status, []byte(got), header
}

// wish is what a request means, in lines that can be compared: what was said,
// and each setting by the name under which its loss must be told.
type wish struct {
	Said     []string
	Settings map[string]string
}

// words folds white space, at which dialects join texts.
func words(s string) string { return strings.Join(strings.Fields(s), " ") }

// wishOf reads a request's meaning. Thinking is left out: it is its provider's
// own. Ollama shows images to the model ahead of a message's text.
func wishOf(r *llm.Request, imagesFirst bool) wish {
	all := turns{imagesFirst: imagesFirst, calls: map[string]int{}}
	var system string
	for _, m := range r.Messages {
		if m.Role == llm.System || m.Role == llm.Developer {
			system += " " + m.Text()
			continue
		}
		side := "user"
		if m.Role == llm.Assistant {
			side = "assistant"
		}
		if side != all.side {
			all.end()
			all.side = side
		}
		for _, p := range m.Parts {
			all.part(p)
		}
	}
	all.end()
	w := wish{Said: all.said, Settings: map[string]string{}}
	if system = words(system); system != "" {
		w.Said = append([]string{"system: " + system}, w.Said...)
	}
	w.settings(r)
	return w
}

// turns are what was said by turns.
type turns struct {
	imagesFirst bool
	said        []string       // of the turns that are over
	calls       map[string]int // which call of the request an id is
	number      int            // of the last call

	side                   string // whose turn it is
	results, images, lines []string
	text                   []string // that is no line yet
}

// flush makes a line of the text up to here.
func (t *turns) flush() {
	if text := words(strings.Join(t.text, " ")); text != "" {
		t.lines = append(t.lines, t.side+": "+text)
	}
	t.text = nil
}

// end ends a turn.
func (t *turns) end() {
	t.flush()
	t.said = slices.Concat(t.said, t.results, t.images, t.lines)
	t.results, t.images, t.lines = nil, nil, nil
}

func (t *turns) part(p llm.Part) {
	switch p.Kind {
	case llm.Text, llm.Refusal:
		if !strings.HasPrefix(p.Text, "The result of the tool call ") { // beside media, which OpenAI's tool messages cannot have
			t.text = append(t.text, p.Text)
		}
	case llm.Image, llm.Document, llm.Audio:
		medium := fmt.Sprintf("%s %d %s", p.Kind, len(p.Media.Data)+base64.StdEncoding.EncodedLen(len(p.Media.Text)), p.Media.URL)
		if t.imagesFirst {
			t.images = append(t.images, medium)
			return
		}
		t.flush()
		t.lines = append(t.lines, medium)
	case llm.Call:
		t.flush()
		t.number++
		t.calls[p.Call.ID] = t.number
		t.lines = append(t.lines, fmt.Sprintf("call %d %s %s", t.number, p.Call.Name, canonicalJSON(p.Call.Args)))
	case llm.Result:
		t.result(p.Result)
	}
}

// result takes the text of a tool's result, and its media as said beside it.
func (t *turns) result(r *llm.ToolResult) {
	text := ""
	var media []llm.Part
	for _, inner := range r.Parts {
		if inner.Kind == llm.Text {
			text += " " + inner.Text
		} else {
			media = append(media, inner)
		}
	}
	if r.Error && !strings.HasPrefix(text, "Error: ") {
		text = "Error: " + strings.TrimSpace(text)
	}
	text = strings.TrimPrefix(text, " The result follows in the next message of the user.")
	t.results = append(t.results, fmt.Sprintf("result %d %s", t.calls[r.CallID], words(canonicalJSON([]byte(words(text))))))
	for _, inner := range media {
		t.part(inner)
	}
}

func canonicalJSON(b []byte) string {
	var v any
	if json.Unmarshal(b, &v) != nil {
		return string(b)
	}
	out, _ := json.Marshal(v)
	return string(out)
}

// settings notes what is set, but for what is each dialect's default.
func (w wish) settings(r *llm.Request) {
	set := func(name string, v any) {
		if b, _ := json.Marshal(v); !reflect.ValueOf(v).IsZero() {
			w.Settings[name] = string(b)
		}
	}
	set("max_tokens", r.MaxTokens)
	set("temperature", r.Temperature)
	set("top_k", r.TopK)
	for name, v := range map[string]*float64{"top_p": r.TopP, "frequency_penalty": r.FrequencyPenalty, "presence_penalty": r.PresencePenalty} {
		if v != nil && *v != map[string]float64{"top_p": 1}[name] {
			set(name, v)
		}
	}
	set("seed", r.Seed)
	set("stop", strings.Join(r.Stop, "|"))
	if r.N != nil && *r.N > 1 {
		set("n", r.N)
	}
	if r.Logprobs != nil && *r.Logprobs {
		set("logprobs", r.Logprobs)
		set("top_logprobs", r.TopLogprobs)
	}
	set("user", r.User)
	set("metadata", len(r.Metadata))
	if r.Parallel != nil && !*r.Parallel && len(r.Tools) > 0 {
		set("parallel_tool_calls", "false")
	}
	var names []string
	for i, t := range r.Tools {
		names = append(names, t.Name)
		schema := strings.Replace(shape(gjson.ParseBytes(t.Schema)), "( !", "(object !", 1)
		set(fmt.Sprintf("tools[%d]", i), t.Name+": "+t.Description+schema)
	}
	if c := r.ToolChoice; c != nil && c.Mode != llm.ChooseAuto && len(r.Tools) > 0 {
		among := c.Among
		if slices.Equal(among, names) {
			among = nil
		}
		if c.Mode == llm.ChooseAny && len(names) == 1 && among == nil { // the same
			c = &llm.ToolChoice{Mode: llm.ChooseTool, Name: names[0]}
		}
		set("tool_choice", fmt.Sprintf("%s %s %q", c.Mode, c.Name, among))
	}
	if f := r.Format; f != nil {
		set("response_format", string(f.Kind)+shape(gjson.ParseBytes(f.Schema)))
	}
	switch t := r.Thought; {
	case t == nil, t.Effort == "" && t.Budget == nil:
	case t.Effort == "none", t.Budget != nil && *t.Budget == 0:
		set("reasoning_effort", "none")
	default: // efforts become budgets and budgets efforts
		set("reasoning_effort", "some")
	}
}

// shape is what of a schema every provider must be told: the properties and
// their types, in order, what is required, and the values to choose from.
func shape(v gjson.Result) string {
	if ref := v.Get(`\$ref`).String(); ref != "" {
		return "(" + ref[strings.LastIndexByte(ref, '/')+1:] + ")"
	}
	var b strings.Builder
	b.WriteString("(" + strings.Join(slices.DeleteFunc(strings.FieldsFunc(strings.ToLower(v.Get("type").Raw), func(r rune) bool { return r < 'a' || r > 'z' }), func(s string) bool { return s == "null" }), " "))
	v.Get("properties").ForEach(func(name, v gjson.Result) bool {
		b.WriteString(" " + name.String() + shape(v))
		return true
	})
	for _, v := range v.Get("enum").Array() {
		b.WriteString(" =" + v.String())
	}
	required := v.Get("required").Array()
	names := make([]string, len(required))
	for i, v := range required {
		names[i] = v.String()
	}
	slices.Sort(names)
	b.WriteString(" !" + strings.Join(names, ","))
	if items := v.Get("items"); items.Exists() {
		b.WriteString(" of" + shape(items))
	}
	return b.String() + ")"
}

// lost names what differs and was not told.
func (w wish) lost(got wish, adjusted []string, exempt func(string) bool) []string {
	told := func(name string) bool {
		return slices.ContainsFunc(adjusted, func(a string) bool { return strings.HasPrefix(a, name) }) || exempt(name)
	}
	var lost []string
	if strings.Join(w.Said, "\n") != strings.Join(got.Said, "\n") && !told("messages") {
		lost = append(lost, "messages:\n"+strings.Join(w.Said, "\n")+"\nbecame\n"+strings.Join(got.Said, "\n"))
	}
	names := slices.Sorted(maps.Keys(w.Settings))
	for name := range got.Settings {
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	for _, name := range names {
		if w.Settings[name] != got.Settings[name] && !told(name) {
			lost = append(lost, fmt.Sprintf("%s: %s became %s", name, w.Settings[name], got.Settings[name]))
		}
	}
	return lost
}

// carried counts requests of one dialect to one provider.
type carried struct {
	of, as, adjusted int
	refused          map[string]int // by the field
}

// Every recorded request reaches its own provider byte for byte but for the
// model, and every other with its meaning, or is refused by naming what that
// provider cannot do.
func TestRecordedRequestsReachEveryProvider(t *testing.T) {
	for i, models := range generations() {
		table := map[llm.Provider]map[llm.Provider]*carried{}
		for _, own := range llm.Providers() {
			table[own] = map[llm.Provider]*carried{}
		}
		for _, p := range llm.Providers() {
			upstream := &asked{dialect: provider.DialectOf(p)}
			s := before(t, p, models[p], upstream.ServeHTTP)
			for _, r := range recordings(t) {
				own, _ := r.target()
				if table[own][p] == nil {
					table[own][p] = &carried{refused: map[string]int{}}
				}
				table[own][p].send(t, s, upstream, r, p)
			}
		}
		if i == 0 {
			checkTable(t, "requests", requestTable(table))
		}
	}
}

// send sends one request and counts what becomes of it.
func (c *carried) send(t *testing.T, s *httptest.Server, upstream *asked, r recording, p llm.Provider) {
	own, _ := r.target()
	req, err := doorOf(provider.DialectOf(own)).Decode(r.Request.Body)
	if err != nil {
		if r.Response.Status == 200 {
			t.Errorf("%s: its provider answered what the door refuses: %v", r.Name, err)
		}
		return
	}
	upstream.body = nil
	status, body, header := send(t, s, r, p)
	c.of++
	adjusted := strings.Split(header.Get(HeaderAdjusted), ", ")
	switch {
	case p == own:
		got, want := upstream.body, []byte(r.Request.Body)
		if own == llm.OpenAI && !req.IncludeUsage && req.Stream { // its usage is asked for
			got, _ = sjson.DeleteBytes(got, "stream_options")
			want, _ = sjson.DeleteBytes(want, "stream_options")
		}
		if status != 200 || !bytes.Equal(got, want) {
			t.Errorf("%s through its own door: HTTP %d %s\n got %.300s\nwant %.300s", r.Name, status, body, got, want)
		}
		c.as++
	case status == 400 && upstream.body == nil:
		field := refusedFor(body)
		if field == "" {
			t.Errorf("%s to %s is refused without a reason: %s", r.Name, p, body)
		}
		c.refused[field]++
	case status != 200:
		t.Errorf("%s to %s: HTTP %d %s", r.Name, p, status, body)
	default:
		again, err := doorOf(provider.DialectOf(p)).Decode(upstream.body)
		if err != nil {
			t.Errorf("%s to %s: its own door refuses: %v in %.300s", r.Name, p, err, upstream.body)
			return
		}
		for _, lost := range wishOf(req, p == llm.Local).lost(wishOf(again, p == llm.Local), adjusted, untold(p, req)) {
			t.Errorf("%s to %s %s, adjusted %q: %s", r.Name, p, header.Get(HeaderModel), adjusted, lost)
		}
		if adjusted[0] != "" {
			c.adjusted++
		} else {
			c.as++
		}
	}
}

// refusedFor gives what a refusal names, without its place in a list.
func refusedFor(body []byte) string {
	e := gjson.ParseBytes(body)
	field := ""
	for _, path := range []string{"error.param", "error.details.0.fieldViolations.0.field", "error.message", "error"} {
		if v := e.Get(path); field == "" && v.Type == gjson.String {
			field = v.Str
		}
	}
	if before, after, said := strings.Cut(field, "no provider could answer"); said && before != "" {
		field = strings.TrimSuffix(before, ": ")
	} else if said {
		_, field, _ = strings.Cut(after, " cannot carry ")
	}
	return regexp.MustCompile(`\[\d+\]`).ReplaceAllString(field, "[]")
}

// untold are settings that a provider cannot be told and that hold all the
// same, or that it must be told though the caller did not.
func untold(p llm.Provider, req *llm.Request) func(string) bool {
	return func(name string) bool {
		switch name {
		case "max_tokens":
			return p == llm.Claude && req.MaxTokens == nil
		case "parallel_tool_calls": // the reader of the answer holds it
			return p == llm.Gemini || p == llm.Local
		case "reasoning_effort": // what these models do unasked
			t := req.Thought
			off := t != nil && (t.Effort == "none" || t.Budget != nil && *t.Budget == 0)
			return off && (p == llm.Claude || p == llm.Gemini) || t != nil && (t.Adaptive || t.Budget != nil && *t.Budget < 0)
		case "temperature": // the default
			return p == llm.Claude && req.Temperature != nil && *req.Temperature == 1
		}
		return p == llm.Claude && len(req.Tools) == 0 && strings.HasPrefix(name, "tool") // those that the conversation called
	}
}

func requestTable(table map[llm.Provider]map[llm.Provider]*carried) string {
	var b strings.Builder
	b.WriteString("| asked in |")
	for _, p := range llm.Providers() {
		fmt.Fprintf(&b, " %s |", p.Title())
	}
	b.WriteString("\n|---|---|---|---|---|\n")
	var notes []string
	for _, own := range llm.Providers() {
		fmt.Fprintf(&b, "| `%s` |", provider.DialectOf(own))
		for _, p := range llm.Providers() {
			c := table[own][p]
			if p == own {
				fmt.Fprintf(&b, " %d of %d, same bytes |", c.as, c.of)
				continue
			}
			refused := 0
			var why []string
			for _, field := range slices.Sorted(maps.Keys(c.refused)) {
				refused += c.refused[field]
				why = append(why, fmt.Sprintf("`%s` %d", field, c.refused[field]))
			}
			fmt.Fprintf(&b, " %d of %d, %d adjusted, %d refused |", c.as+c.adjusted, c.of, c.adjusted, refused)
			if refused > 0 {
				notes = append(notes, fmt.Sprintf("- `%s` to %s: %s", provider.DialectOf(own), p.Title(), strings.Join(why, ", ")))
			}
		}
		b.WriteString("\n")
	}
	return b.String() + "\nRefused, by the field that the error names first:\n\n" + strings.Join(notes, "\n") + "\n"
}
