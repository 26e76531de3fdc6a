package provider

import (
	"time"

	"breakwater/internal/llm"
	"breakwater/internal/traffic"
)

// Ask is what leave to send is asked for.
type Ask struct {
	Model string
	// Key is the name of the key whose account may hold the conversation's prompt
	// cache: it is taken where it can be. "" for none.
	Key string
	// Tokens gives about how many tokens the request will take, in and out. It is
	// called only where a limit on tokens is in force.
	Tokens func() int64
}

// Leave is leave to send one request: a usable key, and room within every
// limit. It is ended exactly once, with Done; the zero value does nothing.
type Leave struct {
	Key string // the key's name; "" where the provider needs none
}

// Done ends the leave with what the attempt used and how it failed, nil for one
// that did not. It frees the room and, where the failure speaks of the key, has
// the key cool down or taken out.
func (l *Leave) Done(used llm.Usage, f *llm.Failure) {}

// Busy says why there is no leave now.
type Busy struct {
	Wait time.Duration // until there may be; 0 where something else has to end first
	// NoKey says that no key will be usable before somebody does something, or
	// before a quota resets: waiting in line is of no use.
	NoKey  bool
	Detail string // in a few fixed words: "limited to 60 requests a minute"
}

// Admit asks for leave to send one request. One of the results is nil.
func (c *Client) Admit(ask Ask) (*Leave, *Busy) { return &Leave{}, nil }

// SetKeys takes over new keys, such as after a rotation. Requests under way
// keep theirs. A key that is gone serves on as a spare for the time of overlap,
// since a provider may take a while to know the new one. The error names the
// keys that are wrong; nothing is changed then.
func (c *Client) SetKeys(keys []Key, overlap time.Duration) error { return nil }

// KeyUses gives how the keys stand, in the order of the configuration.
func (c *Client) KeyUses() []KeyUse { return nil }

// PoolUse gives how the pool of connections stands.
func (c *Client) PoolUse() PoolUse { return PoolUse{} }

// ModelUses gives how the limits stand of the models that have some, configured
// or learned, by model.
func (c *Client) ModelUses() map[string]traffic.Use { return nil }
