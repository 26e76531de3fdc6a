// Package provider speaks to one upstream: it owns the pool of connections,
// sends the keys, and says what a failure means.
package provider

import (
	"errors"
	"fmt"
	"net/url"
	"time"

	"breakwater/internal/llm"
	"breakwater/internal/record"
	"breakwater/internal/traffic"
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
	// DefaultIdleTime is a little less than what most servers keep a connection for.
	DefaultIdleTime = 90 * time.Second
	// DefaultLifeTime sees a change of DNS within minutes, and costs a handshake
	// among thousands of requests.
	DefaultLifeTime = 10 * time.Minute
	// DefaultPing finds a dead HTTP/2 connection before many requests hang on it.
	DefaultPing = 15 * time.Second
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
	Weight int            // in the order Weighted; 0 counts as 1
	Limits traffic.Limits // of this key
}

// KeyOrder says which of several usable keys is taken.
type KeyOrder string

// The orders.
const (
	InOrder   KeyOrder = "in_order"   // the first that can be used; the others are spares
	Weighted  KeyOrder = "weighted"   // in proportion to their weights
	LeastUsed KeyOrder = "least_used" // the one with the fewest requests under way, then in the last minute
)

// Pool sets up the connections to an upstream. Zero fields take the defaults.
type Pool struct {
	Idle        int           // connections kept for later; default MaxIdlePerHost
	Connections int           // at most, where the upstream speaks HTTP/1; 0 for any number
	IdleTime    time.Duration // an unused one is closed after; default DefaultIdleTime
	LifeTime    time.Duration // none serves longer, so that changes of DNS are seen; default DefaultLifeTime
	NoHTTP2     bool
	Ping        time.Duration // how often a silent HTTP/2 connection is checked; default DefaultPing
}

// PoolUse is how a pool stands, for people.
type PoolUse struct {
	InUse, Idle    int64         // connections; see Client.PoolUse for HTTP/2
	Opened, Reused int64         // since the start: connections made, requests that found one
	Handshake      time.Duration // of the last minutes' new connections, TCP and TLS together: the median; 0 without any
}

// KeyUse is how a key stands, for people.
type KeyUse struct {
	Name, Last4 string
	State       record.KeyState
	Until       time.Time // when a key that cools down is tried again; zero where nobody knows
	Reason      string    // why it is not usable
	Requests    int64     // since the start
	Tokens      int64     // since the start, input and output
	Under       int64     // requests under way
	Limits      traffic.Use
}

// Config says which upstream a Client speaks to.
type Config struct {
	Provider llm.Provider
	// BaseURL is what the provider's official SDKs take: for OpenAI it ends in
	// the version, for Anthropic and Gemini it has none, for Ollama it is the
	// host. "" means DefaultBaseURL.
	BaseURL string
	// Keys are the provider's keys. Ollama needs none.
	Keys []Key
	// Responses says that an OpenAI upstream has /responses, which many servers
	// that speak OpenAI's API lack: callers of that door are passed on to it.
	Responses bool
	KeyOrder  KeyOrder // default InOrder
	// Limit is that of the provider, which its endpoints share; nil for none.
	Limit *traffic.Limiter
	// ModelLimits bound single models.
	ModelLimits map[string]traffic.Limits
	// OnKey hears of every change of a key, in order. It must not block. Who hears
	// it fills in what the client does not know: ID, Endpoint and Request.
	OnKey func(record.KeyChange)
	Pool  Pool
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
	if err == nil && base.Path == "" {
		base.Path = "/" // so that what is joined to it begins with one
	}
	errs = append(errs, checkKeys(c.Keys)...)
	switch c.KeyOrder {
	case "", InOrder, Weighted, LeastUsed:
	default:
		errs = append(errs, fmt.Errorf("key_order: %q is none", c.KeyOrder))
	}
	if c.ConnectTimeout < 0 {
		errs = append(errs, errors.New("connect_timeout: must not be negative"))
	}
	if p := c.Pool; p.Idle < 0 || p.Connections < 0 || p.IdleTime < 0 || p.LifeTime < 0 || p.Ping < 0 {
		errs = append(errs, errors.New("pool: nothing in it may be negative"))
	}
	return base, errors.Join(errs...)
}
