package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"
	"github.com/openai/openai-go/v3/responses"
	"github.com/tidwall/gjson"

	"breakwater/internal/bubble"
	"breakwater/internal/llm"
	"breakwater/internal/provider"
	"breakwater/internal/record"
	"breakwater/internal/router"
	"breakwater/internal/tokens"
)

// openAI is a server with /v1/responses that keeps no more than it is asked.
type openAI struct {
	*httptest.Server
	mu     sync.Mutex
	asked  []string // method, path and body of each call
	down   bool
	cut    bool // a stream ends in the middle
	stream []byte
	whole  string
}

func (o *openAI) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	o.mu.Lock()
	defer o.mu.Unlock()
	o.asked = append(o.asked, strings.TrimSpace(r.Method+" "+r.URL.RequestURI()+" "+string(body)))
	w.Header().Set("X-Request-Id", "req_1")
	w.Header().Set("Openai-Processing-Ms", "7")
	switch {
	case o.down:
		w.WriteHeader(http.StatusInternalServerError)
		io.WriteString(w, `{"error":{"message":"down","type":"server_error"}}`)
	case r.Method != http.MethodPost || strings.HasSuffix(r.URL.Path, "/cancel"):
		if strings.Contains(r.URL.Path, "unknown") {
			w.WriteHeader(http.StatusNotFound)
			io.WriteString(w, `{"error":{"message":"Response with id 'resp_unknown' not found.","type":"invalid_request_error","param":null,"code":null}}`)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, "{\"at\": %q}\n", r.URL.Path)
	case gjson.GetBytes(body, "stream").Bool():
		w.Header().Set("Content-Type", "text/event-stream")
		if o.cut {
			w.Write(o.stream[:len(o.stream)/2])
			return
		}
		w.Write(o.stream)
	default:
		w.Header().Set("Content-Type", "application/json")
		io.WriteString(w, o.whole)
	}
}

func (o *openAI) last() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.asked) == 0 {
		return ""
	}
	return o.asked[len(o.asked)-1]
}

const (
	openAIWhole = `{"id": "resp_68a1", "object":"response","status":"completed","error":null,"model":"gpt-5.1-2025-11-13",
 "output":[{"id":"rs_68a1","type":"reasoning","summary":[{"type":"summary_text","text":"Hm."}]},{"id":"msg_68a1","type":"message","status":"completed","role":"assistant","content":[{"type":"output_text","text":"Four.","annotations":[]}]}],
 "usage":{"input_tokens":9,"input_tokens_details":{"cached_tokens":2},"output_tokens":5,"output_tokens_details":{"reasoning_tokens":3},"total_tokens":14},"unknown": 1.0}
`
	openAIStream = "event: response.created\ndata: {\"type\":\"response.created\",\"sequence_number\":0,\"response\":{\"id\":\"resp_68a2\",\"status\":\"in_progress\",\"output\":[]}}\n\n" +
		"event: response.output_item.added\ndata: {\"type\":\"response.output_item.added\",\"sequence_number\":1,\"output_index\":0,\"item\":{\"id\":\"msg_68a2\",\"type\":\"message\",\"role\":\"assistant\",\"content\":[]}}\n\n" +
		"event: response.output_text.delta\ndata: {\"type\":\"response.output_text.delta\",\"sequence_number\":2,\"output_index\":0,\"content_index\":0,\"item_id\":\"msg_68a2\",\"delta\":\"Five.\",\"obfuscation\":\"xYz\"}\n\n" +
		"event: response.output_item.done\ndata: {\"type\":\"response.output_item.done\",\"sequence_number\":3,\"output_index\":0,\"item\":{\"id\":\"msg_68a2\",\"type\":\"message\",\"role\":\"assistant\",\"content\":[{\"type\":\"output_text\",\"text\":\"Five.\",\"annotations\":[]}]}}\n\n" +
		"event: response.completed\ndata: {\"type\":\"response.completed\",\"sequence_number\":4,\"response\":{\"id\":\"resp_68a2\",\"status\":\"completed\",\"model\":\"gpt-5.1\",\"output\":[{\"id\":\"msg_68a2\",\"type\":\"message\",\"role\":\"assistant\",\"content\":[{\"type\":\"output_text\",\"text\":\"Five.\",\"annotations\":[]}]}],\"usage\":{\"input_tokens\":7,\"output_tokens\":2,\"total_tokens\":9}}}\n\n"
)

// listener is a local upstream that says what it was told.
type listener struct {
	upstream
	mu   sync.Mutex
	told [][]llm.Message
}

func (l *listener) Send(ctx context.Context, leave *provider.Leave, t llm.Target, req *llm.Request) (*llm.Reply, error) {
	l.mu.Lock()
	l.told = append(l.told, req.Messages)
	l.mu.Unlock()
	return l.upstream.Send(ctx, leave, t, req)
}

// said gives the texts of the last request, by role.
func (l *listener) said() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var b strings.Builder
	for _, m := range l.told[len(l.told)-1] {
		fmt.Fprintf(&b, "%s: %s; ", m.Role, m.Text())
	}
	return strings.TrimSuffix(b.String(), "; ")
}

// lockedRecorder takes traces of several requests at once.
type lockedRecorder struct {
	recorder
	mu sync.Mutex
}

func (r *lockedRecorder) Trace(t *record.Trace) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.recorder.Trace(t)
}

// talking is an API before an OpenAI and a local upstream.
type talking struct {
	door
	openAI  *openAI
	local   *listener
	records *lockedRecorder
}

func newTalking(t *testing.T, keep Keep, change func(*Options)) *talking {
	t.Helper()
	far := &openAI{whole: openAIWhole, stream: []byte(openAIStream)}
	far.Server = httptest.NewServer(far)
	t.Cleanup(far.Close)
	client, err := provider.New(provider.Config{Provider: llm.OpenAI, BaseURL: far.URL + "/v1", Responses: true, Keys: []provider.Key{{Name: "k", Secret: "sk-x"}}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	d := &talking{openAI: far, local: &listener{}, records: &lockedRecorder{}}
	patience := router.Timeouts{FirstToken: time.Minute, Silence: time.Minute, Answer: time.Minute}
	r, err := router.New(router.Config{
		Chain: []llm.Provider{llm.OpenAI, llm.Local},
		Endpoints: []router.Endpoint{
			{Provider: llm.OpenAI, Upstream: client, DefaultModel: "gpt-5.1", Timeouts: patience},
			{Provider: llm.Local, Upstream: d.local, DefaultModel: "llama3", Timeouts: patience},
		},
		FailureThreshold: 1000, Recorder: d.records, Observer: d.records, IDs: record.NewIDs(0, 0), Log: slog.New(slog.DiscardHandler),
		Price: func(llm.Target, llm.Usage) (record.NanoUSD, bool) { return 1, true },
	})
	if err != nil {
		t.Fatal(err)
	}
	o := Options{
		Router: r, Hop: "this-one", Hosts: Hosts{Listen: "127.0.0.1"}, Keep: keep, Stored: []Stored{client},
		Metrics: http.NotFoundHandler(), Ready: func() error { return nil }, Log: slog.New(slog.DiscardHandler), Tokens: tokens.NewEstimator(10),
	}
	if change != nil {
		change(&o)
	}
	engine, _ := New(o).Engine()
	d.Server = httptest.NewServer(engine)
	t.Cleanup(d.Server.Close)
	return d
}

func (d *talking) ask(t *testing.T, body string) (status int, answer gjson.Result, header http.Header) {
	t.Helper()
	status, text, header := d.send(t, "POST", "/v1/responses", body)
	return status, gjson.Parse(text), header
}

func TestResponsesOfOpenAIPassThroughByteForByte(t *testing.T) {
	d := newTalking(t, Keep{}, nil)
	const body = `{ "model": "openai", "input":[{"role":"user","content":"2+2?"}], "text":{"verbosity":"low"}, "tools":[{"type":"web_search"}], "future": {"a": 1.0} }`
	status, got, header := d.send(t, "POST", "/v1/responses", body, "OpenAI-Organization", "org-1")
	if status != 200 || got != openAIWhole || header.Get("Openai-Processing-Ms") != "7" || header.Get(HeaderModel) != "gpt-5.1" || header.Get(HeaderAdjusted) != "" {
		t.Errorf("%d %v %s", status, header, got)
	}
	if want := "POST /v1/responses " + strings.Replace(body, `"openai"`, `"gpt-5.1"`, 1); d.openAI.last() != want {
		t.Errorf("asked %s\nwant  %s", d.openAI.last(), want)
	}
	if status, got, _ = d.send(t, "POST", "/v1/responses", `{"model":"openai","input":"2+3?","stream":true}`); status != 200 || got != openAIStream {
		t.Errorf("%d %s", status, got)
	}
	for i, want := range []llm.Usage{{Input: 9, CacheRead: 2, Output: 5, Reasoning: 3}, {Input: 7, Output: 2}} {
		if trace := d.records.traces[i]; trace.Usage != want || trace.Cost != 1 || trace.Outcome != record.Served {
			t.Errorf("trace %+v", trace)
		}
	}
}

func TestAResponseFailsOverBeforeItsFirstContentAndNotAfter(t *testing.T) {
	d := newTalking(t, Keep{}, nil)
	d.openAI.stream = []byte("event: response.created\ndata: {\"type\":\"response.created\",\"response\":{\"id\":\"resp_1\"}}\n\nevent: response.failed\ndata: {\"type\":\"response.failed\",\"response\":{\"status\":\"failed\",\"error\":{\"code\":\"server_error\",\"message\":\"x\"}}}\n\n")
	status, got, header := d.send(t, "POST", "/v1/responses", `{"model":"openai","input":"hi","stream":true,"tools":[{"type":"web_search"}],"store":false}`)
	if status != 200 || header.Get(HeaderProvider) != "local" || strings.Contains(got, "resp_1\"") || !strings.Contains(got, "resp_bwk_") || !strings.Contains(got, "response.completed") {
		t.Errorf("%d %v %s", status, header, got)
	}
	if header.Get(HeaderAdjusted) != "" { // the fake upstream adjusts nothing
		t.Errorf("%v", header)
	}
	d.openAI.stream, d.openAI.cut = []byte(openAIStream+strings.Repeat(" ", len(openAIStream)/2)), true
	status, got, _ = d.send(t, "POST", "/v1/responses", `{"model":"openai","input":"hi","stream":true}`)
	tail := got[strings.LastIndex(got, "data:"):]
	if status != 200 || !strings.HasPrefix(got, openAIStream[:400]) || gjson.Get(tail[5:], "type").Str != "error" || gjson.Get(tail[5:], "code").Str != "stream_cut" || gjson.Get(tail[5:], "sequence_number").Int() < 3 {
		t.Errorf("%d %s", status, got)
	}
}

func TestWithoutKeepingOnlyOpenAIKnowsWhatItKeeps(t *testing.T) {
	d := newTalking(t, Keep{}, nil)
	const next = `{"model":"openai","previous_response_id":"resp_68a1","input":"and?"}`
	if status, _, _ := d.ask(t, next); status != 200 || d.openAI.last() != `POST /v1/responses `+strings.Replace(next, `"openai"`, `"gpt-5.1"`, 1) {
		t.Errorf("%d %s", status, d.openAI.last())
	}
	if status, _, header := d.ask(t, strings.Replace(next, `"openai"`, `"local"`, 1)); status != 200 || header.Get(HeaderProvider) != "openai" {
		t.Errorf("%d %v", status, header)
	}
	d.openAI.down = true
	status, got, _ := d.ask(t, next)
	if message := got.Get("error.message").Str; status != 502 || !strings.Contains(message, "send all items in input") || !strings.Contains(message, "responses.keep") || !strings.Contains(message, "previous_response_id") {
		t.Errorf("%d %s", status, got.Raw)
	}
	d.openAI.down = false

	_, made, _ := d.ask(t, `{"model":"local","input":"hi"}`)
	id := made.Get("id").Str
	if !strings.HasPrefix(id, "resp_bwk_") || made.Get("store").Bool() {
		t.Errorf("got %s", made.Raw)
	}
	status, got, _ = d.ask(t, `{"model":"openai","previous_response_id":"`+id+`","input":"and?"}`)
	if e := got.Get("error"); status != 400 || e.Get("code").Str != "previous_response_not_found" || e.Get("param").Str != "previous_response_id" || e.Get("type").Str != "invalid_request_error" || !strings.Contains(e.Get("message").Str, "responses.keep") {
		t.Errorf("%d %s", status, got.Raw)
	}
	status, got, _ = d.ask(t, `{"model":"local","input":[{"type":"item_reference","id":"msg_bwk_1_0"}]}`)
	if e := got.Get("error"); status != 404 || e.Get("code").Str != "item_not_found" || e.Get("param").Str != "input" {
		t.Errorf("%d %s", status, got.Raw)
	}
	for _, call := range []string{"GET /v1/responses/" + id, "DELETE /v1/responses/" + id, "GET /v1/responses/" + id + "/input_items"} {
		method, path, _ := strings.Cut(call, " ")
		if status, body, _ := d.send(t, method, path, ""); status != 404 || gjson.Get(body, "error.code").Str != "response_not_found" {
			t.Errorf("%s: %d %s", call, status, body)
		}
	}
}

func TestCallsAboutOpenAIsAnswersGoThere(t *testing.T) {
	d := newTalking(t, Keep{}, nil)
	for _, call := range []string{
		"GET /v1/responses/resp_68a1?include=reasoning.encrypted_content", "DELETE /v1/responses/resp_68a1",
		"GET /v1/responses/resp_68a1/input_items?limit=3", "POST /v1/responses/resp_68a1/cancel",
	} {
		method, path, _ := strings.Cut(call, " ")
		status, body, header := d.send(t, method, path, "")
		plain, _, _ := strings.Cut(path, "?")
		if status != 200 || body != fmt.Sprintf("{\"at\": %q}\n", plain) || d.openAI.last() != call || header.Get("X-Request-Id") != "req_1" {
			t.Errorf("%s: %d %s, asked %s", call, status, body, d.openAI.last())
		}
	}
	if status, body, _ := d.send(t, "GET", "/v1/responses/resp_unknown", ""); status != 404 || gjson.Get(body, "error.message").Str != "Response with id 'resp_unknown' not found." {
		t.Errorf("%d %s", status, body)
	}
	if status, _, _ := d.send(t, "GET", "/v1/responses/%2e%2e%2fmodels", ""); status != 404 {
		t.Errorf("an id left its place: %d, asked %s", status, d.openAI.last())
	}
	none := newTalking(t, Keep{}, func(o *Options) { o.Stored = nil })
	if status, _, _ := none.send(t, "GET", "/v1/responses/resp_68a1", ""); status != 404 {
		t.Errorf("%d", status)
	}
}

func TestAKeptConversationGoesOnAnywhere(t *testing.T) {
	d := newTalking(t, Keep{For: time.Hour, Bytes: 1 << 20}, nil)
	// Begun at OpenAI, whole.
	d.ask(t, `{"model":"openai","instructions":"Be brief.","input":"2+2?"}`)
	const second = `{"model":"openai","previous_response_id":"resp_68a1","input":"and?"}`
	d.openAI.down = true
	status, got, header := d.ask(t, second)
	if status != 200 || header.Get(HeaderProvider) != "local" || d.local.said() != "user: 2+2?; assistant: Four.; user: and?" || !got.Get("store").Bool() || got.Get("previous_response_id").Str != "resp_68a1" {
		t.Fatalf("%d %v %s\n%s", status, header, got.Raw, d.local.said())
	}
	// Gone on with here, streamed, and from there back at OpenAI.
	status, stream, _ := d.send(t, "POST", "/v1/responses", `{"model":"local","stream":true,"previous_response_id":"`+got.Get("id").Str+`","input":[{"role":"user","content":"so?"}]}`)
	third := gjson.Get(stream[strings.LastIndex(stream, "data:")+5:], "response.id").Str
	if status != 200 || d.local.said() != "user: 2+2?; assistant: Four.; user: and?; assistant: hello; user: so?" || third == "" {
		t.Fatalf("%d %s %s", status, stream, d.local.said())
	}
	d.openAI.down = false
	if status, _, _ = d.ask(t, `{"model":"openai","previous_response_id":"`+third+`","input":"end"}`); status != 200 {
		t.Fatal(status)
	}
	sent := gjson.Parse(strings.TrimPrefix(d.openAI.last(), "POST /v1/responses "))
	if sent.Get("previous_response_id").Exists() || sent.Get("input.#").Int() != 8 || sent.Get("input.2.id").Str != "msg_68a1" || strings.Contains(sent.Raw, "bwk_") || sent.Get("input.7.content").Str != "end" {
		t.Errorf("asked %s", sent.Raw)
	}
	// Begun at OpenAI, streamed: OpenAI is asked in its own words.
	d.send(t, "POST", "/v1/responses", `{"model":"openai","input":"2+3?","stream":true}`)
	const fourth = `{"model":"gpt-5.1","previous_response_id":"resp_68a2","input":[{"type":"item_reference","id":"msg_68a2"}]}`
	if d.ask(t, fourth); d.openAI.last() != "POST /v1/responses "+fourth {
		t.Errorf("asked %s", d.openAI.last())
	}
	d.ask(t, strings.Replace(fourth, "gpt-5.1", "local", 1))
	if d.local.said() != "user: 2+3?; assistant: Five.assistant: Five." && d.local.said() != "user: 2+3?; assistant: Five.; assistant: Five." {
		t.Errorf("said %s", d.local.said())
	}
}

func TestAKeptAnswerIsGivenListedAndDeleted(t *testing.T) {
	d := newTalking(t, Keep{For: time.Hour, Bytes: 1 << 20}, nil)
	client := openai.NewClient(option.WithBaseURL(d.URL+"/v1"), option.WithAPIKey("x"), option.WithMaxRetries(0))
	first, err := client.Responses.New(t.Context(), responses.ResponseNewParams{Model: "local", Input: responses.ResponseNewParamsInputUnion{OfString: openai.String("hi")}})
	if err != nil || first.OutputText() != "hello" {
		t.Fatal(err)
	}
	second, err := client.Responses.New(t.Context(), responses.ResponseNewParams{Model: "local", PreviousResponseID: openai.String(first.ID), Input: responses.ResponseNewParamsInputUnion{OfString: openai.String("more")}})
	if err != nil || second.PreviousResponseID != first.ID {
		t.Fatal(err)
	}
	got, err := client.Responses.Get(t.Context(), second.ID, responses.ResponseGetParams{})
	if err != nil || got.RawJSON() != second.RawJSON() {
		t.Errorf("%v %s", err, got.RawJSON())
	}
	var texts []string
	pages := client.Responses.InputItems.ListAutoPaging(t.Context(), second.ID, responses.InputItemListParams{Limit: openai.Int(2), Order: "asc"})
	for pages.Next() {
		texts = append(texts, gjson.Get(pages.Current().RawJSON(), "content.0.text").String()+gjson.Get(pages.Current().RawJSON(), "content").String())
	}
	if pages.Err() != nil || len(texts) != 3 || texts[0] != "hi" || texts[2] != "more" {
		t.Errorf("%v %q %s", pages.Err(), texts, d.openAI.last())
	}
	if err := client.Responses.Delete(t.Context(), first.ID); err != nil {
		t.Error(err)
	}
	if _, err := client.Responses.Get(t.Context(), first.ID, responses.ResponseGetParams{}); err == nil {
		t.Error("it is still there")
	}
	if _, err := client.Responses.New(t.Context(), responses.ResponseNewParams{Model: "local", PreviousResponseID: openai.String(second.ID), Input: responses.ResponseNewParamsInputUnion{OfString: openai.String("x")}}); err != nil || d.local.said() != "user: hi; assistant: hello; user: more; assistant: hello; user: x" {
		t.Errorf("what came after the deleted answer lost it: %v %s", err, d.local.said())
	}
	var refused *openai.Error
	if _, err := client.Responses.Cancel(t.Context(), second.ID); !errors.As(err, &refused) || !strings.Contains(refused.Message, "background") {
		t.Error(err)
	}
	unstored, _ := client.Responses.New(t.Context(), responses.ResponseNewParams{Model: "local", Store: openai.Bool(false), Input: responses.ResponseNewParamsInputUnion{OfString: openai.String("hi")}})
	if _, err := client.Responses.Get(t.Context(), unstored.ID, responses.ResponseGetParams{}); err == nil || !strings.Contains(unstored.RawJSON(), `"store":false`) {
		t.Error("kept against its caller's wish")
	}
	if status, body, _ := d.send(t, "GET", "/v1/responses/"+second.ID+"/input_items?after=nope", ""); status != 400 {
		t.Errorf("%d %s", status, body)
	}
}

func TestAnAnswerCanBeGoneOnFromAsSoonAsItsEndIsRead(t *testing.T) {
	d := newTalking(t, Keep{For: time.Hour, Bytes: 1 << 20}, nil)
	for range 20 {
		for _, model := range []string{"local", "openai"} {
			resp, err := http.Post(d.URL+"/v1/responses", "application/json", strings.NewReader(`{"model":"`+model+`","input":"hi","stream":true}`))
			if err != nil {
				t.Fatal(err)
			}
			var seen bytes.Buffer
			buffer := make([]byte, 256)
			for !strings.Contains(seen.String(), "event: response.completed") || !strings.HasSuffix(seen.String(), "\n\n") {
				n, err := resp.Body.Read(buffer)
				if seen.Write(buffer[:n]); err != nil {
					break
				}
			}
			id := gjson.Get(seen.String()[strings.LastIndex(seen.String(), "data:")+5:], "response.id").Str
			if status, got, _ := d.ask(t, `{"model":"local","previous_response_id":"`+id+`","input":"and?"}`); status != 200 || strings.Count(d.local.said(), ";") != 2 {
				t.Fatalf("%s %d %s %s", model, status, got.Raw, d.local.said())
			}
			resp.Body.Close()
		}
	}
}

func TestCodexReachesAModelThatHasNoneOfItsTools(t *testing.T) {
	var asked string
	chat := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		asked = r.URL.Path + " " + string(body)
		w.Header().Set("Content-Type", "text/event-stream")
		for _, delta := range []string{
			`{"tool_calls":[{"index":0,"id":"call_1","type":"function","function":{"name":"apply_patch","arguments":""}}]}`,
			`{"tool_calls":[{"index":0,"function":{"arguments":"{\"input\":\"*** Begin"}}]}`,
			`{"tool_calls":[{"index":0,"function":{"arguments":" Patch\\n\"}"}}]}`,
		} {
			fmt.Fprintf(w, "data: {\"id\":\"c\",\"model\":\"qwen3\",\"choices\":[{\"index\":0,\"delta\":%s}]}\n\n", delta)
		}
		io.WriteString(w, "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"tool_calls\"}]}\n\ndata: [DONE]\n\n")
	}))
	defer chat.Close()
	client, err := provider.New(provider.Config{Provider: llm.OpenAI, BaseURL: chat.URL + "/v1", Keys: []provider.Key{{Name: "k", Secret: "x"}}})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	d := newDoor(t, func(o *Options) {
		patience := router.Timeouts{FirstToken: time.Minute, Silence: time.Minute, Answer: time.Minute}
		records := &lockedRecorder{}
		o.Router, err = router.New(router.Config{
			Chain: []llm.Provider{llm.OpenAI}, Endpoints: []router.Endpoint{{Provider: llm.OpenAI, Upstream: client, DefaultModel: "qwen3", Timeouts: patience}},
			Recorder: records, Observer: records, IDs: record.NewIDs(0, 0), Log: slog.New(slog.DiscardHandler),
			Price: func(llm.Target, llm.Usage) (record.NanoUSD, bool) { return 0, false },
		})
		o.Tokens = tokens.NewEstimator(10)
	})
	const body = `{"model":"openai","instructions":"You code.","stream":true,"store":false,"include":["reasoning.encrypted_content"],"tool_choice":"auto","parallel_tool_calls":false,
		"input":[{"type":"message","role":"user","content":[{"type":"input_text","text":"fix it"}]},{"type":"custom_tool_call","call_id":"call_0","name":"apply_patch","input":"x"},{"type":"custom_tool_call_output","call_id":"call_0","output":"bad patch"}],
		"tools":[{"type":"custom","name":"apply_patch","description":"Patches","format":{"type":"grammar","syntax":"lark","definition":"start: /x/"}},{"type":"web_search","external_web_access":false}]}`
	status, got, header := d.send(t, "POST", "/v1/responses", body)
	if status != 200 || header.Get(HeaderAdjusted) != "tools[0].format, tools[1]: web_search" {
		t.Errorf("%d %v %s", status, header, got)
	}
	path, sent, _ := strings.Cut(asked, " ")
	if path != "/v1/chat/completions" || gjson.Get(sent, "tools.#").Int() != 1 || gjson.Get(sent, "tools.0.function.name").Str != "apply_patch" ||
		gjson.Get(sent, "messages.2.tool_calls.0.function.arguments").Str != `{"input":"x"}` || gjson.Get(sent, "messages.3.content").Str != "bad patch" {
		t.Errorf("asked %s", asked)
	}
	if strings.Count(got, "response.custom_tool_call_input.delta\n") != 2 || gjson.Get(got[strings.LastIndex(got, "data:")+5:], "response.output.0.input").Str != "*** Begin Patch\n" {
		t.Errorf("got %s", got)
	}
	status, got, _ = d.send(t, "POST", "/v1/responses", strings.Replace(body, `"tool_choice":"auto"`, `"tool_choice":{"type":"web_search"}`, 1))
	if status != 400 || gjson.Get(got, "error.code").Str != "capability_missing" || gjson.Get(got, "error.param").Str != "tool_choice.web_search" {
		t.Errorf("%d %s", status, got)
	}
}

func response(id, text string) json.RawMessage {
	return json.RawMessage(fmt.Sprintf(`{"id":%q,"status":"completed","output":[{"type":"message","id":"msg_%s","role":"assistant","content":%q}]}`, id, id, text))
}

func input(text string) []json.RawMessage {
	return []json.RawMessage{json.RawMessage(fmt.Sprintf(`{"role":"user","content":%q}`, text))}
}

func TestACallerSeesOnlyItsOwnConversations(t *testing.T) {
	k := newConversations(Keep{For: time.Hour, Bytes: 1 << 20})
	k.add("ann", nil, input("secret"), response("resp_1", "x"))
	if _, ok := k.turns("bob", "resp_1"); ok {
		t.Error("another caller has it")
	}
	if _, ok := k.item("bob", "msg_resp_1"); ok {
		t.Error("another caller has an item")
	}
	if k.remove("bob", "resp_1") {
		t.Error("another caller deleted it")
	}
	if _, ok := k.item("ann", "msg_resp_1"); !ok {
		t.Error("it is gone")
	}
	if _, ok := k.item("ann", "msg_bwk_1_in0"); !ok {
		t.Error("an input item has no id")
	}
	k.add("bob", nil, input("mine"), response("resp_1", "y"))
	if item, _ := k.item("ann", "msg_resp_1"); gjson.GetBytes(item, "content").Str != "x" {
		t.Error("the same id of another caller took its place")
	}
}

func TestKeptConversationsAreBounded(t *testing.T) {
	k := newConversations(Keep{For: time.Hour, Bytes: 20_000})
	var turns []*turn
	for i := range 40 {
		id := fmt.Sprintf("resp_%d", i)
		k.add("ann", turns, input(strings.Repeat("x", 200)), response(id, "y"))
		if got, ok := k.turns("ann", id); ok {
			turns = got
		}
		k.add("bob", nil, input(strings.Repeat("z", 500)), response(fmt.Sprintf("resp_b%d", i), "y"))
		if k.size > k.Bytes {
			t.Fatalf("%d bytes", k.size)
		}
	}
	if _, ok := k.turns("bob", "resp_b39"); !ok {
		t.Error("the newest is gone")
	}
	if _, ok := k.turns("bob", "resp_b0"); ok {
		t.Error("the oldest is still there")
	}
	k.add("ann", nil, input(strings.Repeat("x", 30_000)), response("resp_large", "y"))
	if _, ok := k.turns("ann", "resp_large"); ok {
		t.Error("one answer took more than all may")
	}
	for id := range k.answers {
		k.remove(id.caller, id.id)
	}
	if k.size != 0 || len(k.items) != 0 || k.order.Len() != 0 {
		t.Errorf("%d bytes, %d items, %d answers are left", k.size, len(k.items), k.order.Len())
	}
}

func TestKeptConversationsExpire(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		k := newConversations(Keep{For: time.Hour, Bytes: 1 << 20})
		k.add("", nil, input("a"), response("resp_1", "b"))
		time.Sleep(50 * time.Minute)
		turns, ok := k.turns("", "resp_1")
		if !ok {
			t.Fatal("gone too early")
		}
		k.add("", turns, input("c"), response("resp_2", "d"))
		time.Sleep(59 * time.Minute)
		if _, ok := k.turns("", "resp_2"); !ok {
			t.Fatal("gone too early")
		}
		time.Sleep(2 * time.Minute) // nobody asks, and yet the first goes
		if k.mu.Lock(); len(k.answers) != 1 {
			t.Errorf("%d answers", len(k.answers))
		}
		k.mu.Unlock()
		time.Sleep(time.Hour)
		if k.mu.Lock(); k.size != 0 || len(k.items) != 0 {
			t.Errorf("%d bytes, %d items are left", k.size, len(k.items))
		}
		k.mu.Unlock()
		off := newConversations(Keep{Bytes: 1 << 20})
		off.add("", nil, input("a"), response("resp_1", "b"))
		if len(off.answers) != 0 || off.sweep != nil {
			t.Error("kept, though nothing may be")
		}
	})
}

func TestAConversationThatIsPartlyElsewhereIsNotKept(t *testing.T) {
	d := newTalking(t, Keep{For: time.Hour, Bytes: 1 << 20}, nil)
	for _, field := range []string{`"previous_response_id":"resp_other"`, `"conversation":"conv_1"`, `"prompt":{"id":"p"}`} {
		if status, _, _ := d.ask(t, `{"model":"openai",`+field+`,"input":"hi"}`); status != 200 {
			t.Fatal(status)
		}
		d.openAI.down = true
		status, got, _ := d.ask(t, `{"model":"local","previous_response_id":"resp_68a1","input":"and?"}`)
		if status < 400 || !strings.Contains(got.Get("error.message").Str, "kept by OpenAI alone") {
			t.Errorf("%s: %d %s", field, status, got.Raw)
		}
		d.openAI.down = false
	}
}
