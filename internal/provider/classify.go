package provider

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"breakwater/internal/llm"
	"breakwater/internal/redact"
	"breakwater/internal/wire"

	"github.com/tidwall/gjson"
)

// classify says what an answer that is no success means. The body's meaning is
// the provider's (wire.Codec.Failure); the headers are the same everywhere.
func classify(failure func(int, []byte) *llm.Failure, status int, header http.Header, body []byte, now time.Time) *llm.Failure {
	f := failure(status, body)
	if wait := retryAfter(header, now); wait > 0 {
		f.RetryAfter = wait
	}
	if f.TooLarge {
		f.RetryAfter = 0 // it would not help
	}
	if id := requestID(header); id != "" {
		f.RequestID = id
	}
	f.Header = limits(header)
	if o := gjson.ParseBytes(body); !f.Class.TellsOnlyOfTarget() && gjson.ValidBytes(body) && o.IsObject() && o.Get("error").Exists() {
		f.Body = body
	}
	return f
}

// requestIDs are the headers that name a request, the surest first.
func requestIDs() []string {
	return []string{"X-Request-Id", "Request-Id", "Apim-Request-Id", "Cf-Ray"}
}

// limits keeps of an error's headers those that its caller's SDK looks at: rate
// limits, waits and request ids, see
// https://developers.openai.com/api/docs/guides/rate-limits and
// https://platform.claude.com/docs/en/api/rate-limits (2026-11).
func limits(from http.Header) http.Header {
	to := http.Header{}
	for name, values := range from {
		if strings.HasPrefix(name, "X-Ratelimit-") || strings.HasPrefix(name, "Anthropic-Ratelimit-") ||
			name == "Retry-After" || name == "Retry-After-Ms" || name == "X-Should-Retry" || slices.Contains(requestIDs(), name) {
			to[name] = values
		}
	}
	return to
}

// tellCaller fits a failure to the caller of req, whom the upstream was asked
// for in dialect d. Only one who speaks it gets the upstream's headers, and only
// such a caller's own headers went there: an account of OpenAI's that they
// choose and that Breakwater's key does not belong to is this caller's fault.
func tellCaller(err error, req *llm.Request, d llm.Dialect) error {
	f, ok := llm.AsFailure(err)
	switch {
	case !ok:
		return err
	case req.Dialect != d:
		f.Header, f.Body = nil, nil
	case f.Class == llm.Auth:
		if header := wrongAccount(f, req.Header); header != "" {
			f.Class = llm.BadRequest
			f.Message = "the caller's header " + header + " names an account that Breakwater's key does not belong to: " + f.Message
		}
	}
	return err
}

// wrongAccount gives the header that a refusal of OpenAI's speaks of, if the
// caller sent it. The codes are those that callers report, such as in
// https://github.com/openai/codex/issues/1000 (2026-11); the documentation
// names none.
func wrongAccount(f *llm.Failure, h http.Header) string {
	message := strings.ToLower(f.Message)
	for _, header := range []string{"OpenAI-Organization", "OpenAI-Project"} {
		word := strings.ToLower(strings.TrimPrefix(header, "OpenAI-"))
		if h.Get(header) != "" && (f.Code == "mismatched_"+word || f.Code == "invalid_"+word ||
			strings.Contains(message, "no such "+word) || strings.Contains(message, strings.ToLower(header)+" header")) {
			return header
		}
	}
	return ""
}

// retryAfter reads how long to wait: retry-after-ms, which OpenAI and Anthropic
// send and which is exact, or Retry-After in seconds or as a date, see
// https://www.rfc-editor.org/rfc/rfc9110#field.retry-after. It gives 0 where
// nothing sensible is told.
func retryAfter(h http.Header, now time.Time) time.Duration {
	const longest = 30 * 24 * time.Hour // what is longer is an error of the sender's
	var wait float64                    // seconds
	if ms, err := strconv.ParseFloat(h.Get("Retry-After-Ms"), 64); err == nil {
		wait = ms / 1000
	} else if s, err := strconv.ParseFloat(h.Get("Retry-After"), 64); err == nil {
		wait = s
	} else if at, err := http.ParseTime(h.Get("Retry-After")); err == nil {
		wait = at.Sub(now).Seconds()
	}
	if wait > 0 { // and no NaN
		return time.Duration(min(wait, longest.Seconds()) * float64(time.Second))
	}
	return 0
}

// requestID finds the upstream's own id of the request.
func requestID(h http.Header) string {
	for _, name := range requestIDs() {
		if id := h.Get(name); id != "" {
			return redact.Short(id, 128)
		}
	}
	return ""
}

// broken is the failure of a call that got no answer, or what ended ctx.
func (c *Client) broken(ctx context.Context, err error) error {
	if err := interrupted(ctx); err != nil {
		return err
	}
	var call *url.Error
	if errors.As(err, &call) {
		err = call.Err // what surrounds it is the URL
	}
	class := llm.Network
	var lookup *net.DNSError
	var timeout net.Error
	if errors.As(err, &timeout) && timeout.Timeout() && !errors.As(err, &lookup) {
		class = llm.Timeout
	}
	var certificate *tls.CertificateVerificationError
	message := reason(err)
	if errors.As(err, &certificate) {
		message = "the certificate is not trusted: " + reason(certificate.Err)
	}
	return c.clean(&llm.Failure{Class: class, Message: message, Err: err})
}

// reason words an error of the connection.
func reason(err error) string { return redact.Short(redact.Secrets(err.Error()), wire.MaxMessage) }

// clean takes the client's own keys out of a failure's text.
func (c *Client) clean(f *llm.Failure) *llm.Failure {
	f.Message = c.withoutSecrets(f.Message)
	f.Code = c.withoutSecrets(f.Code)
	f.RequestID = c.withoutSecrets(f.RequestID)
	if c.quotesKey(f.Body) {
		f.Body = nil
	}
	for name, values := range f.Header {
		f.Header[name] = slices.Clone(values)
		for i, v := range values {
			f.Header[name][i] = c.withoutSecrets(v)
		}
	}
	return f
}

// withoutSecrets takes the client's own keys, and what looks like one, out of a text.
func (c *Client) withoutSecrets(text string) string {
	return redact.Secrets(text, *c.ring.secrets.Load()...)
}

// quotesKey says whether a JSON body has one of the client's own keys in it, or
// what looks like one, be it in escapes.
func (c *Client) quotesKey(body []byte) bool {
	if c.withoutSecrets(string(body)) != string(body) {
		return true
	}
	if !bytes.Contains(body, []byte(`\`)) {
		return false
	}
	var quotes func(v gjson.Result) bool
	quotes = func(v gjson.Result) (found bool) {
		if !v.IsObject() && !v.IsArray() {
			return c.withoutSecrets(v.String()) != v.String()
		}
		v.ForEach(func(name, v gjson.Result) bool {
			found = c.withoutSecrets(name.String()) != name.String() || quotes(v)
			return !found
		})
		return found
	}
	return quotes(gjson.ParseBytes(body))
}

// passedOn takes out of an answer's headers what a caller of the same dialect may
// not get: those of this one connection and body, cookies, what speaks for the
// upstream's own address or as Breakwater, and what repeats a key, be it a former one.
func (c *Client) passedOn(h http.Header) http.Header {
	for _, list := range h.Values("Connection") {
		for name := range strings.SplitSeq(list, ",") {
			h.Del(strings.TrimSpace(name))
		}
	}
	secrets := *c.ring.secrets.Load()
	quotes := func(value string) bool {
		return slices.ContainsFunc(secrets, func(secret string) bool { return strings.Contains(value, secret) })
	}
	for name, values := range h {
		if kept(name) && !slices.ContainsFunc(values, quotes) {
			continue
		}
		delete(h, name)
	}
	return h
}

// kept says whether a header of that name may be passed on.
func kept(name string) bool {
	switch name {
	case "Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization", "Proxy-Connection", "Te", "Trailer", "Transfer-Encoding", "Upgrade",
		"Content-Length", "Content-Encoding", "Set-Cookie", "Set-Cookie2", "Alt-Svc", "Strict-Transport-Security":
		return false
	}
	return !strings.HasPrefix(name, "Access-Control-") && !strings.HasPrefix(name, "X-Breakwater-")
}
