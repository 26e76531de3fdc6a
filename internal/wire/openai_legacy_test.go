package wire

import (
	"bytes"
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"

	"breakwater/internal/llm"
)

func TestLegacyCompletionsAreRead(t *testing.T) {
	body := `{"model":"m","prompt":["Say hi"],"max_tokens":5,"temperature":0,"n":2,"logprobs":0,"stop":"x","stream":true,
		"stream_options":{"include_usage":true},"echo":false,"suffix":"","best_of":1,"logit_bias":{},"user":"u","seed":1}`
	got, err := DecodeOpenAILegacy([]byte(body))
	if err != nil {
		t.Fatal(err)
	}
	want := &llm.Request{
		Dialect: llm.OpenAILegacy, Model: "m", Messages: []llm.Message{message(llm.User, "Say hi")}, MaxTokens: ptr[int64](5), Temperature: ptr(0.0),
		N: ptr[int64](2), Logprobs: ptr(true), TopLogprobs: ptr[int64](0), Stop: []string{"x"}, Stream: true, IncludeUsage: true, User: "u", Seed: ptr[int64](1),
		Body: json.RawMessage(body),
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestLegacyCompletionsSayWhatIsWrong(t *testing.T) {
	for body, want := range map[string]string{
		`{"prompt":"x"}`:                                                  "model: is required",
		`{"model":"m"}`:                                                   "prompt: is required",
		`{"model":"m","prompt":["a","b"]}`:                                "prompt: must be one string",
		`{"model":"m","prompt":[1,2]}`:                                    "prompt: must be one string",
		`{"model":"m","prompt":[[1,2]]}`:                                  "prompt: must be one string",
		`{"model":"m","prompt":{}}`:                                       "prompt: must be a string, not an object",
		`{"model":"m","prompt":"x","echo":true}`:                          "echo: is not supported",
		`{"model":"m","prompt":"x","suffix":"y"}`:                         "suffix: is not supported",
		`{"model":"m","prompt":"x","best_of":3}`:                          "best_of: is not supported",
		`{"model":"m","prompt":"x","logprobs":6}`:                         "logprobs: must be between 0 and 5",
		`{"model":"m","prompt":"x","logprobs":true}`:                      "logprobs: must be a whole number",
		`{"model":"m","prompt":"x","temperature":3}`:                      "temperature: must be between",
		`{"model":"m","prompt":"x","stream_options":{"include_usage":1}}`: "stream_options.include_usage: must be",
	} {
		_, err := DecodeOpenAILegacy([]byte(body))
		if failed := (*RequestError)(nil); !errors.As(err, &failed) || !strings.HasPrefix(failed.Error(), want) {
			t.Errorf("%s: got %v, want %s", body, err, want)
		}
	}
	r, err := DecodeOpenAILegacy([]byte(`{"model":"m","prompt":"x","logit_bias":{"1":2},"odd":1}`))
	if err != nil || !reflect.DeepEqual(r.Beyond, []string{"logit_bias", "odd"}) {
		t.Errorf("got %q, %v", r.Beyond, err)
	}
}

func FuzzDecodeOpenAILegacy(f *testing.F) {
	f.Add([]byte(`{"model":"m","prompt":["x"],"logprobs":1,"stream":true}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		r, err := DecodeOpenAILegacy(body)
		if err != nil {
			if failed := (*RequestError)(nil); !errors.As(err, &failed) || failed.Message == "" {
				t.Fatalf("a bare error: %v", err)
			}
			return
		}
		e, err := encodeOpenAI("gpt-4o", r)
		if err != nil {
			return
		}
		again, err := DecodeOpenAIChat(e.Body)
		if err != nil || !bytes.Equal(marshal(again.Messages), marshal(r.Messages)) {
			t.Fatalf("%s became %s: %v", body, e.Body, err)
		}
	})
}
