package app

import (
	"context"
	"reflect"
	"time"

	"breakwater/internal/config"
	"breakwater/internal/record"
)

// watchKeys reads the providers' keys again when it is told, and as often as the
// configuration says. Requests under way keep the keys that they have.
func (a *App) watchKeys(ctx context.Context) error {
	var tick <-chan time.Time
	if refresh := a.cfg.Rotation.Refresh; refresh > 0 {
		ticker := time.NewTicker(refresh)
		defer ticker.Stop()
		tick = ticker.C
	}
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-a.opts.Reload:
			a.rereadKeys(ctx, true)
		case <-tick:
			a.rereadKeys(ctx, false)
		}
	}
}

// rereadKeys takes over the keys as they stand now. A fault leaves all as it was.
func (a *App) rereadKeys(ctx context.Context, file bool) {
	all, err := a.cfg.ReadKeys(ctx, file)
	if ctx.Err() != nil { // nobody needs them any more
		return
	}
	if err != nil {
		a.log.Error("the keys could not be read again; those before stay", "error", err)
		return
	}
	for _, keys := range all {
		a.takeOver(keys)
	}
	if file {
		a.log.Info("the keys were read again; all other settings wait for a restart")
	}
}

// takeOver gives an endpoint its keys, where they are others than before.
func (a *App) takeOver(keys config.Keys) {
	for _, u := range a.upstreams {
		if u.provider.Name != keys.Provider || u.endpoint.Name != keys.Endpoint || reflect.DeepEqual(u.keys, keys.Keys) {
			continue
		}
		if err := u.client.SetKeys(providerKeys(keys.Keys), a.cfg.Rotation.Overlap); err != nil {
			a.log.Error("the new keys were not taken over; those before stay", "provider", string(keys.Provider), "endpoint", keys.Endpoint, "error", err)
			continue
		}
		u.keys = keys.Keys
		a.flow.queue.Wake() // for whoever waits for the keys before to cool down
		var names []string
		for _, k := range u.client.KeyUses() {
			names = append(names, record.KeyLabel(k.Name, k.Last4))
		}
		a.log.Info("keys changed", "provider", string(keys.Provider), "endpoint", keys.Endpoint, "keys", names, "overlap", a.cfg.Rotation.Overlap)
	}
}
