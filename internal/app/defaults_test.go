package app

import (
	"testing"

	"breakwater/internal/anomaly"
	"breakwater/internal/api"
	"breakwater/internal/config"
	"breakwater/internal/provider"
	"breakwater/internal/router"
	"breakwater/internal/store"
)

// The configuration states its defaults as text, the rooms theirs as values;
// they must be the same.
func TestTheConfigurationsDefaultsAreTheRoomsOwn(t *testing.T) {
	cfg, err := config.Load(config.Sources{LookupEnv: func(string) (string, bool) { return "", false }})
	if err != nil {
		t.Fatal(err)
	}
	for name, pair := range map[string][2]any{
		"breaker.failure_threshold": {cfg.Breaker.FailureThreshold, router.DefaultFailureThreshold},
		"breaker.recovery_timeout":  {cfg.Breaker.RecoveryTimeout, router.DefaultRecoveryTimeout},
		"retries.max":               {cfg.Retries.Max, router.DefaultRetries},
		"retries.backoff":           {cfg.Retries.Backoff, router.DefaultBackoff},
		"retries.patience":          {cfg.Retries.Patience, router.DefaultPatience},
		"recovery":                  {router.Recovery(cfg.Recovery), router.RecoverContinue},
		"limits.body_bytes":         {cfg.BodyBytes, int64(api.DefaultBodyLimit)},
		"anomaly.hold":              {cfg.Anomaly.Hold, anomaly.DefaultHold},
		"anomaly.canary":            {cfg.Anomaly.Canary, router.DefaultCanaryInterval},
		"the Watcher's canary":      {cfg.Anomaly.Canary, anomaly.DefaultCanary},
		"hedge.percent":             {cfg.Hedge, router.DefaultHedgeShare},
		"strategy":                  {router.Strategy(cfg.Strategy), router.Failover},
		"key_order":                 {cfg.Providers[0].KeyOrder, provider.InOrder},
		"pool.idle":                 {cfg.Providers[0].Pool.Idle, provider.MaxIdlePerHost},
		"pool.idle_time":            {cfg.Providers[0].Pool.IdleTime, provider.DefaultIdleTime},
		"pool.life_time":            {cfg.Providers[0].Pool.LifeTime, provider.DefaultLifeTime},
		"pool.ping":                 {cfg.Providers[0].Pool.Ping, provider.DefaultPing},
		"store.queue":               {cfg.StoreQueue, store.DefaultQueue},
		"store.durability":          {store.Durability(cfg.Durability), store.DefaultDurability},
		"anomaly.min_samples":       {cfg.Anomaly.MinSamples, anomaly.DefaultMinSamples},
		"store.retention": {retention(cfg), store.Retention{
			Traces: store.DefaultKeepTraces, Minutes: store.DefaultKeepMinutes, Hours: store.DefaultKeepHours, Days: store.DefaultKeepDays,
			Changes: store.DefaultKeepChanges, Incidents: store.DefaultKeepIncidents, Bytes: store.DefaultKeepBytes,
		}},
	} {
		if pair[0] != pair[1] {
			t.Errorf("%s is %v in the configuration and %v in its room", name, pair[0], pair[1])
		}
	}
}

func TestEveryDurabilityOfTheStoreCanBeConfigured(t *testing.T) {
	for _, d := range store.Durabilities() {
		cfg, err := config.Load(config.Sources{
			LookupEnv: func(name string) (string, bool) {
				return map[string]string{"BREAKWATER_CONFIG": "breakwater.yaml"}[name], name == "BREAKWATER_CONFIG"
			},
			ReadFile: func(string) ([]byte, error) {
				return []byte("store:\n  durability: " + string(d) + "\n"), nil // off is also a word for false in YAML
			},
		})
		if err != nil || store.Durability(cfg.Durability) != d {
			t.Errorf("%s: %v, %v", d, cfg, err)
		}
	}
}
