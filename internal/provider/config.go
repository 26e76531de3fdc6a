// Package provider speaks to one upstream: it owns the pool of connections,
// sends the keys, and says what a failure means.
package provider

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"breakwater/internal/llm"
)

// Defaults.
const (
	// DefaultConnectTimeout bounds connecting and, again, the TLS handshake. An
	// upstream across the world that is well needs less than a second.
	DefaultConnectTimeout = 10 * time.Second
	// DefaultMaxBody bounds a whole answer, in bytes. The longest are embeddings:
	// 2,048 vectors of 3,072 numbers, the most that OpenAI gives, are about 80 MB.
	DefaultMaxBody = 128 << 20
	// MaxErrorBody bounds what is read of an error's body, in bytes: the longest
	// that providers send is a few KB.
	MaxErrorBody = 64 << 10
	// MaxIdlePerHost keeps connections of a burst for the next one: a new
	// TLS connection costs up to half a second of a caller's time.
	MaxIdlePerHost = 256
)

// Headers of Breakwater's own.
const (
	// HopHeader lists, on every call to an upstream, the Breakwaters that the
	// request came through, so that one that meets itself can stop the loop.
	HopHeader = "X-Breakwater-Hop"
	// AdjustedHeader lists, in a Reply's header, what the upstream could not
	// take as the caller said it: the names of wire.Encoded.Adjusted.
	AdjustedHeader = "X-Breakwater-Adjusted"
)

// Key is one key of a provider.
type Key struct {
	Name   string // for people; no secret
	Secret string
}

// Config says which upstream a Client speaks to.
type Config struct {
	Provider llm.Provider
	// BaseURL is what the provider's official SDKs take: for OpenAI it ends in
	// the version, for Anthropic and Gemini it has none, for Ollama it is the
	// host. "" means DefaultBaseURL.
	BaseURL string
	// Keys are the provider's keys; the first is used. Ollama needs none.
	Keys []Key
	// Responses says that an OpenAI upstream has /responses, which many servers
	// that speak OpenAI's API lack: callers of that door are passed on to it.
	Responses bool
	// ConnectTimeout is DefaultConnectTimeout where it is 0.
	ConnectTimeout time.Duration
	// Hop names this Breakwater in HopHeader.
	Hop string
}

// DefaultBaseURL is where a provider's API is.
func DefaultBaseURL(p llm.Provider) string {
	switch p {
	case llm.OpenAI:
		return "https://api.openai.com/v1"
	case llm.Claude:
		return "https://api.anthropic.com"
	case llm.Gemini:
		return "https://generativelanguage.googleapis.com"
	case llm.Local:
		return "http://localhost:11434"
	}
	return ""
}

// base checks the configuration and gives the base URL. All errors are told at
// once, each with its field; none holds a secret.
func (c Config) base() (*url.URL, error) {
	var errs []error
	if _, ok := llm.ParseProvider(string(c.Provider)); !ok {
		errs = append(errs, fmt.Errorf("provider: %q is not known", c.Provider))
	}
	address := c.BaseURL
	if address == "" {
		address = DefaultBaseURL(c.Provider)
	}
	base, err := url.Parse(address)
	if err != nil || base.Host == "" || base.Scheme != "http" && base.Scheme != "https" {
		errs = append(errs, errors.New("base_url: must be an address that starts with http:// or https://"))
	}
	for i, k := range c.Keys {
		if k.Secret == "" || strings.ContainsFunc(k.Secret, func(r rune) bool { return r <= ' ' || r > '~' }) {
			errs = append(errs, fmt.Errorf("keys[%d]: %q is empty or has characters that no key has, such as spaces", i, k.Name))
		}
	}
	if c.ConnectTimeout < 0 {
		errs = append(errs, errors.New("connect_timeout: must not be negative"))
	}
	return base, errors.Join(errs...)
}
