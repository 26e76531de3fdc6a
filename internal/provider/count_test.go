package provider

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"breakwater/internal/llm"
	"breakwater/internal/wire"
)

// call is what an upstream was asked.
type call struct {
	path, body string
	header     http.Header
}

// recordingUpstream answers each call with body, and remembers the last.
func recordingUpstream(t *testing.T, p llm.Provider, status int, header http.Header, body string) (*Client, *call) {
	t.Helper()
	last := &call{}
	c := client(t, p, serverOf(t, func(w http.ResponseWriter, r *http.Request) {
		asked, _ := io.ReadAll(r.Body)
		*last = call{r.RequestURI, string(asked), r.Header}
		for name, values := range header {
			w.Header()[name] = values
		}
		w.WriteHeader(status)
		io.WriteString(w, body)
	}))
	c.answers = p == llm.OpenAI
	return c, last
}

func TestEachProviderCountsForEachDialect(t *testing.T) {
	anthropic, err := wire.DecodeAnthropicCount([]byte(`{"model":"x","system":"Be brief.","messages":[{"role":"user","content":"Hi"}],"unknown":null}`))
	if err != nil {
		t.Fatal(err)
	}
	gemini, err := wire.DecodeGeminiCount([]byte(`{"generateContentRequest":{"model":"models/x","contents":[{"parts":[{"text":"Hi"}]}]}}`))
	if err != nil {
		t.Fatal(err)
	}
	responses, err := wire.ResponsesDoor().Decode([]byte(`{"model":"x","input":"Hi"}`))
	if err != nil {
		t.Fatal(err)
	}
	anthropic.Header = http.Header{"Anthropic-Beta": {"b1"}}
	for _, c := range []struct {
		provider llm.Provider
		req      *llm.Request
		answer   string
		tokens   int64
		path     string
		body     string
	}{
		{llm.Claude, anthropic, `{"input_tokens": 12, "new": true}`, 12, "/v1/messages/count_tokens",
			`{"model":"m","system":"Be brief.","messages":[{"role":"user","content":"Hi"}],"unknown":null}`},
		{llm.Claude, gemini, `{"input_tokens":12}`, 12, "/v1/messages/count_tokens", `{"model":"m","messages":[{"role":"user","content":"Hi"}]}`},
		{llm.Claude, responses, `{"input_tokens":0}`, 0, "/v1/messages/count_tokens", `{"model":"m","messages":[{"role":"user","content":"Hi"}]}`},
		{llm.Gemini, gemini, `{"totalTokens":31,"promptTokensDetails":[]}`, 31, "/v1beta/models/m:countTokens",
			`{"generateContentRequest":{"model":"models/m","contents":[{"parts":[{"text":"Hi"}]}]}}`},
		{llm.Gemini, anthropic, `{"totalTokens":31}`, 31, "/v1beta/models/m:countTokens",
			`{"generateContentRequest":{"systemInstruction":{"parts":[{"text":"Be brief."}]},"contents":[{"parts":[{"text":"Hi"}],"role":"user"}],"model":"models/m"}}`},
		{llm.OpenAI, responses, `{"object":"response.input_tokens","input_tokens":7}`, 7, "/v1/responses/input_tokens", `{"model":"m","input":"Hi"}`},
	} {
		up, got := recordingUpstream(t, c.provider, 200, http.Header{"Request-Id": {"r1"}, "Set-Cookie": {"a=b"}}, c.answer)
		count, err := up.Count(t.Context(), llm.Target{Provider: c.provider, Model: "m"}, c.req)
		if err != nil || count.Tokens != c.tokens || string(count.Raw) != c.answer || count.Header.Get("Request-Id") != "r1" || count.Header.Get("Set-Cookie") != "" {
			t.Errorf("%s for %s: %+v, %v", c.provider, c.req.Dialect, count, err)
		}
		if got.path != c.path || got.body != c.body || got.header.Get(HopHeader) != "bw1" {
			t.Errorf("%s for %s was asked %s %s", c.provider, c.req.Dialect, got.path, got.body)
		}
		if beta := got.header.Get("Anthropic-Beta"); (beta != "") != (c.provider == llm.Claude && c.req == anthropic) {
			t.Errorf("%s for %s: anthropic-beta is %q", c.provider, c.req.Dialect, beta)
		}
	}
}

func TestWhoCountsNothingForFreeIsNotAsked(t *testing.T) {
	for _, p := range []llm.Provider{llm.OpenAI, llm.Local} {
		up, got := recordingUpstream(t, p, 200, nil, `{"input_tokens":1}`)
		if _, err := up.Count(t.Context(), llm.Target{Provider: p, Model: "m"}, hello(false)); !errors.Is(err, ErrNoCount) || got.path != "" {
			t.Errorf("%s: %v, asked %q", p, err, got.path)
		}
	}
	up, got := recordingUpstream(t, llm.OpenAI, 200, nil, `{"input_tokens":1}`)
	up.answers = false // a server that only resembles OpenAI's
	req, _ := wire.ResponsesDoor().Decode([]byte(`{"model":"x","input":"Hi"}`))
	if _, err := up.Count(t.Context(), llm.Target{Provider: llm.OpenAI, Model: "m"}, req); !errors.Is(err, ErrNoCount) || got.path != "" {
		t.Errorf("%v, asked %q", err, got.path)
	}
}

func TestACountThatIsNoneIsAFailure(t *testing.T) {
	for body, status := range map[string]int{
		`{"error":{"message":"slow down"}}`: 429, `<html>`: 200, `{}`: 200, `{"input_tokens":"5"}`: 200, `{"input_tokens":-1}`: 200, `{"input_tokens":5`: 200,
	} {
		up, _ := recordingUpstream(t, llm.Claude, status, nil, body)
		_, err := up.Count(t.Context(), llm.Target{Provider: llm.Claude, Model: "m"}, hello(false))
		if _, ok := llm.AsFailure(err); !ok {
			t.Errorf("%s: %v", body, err)
		}
	}
	beyond := hello(false)
	beyond.Beyond = []string{"tools[0]"}
	up, got := recordingUpstream(t, llm.Gemini, 200, nil, `{}`)
	_, err := up.Count(t.Context(), llm.Target{Provider: llm.Gemini, Model: "m"}, beyond)
	if f, ok := llm.AsFailure(err); !ok || f.Class != llm.BadRequest || got.path != "" {
		t.Errorf("what cannot be translated: %v", err)
	}
}

func TestAnErrorKeepsItsLimitsForTheSameDialectOnly(t *testing.T) {
	header := http.Header{
		"Anthropic-Ratelimit-Requests-Remaining": {"0"}, "Retry-After": {"9"}, "Request-Id": {"req_1"}, "X-Should-Retry": {"true"},
		"Set-Cookie": {"a=b"}, "Anthropic-Organization-Id": {"org"}, "Server": {"x"}, "X-Ratelimit-Limit-Requests": {secret},
	}
	for _, same := range []bool{true, false} {
		up, _ := recordingUpstream(t, llm.Claude, 429, header, `{"type":"error","error":{"type":"rate_limit_error","message":"slow"}}`)
		req := hello(false)
		if same {
			req.Dialect, req.Body = llm.AnthropicMessages, []byte(`{"model":"m","max_tokens":1,"messages":[]}`)
		}
		_, _, err := ask(t.Context(), up, req)
		f, ok := llm.AsFailure(err)
		if !ok || f.Class != llm.RateLimit || f.RetryAfter.Seconds() != 9 {
			t.Fatalf("same dialect %v: %v", same, err)
		}
		if !same {
			if f.Header != nil {
				t.Errorf("another dialect got %v", f.Header)
			}
			continue
		}
		if len(f.Header) != 5 || f.Header.Get("Anthropic-Ratelimit-Requests-Remaining") != "0" || f.Header.Get("Retry-After") != "9" || f.Header.Get("Request-Id") != "req_1" {
			t.Errorf("got %v", f.Header)
		}
		if strings.Contains(f.Header.Get("X-Ratelimit-Limit-Requests"), secret) {
			t.Error("a header tells the key")
		}
	}
}

func TestAForeignOrganizationIsTheCallersFault(t *testing.T) {
	body := func(code, message string) string {
		return `{"error":{"message":"` + message + `","type":"invalid_request_error","param":null,"code":` + code + `}}`
	}
	for _, c := range []struct {
		header, body string
		status       int
		want         llm.FailureClass
	}{
		{"OpenAI-Organization", body(`"mismatched_organization"`, "OpenAI-Organization header should match organization for API key"), 401, llm.BadRequest},
		{"OpenAI-Organization", body(`"invalid_organization"`, "No such organization: org-x."), 401, llm.BadRequest},
		{"OpenAI-Organization", body(`null`, "No such organization: org-x."), 403, llm.BadRequest},
		{"OpenAI-Project", body(`"mismatched_project"`, "OpenAI-Project header should match project for API key"), 401, llm.BadRequest},
		{"OpenAI-Project", body(`"mismatched_organization"`, "OpenAI-Organization header should match organization for API key"), 401, llm.Auth},
		{"OpenAI-Organization", body(`"invalid_api_key"`, "Incorrect API key provided: sk-proj-***"), 401, llm.Auth},
		{"", body(`"mismatched_organization"`, "OpenAI-Organization header should match organization for API key"), 401, llm.Auth},
	} {
		up, got := recordingUpstream(t, llm.OpenAI, c.status, nil, c.body)
		for _, d := range []llm.Dialect{llm.OpenAIChat, llm.Plain} {
			req := hello(false)
			req.Dialect, req.Body, req.Header = d, []byte(`{"model":"m","messages":[{"role":"user","content":"Hi"}]}`), http.Header{}
			if c.header != "" {
				req.Header.Set(c.header, "org-x")
			}
			want := c.want
			if d == llm.Plain {
				want = llm.Auth // whose headers stay here
			}
			_, _, err := ask(t.Context(), up, req)
			f, ok := llm.AsFailure(err)
			if !ok || f.Class != want || f.Status != c.status || want == llm.BadRequest && !strings.Contains(f.Message, c.header) {
				t.Errorf("%s %s %s: %v", d, c.header, c.body, err)
			}
			if sent := got.header.Get(c.header); c.header != "" && (sent == "org-x") != (d == llm.OpenAIChat) {
				t.Errorf("%s: the upstream got %q", d, sent)
			}
		}
	}
}
