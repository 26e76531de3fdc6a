package config

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"breakwater/internal/llm"
)

// Keys are the keys of one endpoint as they stand now.
type Keys struct {
	Provider llm.Provider
	Endpoint string
	Keys     []APIKey // at least one
}

// ReadKeys reads the providers' keys again, from their variables, files and
// commands; with file, the configuration file is read again for where they are.
// It gives those of the endpoints that had keys at the start; all else waits for a
// restart. The error joins a *Error for every fault, and there are no keys then;
// commands under way end with ctx.
func (c *Config) ReadKeys(ctx context.Context, file bool) ([]Keys, error) { return c.keys(ctx, file) }

// readKeys reads the keys of the endpoints that c has keys for.
func (v *values) readKeys(c *Config) []Keys {
	var all []Keys
	for _, p := range c.Providers {
		list := "providers." + string(p.Name) + ".endpoints"
		paths := map[string]string{}
		for i := range max(v.lengths[list], 1) {
			path := item(list, i)
			paths[v.name(path+".name")] = path
		}
		for _, e := range p.Endpoints {
			path, ok := paths[e.Name]
			switch {
			case len(e.Keys) == 0:
				continue
			case !ok:
				v.fail(list, "%s is gone, or has another name: that needs a restart", who(p.Name, e.Name))
				continue
			}
			keys, missing, _ := v.keys(p.Name, e.Name, path)
			if missing != "" && !v.broken[path+".keys"] {
				v.fail(path+".keys", "%s has no key left: %s", who(p.Name, e.Name), missing)
			}
			all = append(all, Keys{Provider: p.Name, Endpoint: e.Name, Keys: keys})
		}
	}
	return all
}

// who names an endpoint for people.
func who(p llm.Provider, endpoint string) string {
	if endpoint == "" {
		return string(p)
	}
	return string(p) + ", endpoint " + endpoint
}

// keys reads the keys of an endpoint, says what is missing where none can be
// had, and names the variables of those that are not set.
func (v *values) keys(p llm.Provider, endpoint, path string) (keys []APIKey, missing string, unset []string) {
	list := path + ".keys"
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
		key := APIKey{Name: name, Weight: v.count(at+".weight", 1, 1000), Limits: v.limits(at + ".")}
		var err error
		key.Secret, err = v.lookUp(at)
		var variable unsetError
		switch {
		case errors.As(err, &variable):
			unset = append(unset, string(variable))
		case err != nil:
			v.fail(at, "%s", err)
		case !key.Secret.Set():
			v.require(at, "needs "+oneOf(ways()))
		default:
			keys = append(keys, key)
		}
	}
	switch {
	case len(keys) > 0:
		return keys, "", unset
	case len(unset) > 0:
		missing = "set " + strings.Join(unset, " or ")
	case strings.HasSuffix(path, "[0]"):
		missing = "set " + builtIn(p).keyEnv[0]
	default:
		missing = "give it a key in the file"
	}
	return nil, missing, nil
}
