// Package config reads flags, environment and YAML file into one validated
// value. Flags beat environment beats file beats defaults; all faults are told
// at once, each with its field and place; no secret is ever shown.
package config

import (
	"context"
	"log/slog"
	"time"

	"breakwater/internal/alerts"
	"breakwater/internal/llm"
	"breakwater/internal/provider"
	"breakwater/internal/record"
	"breakwater/internal/traffic"
)

// Config is everything that can be set, complete and consistent. All secrets
// in it are of type Secret, so that printing it shows none.
type Config struct {
	File   string // the file that was read; "" where there was none
	Listen string // host:port; the host may be empty, the port 0
	// PublicURL is where people reach Breakwater, without a slash at the end;
	// "" where it is not set, which means http:// and the address listened on.
	PublicURL   string
	DB          string // path of the SQLite file
	Instance    int    // 0 to record.MaxInstance
	APIKey      Secret // what callers must present; unset where none is demanded
	OperatorKey Secret // what a person who acts on the pages must present; unset where only this machine may
	Callers     []Caller
	Insecure    bool // the operator allows callers without a key beyond loopback

	// AllowedHosts and AllowedOrigins are in lower case; those of PublicURL
	// are among them.
	AllowedHosts   []string
	AllowedOrigins []string

	Log       Log
	Providers []Provider        // all four, in the order of llm.Providers
	Strategy  string            // that orders candidates
	Affinity  bool              // a conversation goes where its prompt is cached
	Hedge     float64           // the share of requests that may be asked twice
	Chain     []llm.Provider    // at least one, none twice; may name one that is not enabled
	Aliases   map[string]string // a caller's word to "provider" or "provider/model"
	Routes    []Route
	Breaker   Breaker
	Retries   Retries
	Recovery  string // of a stream that breaks off: "continue", "buffer" or "error"
	// FilterFailover has the next candidate asked after a refusal by policy.
	FilterFailover bool
	Budgets        []Budget
	Channels       []Channel
	BodyBytes      int64 // the largest request body
	Gate           traffic.GateLimits
	Models         map[string]traffic.Limits // of single models
	Queue          traffic.QueueLimits
	Rotation       Rotation
	Idempotency    Kept
	Responses      Kept
	Anomaly        Anomaly
	SLO            SLO
	Probes         Probes
	StoreQueue     int // traces that may wait for the store
	Retention      Retention

	Durability string // of the store: "journal", "durable" or "off"

	missing   []string
	effective []Value
	keys      func(ctx context.Context, file bool) ([]Keys, error)
}

// Caller is one who calls, beside the holder of APIKey.
type Caller struct {
	Name     string // unique; never "default"
	Key      Secret
	Priority traffic.Priority
	Capped   bool // it may not ask for more than Priority
	Limits   traffic.Limits
}

// Rotation says how keys change while Breakwater runs.
type Rotation struct {
	Refresh time.Duration // between two readings; 0 for only when told
	Overlap time.Duration // a key that is gone serves on for
}

// Kept says what is kept in memory, of conversations of /v1/responses after
// their last use, or of answers to requests with an Idempotency-Key.
type Kept struct {
	For   time.Duration // 0 for nothing
	Bytes int64         // at most
}

// Retention says how long the record keeps what; 0 for ever.
type Retention struct {
	Traces    time.Duration // single requests
	Minutes   time.Duration // figures by minute
	Hours     time.Duration
	Days      time.Duration
	Changes   time.Duration // of breakers, holds and keys
	Incidents time.Duration // after their end
	Bytes     int64         // on disk; 0 for any amount
}

// Log says what is logged.
type Log struct {
	Level slog.Level
	JSON  bool
}

// Provider is one of the four upstream kinds.
type Provider struct {
	Name         llm.Provider
	Enabled      bool
	DefaultModel string
	Endpoints    []Endpoint // at least one
	Timeouts     Timeouts
	Limits       traffic.Limits // of all endpoints together
	KeyOrder     provider.KeyOrder
	Pool         provider.Pool // of each endpoint
}

// Usable says whether requests can be sent: the provider is enabled and an
// endpoint has what it needs.
func (p Provider) Usable() bool {
	for _, e := range p.Endpoints {
		if p.Enabled && e.Missing == "" {
			return true
		}
	}
	return false
}

// Endpoint is one place where a provider is reached.
type Endpoint struct {
	Name    string   // "" where the provider has only one, unless it is named
	BaseURL string   // without a slash at the end; OpenAI's includes the version
	Region  string   // for people
	Models  []string // those it serves beside the provider's default
	// Responses says that an endpoint of OpenAI's has /responses.
	Responses bool
	Keys      []APIKey // in the order of use; none for the local provider
	// Missing says what to do before the endpoint can be used, such as "set
	// OPENAI_API_KEY"; "" for one that can.
	Missing string
}

// APIKey is one of a provider's keys.
type APIKey struct {
	Name   string
	Secret Secret
	Weight int
	Limits traffic.Limits
}

// Timeouts bound the phases of an attempt. None bounds a stream as a whole.
type Timeouts struct {
	Connect    time.Duration // to a connection, TLS included
	Headers    time.Duration // to the response headers of a stream; 0 for FirstToken
	FirstToken time.Duration // to the first content of a stream
	Adaptive   bool          // to it less, where it is far later than usual
	Silence    time.Duration // between two pieces of a stream
	Answer     time.Duration // to the end of an answer in one piece
	SlowShare  float64       // of the usual pace, under which a stream is cut; 0 for never
}

// Route sends requests for some models to targets of their own, in order,
// instead of the chain.
type Route struct {
	Name    string
	Models  []string // exactly as callers write them; no model is in two routes
	Targets []string // each "provider" or "provider/model"
	// Strategy orders the targets.
	Strategy string
	Weights  []int // of Targets, for round_robin; may be shorter
	Hedge    bool  // a second target may be asked beside a late one
}

// Breaker says when a target's breaker opens and when it probes.
type Breaker struct {
	FailureThreshold int // failed requests in a row
	RecoveryTimeout  time.Duration
	LastResort       string // where an open target is tried: "never", "full" or "always"
}

// Retries says when a target is asked again before the next one is.
type Retries struct {
	Max      int           // how often in one request; 0 for never
	Backoff  time.Duration // the longest pause before the first; doubles with each
	Patience time.Duration // the longest Retry-After that is waited out
}

// Period is the span of a budget, in UTC.
type Period string

// The periods.
const (
	Day   Period = "day"
	Month Period = "month"
)

// Budget is an amount that is meant to last for a day or a month. There is at
// most one for each provider and period.
type Budget struct {
	Name     string       // "" where the provider's name says enough
	Provider llm.Provider // "" for all together
	Period   Period
	Limit    record.NanoUSD
}

// Channel is somewhere that is told of incidents.
type Channel struct {
	Name  string // unique
	Type  string // "slack", "email", "webhook" or "pagerduty"
	Route alerts.Route

	// Of Slack, either BotToken and Channel, or WebhookURL.
	BotToken   Secret
	Channel    string // id, or name with #
	WebhookURL Secret
	APIURL     string // of Slack, where it ends in a slash, or of PagerDuty, where it does not

	Mail Mail // of e-mail

	// Of a webhook.
	URL    Secret
	Secret Secret // that signs; unset for none
	Format alerts.Format

	RoutingKey Secret // of PagerDuty
}

// Mail says through which server mail goes, and to whom.
type Mail struct {
	Host     string
	Port     int
	TLS      alerts.MailTLS
	User     string // "" where the server wants none
	Password Secret
	From     string
	To       []string
}

// Anomaly says how the detector acts.
type Anomaly struct {
	Enabled    bool
	Hold       time.Duration // the first one; each that follows soon is twice as long
	Canary     time.Duration // between two requests let through to a held target
	MinSamples int           // requests of a target before anything is compared
}

// SLO is what callers are promised.
type SLO struct {
	Availability float64       // share of requests that get a whole answer
	Latency      time.Duration // of a fast answer, to the first content of a streamed one; 0 for no objective
	Share        float64       // of answers that are as fast
	Window       time.Duration // that the error budget is for; 0 for no alerts
}

// Provider gives the configuration of one provider.
func (c *Config) Provider(p llm.Provider) Provider {
	for _, provider := range c.Providers {
		if provider.Name == p {
			return provider
		}
	}
	return Provider{Name: p}
}

// Missing says in sentences what is not set, so that a provider or one of its
// keys is not used: "gemini: set GEMINI_API_KEY to use it".
func (c *Config) Missing() []string { return c.missing }

// Values lists the effective value of every option with its source, secrets
// as set or unset.
func (c *Config) Values() []Value { return c.effective }
