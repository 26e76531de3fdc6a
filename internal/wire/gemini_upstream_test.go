package wire

import (
	"encoding/json"
	"io"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"

	"breakwater/internal/llm"
)

func wholeAnswer(t *testing.T, body string, req *llm.Request) Answer {
	t.Helper()
	c, _ := CodecFor(llm.GeminiGenerate)
	chunks, err := c.Whole([]byte(body), req)
	if err != nil {
		t.Fatal(err)
	}
	a, _ := Gather(&listed{chunks: chunks})
	return a
}

func TestGeminiFinishes(t *testing.T) {
	for reason, want := range map[string][2]string{
		`"STOP"`: {"stop", ""}, `"MAX_TOKENS"`: {"length", ""}, `"SAFETY"`: {"content_filter", "SAFETY"}, `"RECITATION"`: {"content_filter", "RECITATION"},
		`"MALFORMED_FUNCTION_CALL"`: {"stop", "MALFORMED_FUNCTION_CALL"}, `"MODEL_ARMOR"`: {"content_filter", "MODEL_ARMOR"}, `"NEW_WORD"`: {"stop", "NEW_WORD"},
		`1`: {"stop", ""}, `2`: {"length", ""}, `8`: {"content_filter", "PROHIBITED_CONTENT"},
	} {
		a := wholeAnswer(t, `{"candidates":[{"finishReason":`+reason+`}]}`, &llm.Request{Dialect: llm.Plain})
		if c := a.Choices[0]; string(c.Finish) != want[0] || c.FinishDetail != want[1] {
			t.Errorf("%s: got %s %s", reason, c.Finish, c.FinishDetail)
		}
		body := GeminiDoor().Answer(Meta{}, a)
		if word := strings.Trim(reason, `"`); len(word) > 1 && word != "NEW_WORD" && !strings.Contains(string(body), `"finishReason":"`+word+`"`) {
			t.Errorf("%s is told as %s", reason, body)
		}
	}
	const call = `{"candidates":[{"content":{"parts":[{"functionCall":{"name":"f"}}]},"finishReason":"STOP"}]}`
	if a := wholeAnswer(t, call, &llm.Request{Dialect: llm.Plain}); a.Finish() != llm.FinishToolCalls {
		t.Errorf("got %s", a.Finish())
	}
}

func TestABlockedPromptIsAnAnswerOnlyForGeminisCallers(t *testing.T) {
	const body = `{"promptFeedback":{"blockReason":"SAFETY"},"usageMetadata":{"promptTokenCount":3,"totalTokenCount":3}}`
	c, _ := CodecFor(llm.GeminiGenerate)
	_, err := c.Whole([]byte(body), &llm.Request{Dialect: llm.Plain})
	if f, ok := llm.AsFailure(err); !ok || f.Class != llm.ContentFilter || f.Code != "SAFETY" {
		t.Errorf("got %v", err)
	}
	a := wholeAnswer(t, body, &llm.Request{Dialect: llm.GeminiGenerate})
	if a.Finish() != llm.FinishContentFilter || string(a.Raw) != body || a.Usage.Input != 3 {
		t.Errorf("got %+v", a)
	}
	s := &recorder{Stream: c.Stream(strings.NewReader("data: "+body+"\r\n\r\n"), &llm.Request{Dialect: llm.GeminiGenerate})}
	if a, err := Gather(s); err != nil || a.Finish() != llm.FinishContentFilter {
		t.Errorf("got %+v, %v", a, err)
	}
}

func TestGeminiCallsWithoutIDsGetStableOnes(t *testing.T) {
	const parts = `"content":{"parts":[{"functionCall":{"name":"f","args":{"a": 1}}},{"functionCall":{"name":"f"}}]},"finishReason":"STOP"`
	const body = `{"candidates":[{` + parts + `},{"index":1,` + parts + `}],"responseId":"r"}`
	a := wholeAnswer(t, body, &llm.Request{Dialect: llm.Plain})
	again := wholeAnswer(t, body, &llm.Request{Dialect: llm.Plain})
	other := wholeAnswer(t, strings.Replace(body, `"r"`, `"s"`, 1), &llm.Request{Dialect: llm.Plain})
	seen := make(map[string]bool)
	for _, a := range []Answer{a, other} {
		for _, c := range a.Choices {
			for _, p := range c.Parts {
				if seen[p.Call.ID] || p.Call.ID == "" {
					t.Errorf("%q is not unique", p.Call.ID)
				}
				seen[p.Call.ID] = true
			}
		}
	}
	if len(seen) != 8 || !reflect.DeepEqual(a.Choices, again.Choices) {
		t.Errorf("got %s, then %s", marshal(a), marshal(again))
	}
	if got := string(a.Choices[0].Parts[0].Call.Args) + string(a.Choices[0].Parts[1].Call.Args); got != `{"a":1}{}` {
		t.Errorf("got %s", got)
	}
	one := wholeAnswer(t, body, &llm.Request{Dialect: llm.OpenAIChat, Parallel: ptr(false)})
	if len(one.Choices[0].Parts) != 1 || one.Finish() != llm.FinishToolCalls {
		t.Errorf("more than the one call that was asked for: %s", marshal(one))
	}
}

func TestGeminiArgumentsThatStreamAreJoined(t *testing.T) {
	part := func(call string) string {
		return `data: {"candidates":[{"content":{"parts":[{"functionCall":` + call + `}]}}],"responseId":"r"}` + "\r\n\r\n"
	}
	body := part(`{"name":"f","willContinue":true}`) +
		part(`{"partialArgs":[{"jsonPath":"$.a.b","stringValue":"x\"","willContinue":true}],"willContinue":true}`) +
		part(`{"partialArgs":[{"jsonPath":"$.a.b","stringValue":"y"},{"jsonPath":"$.l[0]","numberValue":1.5},{"jsonPath":"$['l'][1].z","boolValue":true}],"willContinue":true}`) +
		part(`{"partialArgs":[{"jsonPath":"$.n","nullValue":"NULL_VALUE"},{"jsonPath":"$.l[9]","numberValue":1},{"jsonPath":"oops"},{"jsonPath":"$"}],"willContinue":true}`) +
		part(`{}`) + part(`{"name":"g","args":{}}`) + part(`{"name":"h","willContinue":true}`) +
		`data: {"candidates":[{"finishReason":"STOP"}]}` + "\r\n\r\n"
	a, err := gather(llm.GeminiGenerate, body, &llm.Request{Dialect: llm.Plain})
	if err != nil || len(a.Choices[0].Parts) != 3 || a.Finish() != llm.FinishToolCalls {
		t.Fatalf("got %s, %v", marshal(a), err)
	}
	var got []string
	for _, p := range a.Choices[0].Parts {
		got = append(got, p.Call.Name+string(p.Call.Args))
	}
	if want := []string{`f{"a":{"b":"x\"y"},"l":[1.5,{"z":true}],"n":null}`, `g{}`, `h{}`}; !reflect.DeepEqual(got, want) {
		t.Errorf("got %q", got)
	}
}

func TestGeminiCountsTokens(t *testing.T) {
	for usage, want := range map[string]*llm.Usage{
		`{"trafficType":"ON_DEMAND"}`:                  nil,
		`{"promptTokenCount":10,"totalTokenCount":10}`: {Input: 10},
		`{"promptTokenCount":10,"thoughtsTokenCount":5,"totalTokenCount":22,"toolUsePromptTokenCount":3}`: {Input: 13, Output: 9, Reasoning: 5},
		`{"promptTokenCount":10,"candidatesTokenCount":4,"thoughtsTokenCount":5,"cachedContentTokenCount":8,"totalTokenCount":19,
			"promptTokensDetails":[{"modality":"TEXT","tokenCount":3},{"modality":"AUDIO","tokenCount":7}],"candidatesTokensDetails":[{"modality":"AUDIO","tokenCount":2}]}`: {Input: 10, CacheRead: 8, Output: 9, Reasoning: 5, AudioIn: 7, AudioOut: 2},
	} {
		a := wholeAnswer(t, `{"candidates":[{"finishReason":"STOP"}],"usageMetadata":`+usage+`}`, &llm.Request{Dialect: llm.Plain})
		if !reflect.DeepEqual(a.Usage, want) {
			t.Errorf("%s: got %+v", usage, a.Usage)
		}
		again := wholeAnswer(t, string(GeminiDoor().Answer(Meta{}, a)), &llm.Request{Dialect: llm.Plain})
		if !reflect.DeepEqual(again.Usage, want) {
			t.Errorf("%s: the door tells %+v", usage, again.Usage)
		}
	}
}

func TestGeminiNamesItsSources(t *testing.T) {
	const body = `{"candidates":[{"content":{"parts":[{"text":"thought","thought":true},{"text":"Größe: 5. Ende."}]},"finishReason":"STOP",
		"citationMetadata":{"citationSources":[{"startIndex":0,"endIndex":7,"uri":"https://a"}]},
		"groundingMetadata":{"groundingChunks":[{"web":{"uri":"https://b","title":"B"}},{"retrievedContext":{"uri":"https://c","title":"C"}}],
			"groundingSupports":[{"segment":{"startIndex":99,"endIndex":120,"text":"Ende."},"groundingChunkIndices":[0,7]}]}}]}`
	want := []llm.Citation{
		{URL: "https://a", Start: 0, End: 5},
		{URL: "https://b", Title: "B", Text: "Ende.", Start: 10, End: 15},
		{URL: "https://c", Title: "C"},
	}
	a := wholeAnswer(t, body, &llm.Request{Dialect: llm.Plain})
	if got := a.Choices[0].Citations; !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v", got)
	}
	again := wholeAnswer(t, string(GeminiDoor().Answer(Meta{}, a)), &llm.Request{Dialect: llm.Plain})
	for _, c := range want {
		found := false
		for _, got := range again.Choices[0].Citations {
			found = found || got == c
		}
		if !found {
			t.Errorf("the door lost %+v: %+v", c, again.Choices[0].Citations)
		}
	}
}

func TestGeminiLogprobsHaveOpenAIsShape(t *testing.T) {
	const body = `{"candidates":[{"content":{"parts":[{"text":"hé"}]},"finishReason":"STOP","logprobsResult":{
		"topCandidates":[{"candidates":[{"token":"hé","logProbability":-0.5},{"token":"x","logProbability":-2}]}],
		"chosenCandidates":[{"token":"hé","tokenId":3,"logProbability":-0.5}]}}]}`
	const want = `{"content":[{"token":"hé","logprob":-0.5,"bytes":[104,195,169],"top_logprobs":[{"token":"hé","logprob":-0.5,"bytes":[104,195,169]},{"token":"x","logprob":-2,"bytes":[120]}]}],"refusal":null}`
	a := wholeAnswer(t, body, &llm.Request{Dialect: llm.Plain})
	if got := string(a.Choices[0].Logprobs); got != want {
		t.Errorf("got %s", got)
	}
	again := wholeAnswer(t, string(GeminiDoor().Answer(Meta{}, a)), &llm.Request{Dialect: llm.Plain})
	if got := string(again.Choices[0].Logprobs); got != want {
		t.Errorf("the door tells %s", got)
	}
}

func TestGeminiStreamsEndWhenAllCandidatesDid(t *testing.T) {
	const two = `data: {"candidates":[{"content":{"parts":[{"text":"a"}]},"finishReason":"STOP"},{"index":1,"content":{"parts":[{"text":"b"}]}}]}` + "\n\n"
	if _, err := gather(llm.GeminiGenerate, two, &llm.Request{Dialect: llm.Plain}); err == nil {
		t.Error("half an answer looks complete")
	}
	a, err := gather(llm.GeminiGenerate, two+`data: {"candidates":[{"index":1,"finishReason":"MAX_TOKENS"}]}`+"\n\n", &llm.Request{Dialect: llm.Plain})
	if err != nil || len(a.Choices) != 2 || a.Choices[1].Finish != llm.FinishLength || a.Choices[1].Parts[0].Text != "b" {
		t.Errorf("got %s, %v", marshal(a), err)
	}
}

func TestGeminiDoorGathersCallsUntilTheyAreWhole(t *testing.T) {
	w := GeminiDoor().Stream(Meta{RequestID: "req", Model: "m", Request: &llm.Request{}})
	var b []byte
	for _, c := range []llm.Chunk{
		{ID: "x", Text: "a"}, {Thinking: "hidden"},
		{Call: &llm.CallDelta{Index: 0, ID: "1", Name: "f", Args: `{"x"`}}, {Call: &llm.CallDelta{Index: 1, ID: "2", Name: "g"}}, {Call: &llm.CallDelta{Index: 0, Args: `:1}`}},
		{Usage: &llm.Usage{Input: 1, Output: 2}}, {Finish: llm.FinishToolCalls},
	} {
		b = w.Chunk(b, c)
	}
	got := string(w.End(b))
	const want = `data: {"candidates":[{"content":{"parts":[{"text":"a"}],"role":"model"},"index":0}],"modelVersion":"m","responseId":"req"}` + "\r\n\r\n" +
		`data: {"candidates":[{"content":{"parts":[{"functionCall":{"id":"1","name":"f","args":{"x":1}},"thoughtSignature":"` + geminiSkipEncoded + `"},{"functionCall":{"id":"2","name":"g","args":{}}}],"role":"model"},"finishReason":"STOP","index":0}],` +
		`"usageMetadata":{"promptTokenCount":1,"candidatesTokenCount":2,"totalTokenCount":3},"modelVersion":"m","responseId":"req"}` + "\r\n\r\n"
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestGeminiDoorTellsProblems(t *testing.T) {
	p := Problem{Status: 429, Code: "rate_limit_exceeded", Param: "n", Message: "slow down"}
	const want = `{"error":{"code":429,"message":"slow down","status":"RESOURCE_EXHAUSTED","details":[{"@type":"type.googleapis.com/google.rpc.BadRequest","fieldViolations":[{"field":"n","description":"slow down"}]},{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"RATE_LIMIT_EXCEEDED","domain":"breakwater"}]}}`
	if got := string(GeminiDoor().Problem(p)); got != want {
		t.Errorf("got %s", got)
	}
	for status, word := range map[int]string{
		400: "INVALID_ARGUMENT", 401: "UNAUTHENTICATED", 403: "PERMISSION_DENIED", 404: "NOT_FOUND", 413: "INVALID_ARGUMENT",
		500: "INTERNAL", 501: "UNIMPLEMENTED", 502: "UNAVAILABLE", 503: "UNAVAILABLE", 504: "DEADLINE_EXCEEDED", 529: "UNAVAILABLE",
	} {
		if got := geminiStatus(status); got != word {
			t.Errorf("%d: got %s", status, got)
		}
	}
	for door, complete := range map[string]Door{"events": GeminiDoor(), "array": GeminiArrayDoor()} {
		for _, begun := range []bool{false, true} {
			w := complete.Stream(Meta{Request: &llm.Request{}})
			var b []byte
			if begun {
				b = w.Chunk(b, llm.Chunk{Text: "a"})
			}
			b = w.Fail(b, p)
			if door == "array" && !json.Valid(b) {
				t.Errorf("not an array: %s", b)
			}
			_, err := gather(llm.GeminiGenerate, string(b), &llm.Request{Dialect: llm.Plain})
			if f, ok := llm.AsFailure(err); !ok || f.Class != llm.RateLimit {
				t.Errorf("%s: the failure reads %v from %s", door, err, b)
			}
		}
	}
}

func FuzzGeminiAnswers(f *testing.F) {
	f.Add([]byte(`{"candidates":[{"content":{"parts":[{"text":"a","thought":true},{"functionCall":{"name":"f","partialArgs":[{"jsonPath":"$.a[0]","stringValue":"x"}],"willContinue":true}},{"functionCall":{}},{"text":"","thoughtSignature":"x"},{"text":"b"}]},"finishReason":"STOP","groundingMetadata":{"groundingChunks":[{"web":{"uri":"u"}}],"groundingSupports":[{"segment":{"endIndex":1,"text":"b"},"groundingChunkIndices":[0]}]}}],"usageMetadata":{"promptTokenCount":1}}`))
	show := &llm.Request{Dialect: llm.GeminiGenerate, Thought: &llm.Thought{Show: ptr(true)}}
	f.Fuzz(func(t *testing.T, body []byte) {
		c, _ := CodecFor(llm.GeminiGenerate)
		chunks, err := c.Whole(body, &llm.Request{Dialect: llm.Plain})
		if err != nil || !utf8.Valid(body) { // which JSON must be, and json.Marshal mends
			return
		}
		want, _ := Gather(&listed{chunks: chunks})
		for _, choice := range want.Choices {
			for _, p := range choice.Parts {
				if p.Call != nil {
					if _, ok := object(p.Call.Args); !ok {
						t.Fatalf("arguments %s", p.Call.Args)
					}
				}
			}
		}
		w := GeminiArrayDoor().Stream(Meta{Request: show})
		var out []byte
		for _, c := range chunks {
			out = w.Chunk(out, c)
		}
		out = w.End(out)
		if !json.Valid(out) {
			t.Fatalf("not JSON: %s", out)
		}
		s := &recorder{Stream: c.Stream(strings.NewReader(string(out)), &llm.Request{Dialect: llm.Plain})}
		got, err := Gather(s)
		if err != nil && err != io.EOF {
			t.Fatalf("%v reading %s", err, out)
		}
		if got.Text() != want.Text() {
			t.Fatalf("got %q, want %q", got.Text(), want.Text())
		}
		whole := GeminiDoor().Answer(Meta{Request: show}, want)
		if !json.Valid(whole) {
			t.Fatalf("not JSON: %s", whole)
		}
	})
}
