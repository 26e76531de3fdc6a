package wire

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"breakwater/internal/llm"

	"github.com/ollama/ollama/api"
)

// ollamaAt makes a writer for which time stands still.
func ollamaAt(d llm.Dialect) *ollamaWriter {
	began := time.Date(2026, 11, 22, 18, 0, 0, 120000000, time.UTC)
	w := newOllamaWriter(d, Meta{Model: "gemini-2.5-flash", Created: began})
	w.now = func() time.Time { return began.Add(1500 * time.Millisecond) }
	return w
}

var ollamaChunks = []llm.Chunk{
	{ID: "x", Model: "y", Thinking: "hm"},
	{Signature: "sig", SignedBy: llm.Claude},
	{Text: "Say \"hi\" <b>\n"},
	{Text: "another answer's", Choice: 1},
	{Text: "!", Logprobs: json.RawMessage(`{"content":[{"token":"!","logprob":-0.5,"bytes":[33],"top_logprobs":[]}],"refusal":null}`)},
	{Refusal: "No."},
	{Cite: &llm.Citation{URL: "https://example.com"}},
	{Call: &llm.CallDelta{Index: 0, ID: "c1", Name: "f"}},
	{Call: &llm.CallDelta{Index: 1, ID: "c2", Name: "g"}},
	{Call: &llm.CallDelta{Index: 0, Args: `{"a":`}},
	{Call: &llm.CallDelta{Index: 0, Args: `1}`}},
	{Finish: llm.FinishToolCalls},
	{Usage: &llm.Usage{Input: 5, CacheRead: 2, Output: 3, Reasoning: 1}},
}

// TestOllamasDoorWritesAnswers holds what callers get in a golden file.
func TestOllamasDoorWritesAnswers(t *testing.T) {
	var out bytes.Buffer
	for _, d := range []llm.Dialect{llm.OllamaChat, llm.OllamaGenerate} {
		var stream []byte
		w := ollamaAt(d)
		for _, c := range ollamaChunks {
			stream = w.Chunk(stream, c)
		}
		out.Write(w.End(stream))
		out.Write(ollamaAt(d).Fail(nil, Problem{Status: 503, Message: "nobody answered"}))
		a, err := Gather(&listed{chunks: ollamaChunks})
		if err != nil {
			t.Fatal(err)
		}
		out.Write(ollamaAt(d).answer(a))
		out.WriteByte('\n')
		out.Write(ollamaAt(d).answer(Answer{}))
		out.WriteByte('\n')
		checkWithOfficialTypes(t, d, stream)
	}
	golden(t, "ollama_door.golden", out.Bytes())
}

// checkWithOfficialTypes reads a stream as Ollama's own client does.
func checkWithOfficialTypes(t *testing.T, d llm.Dialect, stream []byte) {
	for line := range bytes.Lines(stream) {
		var chat api.ChatResponse
		var generate api.GenerateResponse
		if err := json.Unmarshal(line, &chat); err != nil {
			t.Errorf("%s: %v", line, err)
		}
		if err := json.Unmarshal(line, &generate); err != nil {
			t.Errorf("%s: %v", line, err)
		}
		if d == llm.OllamaChat && chat.Message.Role != "assistant" || chat.Model != "gemini-2.5-flash" || chat.CreatedAt.IsZero() {
			t.Errorf("%s: %+v", line, chat)
		}
	}
}

func TestOllamasOwnTypesReadTheDoor(t *testing.T) {
	a, _ := Gather(&listed{chunks: ollamaChunks})
	var chat api.ChatResponse
	if err := json.Unmarshal(ollamaAt(llm.OllamaChat).answer(a), &chat); err != nil {
		t.Fatal(err)
	}
	calls := chat.Message.ToolCalls
	if !chat.Done || chat.DoneReason != "stop" || chat.Message.Content != "Say \"hi\" <b>\n!No." || chat.Message.Thinking != "hm" || len(chat.Logprobs) != 1 ||
		len(calls) != 2 || calls[0].ID != "c1" || calls[0].Function.Arguments.String() != `{"a":1}` || calls[1].Function.Index != 1 || calls[1].Function.Arguments.Len() != 0 ||
		chat.TotalDuration != 1500*time.Millisecond || chat.PromptEvalCount != 5 || *chat.PromptEvalCachedCount != 2 || chat.EvalCount != 3 {
		t.Errorf("got %+v", chat)
	}
	var generate api.GenerateResponse
	if err := json.Unmarshal(ollamaAt(llm.OllamaGenerate).answer(a), &generate); err != nil {
		t.Fatal(err)
	}
	if !generate.Done || generate.Response != chat.Message.Content || generate.Thinking != "hm" || generate.EvalCount != 3 {
		t.Errorf("got %+v", generate)
	}
}

func TestOllamasDoorTellsWhyAnAnswerEnded(t *testing.T) {
	call := func(args string) llm.Chunk {
		return llm.Chunk{Call: &llm.CallDelta{ID: "c", Name: "f", Args: args}}
	}
	for _, c := range []struct {
		chunks []llm.Chunk
		want   string
		calls  int
	}{
		{nil, "stop", 0},
		{[]llm.Chunk{{Finish: llm.FinishStop, FinishDetail: "end_turn"}}, "stop", 0},
		{[]llm.Chunk{{Finish: llm.FinishStop, FinishDetail: "load"}}, "load", 0},
		{[]llm.Chunk{{Finish: llm.FinishLength}}, "length", 0},
		{[]llm.Chunk{{Finish: llm.FinishContentFilter, FinishDetail: "SAFETY"}}, "content_filter", 0},
		{[]llm.Chunk{call(""), {Finish: llm.FinishToolCalls}}, "stop", 1},
		{[]llm.Chunk{call(`{"a":`), {Finish: llm.FinishToolCalls, FinishDetail: "length"}}, "length", 0},
	} {
		w := ollamaAt(llm.OllamaChat)
		var out []byte
		for _, chunk := range c.chunks {
			out = w.Chunk(out, chunk)
		}
		calls := 0
		var last api.ChatResponse
		for line := range bytes.Lines(w.End(out)) {
			last = api.ChatResponse{}
			if err := json.Unmarshal(line, &last); err != nil {
				t.Fatal(err)
			}
			calls += len(last.Message.ToolCalls)
		}
		if !last.Done || last.DoneReason != c.want || calls != c.calls {
			t.Errorf("%+v: got %+v with %d calls, want %s with %d", c.chunks, last, calls, c.want, c.calls)
		}
	}
}

// TestAnyProvidersAnswerIsReadableBehindOllamasDoor streams each recorded
// answer to a caller of Ollama's dialect and compares what that reads.
func TestAnyProvidersAnswerIsReadableBehindOllamasDoor(t *testing.T) {
	said := func(a Answer) string {
		var text, thinking string
		var calls []llm.Part
		for _, p := range a.Choices[0].Parts {
			switch p.Kind {
			case llm.Text, llm.Refusal:
				text += p.Text
			case llm.Thinking:
				thinking += p.Text
			case llm.Call:
				if !json.Valid(p.Call.Args) {
					continue // it broke off where the tokens ran out, and is left out
				}
				calls = append(calls, llm.Part{Call: &llm.ToolCall{ID: p.Call.ID, Name: p.Call.Name, Args: compactJSON(p.Call.Args)}})
			}
		}
		var u llm.Usage
		if a.Usage != nil {
			u = llm.Usage{Input: a.Usage.Input, Output: a.Usage.Output, CacheRead: a.Usage.CacheRead}
		}
		return string(marshal([]any{text, thinking, calls, u}))
	}
	for _, x := range corpus(t) {
		if !x.isChat() || x.Response.Status != 200 {
			continue
		}
		a, _, err := replay(t, x, llm.OllamaChat, bytes.NewReader(x.body()))
		if err != nil || len(a.Choices) == 0 {
			continue
		}
		if x.dialect() == llm.OllamaChat { // whose own callers get the bytes
			continue
		}
		w := ollamaAt(llm.OllamaChat)
		b, err := gather(llm.OllamaChat, string(w.answer(a)), &llm.Request{Dialect: llm.Plain})
		if err != nil || said(b) != said(a) {
			t.Errorf("%s: %v\n got %s\nwant %s", x.Name, err, said(b), said(a))
		}
	}
}

func TestOllamaProblemsAreWords(t *testing.T) {
	for p, want := range map[Problem]string{
		{Status: 404, Message: "model 'x' not found"}:         `{"error":"model 'x' not found"}`,
		{Param: "messages[0].role", Message: "is required"}:   `{"error":"messages[0].role: is required"}`,
		{Param: "model", Message: "the model is not given"}:   `{"error":"the model is not given"}`,
		{Type: "server_error", Code: "busy", Message: "\"\""}: `{"error":"\"\""}`,
	} {
		if got := string(OllamaChatDoor().Problem(p)); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
		if got := string(OllamaGenerateDoor().Stream(Meta{}).Fail(nil, p)); got != want+"\n" {
			t.Errorf("in a stream: got %s, want %s", got, want)
		}
	}
}

func TestALineOfContentCostsNoAllocation(t *testing.T) {
	w := OllamaChatDoor().Stream(Meta{Model: "m", Created: time.Now()})
	buffer := make([]byte, 0, 1<<10)
	c := llm.Chunk{Text: "Hello"}
	if n := testing.AllocsPerRun(100, func() { w.Chunk(buffer, c) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestOllamaTellsOfModelsInItsRecordedShape(t *testing.T) {
	var recorded struct{ Models []json.RawMessage }
	var list api.ListResponse
	for _, x := range corpus(t) {
		if x.Request.Path == "/api/tags" {
			json.Unmarshal(x.body(), &recorded)
			json.Unmarshal(x.body(), &list)
		}
	}
	if len(list.Models) == 0 {
		t.Fatal("no recorded list")
	}
	var models []OllamaModel
	for _, m := range list.Models {
		d := m.Details
		model := OllamaModel{Name: m.Name, ModifiedAt: m.ModifiedAt, Size: m.Size, Digest: m.Digest, Format: d.Format, Family: d.Family, ParameterSize: d.ParameterSize,
			Quantization: d.QuantizationLevel, ContextLength: int64(d.ContextLength), EmbeddingLength: int64(d.EmbeddingLength)}
		for _, c := range m.Capabilities {
			model.Capabilities = append(model.Capabilities, c.String())
		}
		models = append(models, model)
	}
	if got, want := string(OllamaTags(models)), string(marshal(recorded)); got != strings.Replace(want, "Models", "models", 1) {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestModelsOfAnyProviderAreToldInOllamasTypes(t *testing.T) {
	m := OllamaModel{Name: "claude-sonnet-4-5", Family: "claude", ContextLength: 200000, Capabilities: []string{"completion", "tools"}}
	var list api.ListResponse
	if err := json.Unmarshal(OllamaTags([]OllamaModel{m}), &list); err != nil || len(list.Models) != 1 || list.Models[0].Model != m.Name || len(list.Models[0].Digest) != 64 {
		t.Errorf("tags %+v, %v", list, err)
	}
	var running api.ProcessResponse
	if err := json.Unmarshal(OllamaPs([]OllamaModel{m}), &running); err != nil || len(running.Models) != 1 || running.Models[0].ContextLength != 200000 {
		t.Errorf("ps %+v, %v", running, err)
	}
	var show api.ShowResponse
	if err := json.Unmarshal(OllamaShow(m), &show); err != nil || show.ModelInfo["claude.context_length"] != 200000.0 || show.ModelInfo["general.architecture"] != "claude" || len(show.Capabilities) != 2 {
		t.Errorf("show %+v, %v", show, err)
	}
	for got, want := range map[string]string{
		string(OllamaTags(nil)):         `{"models":[]}`,
		string(OllamaPs(nil)):           `{"models":[]}`,
		string(OllamaVersion("0.34.3")): `{"version":"0.34.3"}`,
	} {
		if got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}
