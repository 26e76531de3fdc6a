package config

import (
	"errors"
	"slices"
	"strings"

	"breakwater/internal/llm"
)

// models reads what the names that callers use mean, and who is tried when.
func (v *values) models(c *Config) {
	for _, word := range v.list("chain", parseName) {
		c.Chain = append(c.Chain, llm.Provider(word))
	}
	c.Aliases = map[string]string{}
	for _, path := range v.below("aliases.") {
		name := strings.TrimPrefix(path, "aliases.")
		target, err := parseTarget(v.get(path).text)
		switch {
		case err != nil:
			v.fail(path, "%s", err)
		case name == "" || !isName(name):
			v.fail("aliases", "a name must not be empty or contain spaces")
		case name == "auto" || slices.Contains(words(), name):
			v.fail(path, "the name has a meaning of its own")
		default:
			c.Aliases[name] = target
		}
	}
	taken := map[string]string{}
	names := map[string]bool{}
	for i := range v.lengths["routes"] {
		at := item("routes", i)
		r := Route{
			Name:     v.text(at + ".name"),
			Models:   v.list(at+".match.models", parseName),
			Targets:  v.list(at+".targets", parseTarget),
			Strategy: v.text(at + ".strategy"),
			Hedge:    v.on(at + ".hedge"),
		}
		r.Weights = v.weights(at+".weights", len(v.get(at+".targets").items))
		switch {
		case r.Name == "":
			v.require(at+".name", "is needed")
		case names[r.Name]:
			v.fail(at+".name", "another route has this name")
		}
		names[r.Name] = true
		if len(r.Models) == 0 {
			v.require(at+".match.models", "is needed: the models that take this route")
		}
		if len(r.Targets) == 0 {
			v.require(at+".targets", "is needed: where requests go")
		}
		for j, model := range r.Models {
			if first, ok := taken[model]; ok {
				v.fail(item(at+".match.models", j), "has a route already: %s", first)
				continue
			}
			taken[model] = at
		}
		c.Routes = append(c.Routes, r)
	}
}

// parseTarget reads "provider" or "provider/model". Ollama's names contain
// slashes themselves.
func parseTarget(text string) (string, error) {
	first, model, slash := strings.Cut(text, "/")
	if _, ok := llm.ParseProvider(first); !ok || slash && model == "" || !isName(text) {
		return "", errors.New("must be a provider (" + strings.Join(words(), ", ") + ") or provider/model")
	}
	return text, nil
}

func (v *values) budgets(c *Config) {
	for i := range v.lengths["budgets"] {
		at := item("budgets", i)
		b := Budget{Name: v.text(at + ".name"), Period: Period(v.text(at + ".period")), Limit: v.usd(at + ".usd")}
		who := v.text(at + ".provider")
		if who != "all" {
			b.Provider = llm.Provider(who)
		}
		if b.Period == "" {
			v.require(at+".period", "is needed: day or month")
			continue
		}
		switch {
		case slices.ContainsFunc(c.Budgets, func(o Budget) bool { return o.Provider == b.Provider && o.Period == b.Period }):
			v.fail(at, "another budget has this provider and period")
		case slices.ContainsFunc(c.Budgets, func(o Budget) bool { return b.Name != "" && o.Name == b.Name }):
			v.fail(at+".name", "another budget has this name")
		}
		c.Budgets = append(c.Budgets, b)
	}
}
