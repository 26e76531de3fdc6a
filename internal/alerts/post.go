package alerts

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"breakwater/internal/redact"
)

const (
	// maxAnswer bounds what is read of an answer: a sentence for people.
	maxAnswer = 2 << 10
	// longestRetryAfter is as long as an answer may keep a channel quiet.
	longestRetryAfter = time.Hour
)

// newPoster gives the client of a channel that is told by POST. A redirect is
// an answer like another: it would take the message, and its signature, to
// somewhere that nobody configured.
func newPoster(client *http.Client) *http.Client {
	if client == nil {
		client = &http.Client{Timeout: DefaultSendTimeout}
	}
	own := *client
	own.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &own
}

// post sends JSON and demands a status of 2xx. Its error begins with whom it
// is of, and holds neither the address nor the secrets.
func post(ctx context.Context, client *http.Client, who, address string, header http.Header, body []byte, secrets ...string) error {
	clean := func(text string) error {
		return fmt.Errorf("%s: %s", who, redact.Short(redact.Secrets(text, append(secrets, address)...), maxError))
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, address, bytes.NewReader(body))
	if err != nil {
		return &RefusedError{clean("the address is none")}
	}
	for name, values := range header {
		req.Header[name] = values
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "breakwater")
	res, err := client.Do(req)
	if err != nil {
		return clean(plain(err))
	}
	defer res.Body.Close()
	said, _ := io.ReadAll(io.LimitReader(res.Body, maxAnswer)) // the status says enough
	if res.StatusCode/100 == 2 {
		return nil
	}
	err = clean(strings.TrimSuffix(fmt.Sprintf("HTTP %d: %s", res.StatusCode, strings.TrimSpace(string(said))), ": "))
	switch status := res.StatusCode; {
	case status == http.StatusTooManyRequests, status == http.StatusServiceUnavailable:
		if after := retryAfter(res.Header.Get("Retry-After"), time.Now()); after > 0 {
			return &RetryError{After: after, Err: err}
		}
	case status/100 == 3:
		return &RefusedError{errors.New(err.Error() + " (redirects are not followed: configure the address itself)")}
	case status/100 == 4 && status != http.StatusRequestTimeout && status != http.StatusConflict && status != http.StatusTooEarly:
		return &RefusedError{err}
	}
	return err
}

// retryAfter reads the header, in seconds or as a date; 0 where it says
// nothing (https://www.rfc-editor.org/rfc/rfc9110#name-retry-after).
func retryAfter(text string, now time.Time) time.Duration {
	after := time.Duration(0)
	if seconds, err := strconv.ParseInt(text, 10, 32); err == nil {
		after = time.Duration(seconds) * time.Second
	} else if at, err := http.ParseTime(text); err == nil {
		after = at.Sub(now)
	}
	return min(max(0, after), longestRetryAfter)
}
