package app

import (
	"strings"
	"testing"

	"breakwater/internal/config"
	"breakwater/internal/llm"
	"breakwater/internal/sim"
)

func TestCheckNamesTheKeyThatIsRefused(t *testing.T) {
	s, err := sim.Start(llm.Gemini, sim.Options{Keys: []string{"a-good-key-9f3c"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	cfg, err := config.Load(config.Sources{
		ReadFile: func(string) ([]byte, error) {
			return []byte("providers:\n" +
				"  local: {enabled: false}\n" +
				"  gemini: {endpoints: [{base_url: '" + s.BaseURL() + "', keys: [{name: main, value: a-revoked-key-x7Qf}, {name: spare, value: a-good-key-9f3c}]}]}\n"), nil
		},
		LookupEnv: func(name string) (string, bool) {
			return map[string]string{"BREAKWATER_CONFIG": "b.yaml"}[name], name == "BREAKWATER_CONFIG"
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	well, err := Check(t.Context(), cfg, &out)
	if well || err != nil || !strings.Contains(out.String(), "look at the key main ····x7Qf") {
		t.Errorf("well %v, %v:\n%s", well, err, out.String())
	}
}
