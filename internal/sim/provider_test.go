package sim

import (
	"net/http"
	"strings"
	"testing"
	"unicode/utf8"

	"breakwater/internal/llm"
)

// modes calls a test for each provider, with whole and streamed answers.
func modes(t *testing.T, test func(t *testing.T, kind llm.Provider, stream bool)) {
	for _, kind := range llm.Providers() {
		t.Run(string(kind)+"/whole", func(t *testing.T) { test(t, kind, false) })
		t.Run(string(kind)+"/stream", func(t *testing.T) { test(t, kind, true) })
	}
}

func TestAnswersWithTextUsageAndFinish(t *testing.T) {
	finishes := map[llm.Provider][3]string{ // proper end, stop sequence, length
		llm.OpenAI: {"stop", "stop", "length"},
		llm.Claude: {"end_turn", "stop_sequence", "max_tokens"},
		llm.Gemini: {"STOP", "STOP", "MAX_TOKENS"},
		llm.Local:  {"stop", "stop", "length"},
	}
	const prompt = "one two three four — Ünïcödé <tags> & \"quotes\""
	modes(t, func(t *testing.T, kind llm.Provider, stream bool) {
		s := start(t, kind, Options{Reply: echo})
		length := float64((utf8.RuneCountInString(prompt) + 3) / 4)
		for _, c := range []struct {
			name   string
			ask    ask
			text   string
			finish string
			out    float64
		}{
			{"all of it", ask{}, prompt, finishes[kind][0], length},
			{"a stop sequence", ask{stop: []string{"never", "three"}}, "one two ", finishes[kind][1], 2},
			{"a limit of tokens", ask{max: 3}, "one two thre", finishes[kind][2], 3},
			{"a stop sequence beyond the limit", ask{max: 1, stop: []string{"two"}}, "one ", finishes[kind][1], 1},
		} {
			t.Run(c.name, func(t *testing.T) {
				c.ask.prompt, c.ask.stream, c.ask.usage = prompt, stream, stream
				g := c.ask.send(t, s)
				text, finish := textOf(kind, g.body)
				in, out := usageOf(kind, g.body)
				if g.status != 200 || g.err != nil || text != c.text || finish != c.finish || out != c.out {
					t.Errorf("got %d %v %q %q, %v tokens; want %q %q, %v tokens\n%s",
						g.status, g.err, text, finish, out, c.text, c.finish, c.out, g.body)
				}
				if in < length || in > length+6 {
					t.Errorf("%v input tokens for a prompt of %v", in, length)
				}
			})
		}
	})
}

func TestStreamFraming(t *testing.T) {
	for kind, want := range map[llm.Provider]struct{ contentType, start, end string }{
		llm.OpenAI: {"text/event-stream; charset=utf-8", `data: {"id":"chatcmpl-`, "\n\ndata: [DONE]\n\n"},
		llm.Claude: {"text/event-stream; charset=utf-8", "event: message_start\ndata: {", "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n"},
		llm.Gemini: {"text/event-stream", `data: {"candidates"`, "\"}\r\n\r\n"},
		llm.Local:  {"application/x-ndjson", `{"model":"llama3","created_at":`, "}\n"},
	} {
		g := ask{stream: true}.send(t, start(t, kind, Options{}))
		if g.header.Get("Content-Type") != want.contentType || !strings.HasPrefix(g.body, want.start) || !strings.HasSuffix(g.body, want.end) {
			t.Errorf("%s: %s\n%s", kind, g.header, g.body)
		}
	}
}

func TestGeminiStreamsAnArrayWithoutAlt(t *testing.T) {
	s := start(t, llm.Gemini, Options{Reply: echo})
	g := ask{stream: true, array: true, prompt: "a few tokens"}.send(t, s)
	text, finish := textOf(llm.Gemini, g.body)
	if g.body[0] != '[' || text != "a few tokens" || finish != "STOP" {
		t.Errorf("%q %q\n%s", text, finish, g.body)
	}
	for _, f := range []Fault{{Kind: ErrorInStream}, {Kind: ErrorInStream, After: 2}, {Kind: Errors, Status: 503}, {Kind: ContentFilter}} {
		s.Set(f)
		g := ask{stream: true, array: true}.send(t, s)
		list := objects(g.body)
		if g.body[0] != '[' || len(list) != f.After+1 {
			t.Errorf("%s after %d: not an array of %d: %s", f.Kind, f.After, f.After+1, g.body)
		}
	}
}

func TestEmptyReplyIsALegalAnswer(t *testing.T) {
	modes(t, func(t *testing.T, kind llm.Provider, stream bool) {
		s := start(t, kind, Options{Reply: func(string) string { return "" }})
		g := ask{stream: stream}.send(t, s)
		text, finish := textOf(kind, g.body)
		if g.status != 200 || text != "" || finish == "" {
			t.Errorf("%d %q %q\n%s", g.status, text, finish, g.body)
		}
	})
}

func TestSpeechNamesTheProviderAndEchoes(t *testing.T) {
	for _, kind := range llm.Providers() {
		say := Speech(kind)
		if !strings.Contains(say("Hi"), kind.Title()) || say("echo this please") != "this please" || say("echo") == "" {
			t.Errorf("%s: %q", kind, say("Hi"))
		}
	}
}

func TestEqualSeedsGiveEqualBytes(t *testing.T) {
	for _, kind := range llm.Providers() {
		if kind == llm.Local {
			continue // its lines tell the time
		}
		var bodies []string
		for _, seed := range []int64{1, 1, 2} {
			s := start(t, kind, Options{Seed: seed})
			s.Set(Fault{Kind: NoEnd}) // one body without a second's difference in it
			bodies = append(bodies, strings.Split(ask{stream: true}.send(t, s).body, `"created"`)[0])
		}
		if bodies[0] != bodies[1] || bodies[0] == bodies[2] {
			t.Errorf("%s:\n%s\n%s\n%s", kind, bodies[0], bodies[1], bodies[2])
		}
	}
}

func TestKeyIsDemandedInTheProvidersOwnHeader(t *testing.T) {
	for kind, want := range map[llm.Provider]struct {
		wrong, none         int
		wrongSays, noneSays string
	}{
		llm.OpenAI: {401, 401, `"code": "invalid_api_key"`, "You didn't provide an API key"},
		llm.Claude: {401, 401, `"message":"invalid x-api-key"`, "x-api-key header is required"},
		llm.Gemini: {400, 403, `"reason": "API_KEY_INVALID"`, "PERMISSION_DENIED"},
		llm.Local:  {401, 401, `{"error":"unauthorized"}`, `{"error":"unauthorized"}`},
	} {
		s := start(t, kind, Options{Key: "the-right-key"})
		if g := (ask{key: "the-right-key"}).send(t, s); g.status != 200 {
			t.Errorf("%s: right key: %d %s", kind, g.status, g.body)
		}
		if g := (ask{key: "another-wrong-key"}).send(t, s); g.status != want.wrong || !strings.Contains(g.body, want.wrongSays) ||
			strings.Contains(g.body, "another-wrong-key") {
			t.Errorf("%s: wrong key: %d %s", kind, g.status, g.body)
		}
		if g := (ask{}).send(t, s); g.status != want.none || !strings.Contains(g.body, want.noneSays) {
			t.Errorf("%s: no key: %d %s", kind, g.status, g.body)
		}
	}
}

func TestUnknownModelIsNotFound(t *testing.T) {
	says := map[llm.Provider]string{
		llm.OpenAI: `"code": "model_not_found"`,
		llm.Claude: `"type":"not_found_error","message":"model: nope"`,
		llm.Gemini: "models/nope is not found for API version v1beta",
		llm.Local:  `{"error":"model 'nope' not found"}`,
	}
	modes(t, func(t *testing.T, kind llm.Provider, stream bool) {
		s := start(t, kind, Options{Models: []string{defaultModels[kind]}})
		if g := (ask{model: "nope", stream: stream}).send(t, s); g.status != 404 || !strings.Contains(g.body, says[kind]) {
			t.Errorf("%d %s", g.status, g.body)
		}
		if g := (ask{stream: stream}).send(t, s); g.status != 200 {
			t.Errorf("%d %s", g.status, g.body)
		}
	})
}

func TestWrongRequestsGetTheProvidersOwn400(t *testing.T) {
	const user = `{"role":"user","content":"hi"}`
	for _, c := range []struct {
		kind       llm.Provider
		body, says string
	}{
		{llm.OpenAI, `{"model":`, "We could not parse the JSON body of your request."},
		{llm.OpenAI, `{"messages":[` + user + `]}`, "you must provide a model parameter"},
		{llm.OpenAI, `{"model":"m"}`, "Missing required parameter: 'messages'."},
		{llm.OpenAI, `{"model":"m","messages":[]}`, `"code": "empty_array"`},
		{llm.OpenAI, `{"model":"m","messages":[{"role":"model","content":"hi"}]}`, `"param": "messages[0].role"`},
		{llm.OpenAI, `{"model":"m","messages":[{"role":"user","content":null}]}`, "expected a string, got null"},
		{llm.OpenAI, `{"model":7,"messages":[` + user + `]}`, `"code": "invalid_type"`},
		{llm.OpenAI, `{"model":"m","messages":[` + user + `],"top_k":3}`, "Unrecognized request argument supplied: top_k"},
		{llm.OpenAI, `{"model":"m","messages":[` + user + `],"stream_options":{}}`, "only allowed when 'stream' is enabled"},
		{llm.OpenAI, `{"model":"o3","messages":[` + user + `],"max_tokens":5}`, "Use 'max_completion_tokens' instead."},
		{llm.OpenAI, `{"model":"m","messages":[` + user + `],"max_tokens":0}`, `"code": "integer_below_min_value"`},
		{llm.OpenAI, `{"model":"m","messages":[` + user + `],"temperature":2.5}`, `"code": "decimal_above_max_value"`},
		{llm.OpenAI, `{"model":"m","messages":[` + user + `],"temperature":-1}`, `"code": "decimal_below_min_value"`},
		{llm.OpenAI, `{"model":"m","messages":[` + user + `],"stop":["1","2","3","4","5"]}`, `"code": "array_above_max_length"`},
		{llm.Claude, `{"model":`, "not valid JSON"},
		{llm.Claude, `{"max_tokens":5,"messages":[` + user + `]}`, "model: Field required"},
		{llm.Claude, `{"model":"m","messages":[` + user + `]}`, "max_tokens: Field required"},
		{llm.Claude, `{"model":"m","max_tokens":0,"messages":[` + user + `]}`, "max_tokens: must be greater"},
		{llm.Claude, `{"model":"m","max_tokens":5}`, "messages: Field required"},
		{llm.Claude, `{"model":"m","max_tokens":5,"messages":[]}`, "messages: at least one message is required"},
		{llm.Claude, `{"model":"m","max_tokens":5,"messages":[{"role":"system","content":"x"},` + user + `]}`, `Unexpected role \"system\"`},
		{llm.Claude, `{"model":"m","max_tokens":5,"messages":[{"role":"model","content":"x"}]}`, "messages.0.role: Input should be 'user' or 'assistant'"},
		{llm.Claude, `{"model":"m","max_tokens":5,"messages":[{"role":"user"}]}`, "messages.0.content: Field required"},
		{llm.Claude, `{"model":"m","max_tokens":5,"messages":[{"role":"user","content":7}]}`, "messages.0.content: Input should be a valid list"},
		{llm.Claude, `{"model":"m","max_tokens":5,"messages":[{"role":"user","content":""},` + user + `]}`, "must have non-empty content"},
		{llm.Claude, `{"model":"m","max_tokens":5,"temperature":1.5,"messages":[` + user + `]}`, "temperature: range: 0..1"},
		{llm.Claude, `{"model":"m","max_tokens":5,"frequency_penalty":1,"messages":[` + user + `]}`, "frequency_penalty: Extra inputs are not permitted"},
		{llm.Claude, `{"model":7,"max_tokens":5,"messages":[` + user + `]}`, "model: Input should be a valid string"},
		{llm.Gemini, `{"contents":`, "Invalid JSON payload received. Unexpected token."},
		{llm.Gemini, `[]`, "does not match"},
		{llm.Gemini, `{}`, `GenerateContentRequest.contents: contents is not specified\n`},
		{llm.Gemini, `{"messages":[` + user + `]}`, `Unknown name \"messages\": Cannot find field.`},
		{llm.Gemini, `{"contents":[],"generation_config":{"max_tokens":1}}`, `Unknown name \"max_tokens\" at 'generation_config'`},
		{llm.Gemini, `{"contents":[{"role":"assistant","parts":[{"text":"x"}]}]}`, "Please use a valid role: user, model."},
		{llm.Gemini, `{"contents":[{"role":"user","parts":[]}]}`, "contents[0].parts: contents.parts must not be empty."},
		{llm.Gemini, `{"contents":[{"parts":[{"text":"x"}]}],"generationConfig":{"temperature":3}}`, "range [0.0, 2.0]"},
		{llm.Local, `{"model":`, `{"error":"unexpected end of JSON input"}`},
		{llm.Local, `{"messages":[` + user + `]}`, `{"error":"model is required"}`},
		{llm.Local, `{"model":7}`, "cannot unmarshal number"},
	} {
		t.Run(string(c.kind)+" "+c.says, func(t *testing.T) {
			s := start(t, c.kind, Options{})
			g := ask{rawBody: c.body}.send(t, s)
			if g.status != 400 || !strings.Contains(g.body, c.says) {
				t.Errorf("%s\n%d %s", c.body, g.status, g.body)
			}
			if s.Requests() != 1 {
				t.Errorf("%d requests", s.Requests())
			}
		})
	}
}

func TestAnthropicDemandsItsVersionHeader(t *testing.T) {
	s := start(t, llm.Claude, Options{})
	req := ask{}.request(t, llm.Claude, s.URL())
	req.Header.Del("Anthropic-Version")
	for _, g := range []got{do(t, req, 0), get(t, s.URL()+"/v1/models")} {
		if g.status != 400 || !strings.Contains(g.body, "anthropic-version: header is required") {
			t.Errorf("%d %s", g.status, g.body)
		}
		id := dig(objects(g.body)[0], "request_id")
		if id == "" || id != g.header.Get("Request-Id") {
			t.Errorf("request id %v in the body, %q in the header", id, g.header.Get("Request-Id"))
		}
	}
}

func TestListsItsModels(t *testing.T) {
	for kind, path := range map[llm.Provider]string{
		llm.OpenAI: "/v1/models", llm.Claude: "/v1/models", llm.Gemini: "/v1beta/models", llm.Local: "/api/tags",
	} {
		model := defaultModels[kind]
		s := start(t, kind, Options{Models: []string{model, "another"}})
		version := []string{"Anthropic-Version", "2023-06-01"}
		g := get(t, s.URL()+path, version...)
		if g.status != 200 || !strings.Contains(g.body, model) || !strings.Contains(g.body, "another") || len(objects(g.body)) != 1 {
			t.Errorf("%s: %d %s", kind, g.status, g.body)
		}
		if kind != llm.Local {
			one, none := get(t, s.URL()+path+"/"+model, version...), get(t, s.URL()+path+"/nope", version...)
			if one.status != 200 || !strings.Contains(one.body, model) || none.status != 404 {
				t.Errorf("%s: %d %s %d", kind, one.status, one.body, none.status)
			}
		}
		if g := get(t, s.URL()+"/no/such/path", version...); g.status != 404 {
			t.Errorf("%s: %d %s", kind, g.status, g.body)
		}
		if s.Requests() != 0 {
			t.Errorf("%s: lists counted as %d chats", kind, s.Requests())
		}
	}
}

func TestSeenHoldsTheLastRequests(t *testing.T) {
	p := New(llm.OpenAI, Options{})
	s := &Server{Provider: p}
	s.handler = p
	if err := s.Revive(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	get(t, s.BaseURL()+"/models?limit=3")
	ask{stream: true, key: "sk-1"}.send(t, s)
	seen := s.Seen()
	if len(seen) != 2 || seen[0].Chat || seen[0].Path != "/v1/models" || seen[0].Query != "limit=3" {
		t.Fatalf("%+v", seen)
	}
	chat := seen[1]
	if !chat.Chat || !chat.Stream || chat.Model != "gpt-4o" || chat.Method != http.MethodPost ||
		chat.Header.Get("Authorization") != "Bearer sk-1" || !strings.Contains(string(chat.Body), "Hello there") {
		t.Errorf("%+v", chat)
	}
	for range SeenLimit + 10 {
		p.take(Seen{Path: "/later"}, "")
	}
	if seen := s.Seen(); len(seen) != SeenLimit || seen[0].Path != "/later" {
		t.Errorf("%d seen", len(seen))
	}
}

func TestKilledServerRefusesAndComesBack(t *testing.T) {
	s := start(t, llm.OpenAI, Options{})
	url := s.BaseURL()
	if !strings.HasSuffix(url, "/v1") {
		t.Errorf("base URL %s", url)
	}
	s.Set(Fault{Kind: HangAfterHeaders})
	if g := (ask{}).sendUntil(t, s, func(got) bool { return true }); g.err == nil {
		t.Error("the hanging request survived its server")
	}
	s.Kill() // does nothing
	if g := get(t, url+"/models"); g.err == nil || !strings.Contains(g.err.Error(), "refused") {
		t.Errorf("not refused: %+v", g)
	}
	s.Set(Fault{})
	if err := s.Revive(); err != nil {
		t.Fatal(err)
	}
	if g := get(t, url+"/models"); g.status != 200 || s.BaseURL() != url {
		t.Errorf("%+v at %s", g, s.BaseURL())
	}
}

func TestManyRequestsAtOnce(t *testing.T) {
	s := start(t, llm.Claude, Options{})
	s.Set(Fault{Kind: Errors, Share: 0.5, Times: 10})
	statuses := make(chan int)
	const n = 40
	for range n {
		req := ask{stream: true}.request(t, llm.Claude, s.URL())
		go func() { statuses <- do(t, req, 0).status }()
	}
	failed := 0
	for range n {
		if <-statuses == 500 {
			failed++
		}
	}
	if failed != 10 || s.Requests() != n || len(s.Seen()) != n {
		t.Errorf("%d of %d failed, %d seen", failed, s.Requests(), len(s.Seen()))
	}
}
