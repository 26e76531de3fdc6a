// Package alerts turns signals into incidents and incidents into messages.
// A Manager keeps one incident for each provider in trouble, for each of its
// keys and models that is lost, and for each condition that others raise, in the
// store; several providers in trouble for one cause have one together. A worker
// for each channel tells of it, at least once and in order.
package alerts

import (
	"time"

	"breakwater/internal/llm"
	"breakwater/internal/record"
)

// SignalKind says what a signal tells.
type SignalKind string

// The kinds of signal.
const (
	BreakerOpened      SignalKind = "breaker_opened"
	BreakerProbeFailed SignalKind = "breaker_probe_failed" // half-open, and open again
	BreakerClosed      SignalKind = "breaker_closed"
	HoldPlaced         SignalKind = "hold_placed"
	HoldEnded          SignalKind = "hold_ended"
	TroubleFound       SignalKind = "trouble_found"    // the detector's finding that led to no hold; repeated while it lasts
	TroubleEnded       SignalKind = "trouble_ended"    // such a finding was not repeated for CalmAfter
	CallerFailed       SignalKind = "caller_failed"    // a request that had tried the provider failed for its caller
	Rerouted           SignalKind = "rerouted"         // another provider served a request that the provider should have served
	TrafficReturned    SignalKind = "traffic_returned" // a held target gets another share of its traffic, of which none is one
	TargetServed       SignalKind = "target_served"    // a request or a probe went well
	KeyLost            SignalKind = "key_lost"         // the provider refuses a key, or it is out of quota
	KeyBack            SignalKind = "key_back"         // such a key works again
	ModelMissing       SignalKind = "model_missing"    // the provider does not have a model of the configuration
	Removed            SignalKind = "removed"          // a key or model is no longer in the configuration
	Raised             SignalKind = "raised"           // a condition of Topic and Name holds; may be repeated while it does, with new words
	Cleared            SignalKind = "cleared"          // it does no longer
)

// Signal is one thing that may begin, confirm or end an incident.
type Signal struct {
	At       time.Time
	Provider llm.Provider
	Target   llm.Target
	Kind     SignalKind
	Text     string    // why, in plain words
	Slow     bool      // of HoldPlaced and TroubleFound: it answers, but slowly
	Matters  bool      // of TroubleFound: it would have been a hold
	Next     time.Time // when the target is tried again; zero where that is not known
	Requests int64     // of CallerFailed and Rerouted: how many there were; 0 is one

	// Key is the name of the one that it is about, at the endpoint of Target and
	// for its Model, where there is one, alone. Of TargetServed it is the one that
	// was used. Last4 are the last characters of its secret, of KeyLost.
	Key, Last4 string
	State      record.KeyState // of KeyLost: KeyRevoked or KeyExhausted
	// Serving says of KeyLost and ModelMissing who serves instead, in plain words.
	Serving string
	// Of Raised and Cleared: what kind of condition it is, of what, how bad, and
	// what the incident is called. Provider and Target are zero where it is no
	// provider's. The incident opens at once.
	Topic    record.Topic
	Name     string // of the budget, caller or objective
	Severity record.Severity
	Title    string
	// Asked is when the request of TargetServed was sent: one that was under way
	// when a key was lost does not show that the key works.
	Asked time.Time
}

// part gives the key or model that the signal is about.
func (s Signal) part() subject {
	of := subject{topic: record.TopicModel, provider: s.Provider, endpoint: s.Target.Endpoint, key: s.Key, model: s.Target.Model}
	if s.Key != "" {
		of.topic = record.TopicKey
	}
	return of
}

// subjects lists whose incidents the signal acts on.
func (s Signal) subjects() []subject {
	switch s.Kind {
	case KeyLost, KeyBack, ModelMissing, Removed:
		return []subject{s.part()}
	case TargetServed:
		used := s.part()
		key, model := used, used
		key.model, model.key, model.topic = "", "", record.TopicModel
		return []subject{whole(s.Provider), used, key, model}
	case Raised, Cleared:
		if s.Topic == record.TopicProvider {
			break // it joins the provider's own
		}
		return []subject{{
			topic: s.Topic, provider: s.Provider, endpoint: s.Target.Endpoint, key: s.Key, model: s.Target.Model, name: s.Name,
		}}
	}
	return []subject{whole(s.Provider)}
}

// ofRequest says whether a request brought the signal, so that there may be
// many.
func (s Signal) ofRequest() bool {
	return s.Kind == CallerFailed || s.Kind == Rerouted || s.Kind == TargetServed || s.Kind == ModelMissing
}
