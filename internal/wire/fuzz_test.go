package wire

import (
	"bytes"
	"reflect"
	"slices"
	"strings"
	"testing"

	"breakwater/internal/llm"
)

// FuzzTranslatedRequests takes a request through every target: what is written
// must be readable at the target's own door, and written again say the same.
func FuzzTranslatedRequests(f *testing.F) {
	for _, body := range []string{
		`{"model":"m","messages":[{"role":"system","content":"s"},{"role":"user","content":[{"type":"text","text":"x"},{"type":"image_url","image_url":{"url":"data:image/png;base64,aGV5"}}]},{"role":"assistant","content":null,"tool_calls":[{"id":"c","type":"function","function":{"name":"f","arguments":"{\"a\":"}}]},{"role":"tool","tool_call_id":"c","content":"1"}],"tools":[{"type":"function","function":{"name":"f","parameters":{"type":"object","properties":{"a":{"type":"string"}}}}}],"tool_choice":"required","temperature":1.5,"n":2}`,
		`{"model":"m","messages":[{"role":"user","content":"x"},{"role":"assistant","function_call":{"name":"f","arguments":""}},{"role":"function","name":"f","content":"y"}],"functions":[{"name":"f"}],"response_format":{"type":"json_schema","json_schema":{"name":"n","schema":{"type":"object","properties":{"a":{"type":["string","null"]}}}}},"reasoning_effort":"high"}`,
		`{"model":"m","max_tokens":9,"system":"s","messages":[{"role":"user","content":[{"type":"document","source":{"type":"text","media_type":"text/plain","data":"d"}},{"type":"text","text":"x","cache_control":{"type":"ephemeral"}}]},{"role":"assistant","content":[{"type":"thinking","thinking":"t","signature":"s"},{"type":"tool_use","id":"t1","name":"f","input":{"a":1}}]},{"role":"user","content":[{"type":"tool_result","tool_use_id":"t1","is_error":true,"content":[{"type":"text","text":"no"},{"type":"image","source":{"type":"base64","media_type":"image/png","data":"aGV5"}}]}]}],"tools":[{"name":"f","input_schema":{"type":"object"}}],"thinking":{"type":"enabled","budget_tokens":2000}}`,
		`{"contents":[{"role":"user","parts":[{"text":"x"},{"inlineData":{"mimeType":"image/png","data":"aGV5"}}]},{"role":"model","parts":[{"functionCall":{"name":"f","args":{"a":1}},"thoughtSignature":"c2ln"}]},{"role":"user","parts":[{"functionResponse":{"name":"f","response":{"output":"1"}}}]}],"tools":[{"functionDeclarations":[{"name":"f","parameters":{"type":"OBJECT","properties":{"a":{"type":"INTEGER","nullable":true}}}}]}],"generationConfig":{"responseMimeType":"application/json","responseSchema":{"type":"ARRAY","items":{"type":"STRING"}},"thinkingConfig":{"thinkingBudget":-1}}}`,
		`{"model":"m","messages":[{"role":"user","content":"x","images":["aGV5"]},{"role":"assistant","content":"","thinking":"t","tool_calls":[{"function":{"name":"f","arguments":{"a":1}}}]},{"role":"tool","tool_name":"f","content":"y"}],"tools":[{"type":"function","function":{"name":"f","parameters":{"type":"object"}}}],"format":"json","think":"low","options":{"num_predict":5,"stop":["a"]}}`,
	} {
		for i := range chatDialects() {
			f.Add([]byte(body), i)
		}
	}
	f.Fuzz(func(t *testing.T, body []byte, target int) {
		dialects := chatDialects()
		to := dialects[(target%len(dialects)+len(dialects))%len(dialects)]
		codec, _ := CodecFor(to)
		own, _ := DoorFor(to)
		for _, from := range dialects {
			door, _ := DoorFor(from)
			req, err := door.Decode(body)
			if err != nil || from == to {
				continue
			}
			for _, model := range []string{"m", benchModels()[to]} {
				e, err := codec.Encode(model, req)
				if err != nil {
					if len(codec.Lacks(model, req)) == 0 && len(req.Messages) > 0 && !strings.Contains(err.Error(), "empty") {
						t.Fatalf("%s to %s lacks nothing, but %v", from, to, err)
					}
					continue
				}
				first, err := own.Decode(e.Body)
				if err != nil {
					t.Fatalf("%s to %s: %s\nbecame %s\nwhich its door refuses: %v", from, to, body, e.Body, err)
				}
				if len(e.Body) > 64*len(body)+1<<16 {
					t.Fatalf("%s to %s: %d bytes became %d", from, to, len(body), len(e.Body))
				}
				again := *first
				again.Dialect, again.Body = from, nil
				if slices.ContainsFunc(again.Beyond, func(name string) bool { return strings.HasSuffix(name, ".tool_call_id") }) {
					continue // a result of no call, which Ollama alone takes
				}
				if len(again.Beyond) > 0 {
					t.Fatalf("%s to %s: %s\nbecame %s\nwhich says %q beyond the shared words", from, to, body, e.Body, again.Beyond)
				}
				second, err := codec.Encode(model, &again)
				if err != nil {
					t.Fatalf("%s to %s: %s\nwritten again: %v", from, to, e.Body, err)
				}
				if r, err := own.Decode(second.Body); err != nil || !reflect.DeepEqual(spoken(r), spoken(first)) {
					t.Fatalf("%s to %s: %s\nwritten again became %s, %v", from, to, e.Body, second.Body, err)
				}
			}
		}
	})
}

// spoken gives the roles and the kinds of all parts of a request, and its texts.
func spoken(r *llm.Request) (all []string) {
	for _, m := range r.Messages {
		for _, p := range m.Parts {
			all = append(all, string(m.Role)+" "+string(p.Kind)+" "+strings.TrimSpace(p.Text))
		}
	}
	return all
}

// FuzzTranslatedAnswers takes an upstream's answer through every door, whole
// and streamed: what is written must be readable again and tell the same text,
// and what fails must look failed.
func FuzzTranslatedAnswers(f *testing.F) {
	for i, d := range chatDialects() {
		f.Add(i, true, write(d, benchChunks()[490:]))
		f.Add(i, true, write(d, []llm.Chunk{{Thinking: "t"}, {Signature: "s", SignedBy: llm.Claude}, piece(0, "a", "{"), piece(1, "b", "{}"), piece(0, "", "}"), {Finish: llm.FinishToolCalls}}))
		f.Add(i, true, write(d, []llm.Chunk{{Text: "a", Cite: &llm.Citation{URL: "u", Start: 0, End: 1}}, {Refusal: "no", Finish: llm.FinishContentFilter}}))
		door, _ := DoorFor(d)
		a, _ := Gather(&listed{chunks: benchChunks()[495:]})
		f.Add(i, false, door.Answer(benchMeta(d), a))
	}
	f.Fuzz(func(t *testing.T, from int, stream bool, body []byte) {
		dialects := chatDialects()
		d := dialects[(from%len(dialects)+len(dialects))%len(dialects)]
		codec, _ := CodecFor(d)
		for _, to := range dialects {
			if to == d {
				continue
			}
			meta := benchMeta(to)
			var chunks []llm.Chunk
			var failed error
			if stream {
				s := codec.Stream(bytes.NewReader(body), meta.Request)
				for failed == nil {
					var c llm.Chunk
					if c, failed = s.Next(); failed == nil {
						chunks = append(chunks, c)
					}
				}
				if _, broken := llm.AsFailure(failed); !broken {
					failed = nil
				}
			} else if chunks, failed = codec.Whole(body, meta.Request); failed != nil {
				continue
			}
			want, _ := Gather(&listed{chunks: chunks})
			door, _ := DoorFor(to)
			w := door.Stream(meta)
			var out []byte
			for _, c := range chunks {
				out = w.Chunk(out, c)
			}
			if failed != nil {
				out = w.Fail(out, Problem{Status: 502, Type: "server_error", Message: "m"})
				if a, err := gather(to, string(out), &llm.Request{Dialect: llm.Plain, Stream: true}); err == nil {
					t.Fatalf("%s at %s: what failed looks complete: %+v\n%s", d, to, a, out)
				}
				continue
			}
			out = w.End(out)
			if len(out) > 4096*(len(chunks)+4)+64*len(body) {
				t.Fatalf("%s at %s: %d bytes became %d", d, to, len(body), len(out))
			}
			streamed, err := gather(to, string(out), &llm.Request{Dialect: llm.Plain, Stream: true})
			if telling(want) && (err != nil || toldBy(streamed) != toldBy(want)) {
				t.Fatalf("%s at %s streamed: %q, not %q, %v\n%s", d, to, toldBy(streamed), toldBy(want), err, out)
			}
			target, _ := CodecFor(to)
			read, err := target.Whole(door.Answer(meta, want), &llm.Request{Dialect: llm.Plain})
			whole, _ := Gather(&listed{chunks: read})
			if telling(want) && (err != nil || toldBy(whole) != toldBy(want)) {
				t.Fatalf("%s at %s whole: %q, not %q, %v", d, to, toldBy(whole), toldBy(want), err)
			}
		}
	})
}

// telling says whether an answer has text.
func telling(a Answer) bool { return strings.TrimSpace(toldBy(a)) != "" }

// toldBy gives the text and the refusal of the first answer, which some doors
// put in one place.
func toldBy(a Answer) string {
	if len(a.Choices) == 0 {
		return ""
	}
	var b strings.Builder
	for _, kind := range []llm.PartKind{llm.Text, llm.Refusal} {
		for _, p := range a.Choices[0].Parts {
			if p.Kind == kind {
				b.WriteString(p.Text)
			}
		}
	}
	return b.String()
}
