package alerts

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"breakwater/internal/llm"
	"breakwater/internal/record"
	"breakwater/internal/store"
)

// Defaults of Config.
const (
	// DefaultRetry is the first pause after a message that could not be sent.
	DefaultRetry = time.Second
	// DefaultMaxRetry caps the pause: a channel that is back is used within minutes.
	DefaultMaxRetry = 5 * time.Minute
	// DefaultPoll finds what a lost wake-up would leave behind.
	DefaultPoll = 5 * time.Second
	// DefaultSendTimeout bounds one message: Slack answers within a second or two.
	DefaultSendTimeout = 15 * time.Second
)

// CalmAfter ends a finding that led to no hold: the detector repeats it each
// minute while it lasts.
const CalmAfter = 3 * time.Minute

// saveRetry is the pause after an incident that could not be written.
const saveRetry = time.Second

// Config sets a Manager. Store and NextID are needed.
type Config struct {
	Store     *store.Store
	Channels  []Channel
	Routes    map[string]Route // by name of the channel; one without is told all but info, at once
	NextID    func(time.Time) record.ID
	PublicURL string // where people reach the page; "" where they cannot
	// Providers are those in use: when all of them are in trouble at once, it is
	// one incident, and with none left to serve it is critical. May be empty.
	Providers []llm.Provider
	// Impact tells what an incident meant for callers, of all providers together
	// for ""; nil where nothing does.
	Impact func(ctx context.Context, p llm.Provider, from, to time.Time) (record.Impact, error)
	// Changed is called after every change of an incident or a notice; it must
	// not block. May be nil.
	Changed func()
	Log     *slog.Logger // where a message that could not be sent is told; default slog.Default

	WellFor         time.Duration // until an incident is over; default DefaultWellFor
	Retry, MaxRetry time.Duration // default DefaultRetry, DefaultMaxRetry
	Poll            time.Duration // default DefaultPoll
	SendTimeout     time.Duration // default DefaultSendTimeout
}

// Manager keeps the incidents. Its methods may be called at any time, by
// several goroutines.
type Manager struct {
	cfg     Config
	queue   *queue
	endable atomic.Int32 // incidents that a served request may end
	lasting atomic.Int32 // incidents of providers
	wake    []chan struct{}
	asked   chan order    // from the desk
	stopped chan struct{} // closed when Run ends

	mu       sync.Mutex // guards what follows, which Run alone changes
	stories  map[subject]*story
	ended    map[subject]*story // a short while ago, so that they may go on
	silences []record.Silence   // that hold, or are to begin
	hurt     hurt

	unsaved  []saving  // Run's alone
	measured time.Time // when all figures were last looked at; Run's alone

	tests tests
}

// saving is an incident with what is to be told of it, on the way to the store.
type saving struct {
	story   *story
	notices []record.Notice
	since   time.Time // when it was first to be written
}

// NewManager makes a Manager. It does nothing until Run.
func NewManager(cfg Config) *Manager {
	cfg.WellFor = cmp.Or(cfg.WellFor, DefaultWellFor)
	cfg.Retry = cmp.Or(cfg.Retry, DefaultRetry)
	cfg.MaxRetry = cmp.Or(cfg.MaxRetry, DefaultMaxRetry)
	cfg.Poll = cmp.Or(cfg.Poll, DefaultPoll)
	cfg.SendTimeout = cmp.Or(cfg.SendTimeout, DefaultSendTimeout)
	if cfg.Changed == nil {
		cfg.Changed = func() {}
	}
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	m := &Manager{
		cfg: cfg, queue: newQueue(), stories: map[subject]*story{}, ended: map[subject]*story{},
		asked: make(chan order), stopped: make(chan struct{}),
	}
	for range cfg.Channels {
		m.wake = append(m.wake, make(chan struct{}, 1))
	}
	return m
}

// Signal takes one signal. It never blocks; Dropped counts what found no room.
func (m *Manager) Signal(s Signal) {
	if s.Kind == TargetServed && m.endable.Load() == 0 {
		return // every served request says so, and it would change nothing
	}
	if s.Kind == Rerouted && m.lasting.Load() == 0 {
		return
	}
	m.queue.put(s)
}

// Dropped counts the signals that were lost because the queue was full.
func (m *Manager) Dropped() uint64 { return m.queue.drops() }

// Open gives the incidents that are not over, pending ones too, oldest first.
func (m *Manager) Open() []record.Incident {
	m.mu.Lock()
	defer m.mu.Unlock()
	var all []record.Incident
	for _, s := range m.stories {
		all = append(all, s.snapshot())
	}
	slices.SortFunc(all, func(a, b record.Incident) int { return cmp.Compare(a.ID, b.ID) })
	return all
}

// Run takes up the incidents of before, then signals, and tells the channels,
// until ctx ends. The store must be running for as long.
func (m *Manager) Run(ctx context.Context) error {
	defer close(m.stopped)
	if err := m.takeUp(ctx); err != nil || ctx.Err() != nil {
		return err
	}
	var g errgroup.Group
	for i, c := range m.cfg.Channels {
		g.Go(func() error { m.newWorker(c, m.wake[i]).run(ctx); return nil })
	}
	g.Go(func() error { m.leaveBehind(ctx); return nil })
	g.Go(func() error { return m.listen(ctx) })
	return g.Wait()
}

// takeUp reads what was before the start.
func (m *Manager) takeUp(ctx context.Context) error {
	now := time.Now()
	lasting, err := m.cfg.Store.OpenIncidents(ctx)
	if err == nil {
		var recent []record.Incident
		recent, err = m.cfg.Store.Incidents(ctx, now.Add(-ReopenWithin), store.MaxLimit)
		lasting = append(lasting, recent...)
	}
	var silences []record.Silence
	if err == nil {
		silences, err = m.cfg.Store.Silences(ctx, now)
	}
	told := map[record.ID][]record.Notice{}
	for _, i := range lasting {
		if err == nil {
			told[i.ID], err = m.cfg.Store.Notices(ctx, i.ID)
		}
	}
	if ctx.Err() != nil {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read the incidents of before: %w", err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, i := range lasting { // newest first
		of, st := about(&i), restore(i)
		for _, n := range told[i.ID] {
			st.heard[n.Channel] = true
		}
		if last := cmp.Or(i.Ended, now); st.ofProviders() && i.Impact.Failed >= TrickleLeast && last.After(m.hurt.at) {
			m.hurt = hurt{last, st.heard}
		}
		switch {
		case i.State == record.Resolved && m.ended[of] == nil:
			m.ended[of] = st
		case i.State != record.Resolved && m.stories[of] == nil:
			m.stories[of] = st
			st.of = len(m.cfg.Providers)
		}
	}
	m.silences = silences
	m.forget(now)
	m.count()
	return nil
}

// forget lets go of providers in incidents of before that are no longer in use:
// nothing will show that they are well.
func (m *Manager) forget(now time.Time) {
	if len(m.cfg.Providers) == 0 {
		return
	}
	for of, st := range maps.Clone(m.stories) {
		before := len(st.unknown)
		maps.DeleteFunc(st.unknown, func(p llm.Provider, _ bool) bool { return !slices.Contains(m.cfg.Providers, p) })
		if st.Topic == record.TopicEverything {
			st.title()
		}
		if len(st.unknown) < before && !st.troubled() {
			m.settle(of, st, st.wellAgain(now, "It is about no provider any more that is set up."), now)
		}
	}
}

// listen takes signals until ctx ends, and then those that still wait.
func (m *Manager) listen(ctx context.Context) error {
	tick := time.NewTicker(saveRetry)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
			defer cancel()
			m.take()
			if err := m.save(last); err != nil {
				return fmt.Errorf("save incidents at the end: %w", err)
			}
			return nil
		case <-m.queue.ready:
			m.take()
		case o := <-m.asked:
			m.take()
			o.done <- m.carryOut(ctx, o)
			continue
		case now := <-tick.C:
			m.calm(now)
			m.take()
			m.look(now)
			if len(m.unsaved) == 0 {
				continue
			}
		}
		// What cannot be written now is kept and tried again; the store itself
		// reports that it is unwell.
		if m.save(ctx) != nil {
			m.tellUnwritten(ctx, time.Now())
		}
	}
}

// calm ends the findings that were not repeated for a while.
func (m *Manager) calm(now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, st := range m.stories {
		for target := range st.found {
			if now.Sub(st.foundAt[target]) < CalmAfter {
				continue
			}
			m.queue.put(Signal{At: now, Provider: target.Provider, Target: target, Kind: TroubleEnded, Text: "as usual again"})
		}
	}
}

// look moves on what time alone moves: recoveries, silences that ended, and
// what is no longer remembered.
func (m *Manager) look(now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	measure := now.Sub(m.measured) >= measureEvery
	if measure {
		m.measured = now
	}
	for of, st := range maps.Clone(m.stories) {
		m.settle(of, st, st.look(now, m.cfg.WellFor), now)
		m.noteHurt(st, now)
		m.unsilence(st, now)
		m.tellLate(st, now)
		if measure && st.State.Lasts() && st.measurable() {
			m.toSave(st, nil)
		}
	}
	if e := m.stories[everything]; e != nil {
		m.wellParts(e, now)
	}
	for of, st := range m.ended {
		if now.Sub(st.Ended) > ReopenWithin {
			delete(m.ended, of)
		}
	}
	m.silences = slices.DeleteFunc(m.silences, func(s record.Silence) bool { return !now.Before(s.Until) || !s.Ended.IsZero() })
	m.count()
}

// take lets all waiting signals act.
func (m *Manager) take() {
	for _, s := range m.queue.take() {
		m.act(s)
	}
}

// act lets one signal act on the incidents that it concerns.
func (m *Manager) act(s Signal) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, of := range s.subjects() {
		m.actOn(m.place(of, s), s)
	}
	m.count()
}

func (m *Manager) actOn(of subject, s Signal) {
	st := m.stories[of]
	if st == nil {
		if !begins(s) {
			return
		}
		st = begin(m.cfg.NextID(s.At), of, s.At)
		m.stories[of] = st
	}
	did := st.apply(s)
	if m.gather(st, did, s.At) {
		return
	}
	m.worsen(st, s.At)
	m.settle(of, st, did, s.At)
	m.noteHurt(st, s.At)
}

// settle has the store keep what happened to a story, and people told of it.
func (m *Manager) settle(of subject, st *story, did step, at time.Time) {
	var notices []record.Notice
	switch did {
	case nothing:
		if len(st.news) == 0 {
			return
		}
	case opened:
		st.news = nil
		kind := record.NoticeOpened
		if old := m.ended[of]; old != nil && at.Sub(old.Ended) <= ReopenWithin {
			st, kind = m.goOn(of, old, st, at), record.NoticeReopened
		}
		st.Silenced = m.covered(&st.Incident, st.parts, at)
		notices = m.notices(st, kind, "", at)
		if st.Topic == record.TopicErrorBudget && m.hurt.heard != nil && at.Sub(m.hurt.at) <= SameFailures {
			st.add(record.Event{At: at, Kind: silenceEvent, Text: "Whoever was told of the outage that uses it up is not told of it as well."})
		}
	case resolved:
		notices = m.notices(st, record.NoticeResolved, "", at)
	}
	for _, text := range st.news {
		notices = append(notices, m.notices(st, record.NoticeChanged, text, at)...)
	}
	st.news = nil
	m.toSave(st, notices)
	switch did {
	case resolved:
		m.ended[of] = st
		delete(m.stories, of)
	case dropped:
		delete(m.stories, of)
	}
}

// goOn has an incident that ended a short while ago go on, in the place of a
// new one about the same.
func (m *Manager) goOn(of subject, old, again *story, at time.Time) *story {
	if again.kept {
		again.State, again.Ended, again.Opened = record.Dropped, at, time.Time{}
		m.toSave(again, nil)
	}
	old.reopen(again, at)
	delete(m.ended, of)
	m.stories[of] = old
	return old
}

func (m *Manager) count() {
	endable, lasting := int32(0), int32(0)
	for _, s := range m.stories {
		if len(s.unknown) > 0 || s.Topic == record.TopicKey || s.Topic == record.TopicModel {
			endable++
		}
		if s.ofProviders() {
			lasting++
		}
	}
	m.endable.Store(endable)
	m.lasting.Store(lasting)
}

// toSave queues a story for the store, once however often it changes before.
func (m *Manager) toSave(st *story, notices []record.Notice) {
	st.kept = true
	for i := range m.unsaved {
		if m.unsaved[i].story == st {
			m.unsaved[i].notices = append(m.unsaved[i].notices, notices...)
			return
		}
	}
	m.unsaved = append(m.unsaved, saving{story: st, notices: notices, since: time.Now()})
}

// notices makes what channels are told. Of a silenced incident nobody is. Whoever
// was told of an incident hears how it goes on, also when it becomes worse than
// what the channel is for, or goes on as another provider's.
func (m *Manager) notices(st *story, kind record.NoticeKind, text string, at time.Time) []record.Notice {
	if st.Silenced {
		return nil
	}
	all := slices.DeleteFunc(m.route(&st.Incident, st.heard, kind, text, at), func(n record.Notice) bool { return m.needless(st, n, at) })
	for _, n := range all {
		st.heard[n.Channel] = true
	}
	return all
}

// needless says whether a channel that heard nothing of it need not be told of an
// error budget: it knows of the outage that uses it up, or it is over.
func (m *Manager) needless(st *story, n record.Notice, at time.Time) bool {
	if st.Topic != record.TopicErrorBudget || st.heard[n.Channel] {
		return false
	}
	return n.Kind == record.NoticeResolved || m.knows(st, n.Channel, at)
}

// save writes what changed, oldest first, incident and notices together. What
// cannot be written stays. A database that another program has locked takes
// seconds to say so; what follows would wait as long each, and signals with it,
// so it is left for the next time.
func (m *Manager) save(ctx context.Context) error {
	defer m.cfg.Changed()
	var failed []saving
	var errs []error
	for at, s := range m.unsaved {
		began := time.Now()
		m.measure(ctx, s.story)
		m.mu.Lock()
		incident := s.story.snapshot()
		m.mu.Unlock()
		if err := m.cfg.Store.SaveIncident(ctx, &incident, s.notices); err != nil {
			failed, errs = append(failed, s), append(errs, err)
			if time.Since(began) > saveRetry {
				failed = append(failed, m.unsaved[at+1:]...)
				break
			}
			continue
		}
		m.mu.Lock()
		s.story.Number = incident.Number
		m.mu.Unlock()
		for _, w := range m.wake {
			poke(w)
		}
	}
	m.unsaved = failed
	return errors.Join(errs...)
}

// next gives when what an incident is about is tried again; zero where that is
// not known.
func (m *Manager) next(i *record.Incident) time.Time {
	m.mu.Lock()
	defer m.mu.Unlock()
	if s := m.stories[about(i)]; s != nil {
		return s.next
	}
	return time.Time{}
}

func poke(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
