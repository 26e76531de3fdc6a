package config

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"breakwater/internal/llm"
	"breakwater/internal/record"
)

// most bounds the counts that size something in memory.
const most = 10_000_000

// build makes the Config of the values and notes every fault.
func build(v *values) *Config {
	c := &Config{
		File:     v.get(configPath).text,
		DB:       v.text("db"),
		Instance: v.count("instance", 0, record.MaxInstance),
		APIKey:   v.key("api_key"),
		Insecure: v.on("insecure"),
		Log:      Log{JSON: v.text("log.format") == "json"},
		Breaker: Breaker{
			FailureThreshold: v.count("breaker.failure_threshold", 1, 1000),
			RecoveryTimeout:  v.duration("breaker.recovery_timeout"),
		},
		Retries: Retries{
			Max:      v.count("retries.max", 0, 10),
			Backoff:  v.duration("retries.backoff"),
			Patience: v.duration("retries.patience"),
		},
		Recovery:  v.text("recovery"),
		BodyBytes: v.size("limits.body_bytes"),
		Responses: Responses{Bytes: v.size("responses.keep_bytes")},
		Anomaly: Anomaly{
			Enabled:    v.on("anomaly.enabled"),
			Hold:       v.duration("anomaly.hold"),
			Canary:     v.duration("anomaly.canary"),
			MinSamples: v.count("anomaly.min_samples", 10, most),
		},
		Queue: v.count("store.queue", 1, most),
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
	if text := v.text("responses.keep"); text != "0" && text != "0s" {
		c.Responses.Keep = v.duration("responses.keep")
	}
	v.timeouts("timeouts.")
	v.address(c)
	v.providers(c)
	v.models(c)
	v.budgets(c)
	v.channels(c)
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
	case !loopback && !c.APIKey.Set() && !c.Insecure && !v.broken["api_key"]:
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
		FirstToken: v.duration(path + "first_token"),
		Silence:    v.duration(path + "silence"),
		Answer:     v.duration(path + "answer"),
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
		}
		n := max(v.lengths[at+"endpoints"], 1)
		seen := map[string]bool{}
		for i := range n {
			path := item(at+"endpoints", i)
			e := v.endpoint(c, p, path)
			switch {
			case n > 1 && e.Name == "":
				v.require(path+".name", "is needed where there are several endpoints")
			case seen[e.Name]:
				v.fail(path+".name", "another endpoint has this name")
			}
			seen[e.Name] = true
			p.Endpoints = append(p.Endpoints, e)
		}
		c.Providers = append(c.Providers, p)
		anyEnabled = anyEnabled || p.Enabled
	}
	if !anyEnabled && !v.broken["providers.local.enabled"] {
		v.fail("providers", "at least one provider must be enabled")
	}
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
	e.Keys, e.Missing = v.keys(c, p, e.Name, path)
	return e
}

// keys reads the keys of an endpoint, and says what is missing where none can
// be had.
func (v *values) keys(c *Config, p Provider, endpoint, path string) (keys []APIKey, missing string) {
	who := string(p.Name)
	if endpoint != "" {
		who += ", endpoint " + endpoint
	}
	list := path + ".keys"
	var unset []string
	names := map[string]bool{}
	for i := range v.lengths[list] {
		at := item(list, i)
		name := v.name(at + ".name")
		if name == "" {
			name = fmt.Sprintf("key %d", i+1)
		}
		if names[name] {
			v.fail(at+".name", "another key of this endpoint has this name")
		}
		names[name] = true
		secret, err := v.lookUp(at)
		var variable unsetError
		switch {
		case errors.As(err, &variable):
			unset = append(unset, string(variable))
		case err != nil:
			v.fail(at, "%s", err)
		case !secret.Set():
			v.require(at, "needs value, env or file")
		default:
			keys = append(keys, APIKey{Name: name, Secret: secret})
		}
	}
	switch {
	case !p.Enabled:
		return keys, ""
	case len(keys) > 0:
		for _, variable := range unset {
			c.missing = append(c.missing, who+": set "+variable+" to use that key too")
		}
		return keys, ""
	case len(unset) > 0:
		missing = "set " + strings.Join(unset, " or ")
	case strings.HasSuffix(path, "[0]"):
		missing = "set " + builtIn(p.Name).keyEnv[0]
	default:
		missing = "give it a key in the file"
	}
	c.missing = append(c.missing, who+": "+missing+" to use it")
	return nil, missing
}
