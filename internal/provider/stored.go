package provider

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/url"
	"time"

	"breakwater/internal/llm"
)

// KeepsAnswers says whether the upstream keeps answers of /responses itself.
func (c *Client) KeepsAnswers() bool { return c.answers }

// Stored passes a call about an answer that the upstream keeps on to it: path
// is what stands behind /responses/, each part escaped. The answer's body must
// be closed. The error is one of Send's; a refusal of the call itself is none.
func (c *Client) Stored(ctx context.Context, method, path string, query url.Values, header http.Header, via []string) (*http.Response, error) {
	u := c.base.JoinPath("responses", path)
	u.RawQuery = query.Encode()
	r, err := c.request(ctx, c.ring.first(), method, u, nil, via)
	if err != nil {
		return nil, err
	}
	if query.Get("stream") == "true" {
		r.Header.Set("Accept", "text/event-stream")
	}
	passHeaders(r.Header, header)
	resp, err := c.call.RoundTrip(r)
	if err != nil {
		return nil, c.broken(ctx, err)
	}
	resp.Header = c.passedOn(resp.Header)
	if resp.StatusCode < 300 {
		return resp, nil
	}
	defer resp.Body.Close()
	refusal, err := io.ReadAll(io.LimitReader(resp.Body, MaxErrorBody))
	if err != nil {
		return nil, c.broken(ctx, err)
	}
	f := c.clean(classify(c.chat.Failure, resp.StatusCode, resp.Header, refusal, time.Now()))
	if f.Class == llm.Auth || f.Class.CountsAgainstTarget() || c.quotesKey(refusal) {
		return nil, f
	}
	resp.Body = io.NopCloser(bytes.NewReader(refusal))
	return resp, nil
}
