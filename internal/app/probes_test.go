package app

import (
	"errors"
	"testing"

	"breakwater/internal/config"
	"breakwater/internal/llm"
	"breakwater/internal/monitor"
	"breakwater/internal/price"
	"breakwater/internal/record"
	"breakwater/internal/sim"
)

func TestAPaidProbeIsATinyRequestWithAPrice(t *testing.T) {
	for _, p := range []llm.Provider{llm.Gemini, llm.Claude, llm.OpenAI} {
		s, err := sim.Start(p, sim.Options{})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(s.Close)
		cfg := config.Provider{Name: p, Enabled: true, DefaultModel: map[llm.Provider]string{
			llm.Gemini: config.DefaultGeminiModel, llm.Claude: config.DefaultClaudeModel, llm.OpenAI: config.DefaultOpenAIModel,
		}[p], Endpoints: []config.Endpoint{{BaseURL: s.BaseURL(), Keys: []config.APIKey{{Name: "main", Secret: config.NewSecret("a-key-of-tests")}}}}}
		upstreams, err := newUpstreams(&config.Config{Providers: []config.Provider{cfg}}, "", func(record.KeyChange) {})
		if err != nil {
			t.Fatal(err)
		}
		u := upstreams[0]
		t.Cleanup(u.client.Close)
		cost, err := u.complete(price.Default())(t.Context())
		// A tenth of a cent is 10 times what the dearest of the defaults asks for 20 tokens.
		if err != nil || cost <= 0 || cost.Dollars() > 0.001 {
			t.Errorf("%s: cost %v, %v", p, cost.Dollars(), err)
		}
		if uses := u.client.KeyUses(); uses[0].Requests != 1 || uses[0].Under != 0 {
			t.Errorf("%s: %+v", p, uses)
		}
	}
}

func TestAPaidProbeWaitsWhereThereIsNoRoom(t *testing.T) {
	cfg := config.Provider{Name: llm.Gemini, Enabled: true, DefaultModel: "m", Endpoints: []config.Endpoint{{BaseURL: "http://127.0.0.1:1"}}}
	upstreams, err := newUpstreams(&config.Config{Providers: []config.Provider{cfg}}, "", func(record.KeyChange) {})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(upstreams[0].client.Close)
	if cost, err := upstreams[0].complete(price.Default())(t.Context()); !errors.Is(err, monitor.ErrNoRoom) || cost != 0 {
		t.Errorf("%v, %v", cost, err)
	}
}
