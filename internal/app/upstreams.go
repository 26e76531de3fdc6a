package app

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"breakwater/internal/api"
	"breakwater/internal/config"
	"breakwater/internal/llm"
	"breakwater/internal/provider"
	"breakwater/internal/record"
	"breakwater/internal/router"
	"breakwater/internal/traffic"
	"breakwater/web"
)

// upstream is one configured endpoint and its client.
type upstream struct {
	provider config.Provider
	endpoint config.Endpoint
	client   *provider.Client
	keys     []config.APIKey  // as they stand now; for whoever reads them again
	limit    *traffic.Limiter // of the whole provider; nil for none
}

// newUpstreams makes a client for every endpoint. hop is this instance's token
// in the header that stops loops; "" sends none. changed hears of changes of keys.
func newUpstreams(cfg *config.Config, hop string, changed func(record.KeyChange)) ([]*upstream, error) {
	var all []*upstream
	for _, p := range cfg.Providers {
		var limit *traffic.Limiter
		if p.Limits != (traffic.Limits{}) {
			limit = traffic.NewLimiter(p.Limits)
		}
		for _, e := range p.Endpoints {
			pc := provider.Config{
				Provider: p.Name, BaseURL: e.BaseURL, ConnectTimeout: p.Timeouts.Connect, Hop: hop, Responses: e.Responses, Pool: p.Pool,
				Keys: providerKeys(e.Keys), KeyOrder: p.KeyOrder, Limit: limit, ModelLimits: cfg.Models,
				OnKey: func(change record.KeyChange) {
					change.Endpoint = e.Name
					changed(change)
				},
			}
			client, err := provider.New(pc)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", p.Name, err)
			}
			all = append(all, &upstream{provider: p, endpoint: e, client: client, keys: e.Keys, limit: limit})
		}
	}
	return all, nil
}

func providerKeys(keys []config.APIKey) []provider.Key {
	var all []provider.Key
	for _, k := range keys {
		all = append(all, provider.Key{Name: k.Name, Secret: k.Secret.Reveal(), Weight: k.Weight, Limits: k.Limits})
	}
	return all
}

// callers lists who may call; the holder of api_key is the caller "default".
func callers(cfg *config.Config) []api.Caller {
	var all []api.Caller
	if cfg.APIKey.Set() {
		all = append(all, api.Caller{Name: "default", Key: cfg.APIKey.Reveal()})
	}
	for _, c := range cfg.Callers {
		all = append(all, api.Caller{Name: c.Name, Key: c.Key.Reveal(), Priority: c.Priority, Capped: c.Capped, Limits: c.Limits})
	}
	return all
}

// usable says whether requests may go there.
func (u *upstream) usable() bool { return u.provider.Enabled && u.endpoint.Missing == "" }

func endpoints(upstreams []*upstream) []router.Endpoint {
	var all []router.Endpoint
	for _, u := range upstreams {
		t := u.provider.Timeouts
		e := router.Endpoint{
			Provider: u.provider.Name, Name: u.endpoint.Name, Upstream: u.client,
			DefaultModel: u.provider.DefaultModel, Models: u.endpoint.Models,
			Timeouts: router.Timeouts{Headers: t.Headers, FirstToken: t.FirstToken, Patient: !t.Adaptive, Silence: t.Silence, Answer: t.Answer, SlowShare: t.SlowShare},
		}
		switch {
		case !u.provider.Enabled:
			e.Unusable, e.Detail = record.VerdictProviderDisabled, "disabled in the configuration"
		case u.endpoint.Missing != "":
			e.Unusable, e.Detail = record.VerdictNoUsableKey, u.endpoint.Missing
		}
		all = append(all, e)
	}
	return all
}

// stored lists who keeps answers of /v1/responses itself.
func stored(upstreams []*upstream) []api.Stored {
	var all []api.Stored
	for _, u := range upstreams {
		if u.usable() && u.client.KeepsAnswers() {
			all = append(all, u.client)
		}
	}
	return all
}

func routes(cfg *config.Config) []router.Route {
	var all []router.Route
	for _, r := range cfg.Routes {
		all = append(all, router.Route{
			Name: r.Name, Models: r.Models, Targets: r.Targets, Strategy: router.Strategy(r.Strategy), Weights: r.Weights, Hedge: r.Hedge,
		})
	}
	return all
}

// usable lists the providers that requests may go to.
func usable(cfg *config.Config) []llm.Provider {
	var all []llm.Provider
	for _, p := range cfg.Providers {
		if p.Usable() {
			all = append(all, p.Name)
		}
	}
	return all
}

// chain lists all providers in the order in which they are tried, those
// outside the chain last.
func chain(cfg *config.Config) []llm.Provider {
	order := slices.Clone(cfg.Chain)
	for _, p := range llm.Providers() {
		if !slices.Contains(order, p) {
			order = append(order, p)
		}
	}
	return order
}

func defaultModels(cfg *config.Config) map[llm.Provider]string {
	models := make(map[llm.Provider]string)
	for _, p := range cfg.Providers {
		models[p.Name] = p.DefaultModel
	}
	return models
}

// missing says what would set up each provider that is not.
func missing(cfg *config.Config) map[llm.Provider]string {
	all := make(map[llm.Provider]string)
	for _, p := range cfg.Providers {
		switch {
		case p.Usable():
		case !p.Enabled:
			all[p.Name] = ""
		default:
			all[p.Name] = strings.TrimPrefix(p.Endpoints[0].Missing, "set ")
		}
	}
	return all
}

func budgets(cfg *config.Config) []budget {
	var all []budget
	for _, b := range cfg.Budgets {
		whose := "All providers"
		if b.Provider != "" {
			whose = b.Provider.Title()
		}
		all = append(all, budget{name: cmp.Or(b.Name, whose), provider: b.Provider, period: web.Period(b.Period), amount: b.Limit})
	}
	return all
}
