package config

import "time"

// Probes says how providers are looked at beside their requests.
type Probes struct {
	Enabled    bool
	Interval   time.Duration // between free looks at an idle endpoint
	Idle       time.Duration // without an answered request, from when on an endpoint is idle
	Completion time.Duration // between paid looks at an idle endpoint; 0 for none
}

const (
	// DefaultProbeInterval finds an idle provider's trouble within a minute.
	DefaultProbeInterval = "30s"
	// DefaultProbeIdle is short enough that a provider is known before the
	// next request comes.
	DefaultProbeIdle = "1m"
	// DefaultProbeCompletion spends nobody's money unasked.
	DefaultProbeCompletion = "0"
)

// probeOptions gives the options of probes.
func probeOptions() []Option {
	return []Option{
		{Path: "probes.enabled", Kind: Switch, Default: "true", Help: "Whether every endpoint is looked at beside its requests, by calls that cost nothing: its list of models, Ollama's version. Without, Breakwater knows only the models that are configured, and a provider's health from requests alone."},
		{Path: "probes.interval", Kind: Duration, Default: DefaultProbeInterval, Help: "How often an idle endpoint is looked at, give or take a tenth. While requests are answered it is ten times as rare; an endpoint that fails is looked at after one interval, then after twice as long each time, up to two minutes."},
		{Path: "probes.idle", Kind: Duration, Default: DefaultProbeIdle, Help: "How long no request must have been answered for an endpoint to count as idle. One whose last request failed counts at once."},
		{Path: "probes.completion", Kind: Duration, Zero: true, Default: DefaultProbeCompletion, Help: "How often an idle endpoint is sent a tiny request to its default model as well, which costs money: about 10 tokens in and at most 16 out, 2,880 times a month and endpoint at 15m. 0 for never."},
	}
}

func (v *values) probes(c *Config) {
	c.Probes = Probes{
		Enabled: v.on("probes.enabled"), Interval: v.duration("probes.interval"),
		Idle: v.duration("probes.idle"), Completion: v.duration("probes.completion"),
	}
}
