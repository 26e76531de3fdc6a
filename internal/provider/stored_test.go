package provider

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"breakwater/internal/llm"
)

func TestARefusalAboutAKeptAnswerQuotesNoKey(t *testing.T) {
	escaped := strings.Replace(secret, "-", `\u002d`, 1)
	for name, c := range map[string]struct {
		status int
		body   string
		passed bool
	}{
		"our key is refused": {401, `{"error":{"message":"Incorrect API key provided"}}`, false},
		"a quoted key":       {400, `{"error":{"message":"bad header ` + secret + `"}}`, false},
		"an escaped key":     {400, `{"error":{"message":"bad header ` + escaped + `"}}`, false},
		"the caller's fault": {404, `{"error":{"message":"No such response"}}`, true},
	} {
		client, asked := recordingUpstream(t, llm.OpenAI, c.status, nil, c.body)
		resp, err := client.Stored(t.Context(), http.MethodGet, "resp_1/input_items", nil, nil, nil)
		if c.passed != (err == nil) || err != nil && strings.Contains(err.Error(), secret) {
			t.Errorf("%s: %v", name, err)
		}
		if asked.path != "/v1/responses/resp_1/input_items" {
			t.Errorf("asked %s", asked.path)
		}
		if err != nil {
			continue
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || resp.StatusCode != c.status || string(body) != c.body {
			t.Errorf("%s: HTTP %d, %s, %v", name, resp.StatusCode, body, err)
		}
	}
}

func TestARefusalIsPassedOnAsItCameUnlessItQuotesAKey(t *testing.T) {
	escaped := strings.Replace(secret, "-", `\u002d`, 1)
	for body, passed := range map[string]bool{
		`{"error":{"message":"no","more":{"details":[1]}}}`:           true,
		`{"error":{"message":"no","sent":"Bearer ` + secret + `"}}`:   false,
		`{"error":{"message":"no","sent":"Bearer ` + escaped + `"}}`:  false,
		`{"error":{"message":"no","` + escaped + `":{"deep":["x"]}}}`: false,
		`null`:               false,
		`"oops"`:             false,
		`[{"error":"list"}]`: false,
		`{"error":`:          false,
	} {
		client, _ := recordingUpstream(t, llm.OpenAI, 400, nil, body)
		_, err := client.Send(t.Context(), &Leave{}, llm.Target{Model: "m"}, &llm.Request{Dialect: llm.OpenAIChat, Body: []byte(`{"model":"m"}`)})
		f, ok := llm.AsFailure(err)
		if !ok || passed != (string(f.Body) == body) || !passed && f.Body != nil {
			t.Errorf("%s: %v, body %s", body, err, f.Body)
		}
	}
}

func TestHeadersThatRepeatAKeyAreKeptBack(t *testing.T) {
	client, _ := recordingUpstream(t, llm.OpenAI, 200, http.Header{"X-Echo": {"Bearer " + secret}, "X-Kind": {"plain"}},
		`{"choices":[{"message":{"content":"hi"},"finish_reason":"stop"}]}`)
	reply, err := client.Send(t.Context(), &Leave{}, llm.Target{Model: "m"}, &llm.Request{Dialect: llm.OpenAIChat, Body: []byte(`{"model":"m"}`)})
	if err != nil {
		t.Fatal(err)
	}
	defer reply.Close()
	if reply.Header.Get("X-Echo") != "" || reply.Header.Get("X-Kind") != "plain" {
		t.Errorf("passed on: %v", reply.Header)
	}
}
