package config

import (
	"net/url"
	"slices"
	"strings"
	"time"

	"breakwater/internal/llm"
	"breakwater/internal/provider"
	"breakwater/internal/record"
)

// most bounds the counts that size something in memory.
const most = 10_000_000

// build makes the Config of the values and notes every fault.
func build(v *values) *Config {
	c := &Config{
		File:        v.get(configPath).text,
		DB:          v.text("db"),
		Instance:    v.count("instance", 0, record.MaxInstance),
		APIKey:      v.key("api_key"),
		OperatorKey: v.operatorKey(),
		Insecure:    v.on("insecure"),
		Log:         Log{JSON: v.text("log.format") == "json"},
		Breaker: Breaker{
			FailureThreshold: v.count("breaker.failure_threshold", 1, 1000),
			RecoveryTimeout:  v.duration("breaker.recovery_timeout"),
			LastResort:       v.text("breaker.last_resort"),
		},
		Retries: Retries{
			Max:      v.count("retries.max", 0, 10),
			Backoff:  v.duration("retries.backoff"),
			Patience: v.duration("retries.patience"),
		},
		Strategy:       v.text("strategy"),
		Affinity:       v.on("affinity"),
		Hedge:          float64(v.count("hedge.percent", 1, 50)) / 100,
		Recovery:       v.text("recovery"),
		FilterFailover: v.on("content_filter_failover"),
		BodyBytes:      v.size("limits.body_bytes"),
		Rotation:       Rotation{Refresh: v.duration("keys.refresh"), Overlap: v.duration("keys.overlap")},
		Idempotency:    Kept{For: v.duration("idempotency.keep"), Bytes: v.size("idempotency.bytes")},
		Responses:      Kept{For: v.duration("responses.keep"), Bytes: v.size("responses.keep_bytes")},
		Anomaly: Anomaly{
			Enabled:    v.on("anomaly.enabled"),
			Hold:       v.duration("anomaly.hold"),
			Canary:     v.duration("anomaly.canary"),
			MinSamples: v.count("anomaly.min_samples", 10, most),
		},
		SLO: SLO{
			Availability: v.percent("slo.availability"),
			Latency:      v.duration("slo.latency"),
			Share:        v.percent("slo.latency_share"),
			Window:       v.age("slo.window", 7*day),
		},
		StoreQueue: v.count("store.queue", 1, most),
		Durability: v.text("store.durability"),
		Retention: Retention{
			Traces:    v.age("store.retention.traces", time.Hour),
			Minutes:   v.age("store.retention.minutes", 2*time.Hour),
			Hours:     v.age("store.retention.hours", 2*day),
			Days:      v.age("store.retention.days", 92*day),
			Changes:   v.age("store.retention.changes", day),
			Incidents: v.age("store.retention.incidents", day),
			Bytes:     v.amount("store.retention.bytes"),
		},
	}
	if level := v.text("log.level"); level != "" {
		if err := c.Log.Level.UnmarshalText([]byte(level)); err != nil {
			v.fail("log.level", "is not a level of log/slog")
		}
	}
	v.timeouts("timeouts.")
	v.traffic(c)
	v.callers(c)
	v.address(c)
	v.providers(c)
	v.models(c)
	v.budgets(c)
	v.channels(c)
	v.probes(c)
	c.effective = v.effective()
	return c
}

// address reads where Breakwater listens and who may call.
func (v *values) address(c *Config) {
	c.Listen = v.text("listen")
	loopback, err := parseListen(c.Listen)
	switch {
	case err != nil:
		v.fail("listen", "%s", err)
		c.Listen = ""
	case !loopback && !c.APIKey.Set() && len(c.Callers) == 0 && !c.Insecure && !v.broken["api_key"]:
		v.fail("listen", "others than this machine can reach it: set BREAKWATER_API_KEY, or --insecure to do without")
	}
	c.AllowedHosts = v.list("allowed_hosts", parseHost)
	c.AllowedOrigins = v.list("allowed_origins", parseOrigin)
	if u := v.url("public_url", parseBaseURL); u != nil {
		c.PublicURL = u.String()
		c.AllowedHosts = appendNew(c.AllowedHosts, strings.ToLower(u.Host))
		c.AllowedOrigins = appendNew(c.AllowedOrigins, origin(u))
	}
}

func appendNew(list []string, s string) []string {
	if slices.Contains(list, s) {
		return list
	}
	return append(list, s)
}

// url reads a URL with the parser given; nil where there is none.
func (v *values) url(path string, parse func(string) (*url.URL, error)) *url.URL {
	text := v.text(path)
	if text == "" {
		return nil
	}
	u, err := parse(text)
	if err != nil {
		v.fail(path, "%s", err)
		return nil
	}
	return u
}

func (v *values) timeouts(path string) Timeouts {
	return Timeouts{
		Connect:    v.duration(path + "connect"),
		Headers:    v.duration(path + "headers"),
		FirstToken: v.duration(path + "first_token"),
		Silence:    v.duration(path + "silence"),
		Answer:     v.duration(path + "answer"),
		SlowShare:  float64(v.count(path+"slow_percent", 0, 90)) / 100,
	}
}

func (v *values) providers(c *Config) {
	anyEnabled := false
	for _, name := range llm.Providers() {
		at := "providers." + string(name) + "."
		p := Provider{
			Name:         name,
			Enabled:      v.on(at + "enabled"),
			DefaultModel: v.name(at + "default_model"),
			Timeouts:     v.timeouts(at + "timeouts."),
			Limits:       v.limits(at + "limits."),
			Pool:         v.pool(at + "pool."),
		}
		if name != llm.Local {
			p.Timeouts.Adaptive = v.on(at + "timeouts.adaptive")
			p.KeyOrder = provider.KeyOrder(v.text(at + "key_order"))
		}
		n := max(v.lengths[at+"endpoints"], 1)
		seen := map[string]bool{}
		for i := range n {
			path := item(at+"endpoints", i)
			e := v.endpoint(c, p, path)
			v.endpointName(path, e.Name, n, seen)
			p.Endpoints = append(p.Endpoints, e)
		}
		c.Providers = append(c.Providers, p)
		anyEnabled = anyEnabled || p.Enabled
	}
	if !anyEnabled && !v.broken["providers.local.enabled"] {
		v.fail("providers", "at least one provider must be enabled")
	}
}

// endpointName sees to it that n endpoints can be told apart.
func (v *values) endpointName(path, name string, n int, seen map[string]bool) {
	switch {
	case n > 1 && name == "":
		v.require(path+".name", "is needed where there are several endpoints")
	case seen[name]:
		v.fail(path+".name", "another endpoint has this name")
	}
	seen[name] = true
}

func (v *values) endpoint(c *Config, p Provider, path string) Endpoint {
	e := Endpoint{
		Name:   v.name(path + ".name"),
		Region: v.text(path + ".region"),
		Models: v.list(path+".models", parseName),
	}
	if strings.ContainsAny(e.Name, "/@") {
		v.fail(path+".name", "must not contain / or @")
	}
	u := v.url(path+".base_url", func(text string) (*url.URL, error) { return upstreamURL(p.Name, text) })
	if u != nil {
		e.BaseURL = u.String()
		if c.Listen != "" && isOwn(c.Listen, u) {
			v.fail(path+".base_url", "is the address that Breakwater itself listens on: requests would go round for ever")
		}
	}
	if p.Name == llm.Local {
		return e
	}
	if p.Name == llm.OpenAI {
		host := ""
		if u != nil {
			host = u.Hostname()
		}
		e.Responses = host == "api.openai.com" || strings.HasSuffix(host, ".api.openai.com") // or of a region
		if v.text(path+".responses") != "" {
			e.Responses = v.on(path + ".responses")
		}
	}
	var unused []string
	e.Keys, e.Missing, unused = v.keys(p.Name, e.Name, path)
	switch {
	case !p.Enabled:
		e.Missing = ""
	case e.Missing != "":
		c.missing = append(c.missing, who(p.Name, e.Name)+": "+e.Missing+" to use it")
	}
	for _, variable := range unused {
		if p.Enabled {
			c.missing = append(c.missing, who(p.Name, e.Name)+": set "+variable+" to use that key too")
		}
	}
	return e
}
