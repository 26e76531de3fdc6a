package provider

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
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
	provider llm.Provider
	base     *url.URL
	keys     []Key
	hop      string
	answers  bool                                       // it has /responses
	failure  func(status int, body []byte) *llm.Failure // the same in every dialect of the provider
	http     *http.Client
	local    localModels // of an Ollama server
}

// New makes a client with a pool of connections of its own. The error names
// the fields of cfg that are wrong.
func New(cfg Config) (*Client, error) {
	base, err := cfg.base()
	if err != nil {
		return nil, err
	}
	timeout := cfg.ConnectTimeout
	if timeout == 0 {
		timeout = DefaultConnectTimeout
	}
	codec, _ := wire.CodecFor(DialectOf(cfg.Provider))
	return &Client{
		provider: cfg.Provider,
		base:     base,
		keys:     cfg.Keys,
		hop:      cfg.Hop,
		answers:  cfg.Responses && cfg.Provider == llm.OpenAI,
		failure:  codec.Failure,
		http: &http.Client{
			Transport: transport(timeout),
			// A redirect would carry the key to who knows where.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}, nil
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
func (c *Client) codec(req *llm.Request) wire.Codec {
	if req.Embed != nil {
		return wire.EmbedCodec(c.provider, req.Dialect)
	}
	d := DialectOf(c.provider)
	if c.answers && req.Dialect == llm.OpenAIResponses {
		d = req.Dialect
	}
	codec, _ := wire.CodecFor(d)
	return codec
}

// Lacks names what req asks for and this model cannot do, see wire.Codec.
func (c *Client) Lacks(model string, req *llm.Request) []string {
	lacks := c.codec(req).Lacks(model, req)
	for _, name := range wire.OllamaIncapable(c.local.capabilities(model), req) {
		if !slices.Contains(lacks, name) {
			lacks = append(lacks, name)
		}
	}
	return lacks
}

// Streams says whether the answer to req comes in pieces.
func (c *Client) Streams(req *llm.Request) bool { return c.codec(req).Streams(req) }

// transport makes a pool of connections. It bounds connecting only: how long
// an answer may take is the caller's business.
func transport(connect time.Duration) *http.Transport {
	const ping = 15 * time.Second // finds a dead HTTP/2 connection before many requests hang on it
	return &http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		DialContext:         (&net.Dialer{Timeout: connect, KeepAlive: ping}).DialContext,
		TLSHandshakeTimeout: connect,
		MaxIdleConnsPerHost: MaxIdlePerHost,
		IdleConnTimeout:     90 * time.Second,
		ForceAttemptHTTP2:   true,
		HTTP2:               &http.HTTP2Config{SendPingTimeout: ping, PingTimeout: ping},
		DisableCompression:  true, // bytes pass through as they are, and events at once
	}
}

// Close closes idle connections; answers that still arrive are not disturbed.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Send asks t's model to answer req. The Reply must be closed. The error is a
// *llm.Failure: also the one that ctx was cancelled with as its cause.
// Otherwise a ctx that ended is told by its own error.
// leave is Admit's; the caller ends it.
func (c *Client) Send(ctx context.Context, leave *Leave, t llm.Target, req *llm.Request) (*llm.Reply, error) {
	codec := c.codec(req)
	req, thoughtless := wire.WithoutThinking(c.local.capabilities(t.Model), req)
	encoded, err := codec.Encode(t.Model, req)
	if err != nil {
		return nil, &llm.Failure{Class: llm.BadRequest, Message: err.Error(), Err: err}
	}
	if thoughtless {
		encoded.Adjusted = append(encoded.Adjusted, "reasoning_effort")
	}
	streams := codec.Streams(req)
	r, err := c.request(ctx, http.MethodPost, c.answerURL(codec.Dialect, t.Model, streams), encoded.Body, req.Via)
	if err != nil {
		return nil, err
	}
	if streams && c.provider != llm.Local {
		r.Header.Set("Accept", "text/event-stream")
	}
	if req.Dialect == codec.Dialect {
		passHeaders(r.Header, req.Header)
	}
	resp, err := c.do(r)
	if err != nil {
		return nil, tellCaller(err, req, codec.Dialect)
	}
	reply := &llm.Reply{Dialect: codec.Dialect, Header: c.passedOn(resp.Header), RequestID: requestID(resp.Header)}
	if len(encoded.Adjusted) > 0 {
		reply.Header.Set(AdjustedHeader, strings.Join(encoded.Adjusted, ", "))
	}
	s := &stream{
		client: c, body: resp.Body, status: resp.StatusCode, requestID: reply.RequestID,
		interrupted: func() error { return interrupted(ctx) },
	}
	if streams {
		s.next = codec.Stream(resp.Body, req).Next
	} else {
		s.next = s.whole(codec, req)
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

// request makes a call with the provider's key.
func (c *Client) request(ctx context.Context, method string, u *url.URL, body []byte, via []string) (*http.Request, error) {
	r, err := http.NewRequestWithContext(ctx, method, u.String(), bytes.NewReader(body))
	if err != nil {
		return nil, c.broken(ctx, err)
	}
	if err := c.head(r.Header, via); err != nil {
		return nil, err
	}
	r.Header.Set("Accept", "application/json")
	if len(body) > 0 {
		r.Header.Set("Content-Type", "application/json")
	}
	return r, nil
}

// head sets what every call carries: the hops and the key, where each provider
// wants it. It fails without the key that a provider needs.
func (c *Client) head(h http.Header, via []string) error {
	h.Set("User-Agent", "breakwater")
	hops := via
	if c.hop != "" {
		hops = append(hops[:len(hops):len(hops)], c.hop)
	}
	if len(hops) > 0 {
		h.Set(HopHeader, strings.Join(hops, ","))
	}
	if len(c.keys) == 0 {
		if c.provider == llm.Local {
			return nil
		}
		return &llm.Failure{Class: llm.Auth, Message: "no key is configured for " + c.provider.Title()}
	}
	secret := c.keys[0].Secret
	switch c.provider {
	case llm.Claude: // https://platform.claude.com/docs/en/api/overview (2026-11)
		h.Set("x-api-key", secret)
		h.Set("anthropic-version", "2023-06-01")
	case llm.Gemini: // https://ai.google.dev/api (2026-11); a key in the query would end up in logs
		h.Set("x-goog-api-key", secret)
	default:
		h.Set("Authorization", "Bearer "+secret)
	}
	return nil
}

// do makes the call. Anything but success is an error, and its body is closed.
func (c *Client) do(r *http.Request) (*http.Response, error) {
	resp, err := c.http.Do(r)
	if err != nil {
		return nil, c.broken(r.Context(), err)
	}
	if resp.StatusCode >= 200 && resp.StatusCode < 300 {
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
	return nil, c.clean(classify(c.failure, resp.StatusCode, resp.Header, body, time.Now()))
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
