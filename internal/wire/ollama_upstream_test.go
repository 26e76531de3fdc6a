package wire

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"breakwater/internal/llm"
)

// ollamaTold writes what a stream's chunks tell, one after the other.
func ollamaTold(s llm.Stream) ([]string, error) {
	var all []string
	for {
		c, err := s.Next()
		if err != nil {
			if err == io.EOF {
				err = nil
			}
			return all, err
		}
		c.Raw, c.Model, c.More = nil, "", false
		all = append(all, string(given(c)))
	}
}

func TestOllamaLinesAreReadInOrder(t *testing.T) {
	codec, _ := CodecFor(llm.OllamaChat)
	for _, c := range []struct {
		name, body string
		want       []string
	}{
		{"thinking, text and calls in one line", `{"message":{"thinking":"hm","content":"Hi","tool_calls":[{"id":"c1","function":{"name":"f","arguments":{"a": 1}}},{"id":"c2","function":{"index":0,"name":"g"}}]},"done":false}
{"message":{"content":""},"done":true,"done_reason":"stop","prompt_eval_count":3,"prompt_eval_cached_count":2,"eval_count":4}`,
			[]string{`{"Thinking":"hm"}`, `{"Text":"Hi"}`, `{"Call":{"Args":"{\"a\": 1}","ID":"c1","Name":"f"}}`, `{"Call":{"Args":"{}","ID":"c2","Index":1,"Name":"g"}}`,
				`{"Finish":"tool_calls","FinishDetail":"stop","Usage":{"CacheRead":2,"Input":3,"Output":4}}`}},
		{"calls in the last line that ran out of tokens", `{"message":{"tool_calls":[{"id":"c1","function":{"name":"f","arguments":null}}]},"done":true,"done_reason":"length"}`,
			[]string{`{"Call":{"Args":"{}","ID":"c1","Name":"f"}}`, `{"Finish":"tool_calls","FinishDetail":"length"}`}},
		{"a mark of thinking is text", `{"message":{"content":"</think>Hi"},"done":true,"done_reason":"stop"}`, []string{`{"Text":"\u003c/think\u003eHi"}`, `{"Finish":"stop","FinishDetail":"stop"}`}},
		{"done without a reason", `{"message":{"role":"assistant","content":"Hi"},"done":true}`, []string{`{"Text":"Hi"}`, `{"Finish":"stop"}`}},
		{"only loaded", `{"model":"m","message":{"role":"assistant","content":""},"done_reason":"load","done":true}`, []string{`{"Finish":"stop","FinishDetail":"load"}`}},
		{"images", `{"message":{"content":"","images":["QQ=="]},"done":true}`, []string{`{"Opaque":true}`, `{"Finish":"stop"}`}},
		{"log probabilities", `{"message":{"content":"Hi"},"done":false,"logprobs":[{"token":"Hi","logprob":-0.10,"bytes":[72,105],"top_logprobs":[{"token":"Ho","logprob":-2}]}]}
{"message":{"content":""},"done":true,"done_reason":"stop"}`,
			[]string{`{"Logprobs":{"content":[{"bytes":[72,105],"logprob":-0.1,"token":"Hi","top_logprobs":[{"logprob":-2,"token":"Ho"}]}]},"Text":"Hi"}`, `{"Finish":"stop","FinishDetail":"stop"}`}},
	} {
		pretty := new(strings.Builder)
		for _, value := range jsonValues([]byte(c.body)) {
			var v any
			json.Unmarshal(value, &v)
			b, _ := json.MarshalIndent(v, "", "  ")
			fmt.Fprintf(pretty, "%s\n", b)
		}
		req := &llm.Request{Dialect: llm.Plain}
		got, err := ollamaTold(&recorder{Stream: codec.Stream(strings.NewReader(c.body), req)})
		if err != nil || !slices.Equal(got, c.want) {
			t.Errorf("%s: %v\n got %s\nwant %s", c.name, err, got, c.want)
		}
		if got, err := ollamaTold(&recorder{Stream: codec.Stream(strings.NewReader(pretty.String()), req)}); err != nil || len(got) != len(c.want) {
			t.Errorf("%s, pretty: %v\n got %s\nwant %s", c.name, err, got, c.want)
		}
		if strings.Contains(c.body, "\n") {
			continue
		}
		chunks, err := codec.Whole([]byte(c.body), &llm.Request{Dialect: llm.OllamaChat})
		if err != nil || string(chunks[0].Raw) != c.body {
			t.Errorf("%s: whole %+v, %v", c.name, chunks, err)
			continue
		}
		if got, _ := ollamaTold(&listed{chunks: chunks}); !slices.Equal(got, c.want) {
			t.Errorf("%s: whole\n got %s\nwant %s", c.name, got, c.want)
		}
	}
}

func TestOllamaAnswersThatCannotBeReadFail(t *testing.T) {
	for body, want := range map[string]llm.FailureClass{
		`{"message":{"tool_calls":[{"function":{"name":"f","arguments":[]}}]},"done":true}`:     llm.Garbage,
		`{"message":{"tool_calls":[{"function":{"name":"f","arguments":"{}"}}]},"done":true}`:   llm.Garbage,
		`{"message":{"tool_calls":[{"function":{"arguments":{}}}]},"done":true}`:                llm.Garbage,
		`{"message":{"content":"a"},"done":false}` + "\n":                                       llm.StreamCut,
		`{"message":{"content":"a"},"done":false}` + "\n" + `{"error":"out of memory"}`:         llm.Server,
		`{"message":{"content":"a"},"done":false}` + "\n" + `{"error":"model 'x' not found"}`:   llm.NoSuchModel,
		`{"message":{"content":"a"},"done":false}` + "\n" + `{"message":{"content":"b"},"done"`: llm.StreamCut,
	} {
		_, err := gather(llm.OllamaChat, body, &llm.Request{Dialect: llm.Plain})
		if f, ok := llm.AsFailure(err); !ok || f.Class != want {
			t.Errorf("%s: got %v, want %s", body, err, want)
		}
	}
}

func TestACallerWhoWantsOneCallAtATimeGetsTheFirst(t *testing.T) {
	const body = `{"message":{"tool_calls":[{"function":{"name":"f"}},{"function":{"name":"g"}}]},"done":false}` + "\n" +
		`{"message":{"tool_calls":[{"function":{"name":"h"}}]},"done":true}`
	for parallel, want := range map[bool]int{true: 3, false: 1} {
		a, err := gather(llm.OllamaChat, body, &llm.Request{Dialect: llm.Plain, Parallel: &parallel})
		if err != nil || len(a.Choices) != 1 || len(a.Choices[0].Parts) != want || a.Choices[0].Parts[0].Call.Name != "f" || a.Finish() != llm.FinishToolCalls {
			t.Errorf("parallel %v: got %+v, %v", parallel, a, err)
		}
	}
}

func TestMadeUpIDsOfOllamaCallsAreStableAndDiffer(t *testing.T) {
	line := func(at string) string {
		return `{"created_at":"` + at + `","message":{"tool_calls":[{"function":{"name":"f"}},{"function":{"name":"f"}}]},"done":true}`
	}
	ids := func(body string) []string {
		a, err := gather(llm.OllamaChat, body, &llm.Request{Dialect: llm.Plain})
		if err != nil || len(a.Choices) != 1 || len(a.Choices[0].Parts) != 2 {
			t.Fatalf("%+v, %v", a, err)
		}
		return []string{a.Choices[0].Parts[0].Call.ID, a.Choices[0].Parts[1].Call.ID}
	}
	first, again, other := ids(line("1")), ids(line("1")), ids(line("2"))
	if !slices.Equal(first, again) || first[0] == first[1] || slices.Contains(other, first[0]) || slices.Contains(other, first[1]) {
		t.Errorf("got %q, %q, %q", first, again, other)
	}
}

// TestRecordedOllamaAnswersSurviveTheDoor reads each recorded answer, writes
// it for a caller of Ollama's dialect, whole and streamed, and reads it again.
func TestRecordedOllamaAnswersSurviveTheDoor(t *testing.T) {
	codec, _ := CodecFor(llm.OllamaChat)
	n := 0
	for _, x := range corpus(t) {
		if x.Request.Path != "/api/chat" || x.Response.Status != 200 {
			continue
		}
		a, _, err := replay(t, x, llm.Plain, strings.NewReader(string(x.body())))
		if err != nil {
			continue
		}
		n++
		meta := Meta{Model: a.Model, Created: time.Now()}
		whole, err := codec.Whole(OllamaChatDoor().Answer(meta, a), &llm.Request{Dialect: llm.Plain})
		if err != nil {
			t.Fatalf("%s: %v", x.Name, err)
		}
		b, _ := Gather(&listed{chunks: whole})
		c, err := gather(llm.OllamaChat, string(throughOllama(t, OllamaChatDoor(), meta, x.body())), &llm.Request{Dialect: llm.Plain})
		a.Raw, b.Raw, c.Raw = nil, nil, nil
		if want := string(marshal(a)); err != nil || string(marshal(b)) != want || string(marshal(c)) != want {
			t.Errorf("%s: %v\nwhole %s\nstream %s\nwant %s", x.Name, err, marshal(b), marshal(c), want)
		}
	}
	if n < 12 {
		t.Errorf("only %d recordings", n)
	}
}

// throughOllama streams an answer of an Ollama through a door.
func throughOllama(t testing.TB, door Door, meta Meta, body []byte) []byte {
	codec, _ := CodecFor(llm.OllamaChat)
	s := codec.Stream(strings.NewReader(string(body)), &llm.Request{Dialect: llm.Plain})
	w := door.Stream(meta)
	var out []byte
	for {
		c, err := s.Next()
		switch {
		case err == io.EOF:
			return w.End(out)
		case err != nil:
			t.Fatal(err)
		}
		out = w.Chunk(out, c)
	}
}

// FuzzOllamaAnswers holds that an answer that was read and written is read as the same.
func FuzzOllamaAnswers(f *testing.F) {
	f.Add([]byte(`{"model":"m","message":{"content":"a","thinking":"b","tool_calls":[{"function":{"name":"f","arguments":{"a":1}}}]},"logprobs":[{"token":"a","logprob":-1}],"done":true,"done_reason":"length","eval_count":3}`))
	f.Add([]byte("{\"message\":{\"content\":\"a\"},\"done\":false}\n{\"done\":true,\"done_reason\":\"load\",\"prompt_eval_count\":1}"))
	f.Fuzz(func(t *testing.T, body []byte) {
		a, err := gather(llm.OllamaChat, string(body), &llm.Request{Dialect: llm.Plain})
		if err != nil || a.Opaque || len(a.Choices) != 1 || !utf8.Valid(body) { // which JSON cannot say
			return
		}
		meta := Meta{Model: a.Model, Created: time.Now()}
		b, err := gather(llm.OllamaChat, string(OllamaChatDoor().Answer(meta, a)), &llm.Request{Dialect: llm.Plain})
		c, err2 := gather(llm.OllamaChat, string(throughOllama(t, OllamaChatDoor(), meta, body)), &llm.Request{Dialect: llm.Plain})
		same := func(x Answer) string {
			x.Raw = nil
			if x.Usage == nil {
				x.Usage = &llm.Usage{}
			}
			for i := range x.Choices {
				x.Choices[i].FinishDetail = ""
				x.Choices[i].Parts = slices.Clone(x.Choices[i].Parts)
				slices.SortStableFunc(x.Choices[i].Parts, func(a, b llm.Part) int { return strings.Compare(string(b.Kind), string(a.Kind)) })
				x.Choices[i].Parts = ollamaJoined(x.Choices[i].Parts)
			}
			return string(marshal(x))
		}
		if err != nil || err2 != nil || same(a) != same(b) || same(a) != same(c) {
			t.Fatalf("%v %v\nwhole  %s\nstream %s\nwant   %s", err, err2, same(b), same(c), same(a))
		}
	})
}

// ollamaJoined joins neighbours of text and of thinking: Ollama's message has one of each.
func ollamaJoined(parts []llm.Part) []llm.Part {
	var out []llm.Part
	for _, p := range parts {
		if last := len(out) - 1; last >= 0 && p.Kind != llm.Call && out[last].Kind == p.Kind {
			out[last].Text += p.Text
			continue
		}
		out = append(out, p)
	}
	return out
}
