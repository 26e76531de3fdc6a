package alerts

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
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
	// Impact tells what an incident meant for callers; nil where nothing does.
	Impact func(ctx context.Context, p llm.Provider, from, to time.Time) (record.Impact, error)
	// Changed is called after every change of an incident or a notice; it must
	// not block. May be nil.
	Changed func()
	Log     *slog.Logger // where a message that could not be sent is told; default slog.Default

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
	wake    []chan struct{}

	mu      sync.Mutex // guards stories, which Run alone changes
	stories map[subject]*story

	unsaved []saving // Run's alone

	tests tests
}

// saving is an incident with what is to be told of it, on the way to the store.
type saving struct {
	story   *story
	notices []record.Notice
}

// NewManager makes a Manager. It does nothing until Run.
func NewManager(cfg Config) *Manager {
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
	m := &Manager{cfg: cfg, queue: newQueue(), stories: map[subject]*story{}}
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
	incidents, err := m.cfg.Store.OpenIncidents(ctx)
	if ctx.Err() != nil {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read open incidents: %w", err)
	}
	m.mu.Lock()
	for _, i := range incidents {
		m.stories[about(&i)] = restore(i)
	}
	m.count()
	m.mu.Unlock()
	var g errgroup.Group
	for i, c := range m.cfg.Channels {
		g.Go(func() error { m.newWorker(c, m.wake[i]).run(ctx); return nil })
	}
	g.Go(func() error { m.leaveBehind(ctx); return nil })
	g.Go(func() error { return m.listen(ctx) })
	return g.Wait()
}

// listen takes signals until ctx ends, and then those that still wait.
func (m *Manager) listen(ctx context.Context) error {
	retry := time.NewTicker(saveRetry)
	defer retry.Stop()
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
		case now := <-retry.C:
			m.calm(now)
			m.take()
			if len(m.unsaved) == 0 {
				continue
			}
		}
		// What cannot be written now is kept and tried again; the store itself
		// reports that it is unwell.
		_ = m.save(ctx)
	}
}

// calm ends the findings that were not repeated for a while.
func (m *Manager) calm(now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for of, st := range m.stories {
		if now.Sub(st.foundAt) < CalmAfter {
			continue
		}
		for target := range st.found {
			m.queue.put(Signal{At: now, Provider: of.provider, Target: target, Kind: TroubleEnded, Text: "as usual again"})
		}
	}
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
		m.actOn(of, s)
	}
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
	m.count()
	switch did {
	case nothing:
		return
	case opened:
		m.toSave(st, m.notices(st, record.NoticeOpened, s.At))
	case resolved:
		m.toSave(st, m.notices(st, record.NoticeResolved, s.At))
	default:
		m.toSave(st, nil)
	}
	if did == resolved || did == dropped {
		delete(m.stories, of)
		m.count()
	}
}

func (m *Manager) count() {
	n := int32(0)
	for _, s := range m.stories {
		if s.restored || !s.Whole() {
			n++
		}
	}
	m.endable.Store(n)
}

// toSave queues a story for the store, once however often it changes before.
func (m *Manager) toSave(st *story, notices []record.Notice) {
	for i := range m.unsaved {
		if m.unsaved[i].story == st {
			m.unsaved[i].notices = append(m.unsaved[i].notices, notices...)
			return
		}
	}
	m.unsaved = append(m.unsaved, saving{story: st, notices: notices})
}

func (m *Manager) notices(st *story, kind record.NoticeKind, at time.Time) []record.Notice {
	return m.route(&st.Incident, kind, "", at)
}

// save writes what changed, oldest first, incident and notices together. What
// cannot be written stays.
func (m *Manager) save(ctx context.Context) error {
	defer m.cfg.Changed()
	var failed []saving
	var errs []error
	for _, s := range m.unsaved {
		m.mu.Lock()
		incident := s.story.snapshot()
		m.mu.Unlock()
		if err := m.cfg.Store.SaveIncident(ctx, &incident, s.notices); err != nil {
			failed, errs = append(failed, s), append(errs, err)
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
