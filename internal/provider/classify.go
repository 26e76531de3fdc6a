package provider

import (
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
)

// classify says what an answer that is no success means. The body's meaning is
// the provider's (wire.Codec.Failure); the headers are the same everywhere.
func classify(failure func(int, []byte) *llm.Failure, status int, header http.Header, body []byte, now time.Time) *llm.Failure {
	f := failure(status, body)
	if wait := retryAfter(header, now); wait > 0 {
		f.RetryAfter = wait
	}
	if id := requestID(header); id != "" {
		f.RequestID = id
	}
	return f
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
	for _, name := range []string{"X-Request-Id", "Request-Id", "Apim-Request-Id", "Cf-Ray"} {
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
	secrets := make([]string, len(c.keys))
	for i, k := range c.keys {
		secrets[i] = k.Secret
	}
	f.Message = redact.Secrets(f.Message, secrets...)
	f.Code = redact.Secrets(f.Code, secrets...)
	f.RequestID = redact.Secrets(f.RequestID, secrets...)
	return f
}

// passedOn gives the upstream's headers that a caller of the same dialect may
// get: not those of this one connection and body, no cookies, nothing that
// speaks for the upstream's own address, and nothing that speaks as Breakwater.
func passedOn(h http.Header) http.Header {
	kept := h.Clone()
	for _, list := range h.Values("Connection") {
		for name := range strings.SplitSeq(list, ",") {
			kept.Del(strings.TrimSpace(name))
		}
	}
	dropped := []string{
		"Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization", "Proxy-Connection", "Te", "Trailer", "Transfer-Encoding", "Upgrade",
		"Content-Length", "Content-Encoding", "Set-Cookie", "Set-Cookie2", "Alt-Svc", "Strict-Transport-Security",
	}
	for name := range kept {
		if slices.Contains(dropped, name) || strings.HasPrefix(name, "Access-Control-") || strings.HasPrefix(name, "X-Breakwater-") {
			delete(kept, name)
		}
	}
	return kept
}
