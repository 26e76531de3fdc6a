package alerts

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"time"

	"breakwater/internal/record"
)

// remindEvery is how often a worker looks whether somebody is to be reminded.
const remindEvery = time.Minute

// worker sends the notices of one channel, in order for each incident. All that
// must outlive a restart is in the store.
type worker struct {
	*Manager
	channel Channel
	route   Route
	wake    <-chan struct{}

	fresh   bool        // nothing was tried since the start: what failed before is due
	rest    time.Time   // the channel is left alone until then
	refused bool        // since a person must mend it: a test may look whether somebody did
	told    []time.Time // of the messages of the last minute
	looked  time.Time   // when reminders were looked for
}

// item is an incident of which the channel is to be told something.
type item struct {
	notice   record.Notice // the oldest that is not sent
	incident record.Incident
	held     bool // in quiet hours, or for the digest
}

func (m *Manager) newWorker(c Channel, wake <-chan struct{}) *worker {
	return &worker{Manager: m, channel: c, route: m.cfg.Routes[c.Name()], wake: wake, fresh: true}
}

// run sends until ctx ends.
func (w *worker) run(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-w.wake:
		case <-timer.C:
		}
		wait := w.cfg.Poll
		if next := w.round(ctx); !next.IsZero() {
			wait = min(wait, max(0, time.Until(next)))
		}
		timer.Reset(wait)
	}
}

// round sends what is due, and gives when to look again; zero where nothing is
// known of that.
func (w *worker) round(ctx context.Context) time.Time {
	w.remind(ctx)
	// A store that cannot be read is asked again after a while; it reports
	// itself that it is unwell.
	single, held, next, err := w.due(ctx)
	if err != nil {
		return time.Time{}
	}
	w.fresh = false
	if d, ok := w.channel.(Digester); ok && w.route.Rate > 0 {
		switch room := w.room(); {
		case room <= 0 && len(single)+len(held) > 0:
			return w.told[0].Add(time.Minute)
		case len(single) > room:
			return w.together(ctx, d, append(single, held...), true)
		}
	}
	for _, i := range single {
		if ctx.Err() != nil || !w.tell(ctx, i) {
			return w.rest
		}
		next = sooner(next, time.Now()) // what follows of the same incident
	}
	if len(held) == 0 {
		return next
	}
	if d, ok := w.channel.(Digester); ok && len(held) > 1 {
		return sooner(next, w.together(ctx, d, held, false))
	}
	for _, i := range held {
		if ctx.Err() != nil || !w.lastState(ctx, i) {
			return w.rest
		}
	}
	return next
}

// due gives what is to be told now, what of it was held back apart, and when
// the next of the others is due.
func (w *worker) due(ctx context.Context) (single, held []item, next time.Time, err error) {
	now := time.Now()
	resting := now.Before(w.rest)
	if resting && !w.refused {
		return nil, nil, w.rest, nil
	}
	notices, err := w.cfg.Store.DueNotices(ctx, w.channel.Name(), now.Add(longestHeld), maxDue)
	if err != nil {
		return nil, nil, next, err
	}
	ids := make([]record.ID, len(notices))
	for n := range notices {
		ids[n] = notices[n].Incident
	}
	found, err := w.cfg.Store.IncidentsByID(ctx, ids)
	if err != nil {
		return nil, nil, next, err
	}
	incidents := make(map[record.ID]record.Incident, len(found))
	for _, i := range found {
		incidents[i.ID] = i
	}
	for _, n := range notices {
		it, at := w.weigh(n, incidents[n.Incident])
		test := n.Kind == record.NoticeTest
		switch {
		case resting && !test:
			next = sooner(next, w.rest)
		case at.After(now):
			next = sooner(next, at)
		case it.held:
			held = append(held, it)
		default:
			single = append(single, it)
		}
	}
	return single, held, next, nil
}

// weigh gives when a notice is due. One that was never tried is due when the
// route says so of the incident as it is now: what became critical waits no longer.
func (w *worker) weigh(n record.Notice, i record.Incident) (item, time.Time) {
	if n.Kind == record.NoticeTest {
		return item{notice: n, incident: i}, n.NextTry
	}
	at := w.route.due(&i, n.Created)
	it := item{notice: n, incident: i, held: at.After(n.Created)}
	switch {
	case n.Attempts > 0 && w.fresh:
		at = time.Now()
	case n.Attempts > 0:
		at = n.NextTry
	}
	return it, at
}

// room gives how many messages may go now.
func (w *worker) room() int {
	for len(w.told) > 0 && time.Since(w.told[0]) >= time.Minute {
		w.told = w.told[1:]
	}
	return w.route.Rate - len(w.told)
}

// tell tells what is due of an incident: nobody is to be woken by what is over by
// the time that the channel can be told. Programs may keep account of what happened, so
// that a webhook is told of each step.
func (w *worker) tell(ctx context.Context, i item) bool {
	if i.notice.Kind != record.NoticeTest && w.channel.Kind() != webhookKind {
		return w.lastState(ctx, i)
	}
	all, err := w.cfg.Store.Notices(ctx, i.incident.ID)
	return err == nil && w.tellOne(ctx, i, all, []record.Notice{i.notice}, i.notice.Kind)
}

// tellOne tells one incident, of which all are the notices, and notes the result in
// those that this tells. It says whether the channel is still to be used.
func (w *worker) tellOne(ctx context.Context, i item, all, tells []record.Notice, kind record.NoticeKind) bool {
	last := tells[len(tells)-1]
	last.Kind, last.Text = kind, news(tells, kind)
	msg := w.message(ctx, last, i.incident, all)
	var receipt string
	err := w.send(ctx, func(ctx context.Context) (err error) {
		receipt, err = w.channel.Send(ctx, msg)
		return err
	})
	return w.note(ctx, tells, func(record.Notice) string { return receipt }, err, msg.Incident.Number)
}

// unsent gives the channel's notices of an incident that were not sent, and in
// which kind of message its last state is told.
func (w *worker) unsent(ctx context.Context, i item) (all, open []record.Notice, kind record.NoticeKind, err error) {
	if all, err = w.cfg.Store.Notices(ctx, i.incident.ID); err != nil {
		return nil, nil, "", err
	}
	before := false
	for _, n := range all {
		switch {
		case n.Channel != w.channel.Name():
		case n.Sent.IsZero():
			open = append(open, n)
		default:
			before = true
		}
	}
	open = seen(open, i.incident.State)
	kind = open[len(open)-1].Kind
	switch {
	case i.incident.State == record.Resolved:
		kind = record.NoticeResolved
	case kind == record.NoticeChanged && !before:
		kind = record.NoticeOpened
	case kind == record.NoticeChanged && open[0].Kind == record.NoticeReopened:
		kind = record.NoticeReopened
	}
	return all, open, kind, nil
}

// seen leaves out the notices of what happened after the incident was read: an end
// that it does not have yet, or a return after its end.
func seen(open []record.Notice, state record.IncidentState) []record.Notice {
	for n := len(open) - 1; n > 0; n-- {
		if (open[n].Kind == record.NoticeResolved) == (state == record.Resolved) {
			return open[:n+1]
		}
	}
	return open[:1]
}

// lastState tells of an incident as it stands now, in the place of all that
// happened to it meanwhile.
func (w *worker) lastState(ctx context.Context, i item) bool {
	all, open, kind, err := w.unsent(ctx, i)
	return err == nil && w.tellOne(ctx, i, all, open, kind)
}

// news gives what changed of all that one message tells; at the end it is the past.
func news(tells []record.Notice, kind record.NoticeKind) string {
	var texts []string
	for _, n := range tells {
		if n.Text != "" && kind != record.NoticeResolved {
			texts = append(texts, n.Text)
		}
	}
	return strings.Join(texts, "\n")
}

// together tells several incidents in one message.
func (w *worker) together(ctx context.Context, d Digester, items []item, storm bool) time.Time {
	digest := Digest{Storm: storm, URL: w.cfg.PublicURL}
	var tells []record.Notice
	receipts := map[record.ID]string{}
	for _, i := range items {
		all, open, kind, err := w.unsent(ctx, i)
		if err != nil {
			return time.Time{}
		}
		last := open[len(open)-1]
		last.Kind = kind
		msg := w.message(ctx, last, i.incident, all)
		digest.Of, digest.ID = append(digest.Of, msg), max(digest.ID, last.ID)
		tells, receipts[i.incident.ID] = append(tells, open...), msg.Receipt
	}
	err := w.send(ctx, func(ctx context.Context) error { return d.SendDigest(ctx, digest) })
	w.note(ctx, tells, func(n record.Notice) string {
		if r := receipts[n.Incident]; r != "" {
			return r
		}
		return inDigest
	}, err, 0)
	return time.Now()
}

// send gives a message its time, also where Breakwater is about to stop.
func (w *worker) send(ctx context.Context, do func(context.Context) error) error {
	sending, cancel := context.WithTimeout(context.WithoutCancel(ctx), w.cfg.SendTimeout)
	defer cancel()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(sendGrace, cancel) })()
	return do(sending)
}

// note writes down how a message went, and says whether the channel is still
// to be used.
func (w *worker) note(ctx context.Context, tells []record.Notice, receipt func(record.Notice) string, err error, number int64) bool {
	if err != nil && ctx.Err() != nil {
		return false // we are stopping: that says nothing of the channel
	}
	if err == nil {
		w.told = append(w.told, time.Now())
		w.fresh = w.refused // what waited for somebody to mend the channel may go
		w.rest, w.refused = time.Time{}, false
	}
	for at := range tells {
		n := &tells[at]
		if rest := w.noted(n, receipt(*n), err); rest > 0 {
			w.rest = time.Now().Add(rest)
		}
		if err != nil {
			n.NextTry = tells[0].NextTry // what was told together is tried again together
		}
		w.keep(ctx, *n)
	}
	if err != nil {
		_, w.refused = errors.AsType[*RefusedError](err)
		level, text := slog.LevelWarn, "message not sent"
		if w.refused {
			level, text = slog.LevelError, "the channel refuses messages until somebody mends its configuration"
		}
		w.cfg.Log.Log(ctx, level, text, "channel", w.channel.Name(), "incident", number, "messages", len(tells),
			"attempts", tells[0].Attempts, "next_try", tells[0].NextTry, "error", err)
	}
	w.cfg.Changed()
	return !time.Now().Before(w.rest)
}

// remind puts a reminder into the outbox for each critical incident that nobody
// took on and of which nothing was said for long.
func (w *worker) remind(ctx context.Context) {
	now := time.Now()
	if w.route.Repeat <= 0 || now.Sub(w.looked) < remindEvery {
		return
	}
	w.looked = now
	for _, i := range w.Open() {
		if !i.State.Lasts() || i.Severity != record.Critical || !i.Acknowledged.IsZero() || i.Silenced || !w.route.takes(&i) {
			continue
		}
		all, err := w.cfg.Store.Notices(ctx, i.ID)
		if err != nil {
			return
		}
		var last record.Notice
		for _, n := range all {
			if n.Channel == w.channel.Name() {
				last = n
			}
		}
		if last.Sent.IsZero() || now.Sub(last.Sent) < w.route.Repeat {
			continue // never told, about to be told, or told lately
		}
		w.keep(ctx, record.Notice{
			ID: w.cfg.NextID(now), Incident: i.ID, Channel: w.channel.Name(), Kind: record.NoticeReminder, Created: now, NextTry: now,
		})
	}
}
