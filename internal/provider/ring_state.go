package provider

import (
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"breakwater/internal/llm"
	"breakwater/internal/record"
	"breakwater/internal/redact"
	"breakwater/internal/traffic"
)

// What is waited for where the provider does not say.
const (
	// FirstCooling is how long a key cools down after a 429 that tells no wait.
	// It doubles with each further one up to LongestCooling: providers' limits are
	// counted by the minute, and refill all the time.
	FirstCooling   = 2 * time.Second
	LongestCooling = time.Minute
	// QuotaCheck is how soon a spent quota is asked for again whose reset nobody
	// knows: somebody may have paid meanwhile, and a refused call costs nothing.
	QuotaCheck = 10 * time.Minute
	// AccessCheck is how soon a model is asked for again that a key may not use.
	AccessCheck = 10 * time.Minute
	// RevokedCheck is how often a ping tries a key that was taken out.
	RevokedCheck = 5 * time.Minute
	// MaxModelsPerKey bounds the models whose limits are learned for each key.
	MaxModelsPerKey = 256
	// maxFormer bounds the secrets that are gone but still kept out of texts.
	maxFormer = 32
)

// keyRing gives out the keys of a client. Its lock is held for some comparisons
// only, never while a call or a listener is under way.
type keyRing struct {
	provider llm.Provider
	order    KeyOrder
	limit    *traffic.Limiter
	models   map[string]*traffic.Limiter
	onKey    func(record.KeyChange)

	secrets atomic.Pointer[[]string] // of all keys, former ones too

	mu      sync.Mutex
	turn    uint64 // counts admissions: what began before what
	keys    []*key // as configured
	spares  []*key // gone from the configuration, for the time of an overlap
	former  []string
	changes []record.KeyChange // not told yet
	telling bool
}

// key is one secret. Another secret under the same name is another key, so that
// what an old request tells of the old one does not touch it. The ring's lock
// guards all but secret and auth, which never change.
type key struct {
	secret string
	auth   []string // the header's value, shared by all calls
	last4  string
	bare   bool // stands for calls without a key

	name       string
	weight     int
	limits     traffic.Limits
	limiter    *traffic.Limiter
	spareUntil time.Time // zero while it is configured
	checked    time.Time // when a ping last tried it, taken out as it was

	standing // for all models
	models   map[string]*keyModel
	under    int64
	requests int64
	tokens   int64
	recent   lastMinute
	owed     int    // turns, in the order Weighted
	fits     uint64 // the turn in which it can be used
}

// keyModel is what is known of one model with one key.
type keyModel struct {
	name string
	standing
	learned *traffic.Limiter
	last    uint64 // the latest turn
	under   int64
	strikes int // 429s since a request was last taken up
}

// standing is how a key stands, for all its models or for one.
type standing struct {
	state  record.KeyState // "" is usable
	until  time.Time       // when it is tried again; zero where nobody knows
	reason string
	turn   uint64 // of the ring, when it was last taken out
	worked uint64 // the latest turn that was a success
}

func (s *standing) out() bool { return s.state != "" && s.state != record.KeyUsable }

// lastMinute counts requests in about the last minute: those of this minute,
// and of the one before the part that is not past yet.
type lastMinute struct {
	minute      int64
	now, before int64
}

func (m *lastMinute) turnTo(now time.Time) {
	switch minute := now.Unix() / 60; minute - m.minute {
	case 0:
	case 1:
		m.minute, m.now, m.before = minute, 0, m.now
	default:
		m.minute, m.now, m.before = minute, 0, 0
	}
}

func (m *lastMinute) add(now time.Time) {
	m.turnTo(now)
	m.now++
}

func (m *lastMinute) count(now time.Time) float64 {
	m.turnTo(now)
	return float64(m.now) + float64(m.before)*float64(60-now.Unix()%60)/60
}

// lessUsed compares requests under way, then those of the last minute.
func (k *key) lessUsed(than *key, now time.Time) bool {
	if k.under != than.under {
		return k.under < than.under
	}
	return k.recent.count(now) < than.recent.count(now)
}

// modelOf gives what is known of a model. Where there are too many, the one that
// was used longest ago is forgotten; where all are in use, nothing is learned.
func (k *key) modelOf(name string, turn uint64) *keyModel {
	m := k.models[name]
	if m == nil {
		m = &keyModel{name: name}
		if len(k.models) < MaxModelsPerKey || k.forget() {
			m.learned = traffic.NewLimiter(traffic.Limits{})
			k.models[name] = m
		}
	}
	m.last = turn
	return m
}

func (k *key) forget() bool {
	var oldest *keyModel
	for _, m := range k.models {
		if m.under == 0 && !m.out() && (oldest == nil || m.last < oldest.last) {
			oldest = m
		}
	}
	if oldest == nil {
		return false
	}
	delete(k.models, oldest.name)
	return true
}

// outOf gives what keeps a key from being used for a model now; nil for nothing.
// A quota or a refusal whose time is over is tried again, but stands until a
// success shows that it is over indeed: nobody is told of it twice.
func (r *keyRing) outOf(k *key, model string, now time.Time) *standing {
	if k.blocked(now) {
		return &k.standing
	}
	m := k.models[model]
	if m == nil {
		return nil
	}
	r.expire(k, m, now)
	if m.blocked(now) {
		return &m.standing
	}
	return nil
}

func (s *standing) blocked(now time.Time) bool {
	return s.out() && (s.until.IsZero() || now.Before(s.until))
}

// expire ends a model's cooling whose time is over.
func (r *keyRing) expire(k *key, m *keyModel, now time.Time) {
	if m.state == record.KeyCooling && !m.blocked(now) {
		r.change(k, m.name, &m.standing, record.KeyUsable, time.Time{}, "it has cooled down", now)
	}
}

// learn takes from a leave's end what it says of the key. A rate limit is one of
// the model with the key: that is how providers count.
func (r *keyRing) learn(l *Leave, now time.Time, f *llm.Failure) {
	k, m := l.key, l.model
	if f == nil {
		m.took(l.turn)
		r.succeeded(k, "", &k.standing, l.turn, now)
		r.succeeded(k, m.name, &m.standing, l.turn, now)
		return
	}
	s, model := &k.standing, ""
	if f.Class == llm.RateLimit || f.OfModel {
		s, model = &m.standing, m.name
	}
	to, until := meaning(f, now)
	// What a request says is old where a later one has succeeded since. One that
	// was under way when the key was taken out may only say something worse.
	since := l.turn > s.turn
	if to == record.KeyUsable || l.turn < s.worked || !since && severity(to) < severity(s.state) {
		return
	}
	if to == record.KeyCooling {
		switch {
		case since:
			until = m.refused(f, now, r.configured(k, m.name, now))
		case f.RetryAfter == 0 || !until.After(s.until): // one of many that were refused together
			return
		}
	}
	r.change(k, model, s, to, until, f.Error(), now)
}

// meaning is what a failure says of the key: how it stands now, and until when.
func meaning(f *llm.Failure, now time.Time) (record.KeyState, time.Time) {
	switch {
	case f.TooLarge: // says nothing of other requests
	case f.Class == llm.RateLimit:
		return record.KeyCooling, now.Add(min(f.RetryAfter, traffic.MaxBlock))
	case f.Class == llm.Quota:
		return record.KeyExhausted, renewal(f, now)
	case f.Class == llm.Auth && f.OfModel:
		return record.KeyRevoked, now.Add(AccessCheck)
	case f.Class == llm.Auth:
		return record.KeyRevoked, time.Time{}
	}
	return record.KeyUsable, time.Time{}
}

// configured gives how many requests a minute may go to a model with a key as the
// operator says; 0 where nothing bounds them.
func (r *keyRing) configured(k *key, model string, now time.Time) (least int64) {
	for _, l := range []*traffic.Limiter{r.limit, r.models[model], k.limiter} {
		if n := l.Use(now).Requests; n > 0 && (least == 0 || n < least) {
			least = n
		}
	}
	return least
}

// refused takes note of a 429, and says until when the model cools down: for no
// longer than traffic.MaxBlock, as its learned limit. configured are the requests a
// minute that may go as the operator says, 0 where nothing bounds them.
func (m *keyModel) refused(f *llm.Failure, now time.Time, configured int64) time.Time {
	m.learned.Refused(now, f.RetryAfter, configured)
	wait := min(f.RetryAfter, traffic.MaxBlock)
	if wait == 0 {
		wait = min(FirstCooling<<min(m.strikes, 8), LongestCooling)
	}
	m.strikes++
	return now.Add(wait)
}

// took takes note that a request was taken up, which one from before the last
// refusal says nothing of.
func (m *keyModel) took(turn uint64) {
	if m.turn < turn {
		m.strikes = 0
	}
}

// succeeded takes note of a success, which ends what was the matter before the
// request began.
func (r *keyRing) succeeded(k *key, model string, s *standing, turn uint64, now time.Time) {
	s.worked = max(s.worked, turn)
	if s.out() && s.turn < turn {
		r.change(k, model, s, record.KeyUsable, time.Time{}, "a request succeeded", now)
	}
}

// severity orders the states, the worst last.
func severity(s record.KeyState) int { return slices.Index(record.KeyStates(), s) }

// renewal says when a spent quota is worth asking for again. A short wait is
// not believed: Gemini tells one of the minute's limit beside a spent day, as in
// https://github.com/continuedev/continue/issues/11542 (2026-11).
func renewal(f *llm.Failure, now time.Time) time.Time {
	switch {
	case f.Resets.After(now):
		return f.Resets
	case f.RetryAfter >= QuotaCheck:
		return now.Add(f.RetryAfter)
	case f.Daily:
		return pacificMidnight(now)
	}
	return now.Add(QuotaCheck)
}

// pacificMidnight is when Gemini's quotas of a day start anew, see
// https://ai.google.dev/gemini-api/docs/rate-limits (2026-11). Where the system
// knows no time zones it is an hour late in summer.
func pacificMidnight(now time.Time) time.Time {
	zone, err := time.LoadLocation("America/Los_Angeles")
	if err != nil {
		zone = time.FixedZone("PST", -8*60*60)
	}
	y, m, d := now.In(zone).Date()
	return time.Date(y, m, d+1, 0, 0, 0, 0, zone).UTC()
}

// change notes how a key stands now, for a listener to be told: not of a spare,
// which is expected to end.
func (r *keyRing) change(k *key, model string, s *standing, to record.KeyState, until time.Time, reason string, now time.Time) {
	from := s.state
	if from == "" {
		from = record.KeyUsable
	}
	s.state, s.until, s.reason = to, until, ""
	if s.out() {
		s.turn, s.reason = r.turn, reason
	}
	if from != to && !k.bare && k.spareUntil.IsZero() && r.onKey != nil {
		r.changes = append(r.changes, record.KeyChange{
			At: now.UTC(), Provider: r.provider, Key: k.name, Last4: k.last4,
			From: from, To: to, Model: model, Until: until.UTC(), Reason: reason,
		})
	}
}

// unlock ends work on the ring, and tells of the changes that came of it: in
// order, and without the lock, so that the listener may look at the keys.
func (r *keyRing) unlock() {
	if len(r.changes) == 0 || r.telling {
		r.mu.Unlock()
		return
	}
	r.telling = true
	for len(r.changes) > 0 {
		changes := r.changes
		r.changes = nil
		r.mu.Unlock()
		for _, c := range changes {
			c.Reason = redact.Secrets(c.Reason, *r.secrets.Load()...)
			r.onKey(c)
		}
		r.mu.Lock()
	}
	r.telling = false
	r.mu.Unlock()
}

// countsTokens says whether a request's tokens matter to some limit.
func (r *keyRing) countsTokens(model string) bool {
	if r.limit.CountsTokens() || r.models[model].CountsTokens() {
		return true
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.ContainsFunc(r.keys, func(k *key) bool {
		m := k.models[model]
		return k.limiter.CountsTokens() || m != nil && m.learned.CountsTokens()
	})
}

// told takes over what an answer's headers tell of the provider's own limits.
func (l *Leave) told(h http.Header) {
	if l != nil && l.model != nil {
		l.model.learned.Told(time.Now(), h)
	}
}
