package app

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"breakwater/internal/api"
	"breakwater/internal/config"
	"breakwater/internal/llm"
	"breakwater/internal/provider"
	"breakwater/internal/record"
	"breakwater/internal/traffic"
)

// checkPatience bounds the look at one endpoint.
const checkPatience = 10 * time.Second

// Check asks every configured endpoint whether it answers, through its free
// calls, and prints a table. It says whether all of them do and no key is
// refused; a provider without a key is reported and does not count.
func Check(ctx context.Context, cfg *config.Config, out io.Writer) (bool, error) {
	upstreams, err := newUpstreams(cfg, "", func(record.KeyChange) {})
	if err != nil {
		return false, err
	}
	well := true
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "PROVIDER\tADDRESS\tSTATE\tTOOK\tNOTE")
	for _, u := range upstreams {
		state, took, note := u.check(ctx)
		well = well && state != "fails" && len(u.refused()) == 0
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\n", u.name(), u.endpoint.BaseURL, state, took, note)
		u.client.Close()
	}
	if err := table.Flush(); err != nil {
		return false, err
	}
	return well, describe(cfg, upstreams, out)
}

// describe prints the keys, by name and last four characters, and what is limited.
func describe(cfg *config.Config, upstreams []*upstream, out io.Writer) error {
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "\nLIMITED\tTO")
	row := func(what string, l traffic.Limits) {
		fmt.Fprintf(table, "%s\t%s\n", what, cmp.Or(api.LimitWords(l), "-"))
	}
	for _, p := range cfg.Providers {
		if p.Usable() {
			row(string(p.Name), p.Limits)
		}
	}
	for _, u := range upstreams {
		for _, k := range u.client.KeyUses() {
			row(u.name()+", "+record.KeyLabel(k.Name, k.Last4), k.Limits.Limits)
		}
	}
	for _, model := range slices.Sorted(maps.Keys(cfg.Models)) {
		row("model "+model, cfg.Models[model])
	}
	for _, c := range cfg.Callers {
		row("caller "+c.Name, c.Limits)
	}
	row("all together", traffic.Limits{Concurrent: cfg.Gate.Requests})
	fmt.Fprintf(table, "\nSTRATEGY\t%s\n", cfg.Strategy)
	for _, r := range cfg.Routes {
		fmt.Fprintf(table, "route %s\t%s\n", r.Name, r.Strategy)
	}
	return table.Flush()
}

// name names an endpoint for people.
func (u *upstream) name() string {
	if u.endpoint.Name == "" {
		return string(u.provider.Name)
	}
	return string(u.provider.Name) + "@" + u.endpoint.Name
}

// check gives one endpoint's row.
func (u *upstream) check(ctx context.Context) (state, took, note string) {
	switch {
	case !u.provider.Enabled:
		return "off", "-", "disabled in the configuration"
	case u.endpoint.Missing != "":
		return "no key", "-", u.endpoint.Missing + " to use it"
	}
	ctx, cancel := context.WithTimeout(ctx, checkPatience)
	defer cancel()
	began := time.Now()
	status, err := u.client.Ping(ctx)
	took = time.Since(began).Round(time.Millisecond).String()
	if err != nil {
		return "fails", took, strings.TrimSpace(err.Error() + u.advice(err))
	}
	note = u.modelNote(status)
	for _, label := range u.refused() {
		note += "; it refuses a key: look at the key " + label
	}
	return "answers", took, note
}

// refused names the keys that the provider does not take, as far as it was asked
// with them.
func (u *upstream) refused() (labels []string) {
	for _, k := range u.client.KeyUses() {
		if k.State == record.KeyRevoked {
			labels = append(labels, record.KeyLabel(k.Name, k.Last4))
		}
	}
	return labels
}

// modelNote says whether the default model is there.
func (u *upstream) modelNote(status provider.Status) string {
	model := u.provider.DefaultModel
	note := fmt.Sprintf("%d models", len(status.Models))
	if status.Version != "" {
		note = "version " + status.Version + ", " + note
	}
	if has(status.Models, model) || has(status.Models, model+":latest") {
		return note + ", among them " + model
	}
	if u.provider.Name == llm.Local {
		return note + ", but not " + model + ": run `ollama pull " + model + "`, or set OLLAMA_MODEL"
	}
	return note + ", but " + model + " is not listed: another default_model may be needed"
}

func has(models []string, model string) bool { return slices.Contains(models, model) }

// advice says what a person can do about a provider that fails.
func (u *upstream) advice(err error) string {
	f, ok := llm.AsFailure(err)
	switch {
	case ok && f.Class == llm.Auth:
		if refused := u.refused(); len(refused) > 0 && len(u.client.KeyUses()) > 1 {
			return "; look at the key " + strings.Join(refused, " and the key ")
		}
		return "; look at the key"
	case u.provider.Name == llm.Local:
		return "; start it with `ollama serve`, or set OLLAMA_HOST"
	}
	return ""
}
