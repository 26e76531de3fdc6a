package provider

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"breakwater/internal/llm"
	"breakwater/internal/wire"
)

// Client speaks to one upstream. Its methods may be called at the same time.
type Client struct {
	provider  llm.Provider
	base      *url.URL
	ring      *keyRing
	pool      *pool
	call      http.RoundTripper // the pool, but in tests
	hop       string
	answers   bool // it has /responses
	chat      wire.Codec
	responses wire.Codec
	urls      map[llm.Dialect]*url.URL // of the dialects in which it does not depend on the model
	login     []string                 // Authorization, where the base URL has a user and no key says more
	values    headerValues
	local     localModels // of an Ollama server
}

// headerValues are values that all calls share and none changes.
type headerValues struct{ agent, json, events, version, hop []string }

// New makes a client with a pool of connections of its own. The error names
// the fields of cfg that are wrong.
func New(cfg Config) (*Client, error) {
	base, err := cfg.base()
	if err != nil {
		return nil, err
	}
	c := &Client{
		provider: cfg.Provider,
		base:     base,
		ring:     newKeyRing(cfg),
		pool:     newPool(base, cfg.Pool, cfg.ConnectTimeout),
		hop:      cfg.Hop,
		answers:  cfg.Responses && cfg.Provider == llm.OpenAI,
		urls:     make(map[llm.Dialect]*url.URL),
	}
	c.values = headerValues{
		agent: []string{"breakwater"}, json: []string{"application/json"}, events: []string{"text/event-stream"},
		version: []string{"2023-06-01"}, hop: []string{cfg.Hop},
	}
	c.call = c.pool
	c.chat, _ = wire.CodecFor(DialectOf(cfg.Provider))
	c.responses, _ = wire.CodecFor(llm.OpenAIResponses)
	for _, d := range []llm.Dialect{llm.OpenAIChat, llm.OpenAIResponses, llm.AnthropicMessages, llm.OllamaChat} {
		c.urls[d] = c.answerURL(d, "", false)
	}
	if user := base.User; user != nil {
		password, _ := user.Password()
		c.login = []string{"Basic " + base64.StdEncoding.EncodeToString([]byte(user.Username()+":"+password))}
	}
	return c, nil
}

// DialectOf is what a provider speaks.
func DialectOf(p llm.Provider) llm.Dialect {
	switch p {
	case llm.Claude:
		return llm.AnthropicMessages
	case llm.Gemini:
		return llm.GeminiGenerate
	case llm.Local:
		return llm.OllamaChat
	}
	return llm.OpenAIChat
}

// codec speaks the dialect in which the upstream is asked req.
func (c *Client) codec(req *llm.Request) *wire.Codec {
	switch {
	case req.Embed != nil:
		codec := wire.EmbedCodec(c.provider, req.Dialect)
		return &codec
	case c.answers && req.Dialect == llm.OpenAIResponses:
		return &c.responses
	}
	return &c.chat
}

// Lacks names what req asks for and this model cannot do, see wire.Codec.
func (c *Client) Lacks(model string, req *llm.Request) []string {
	lacks := c.codec(req).Lacks(model, req)
	if c.provider != llm.Local {
		return lacks
	}
	for _, name := range wire.OllamaIncapable(c.local.capabilities(model), req) {
		if !slices.Contains(lacks, name) {
			lacks = append(lacks, name)
		}
	}
	return lacks
}

// Streams says whether the answer to req comes in pieces.
func (c *Client) Streams(req *llm.Request) bool { return c.codec(req).Streams(req) }

// Close closes idle connections; answers that still arrive are not disturbed.
func (c *Client) Close() { c.pool.close() }

// Send asks t's model to answer req. The Reply must be closed. The error is a
// *llm.Failure: also the one that ctx was cancelled with as its cause.
// Otherwise a ctx that ended is told by its own error.
// leave is Admit's, and the caller ends it. Without one, the first usable key is
// taken, within no limit.
func (c *Client) Send(ctx context.Context, leave *Leave, t llm.Target, req *llm.Request) (*llm.Reply, error) {
	codec := c.codec(req)
	thoughtless := false
	if c.provider == llm.Local {
		req, thoughtless = wire.WithoutThinking(c.local.capabilities(t.Model), req)
	}
	encoded, err := codec.Encode(t.Model, req)
	if err != nil {
		return nil, &llm.Failure{Class: llm.BadRequest, Message: err.Error(), Err: err}
	}
	if thoughtless {
		encoded.Adjusted = append(encoded.Adjusted, "reasoning_effort")
	}
	streams := codec.Streams(req)
	u := c.urls[codec.Dialect]
	if u == nil {
		u = c.answerURL(codec.Dialect, t.Model, streams)
	}
	var k *key
	if leave != nil && leave.key != nil {
		k = leave.key
	} else {
		k = c.ring.first()
	}
	r, err := c.request(ctx, k, http.MethodPost, u, encoded.Body, req.Via)
	if err != nil {
		return nil, err
	}
	if streams && c.provider != llm.Local {
		r.Header["Accept"] = c.values.events
	}
	if req.Dialect == codec.Dialect {
		passHeaders(r.Header, req.Header)
	}
	resp, err := c.do(r, leave)
	if err != nil {
		return nil, tellCaller(err, req, codec.Dialect)
	}
	reply := &llm.Reply{Dialect: codec.Dialect, Header: c.passedOn(resp.Header), RequestID: requestID(resp.Header)}
	if len(encoded.Adjusted) > 0 {
		reply.Header.Set(AdjustedHeader, strings.Join(encoded.Adjusted, ", "))
	}
	s := &stream{
		client: c, body: resp.Body, status: resp.StatusCode, length: resp.ContentLength, requestID: reply.RequestID,
		interrupted: func() error { return interrupted(ctx) },
	}
	if streams {
		s.next = codec.Stream(resp.Body, req).Next
	} else {
		s.next = s.whole(*codec, req)
	}
	reply.Stream = s
	return reply, nil
}

// passHeaders adds a caller's headers to a call in the caller's own dialect.
func passHeaders(to, from http.Header) {
	for name, values := range from {
		if to.Get(name) == "" || name == "Anthropic-Version" {
			to[name] = values
		}
	}
}

// answerURL is where a model answers in a dialect.
func (c *Client) answerURL(d llm.Dialect, model string, streams bool) *url.URL {
	switch d {
	case llm.AnthropicMessages:
		return c.base.JoinPath("v1/messages")
	case llm.OllamaChat:
		return c.base.JoinPath("api/chat")
	case llm.OpenAIResponses:
		return c.base.JoinPath("responses")
	case llm.OpenAIEmbeddings:
		return c.base.JoinPath("embeddings")
	case llm.OllamaEmbed:
		return c.base.JoinPath("api/embed")
	case llm.OllamaEmbeddings:
		return c.base.JoinPath("api/embeddings")
	case llm.GeminiEmbed, llm.GeminiBatchEmbed:
		method := ":embedContent"
		if d == llm.GeminiBatchEmbed {
			method = ":batchEmbedContents"
		}
		return c.base.JoinPath("v1beta/models", url.PathEscape(strings.TrimPrefix(model, "models/"))+method)
	case llm.GeminiGenerate:
		model = "models/" + url.PathEscape(strings.TrimPrefix(model, "models/"))
		if !streams {
			return c.base.JoinPath("v1beta", model+":generateContent")
		}
		return withQuery(c.base.JoinPath("v1beta", model+":streamGenerateContent"), "alt", "sse")
	}
	return c.base.JoinPath("chat/completions")
}

// withQuery adds a parameter to the URL's query.
func withQuery(u *url.URL, name, value string) *url.URL {
	q := u.Query()
	q.Set(name, value)
	u.RawQuery = q.Encode()
	return u
}

// request makes a call with a key. The URL is not changed.
func (c *Client) request(ctx context.Context, k *key, method string, u *url.URL, body []byte, via []string) (*http.Request, error) {
	r, err := http.NewRequestWithContext(ctx, method, "", bytes.NewReader(body))
	if err != nil {
		return nil, c.broken(ctx, err)
	}
	r.URL, r.Host = u, u.Host
	if err := c.head(r.Header, k, via); err != nil {
		return nil, err
	}
	r.Header["Accept"] = c.values.json
	if len(body) > 0 {
		r.Header["Content-Type"] = c.values.json
	}
	return r, nil
}

// head sets what every call carries: the hops and the key, where each provider
// wants it. It fails without the key that a provider needs.
func (c *Client) head(h http.Header, k *key, via []string) error {
	h["User-Agent"] = c.values.agent
	switch {
	case len(via) == 0 && c.hop != "":
		h[HopHeader] = c.values.hop
	case len(via) > 0 && c.hop != "":
		h[HopHeader] = []string{strings.Join(via, ",") + "," + c.hop}
	case len(via) > 0:
		h[HopHeader] = []string{strings.Join(via, ",")}
	}
	if c.login != nil {
		h["Authorization"] = c.login
	}
	switch {
	case k == nil:
		return &llm.Failure{Class: llm.Auth, Message: "no key is configured for " + c.provider.Title()}
	case k.bare:
	case c.provider == llm.Claude: // https://platform.claude.com/docs/en/api/overview (2026-11)
		h["X-Api-Key"] = k.auth
		h["Anthropic-Version"] = c.values.version
	case c.provider == llm.Gemini: // https://ai.google.dev/api (2026-11); a key in the query would end up in logs
		h["X-Goog-Api-Key"] = k.auth
	default:
		h["Authorization"] = k.auth
	}
	return nil
}

// do makes the call. Anything but success is an error, and its body is closed.
// leave, if any, learns from what the answer tells of limits.
func (c *Client) do(r *http.Request, leave *Leave) (*http.Response, error) {
	resp, err := c.call.RoundTrip(r)
	if err != nil {
		return nil, c.broken(r.Context(), err)
	}
	leave.told(resp.Header)
	if resp.StatusCode >= 200 && resp.StatusCode < 300 {
		leave.Took()
		return resp, nil
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, MaxErrorBody))
	if err := interrupted(r.Context()); err != nil {
		return nil, err
	}
	if err != nil {
		body = nil // the status alone says enough
	}
	return nil, c.clean(classify(c.chat.Failure, resp.StatusCode, resp.Header, body, time.Now()))
}

// interrupted says how ctx ended: by a failure, such as a deadline of the
// router's, or by itself. It gives nil while ctx lasts.
func interrupted(ctx context.Context) error {
	if ctx.Err() == nil {
		return nil
	}
	var f *llm.Failure
	if errors.As(context.Cause(ctx), &f) {
		return f
	}
	return ctx.Err()
}
