package provider

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"breakwater/internal/llm"
	"breakwater/internal/wire"

	"go.uber.org/goleak"
)

const secret = "sk-test-0123456789-secret"

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// upstream starts a server and a client of it.
func upstream(t *testing.T, p llm.Provider, h http.HandlerFunc) *Client {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body) // only then does the server see the client go away
		h(w, r)
	}))
	c := client(t, p, server.URL)
	t.Cleanup(func() {
		c.Close()
		server.Close()
	})
	return c
}

// serverOf starts a server whose handler reads the body itself.
func serverOf(t *testing.T, h http.HandlerFunc) string {
	t.Helper()
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	return server.URL
}

// client makes a client of the upstream at the address.
func client(t *testing.T, p llm.Provider, address string) *Client {
	t.Helper()
	if p == llm.OpenAI {
		address += "/v1"
	}
	c, err := New(Config{Provider: p, BaseURL: address, Keys: []Key{{Name: "main", Secret: secret}}, Hop: "bw1"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func hello(stream bool) *llm.Request {
	return &llm.Request{
		Dialect: llm.Plain, Stream: stream, Via: []string{"bw0"},
		Messages: []llm.Message{{Role: llm.User, Parts: []llm.Part{{Kind: llm.Text, Text: "Hello"}}}},
	}
}

// ask sends and gathers the whole answer.
func ask(ctx context.Context, c *Client, req *llm.Request) (wire.Answer, *llm.Reply, error) {
	reply, err := c.Send(ctx, &Leave{}, llm.Target{Provider: c.provider, Model: "m"}, req)
	if err != nil {
		return wire.Answer{}, nil, err
	}
	defer reply.Close()
	a, err := wire.Gather(reply)
	return a, reply, err
}

func TestSendCallsEachProviderAsItWants(t *testing.T) {
	for _, c := range []struct {
		provider llm.Provider
		stream   bool
		model    string
		path     string
		header   map[string]string
	}{
		{llm.OpenAI, false, "gpt-4o", "/v1/chat/completions", map[string]string{"Authorization": "Bearer " + secret}},
		{llm.OpenAI, true, "gpt-4o", "/v1/chat/completions", map[string]string{"Accept": "text/event-stream"}},
		{llm.Claude, true, "claude-x", "/v1/messages", map[string]string{"X-Api-Key": secret, "Anthropic-Version": "2023-06-01", "Authorization": ""}},
		{llm.Gemini, false, "gemini-x", "/v1beta/models/gemini-x:generateContent", map[string]string{"X-Goog-Api-Key": secret}},
		{llm.Gemini, true, "models/gemini-x", "/v1beta/models/gemini-x:streamGenerateContent?alt=sse", nil},
		{llm.Gemini, false, "../../x?key=1", "/v1beta/models/..%2F..%2Fx%3Fkey=1:generateContent", nil},
		{llm.Local, false, "llama3", "/api/chat", map[string]string{"Accept": "application/json"}},
	} {
		t.Run(fmt.Sprint(c.provider, c.stream, c.model), func(t *testing.T) {
			var got *http.Request
			client := upstream(t, c.provider, func(w http.ResponseWriter, r *http.Request) {
				got = r
				w.WriteHeader(http.StatusTeapot)
			})
			_, err := client.Send(t.Context(), &Leave{}, llm.Target{Provider: c.provider, Model: c.model}, hello(c.stream))
			if f, ok := llm.AsFailure(err); !ok || f.Status != http.StatusTeapot {
				t.Fatal(err)
			}
			if got.Method != http.MethodPost || got.RequestURI != c.path {
				t.Errorf("got %s %s, want %s", got.Method, got.RequestURI, c.path)
			}
			for name, want := range c.header {
				if got.Header.Get(name) != want {
					t.Errorf("%s: got %q, want %q", name, got.Header.Get(name), want)
				}
			}
			if got.Header.Get(HopHeader) != "bw0,bw1" || got.Header.Get("Content-Type") != "application/json" {
				t.Errorf("header %v", got.Header)
			}
		})
	}
}

func TestBaseURLsMayHaveAPathAndASlash(t *testing.T) {
	for base, want := range map[string]string{
		"http://h":               "http://h/v1/messages",
		"http://h/":              "http://h/v1/messages",
		"https://h/a/b/?api=1":   "https://h/a/b/v1/messages?api=1",
		"https://h:1/anthropic/": "https://h:1/anthropic/v1/messages",
	} {
		c, err := New(Config{Provider: llm.Claude, BaseURL: base})
		if err != nil {
			t.Fatal(err)
		}
		if got := c.answerURL(llm.AnthropicMessages, "m", false).String(); got != want {
			t.Errorf("%s: got %s, want %s", base, got, want)
		}
	}
}

func TestNewTellsAllThatIsWrongAndNoSecret(t *testing.T) {
	_, err := New(Config{Provider: "x", BaseURL: "ftp://h", Keys: []Key{{Name: "a", Secret: "top secret"}, {Name: "b", Secret: ""}}, ConnectTimeout: -1})
	for _, field := range []string{"provider:", "base_url:", "keys[0]:", "keys[1]:", "connect_timeout:"} {
		if err == nil || !strings.Contains(err.Error(), field) || strings.Contains(err.Error(), "top secret") {
			t.Errorf("%s: %v", field, err)
		}
	}
	for _, p := range llm.Providers() {
		if _, err := New(Config{Provider: p}); err != nil {
			t.Errorf("%s: %v", p, err)
		}
	}
}

func TestWithoutAKeyNothingIsSent(t *testing.T) {
	for _, p := range []llm.Provider{llm.OpenAI, llm.Claude, llm.Gemini} {
		c, err := New(Config{Provider: p, BaseURL: "http://127.0.0.1:1"})
		if err != nil {
			t.Fatal(err)
		}
		_, err = c.Send(t.Context(), &Leave{}, llm.Target{}, hello(false))
		if f, ok := llm.AsFailure(err); !ok || f.Class != llm.Auth || !strings.Contains(f.Message, "no key") {
			t.Errorf("%s: %v", p, err)
		}
		if _, err := c.Ping(t.Context()); err == nil || !strings.Contains(err.Error(), "no key") {
			t.Errorf("%s: ping %v", p, err)
		}
	}
}

func TestRecordedAnswersArriveWhole(t *testing.T) {
	all := corpus(t)
	for _, p := range llm.Providers() {
		var x exchange
		c := upstream(t, p, func(w http.ResponseWriter, r *http.Request) {
			for name, value := range x.Response.Headers {
				w.Header().Set(name, value)
			}
			w.WriteHeader(x.Response.Status)
			io.WriteString(w, x.body())
		})
		for _, x = range all {
			if x.provider() != p || x.Response.Status != 200 {
				continue
			}
			req := hello(x.Response.Lines != nil)
			req.Dialect, req.IncludeUsage = DialectOf(p), true
			if p == llm.OpenAI {
				req.Body = []byte(`{"model":"m"}`)
			}
			reply, err := c.Send(t.Context(), &Leave{}, llm.Target{Model: "m"}, req)
			if err != nil {
				t.Fatalf("%s: %v", x.Name, err)
			}
			var raw strings.Builder
			for err == nil {
				var chunk llm.Chunk
				chunk, err = reply.Next()
				raw.Write(chunk.Raw)
			}
			reply.Close()
			if _, failed := llm.AsFailure(err); err == io.EOF && raw.String() != x.body() || err != io.EOF && !failed {
				t.Errorf("%s: %v", x.Name, err)
			}
			if strings.Contains(x.Name, "error-stream") != (err != io.EOF) && !strings.Contains(x.body(), "blockReason") {
				t.Errorf("%s: ended with %v", x.Name, err)
			}
		}
	}
}

func TestRecordedErrorsAreClassified(t *testing.T) {
	want := map[string]struct {
		class llm.FailureClass
		wait  time.Duration
		id    string
	}{
		"anthropic/claude-haiku-4-5-20251001_401-error_a1d29f2d":             {llm.Auth, 0, ""},
		"anthropic/claude-nonexistent-model-for_404-error_61489ab6":          {llm.NoSuchModel, 0, "req_REDACTED_1"},
		"anthropic/claude-nonexistent-model-for_404-error_d83f60c4":          {llm.NoSuchModel, 0, "req_REDACTED_1"},
		"anthropic/claude-sonnet-4-5_403-error_ee19d277":                     {llm.Auth, 0, "req_011C0000000000000000000001"},
		"anthropic/claude-sonnet-4-5_413-error_ca38e2e6":                     {llm.ContextLength, 0, "req_011C0000000000000000000001"},
		"anthropic/claude-sonnet-4-5_429-error_8cb2ca09":                     {llm.RateLimit, 16 * time.Second, "req_011C0000000000000000000001"},
		"anthropic/claude-sonnet-4-6_400-error_040f6857":                     {llm.BadRequest, 0, "req_REDACTED_1"},
		"anthropic/claude-sonnet-4-6_400-error_d03acd02":                     {llm.BadRequest, 0, "req_REDACTED_1"},
		"anthropic/claude-sonnet-4-6_400-error_f8ed0ea6":                     {llm.BadRequest, 0, "req_REDACTED_1"},
		"gemini/gemini-2.0-flash_403-error_3f237763":                         {llm.Auth, 0, ""},
		"gemini/gemini-2.5-flash_429-error_666c74b4":                         {llm.RateLimit, 34400 * time.Millisecond, ""},
		"gemini/gemini-2.5-flash_503-error_715fa08f":                         {llm.Server, 0, ""},
		"gemini/gemini-2.5-pro_400-error_e7604673":                           {llm.BadRequest, 0, ""},
		"gemini/gemini-3-flash-preview_400-error-image-tool_result_fce82a88": {llm.BadRequest, 0, ""},
		"gemini/gemini-3.6-flahs_404-error_760fc464":                         {llm.NoSuchModel, 0, ""},
		"gemini/gemini-nonexistent-model-for_404-error_879ec15e":             {llm.NoSuchModel, 0, ""},
		"ollama/does-not-exist_404-error_93d8f3c0":                           {llm.NoSuchModel, 0, ""},
		"ollama/gpt-oss-120b_400-error_734b16b3":                             {llm.ContextLength, 0, "<X_REQUEST_ID>"},
		"ollama/qwen3_503-error_8371e4cb":                                    {llm.RateLimit, 0, ""},
		"ollama/tiny_400-error_1b28cfe2":                                     {llm.BadRequest, 0, ""},
		"ollama/tiny_400-error_65e78527":                                     {llm.BadRequest, 0, ""},
		"ollama/tiny_400-error_c039bebb":                                     {llm.BadRequest, 0, ""},
		"ollama/tiny_500-error_099da2f2":                                     {llm.Server, 0, ""},
		"openai/gpt-4o-mini_400-error-image_f586592c":                        {llm.BadRequest, 0, "req_c7ac859a6e5e4c41a1450bcee424ad2f"},
		"openai/gpt-4o_429-error_94a20e3e":                                   {llm.RateLimit, 18642 * time.Millisecond, "req_00000000000000000000000000000001"},
		"openai/gpt-4o_500-error_01e474b4":                                   {llm.Server, 0, "req_00000000000000000000000000000003"},
		"openai/gpt-4o_502-error_f7a6111a":                                   {llm.Server, 0, ""},
		"openai/gpt-4o_503-error_5374abec":                                   {llm.Server, 5 * time.Second, "req_00000000000000000000000000000004"},
		"openai/gpt-5-nano_400-error_e2ec5d60":                               {llm.BadRequest, 0, ""},
		"openai/gpt-5-nano_404-error_b4f72d24":                               {llm.NoSuchModel, 0, ""},
		"openai/o1-mini_400-error_9fac39b6":                                  {llm.BadRequest, 0, ""},
		"openai/this-model-does-not-exist_404-error_1306c31f":                {llm.NoSuchModel, 0, "req_5cf06a7fabd45ebe21ee38c14c5b2f76"},
	}
	all := corpus(t)
	for _, p := range llm.Providers() {
		var x exchange
		c := upstream(t, p, func(w http.ResponseWriter, r *http.Request) {
			for name, value := range x.Response.Headers {
				w.Header().Set(name, value)
			}
			w.WriteHeader(x.Response.Status)
			io.WriteString(w, x.body())
		})
		for _, x = range all {
			if x.provider() != p || x.Response.Status == 200 {
				continue
			}
			w, known := want[x.Name]
			_, err := c.Send(t.Context(), &Leave{}, llm.Target{Model: "m"}, hello(false))
			f, ok := llm.AsFailure(err)
			if !ok || !known || f.Class != w.class || f.Status != x.Response.Status || f.RetryAfter != w.wait || w.id != "" && f.RequestID != w.id {
				t.Errorf("%s: got %v, wait %v, id %q, want %+v", x.Name, err, f.RetryAfter, f.RequestID, w)
			}
		}
	}
}

func TestErrorsHoldNoSecretAndLittleText(t *testing.T) {
	c := upstream(t, llm.OpenAI, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Request-Id", "req-"+secret)
		w.WriteHeader(http.StatusUnauthorized)
		fmt.Fprintf(w, `{"error":{"message":"bad key %s\n%s","code":"%s"}}`, secret, strings.Repeat("x", 1<<20), secret)
	})
	_, err := c.Send(t.Context(), &Leave{}, llm.Target{Model: "m"}, hello(false))
	f, ok := llm.AsFailure(err)
	if !ok || f.Class != llm.Auth || strings.Contains(fmt.Sprintf("%+v", *f), secret) || len(f.Message) > wire.MaxMessage {
		t.Errorf("got %.300v", err)
	}
	c = upstream(t, llm.OpenAI, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "http://127.0.0.1:1/?key="+secret, http.StatusFound)
	})
	_, err = c.Send(t.Context(), &Leave{}, llm.Target{Model: "m"}, hello(false))
	if f, ok := llm.AsFailure(err); !ok || f.Class != llm.Garbage || f.Status != http.StatusFound || strings.Contains(err.Error(), secret) {
		t.Errorf("redirect: %v", err)
	}
}

func TestConnectionsThatFailAreNetworkFailures(t *testing.T) {
	refused, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	refused.Close()
	broken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer broken.Close()
	go func() {
		for {
			conn, err := broken.Accept()
			if err != nil {
				return
			}
			conn.Close()
		}
	}()
	for name, address := range map[string]string{
		"refused":  "http://" + refused.Addr().String() + "/?key=" + secret,
		"no TLS":   "https://" + broken.Addr().String(),
		"no reply": "http://user:" + secret + "@" + broken.Addr().String(),
	} {
		c, err := New(Config{Provider: llm.Claude, BaseURL: address, Keys: []Key{{Name: "k", Secret: secret}}})
		if err != nil {
			t.Fatal(err)
		}
		_, err = c.Send(t.Context(), &Leave{}, llm.Target{Model: "m"}, hello(false))
		f, ok := llm.AsFailure(err)
		if !ok || f.Class != llm.Network || f.Message == "" || strings.Contains(err.Error(), secret) || strings.Contains(err.Error(), "key=") {
			t.Errorf("%s: %v", name, err)
		}
		c.Close()
	}
}

func TestANameThatCannotBeLookedUpIsANetworkFailure(t *testing.T) {
	c := client(t, llm.OpenAI, "http://127.0.0.1:1")
	err := c.broken(t.Context(), &url.Error{Op: "Post", URL: "http://h/?key=" + secret, Err: &net.OpError{Op: "dial", Err: &net.DNSError{Err: "timeout", Name: "h", IsTimeout: true}}})
	if f, ok := llm.AsFailure(err); !ok || f.Class != llm.Network || strings.Contains(err.Error(), "key=") || !strings.Contains(err.Error(), "lookup h") {
		t.Errorf("got %v", err)
	}
}

func TestAConnectionThatTakesTooLongIsATimeout(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	c, err := New(Config{Provider: llm.OpenAI, BaseURL: "https://" + silent.Addr().String(), Keys: []Key{{Name: "k", Secret: secret}}, ConnectTimeout: 20 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.Send(t.Context(), &Leave{}, llm.Target{Model: "m"}, hello(false))
	if f, ok := llm.AsFailure(err); !ok || f.Class != llm.Timeout {
		t.Errorf("got %v", err)
	}
}

func TestHowTheContextEndsIsTold(t *testing.T) {
	tooSlow := &llm.Failure{Class: llm.Timeout, Message: "no first token"}
	for name, end := range map[string]struct {
		cause error
		want  error
	}{
		"the router's deadline": {tooSlow, tooSlow},
		"the caller went away":  {nil, context.Canceled},
		"another cause":         {errors.New("shutdown"), context.Canceled},
	} {
		for _, stage := range []string{"headers", "first byte", "mid-stream", "error body"} {
			t.Run(name+" at "+stage, func(t *testing.T) {
				ctx, cancel := context.WithCancelCause(t.Context())
				arrived := make(chan bool, 1)
				c := upstream(t, llm.OpenAI, func(w http.ResponseWriter, r *http.Request) {
					switch stage {
					case "error body":
						w.WriteHeader(http.StatusInternalServerError)
						fallthrough
					case "first byte":
						http.NewResponseController(w).Flush()
					case "mid-stream":
						io.WriteString(w, `data: {"choices":[{"index":0,"delta":{"content":"a"}}]}`+"\n\n")
						http.NewResponseController(w).Flush()
					}
					arrived <- true
					<-r.Context().Done()
				})
				go func() {
					<-arrived
					cancel(end.cause)
				}()
				if _, _, err := ask(ctx, c, hello(true)); err != end.want {
					t.Errorf("got %v, want %v", err, end.want)
				}
			})
		}
	}
}

func TestBrokenAnswersAreTold(t *testing.T) {
	const content = `data: {"choices":[{"index":0,"delta":{"content":"a"}}]}` + "\n\n"
	for _, c := range []struct {
		name   string
		stream bool
		body   string
		abort  bool
		want   llm.FailureClass
	}{
		{"HTML", false, "<html>" + secret + "</html>", false, llm.Garbage},
		{"HTML in place of a stream", true, "<html>" + secret + "</html>", false, llm.Garbage},
		{"nothing", false, "", false, llm.Garbage},
		{"cut whole answer", false, `{"choices":[`, true, llm.Network},
		{"cut before content", true, ": wait\n\n", true, llm.Network},
		{"cut after content", true, content, true, llm.StreamCut},
		{"stopped after content", true, content, false, llm.StreamCut},
		{"error in the stream", true, content + `data: {"error":{"message":"overloaded ` + secret + `"}}` + "\n\n", false, llm.Server},
	} {
		t.Run(c.name, func(t *testing.T) {
			client := upstream(t, llm.OpenAI, func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("X-Request-Id", "req_1")
				io.WriteString(w, c.body)
				http.NewResponseController(w).Flush()
				if c.abort {
					panic(http.ErrAbortHandler)
				}
			})
			reply, err := client.Send(t.Context(), &Leave{}, llm.Target{Model: "m"}, hello(c.stream))
			if err != nil {
				t.Fatal(err)
			}
			defer reply.Close()
			_, err = wire.Gather(reply)
			f, ok := llm.AsFailure(err)
			if !ok || f.Class != c.want || f.RequestID != "req_1" || f.Status != 200 || strings.Contains(f.Message, secret) {
				t.Errorf("got %#v", err)
			}
			if _, again := reply.Next(); again != err {
				t.Errorf("then %v", again)
			}
		})
	}
}

func TestHeadersArePassedOnButForThoseOfTheConnection(t *testing.T) {
	c := upstream(t, llm.OpenAI, func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		for name, value := range map[string]string{
			"X-Ratelimit-Remaining-Requests": "9", "X-Request-Id": "req_1", "Openai-Version": "1", "Set-Cookie": "a=b", "Keep-Alive": "5",
			"X-Once": "1", "Connection": "X-Once", "Strict-Transport-Security": "x", "Access-Control-Allow-Origin": "*", "X-Breakwater-Provider": "x",
		} {
			h.Set(name, value)
		}
		io.WriteString(w, `{"choices":[{"message":{"content":"Hi"},"finish_reason":"stop"}]}`)
	})
	req := hello(false)
	k := int64(3)
	req.TopK = &k
	a, reply, err := ask(t.Context(), c, req)
	if err != nil || a.Text() != "Hi" || reply.RequestID != "req_1" || reply.Dialect != llm.OpenAIChat {
		t.Fatalf("got %+v, %+v, %v", a, reply, err)
	}
	got := map[string]bool{}
	for name := range reply.Header {
		got[name] = true
	}
	for _, name := range []string{"X-Ratelimit-Remaining-Requests", "X-Request-Id", "Openai-Version", "Content-Type", "Date", AdjustedHeader} {
		if !got[name] {
			t.Errorf("%s is missing", name)
		}
		delete(got, name)
	}
	if len(got) > 0 || reply.Header.Get(AdjustedHeader) != "top_k" {
		t.Errorf("passed on: %v, %q", got, reply.Header.Get(AdjustedHeader))
	}
}

func TestConnectionsAreUsedAgain(t *testing.T) {
	const answer = "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"a\"},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n"
	connections := 0
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, answer) }))
	server.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			connections++
		}
	}
	server.Start()
	defer server.Close()
	c := client(t, llm.OpenAI, server.URL)
	for range 5 {
		if _, _, err := ask(t.Context(), c, hello(true)); err != nil {
			t.Fatal(err)
		}
	}
	c.Close()
	server.Close()
	if connections != 1 {
		t.Errorf("%d connections for 5 streams", connections)
	}
}

func TestAnUpstreamThatNeverHangsUpDelaysNoEnd(t *testing.T) {
	c := upstream(t, llm.OpenAI, func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"a\"},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n")
		http.NewResponseController(w).Flush()
		<-r.Context().Done()
	})
	if a, _, err := ask(t.Context(), c, hello(true)); err != nil || a.Text() != "a" {
		t.Errorf("got %+v, %v", a, err)
	}
}

func TestWhatCannotBeTranslatedIsABadRequest(t *testing.T) {
	c := client(t, llm.Claude, "http://127.0.0.1:1")
	req := hello(false)
	req.Dialect, req.Beyond = llm.OpenAIChat, []string{"tools"}
	_, err := c.Send(t.Context(), &Leave{}, llm.Target{Model: "m"}, req)
	var refused *wire.RequestError
	if f, ok := llm.AsFailure(err); !ok || f.Class != llm.BadRequest || !errors.As(err, &refused) || refused.Field != "tools" {
		t.Errorf("got %v", err)
	}
}
