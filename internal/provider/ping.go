package provider

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"breakwater/internal/llm"
	"breakwater/internal/wire"

	"github.com/ollama/ollama/api"
	"github.com/tidwall/gjson"
)

// maxPages bounds how often a list of models is continued: a thousand models a
// page are more than any provider has.
const maxPages = 10

// Status is what a provider tells of itself for free.
type Status struct {
	Version string   // of an Ollama server; "" elsewhere
	Models  []string // as callers write them, in the provider's order
	// Details has what was told of Models beside their names, by name.
	Details map[string]Detail
}

// Detail is what a provider tells of a model beside its name. What it does not
// tell is zero.
type Detail struct {
	Title     string    // its name for people
	Created   time.Time // when it was released
	MaxInput  int64     // tokens
	MaxOutput int64     // tokens
	// Local is what an Ollama server tells of its own model; nil elsewhere.
	Local *wire.OllamaModel
}

// Ping asks the provider for its models, which costs nothing and shows that it
// can be reached and takes the first usable key. A key that it refuses is taken
// out, and the next one asked with. Keys that were taken out are tried too, each
// every RevokedCheck, and are back once the provider takes them. Errors are those
// of Send.
func (c *Client) Ping(ctx context.Context) (Status, error) {
	if c.provider == llm.Local {
		return c.pingOllama(ctx)
	}
	u, more := c.modelsURL()
	k := c.ring.first()
	status, err := c.models(ctx, k, u, more)
	for err != nil && c.ring.refuses(k, err) {
		next := c.ring.first()
		if next == nil || next == k || c.ring.isOut(next) {
			break
		}
		k = next
		status, err = c.models(ctx, k, u, more)
	}
	if err == nil {
		c.ring.takes(k)
	}
	for _, out := range c.ring.revoked(time.Now()) {
		if out == k {
			continue
		}
		if _, err := c.page(ctx, out, u); err == nil {
			c.ring.takes(out)
		}
	}
	return status, err
}

// Answered says whether a ping's error, or nil, shows that the provider answers:
// it may have no list of models, limit the call, or want a scope for it that
// requests do not need.
func Answered(err error) bool {
	f, ok := llm.AsFailure(err)
	switch {
	case err == nil:
		return true
	case !ok, f.Class.CountsAgainstTarget():
		return false
	}
	return f.Class != llm.Auth || f.OfModel && f.Status == http.StatusUnauthorized
}

// modelsURL is where a cloud lists its models, and the parameter that asks for
// more of them.
func (c *Client) modelsURL() (u *url.URL, more string) {
	switch c.provider {
	case llm.Claude: // https://platform.claude.com/docs/en/api/models-list (2026-11)
		return withQuery(c.base.JoinPath("v1/models"), "limit", "1000"), "after_id"
	case llm.Gemini: // https://ai.google.dev/api/models#method:-models.list (2026-11)
		return withQuery(c.base.JoinPath("v1beta/models"), "pageSize", "1000"), "pageToken"
	}
	// https://platform.openai.com/docs/api-reference/models/list (2026-11)
	return c.base.JoinPath("models"), ""
}

// modelList is a page of OpenAI's and Anthropic's lists (data) or Gemini's
// (models).
type modelList struct {
	Data    []json.RawMessage `json:"data"`
	HasMore bool              `json:"has_more"`
	LastID  string            `json:"last_id"`

	Models   []json.RawMessage `json:"models"`
	NextPage string            `json:"nextPageToken"`
}

// add adds a model to the status, with its name as callers write it.
func (s *Status) add(name string, d Detail) {
	s.Models = append(s.Models, name)
	if s.Details == nil {
		s.Details = make(map[string]Detail)
	}
	s.Details[name] = d
}

// add adds the page's models. Servers that only resemble a provider's may tell
// anything beside the names.
func (l modelList) add(s *Status) {
	for _, raw := range l.Data {
		m := gjson.ParseBytes(raw)
		d := Detail{
			Title: m.Get("display_name").String(), Created: m.Get("created_at").Time(),
			MaxInput: m.Get("max_input_tokens").Int(), MaxOutput: m.Get("max_tokens").Int(),
		}
		if created := m.Get("created"); created.Type == gjson.Number {
			d.Created = time.Unix(created.Int(), 0).UTC()
		}
		s.add(m.Get("id").String(), d)
	}
	for _, raw := range l.Models {
		m := gjson.ParseBytes(raw)
		methods := m.Get("supportedGenerationMethods").Array()
		if len(methods) > 0 && !slices.ContainsFunc(methods, func(v gjson.Result) bool {
			return v.String() == "generateContent" || v.String() == "embedContent"
		}) {
			continue // for pictures, films and the like
		}
		s.add(strings.TrimPrefix(m.Get("name").String(), "models/"), Detail{
			Title: m.Get("displayName").String(), MaxInput: m.Get("inputTokenLimit").Int(), MaxOutput: m.Get("outputTokenLimit").Int(),
		})
	}
}

// models reads a list, page by page where there are several: more is the
// parameter that asks for the next one.
func (c *Client) models(ctx context.Context, k *key, u *url.URL, more string) (Status, error) {
	status := Status{Models: []string{}}
	for range maxPages {
		list, err := c.page(ctx, k, u)
		if err != nil {
			return Status{}, err
		}
		list.add(&status)
		next := list.NextPage
		if list.HasMore {
			next = list.LastID
		}
		if next == "" || more == "" {
			break
		}
		further := *u
		u = withQuery(&further, more, next)
	}
	return status, nil
}

func (c *Client) page(ctx context.Context, k *key, u *url.URL) (list modelList, err error) {
	r, err := c.request(ctx, k, http.MethodGet, u, nil, nil)
	if err != nil {
		return list, err
	}
	resp, err := c.do(r, nil)
	if err != nil {
		return list, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, DefaultMaxBody))
	if err != nil {
		return list, c.broken(ctx, err)
	}
	if !bytes.HasPrefix(bytes.TrimSpace(body), []byte("{")) || json.Unmarshal(body, &list) != nil {
		return list, &llm.Failure{Class: llm.Garbage, Status: resp.StatusCode, Message: "the list of models cannot be read"}
	}
	return list, nil
}

// ollama is Ollama's own client.
func (c *Client) ollama() *api.Client {
	return api.NewClient(c.base, &http.Client{
		Transport: ollamaTransport{c},
		// A redirect would carry the key to who knows where.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	})
}

// pingOllama asks for version and models.
func (c *Client) pingOllama(ctx context.Context) (Status, error) {
	client := c.ollama()
	version, err := client.Version(ctx)
	if err != nil {
		return Status{}, c.ollamaFailed(ctx, err)
	}
	list, err := client.List(ctx)
	if err != nil {
		return Status{}, c.ollamaFailed(ctx, err)
	}
	status := Status{Version: version, Models: []string{}}
	for _, m := range c.local.refresh(ctx, client, list.Models) {
		status.add(m.Name, Detail{Local: m})
	}
	return status, nil
}

// ollamaFailed finds the Failure beneath what Ollama's client made of it.
func (c *Client) ollamaFailed(ctx context.Context, err error) error {
	if err := interrupted(ctx); err != nil {
		return err
	}
	var syntax *json.SyntaxError
	var wrongType *json.UnmarshalTypeError
	switch f, ok := llm.AsFailure(err); {
	case ok:
		return f
	case errors.As(err, &syntax), errors.As(err, &wrongType):
		return &llm.Failure{Class: llm.Garbage, Message: "the answer is not Ollama's", Err: err}
	}
	return c.broken(ctx, err)
}

// ollamaTransport puts this client's headers, pool and classification beneath
// Ollama's client, and bounds the bodies that it reads.
type ollamaTransport struct{ c *Client }

func (t ollamaTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	if err := t.c.head(r.Header, t.c.ring.first(), nil); err != nil {
		return nil, err
	}
	resp, err := t.c.do(r, nil)
	if err != nil {
		return nil, err
	}
	resp.Body = bounded{io.LimitReader(resp.Body, DefaultMaxBody), resp.Body}
	return resp, nil
}

// bounded is a body that ends early.
type bounded struct {
	io.Reader
	io.Closer
}
