package provider

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"breakwater/internal/llm"
	"breakwater/internal/record"
	"breakwater/internal/traffic"
)

// newKeyRing makes the ring of a client's keys. An upstream that needs no key
// is asked with one that is none, so that it too can cool down.
func newKeyRing(cfg Config) *keyRing {
	r := &keyRing{provider: cfg.Provider, order: cfg.KeyOrder, limit: cfg.Limit, onKey: cfg.OnKey, models: make(map[string]*traffic.Limiter, len(cfg.ModelLimits))}
	for model, limits := range cfg.ModelLimits {
		r.models[model] = traffic.NewLimiter(limits)
	}
	r.set(cfg.Keys, 0, time.Now())
	return r
}

// checkKeys gives an error for each key that cannot be one. None holds a secret.
func checkKeys(keys []Key) (errs []error) {
	for i, k := range keys {
		if k.Secret == "" || strings.ContainsFunc(k.Secret, func(r rune) bool { return r <= ' ' || r > '~' }) {
			errs = append(errs, fmt.Errorf("keys[%d]: %q is empty or has characters that no key has, such as spaces", i, k.Name))
		}
		if k.Weight < 0 {
			errs = append(errs, fmt.Errorf("keys[%d].weight: must not be negative", i))
		}
		if slices.ContainsFunc(keys[:i], func(other Key) bool { return other.Secret == k.Secret && k.Secret != "" }) {
			errs = append(errs, fmt.Errorf("keys[%d]: %q is the same secret as another's", i, k.Name))
		}
	}
	return errs
}

// SetKeys takes over new keys, such as after a rotation. Requests under way
// keep theirs. A key that is gone serves on as a spare for the time of overlap,
// since a provider may take a while to know the new one. The error names the
// keys that are wrong; nothing is changed then.
func (c *Client) SetKeys(keys []Key, overlap time.Duration) error {
	errs := checkKeys(keys)
	if len(keys) == 0 && c.provider != llm.Local {
		errs = append(errs, fmt.Errorf("keys: %s needs one", c.provider.Title()))
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	c.ring.mu.Lock()
	defer c.ring.unlock()
	c.ring.set(keys, overlap, time.Now())
	return nil
}

// set takes over the keys. One whose secret is known keeps how it stands.
func (r *keyRing) set(keys []Key, overlap time.Duration, now time.Time) {
	before := slices.Concat(r.keys, r.spares)
	r.keys, r.spares = nil, nil
	for _, conf := range keys {
		k := newKey(r.provider, conf.Secret)
		if i := slices.IndexFunc(before, func(k *key) bool { return k.secret == conf.Secret && !k.bare }); i >= 0 {
			k = before[i]
			before = slices.Delete(before, i, i+1)
			if !k.spareUntil.IsZero() { // what became of the spare was told to nobody
				k.standing, k.models = standing{worked: r.turn + 1}, make(map[string]*keyModel)
			}
		}
		if k.limiter == nil || k.limits != conf.Limits {
			k.limits, k.limiter = conf.Limits, traffic.NewLimiter(conf.Limits)
		}
		k.name, k.weight, k.spareUntil = conf.Name, max(conf.Weight, 1), time.Time{}
		r.keys = append(r.keys, k)
	}
	for _, k := range before {
		if k.bare {
			continue
		}
		if k.spareUntil.IsZero() {
			r.gone(k, now)
			k.spareUntil = now.Add(overlap)
		}
		if now.Before(k.spareUntil) {
			r.spares = append(r.spares, k)
		}
		if !slices.Contains(r.former, k.secret) {
			r.former = append(r.former, k.secret)
		}
	}
	r.former = r.former[max(0, len(r.former)-maxFormer):]
	if len(keys) == 0 && r.provider == llm.Local {
		k := newKey(r.provider, "")
		k.bare, k.weight = true, 1
		if len(before) > 0 && before[0].bare {
			k = before[0]
		}
		r.keys = []*key{k}
	}
	secrets := slices.Clone(r.former)
	for _, k := range r.keys {
		if !k.bare {
			secrets = append(secrets, k.secret)
		}
	}
	r.secrets.Store(&secrets)
}

// gone tells that the trouble of a key has ended with it: nobody is to go on
// looking after it.
func (r *keyRing) gone(k *key, now time.Time) {
	end := func(model string, s *standing) {
		if s.out() {
			was := *s
			r.change(k, model, s, record.KeyUsable, time.Time{}, "it is no longer configured", now)
			*s = was // as a spare, it stands as before
		}
	}
	end("", &k.standing)
	for name, m := range k.models {
		end(name, &m.standing)
	}
}

func newKey(p llm.Provider, secret string) *key {
	k := &key{secret: secret, auth: []string{secret}, models: make(map[string]*keyModel)}
	if p != llm.Claude && p != llm.Gemini {
		k.auth[0] = "Bearer " + secret
	}
	if len(secret) >= minShown {
		k.last4 = secret[len(secret)-4:]
	}
	return k
}

// minShown is how long a secret must be for its last four characters to tell
// nothing of the rest.
const minShown = 12

// first gives the key for calls without leave: the first that can be used, else
// the first; nil without any.
func (r *keyRing) first() *key {
	now := time.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, keys := range [][]*key{r.keys, r.spares} {
		for _, k := range keys {
			if !k.blocked(now) {
				return k
			}
		}
	}
	if len(r.keys) == 0 {
		return nil
	}
	return r.keys[0]
}

// revoked gives the keys that were taken out and that it is time to try, and
// notes that they are tried now.
func (r *keyRing) revoked(now time.Time) (all []*key) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, k := range r.keys {
		if k.state == record.KeyRevoked && now.Sub(k.checked) >= RevokedCheck {
			k.checked = now
			all = append(all, k)
		}
	}
	return all
}

// refuses takes a key out where a ping's failure says that the provider refuses
// it as a whole, and says whether it does. What lists no models for want of a
// scope may serve requests all the same.
func (r *keyRing) refuses(k *key, err error) bool {
	f, ok := llm.AsFailure(err)
	if k == nil || !ok || f.Class != llm.Auth || f.OfModel {
		return false
	}
	now := time.Now()
	r.mu.Lock()
	defer r.unlock()
	k.checked = now
	if k.state != record.KeyRevoked {
		r.change(k, "", &k.standing, record.KeyRevoked, time.Time{}, f.Error(), now)
	}
	return true
}

// isOut says whether a key cannot be used now.
func (r *keyRing) isOut(k *key) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return k.blocked(time.Now())
}

// takes notes that the provider takes a key.
func (r *keyRing) takes(k *key) {
	r.mu.Lock()
	defer r.unlock()
	if k.state == record.KeyRevoked {
		r.change(k, "", &k.standing, record.KeyUsable, time.Time{}, "the provider takes it again", time.Now())
		k.worked = r.turn + 1 // what is under way was refused before
	}
}

// KeyUses gives how the keys stand, in the order of the configuration.
func (c *Client) KeyUses() []KeyUse {
	now := time.Now()
	r := c.ring
	r.mu.Lock()
	defer r.unlock()
	var all []KeyUse
	for _, k := range r.keys {
		if k.bare {
			continue
		}
		u := KeyUse{
			Name: k.name, Last4: k.last4, State: record.KeyUsable,
			Requests: k.requests, Tokens: k.tokens, Under: k.under, Limits: k.limiter.Use(now),
		}
		worst := func(s *standing, model string) {
			if !s.out() || severity(s.state) < severity(u.State) || s.state == u.State && !s.until.Before(u.Until) {
				return
			}
			u.State, u.Until, u.Reason = s.state, s.until.UTC(), s.reason
			if model != "" {
				u.Reason = model + ": " + s.reason
			}
		}
		for name, m := range k.models {
			r.expire(k, m, now)
			worst(&m.standing, name)
		}
		if k.out() {
			u.State, u.Until, u.Reason = k.state, k.until.UTC(), k.reason
		}
		all = append(all, u)
	}
	return all
}

// ModelUses gives how the limits stand of the models that have some, configured
// or learned, by model. What is learned of several keys is added up. A model that
// the endpoint was never asked for is left out: most have it not at all.
func (c *Client) ModelUses() map[string]traffic.Use {
	now := time.Now()
	r := c.ring
	r.mu.Lock()
	defer r.unlock()
	all := make(map[string]traffic.Use)
	for _, k := range r.keys {
		for name, m := range k.models {
			u := m.learned.Use(now)
			if u.Allowed == 0 {
				continue
			}
			sum := all[name]
			sum.Allowed += u.Allowed
			sum.Under += u.Under
			sum.RequestsLeft += u.RequestsLeft
			sum.TokensLeft += u.TokensLeft
			all[name] = sum
		}
	}
	for name, limiter := range r.models {
		if !slices.ContainsFunc(r.keys, func(k *key) bool { return k.models[name] != nil }) {
			continue
		}
		u := limiter.Use(now)
		if learned := all[name]; learned.Allowed > 0 && (u.Allowed == 0 || learned.Allowed < u.Allowed) {
			u.Allowed, u.RequestsLeft, u.TokensLeft = learned.Allowed, learned.RequestsLeft, learned.TokensLeft
		}
		all[name] = u
	}
	return all
}
