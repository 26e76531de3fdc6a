package config

import (
	"strconv"

	"breakwater/internal/provider"
	"breakwater/internal/traffic"
)

// fastest bounds every rate: no account has more tokens a minute.
const fastest = 10_000_000_000

// limits reads the limits below a path that ends in a dot; options that are
// not there bound nothing.
func (v *values) limits(path string) traffic.Limits {
	read := func(name string) int64 {
		if _, ok := v.options[pattern(path+name)]; !ok {
			return 0
		}
		return int64(v.count(path+name, 0, fastest))
	}
	return traffic.Limits{
		Requests: read("requests_per_minute"), Tokens: read("tokens_per_minute"), Burst: read("burst"), Concurrent: read("concurrent"),
	}
}

func (v *values) pool(path string) provider.Pool {
	return provider.Pool{
		Idle:        v.count(path+"idle", 1, most),
		Connections: v.count(path+"connections", 0, most),
		IdleTime:    v.duration(path + "idle_time"),
		LifeTime:    v.duration(path + "life_time"),
		NoHTTP2:     !v.on(path + "http2"),
		Ping:        v.duration(path + "ping"),
	}
}

// traffic reads how much may be under way, and who waits.
func (v *values) traffic(c *Config) {
	c.Gate = traffic.GateLimits{Requests: int64(v.count("limits.concurrent", 1, most)), Bytes: v.size("limits.memory")}
	if c.Gate.Bytes > 0 && c.Gate.Bytes < c.BodyBytes {
		v.fail("limits.memory", "must hold a body of limits.body_bytes at least")
	}
	c.Queue = traffic.QueueLimits{Size: v.count("queue.size", 0, most), Wait: v.duration("queue.wait"), Aging: v.duration("queue.aging")}
	for i := range v.lengths["limits.models"] {
		at := item("limits.models", i)
		model := v.name(at + ".model")
		limits := v.limits(at + ".")
		_, twice := c.Models[model]
		switch {
		case model == "":
			v.require(at+".model", "is needed: the model that is limited")
		case twice:
			v.fail(at+".model", "is in the list twice")
		case c.Models == nil:
			c.Models = map[string]traffic.Limits{model: limits}
		default:
			c.Models[model] = limits
		}
	}
}

// callers reads those who may call beside the holder of api_key.
func (v *values) callers(c *Config) {
	names := map[string]bool{"default": true}
	keys := map[string]bool{c.APIKey.Reveal(): true}
	for i := range v.lengths["callers"] {
		at := item("callers", i)
		caller := Caller{Name: v.name(at + ".name"), Key: v.key(at + ".key"), Limits: v.limits(at + ".")}
		if word := v.text(at + ".priority"); word != "" {
			caller.Priority, _ = traffic.ParsePriority(word) // it is one of the choices
			caller.Capped = true
		}
		switch {
		case caller.Name == "":
			v.require(at+".name", "is needed")
		case names[caller.Name]:
			v.fail(at+".name", "another caller has this name; default is the holder of api_key")
		}
		switch {
		case !caller.Key.Set():
			v.require(at+".key", "is needed: what this caller presents")
		case keys[caller.Key.Reveal()]:
			v.fail(at+".key", "another caller has this key")
		}
		names[caller.Name], keys[caller.Key.Reveal()] = true, true
		c.Callers = append(c.Callers, caller)
	}
}

// weights reads whole numbers, one for each target at most.
func (v *values) weights(path string, targets int) []int {
	var weights []int
	for i, l := range v.get(path).items {
		at := item(path, i)
		v.places[at] = l.source
		n, err := strconv.Atoi(l.text)
		switch {
		case err != nil || n < 0 || n > 1000:
			v.fail(at, "must be a whole number from 0 to 1000%s", shown(l.text))
		case i >= targets:
			v.fail(at, "has no target: there are only as many weights as targets")
		}
		weights = append(weights, n)
	}
	return weights
}
