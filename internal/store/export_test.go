package store

import (
	"context"
	"database/sql"
	"fmt"
	"sync/atomic"
	"time"

	"breakwater/internal/record"
)

// Bounded gives options with smaller dictionaries than the constants say;
// there is room for as many keys as targets.
func Bounded(o Options, names, targets, plans int64) Options {
	o.bounds = bounds{names, targets, targets, plans}
	return o
}

// LimitPages has the writer's SQLite report a full disk when the file would
// grow beyond a number of pages, or beyond what it has already.
func LimitPages(ctx context.Context, s *Store, n int64) error {
	return s.call(ctx, func(ctx context.Context, w *writer) error {
		_, err := w.conn.ExecContext(ctx, fmt.Sprintf("PRAGMA max_page_count = %d", n))
		return err
	})
}

// RetainAt has retention look once, at an instant.
func RetainAt(ctx context.Context, s *Store, keep Retention, now time.Time) error {
	return s.retain(ctx, keep, now)
}

// OnWriter runs a pragma on the writer's connection, whatever the writer does.
func OnWriter(ctx context.Context, s *Store, pragma string) error {
	_, err := s.writer.conn.ExecContext(ctx, pragma)
	return err
}

// LogLimit is the length beyond which the write-ahead log is shortened.
const LogLimit = walLimit

// Segmented gives options with smaller segments than SegmentBytes says.
func Segmented(o Options, bytes int64) Options {
	o.segment = bytes
	return o
}

// Drain does what Run does with the queue, Keep what it does with the journal.
func Drain(ctx context.Context, s *Store) { s.drain(ctx) }

func Keep(s *Store) error { return s.journal.keep() }

// Abandon leaves a store as a kill does, but gives back what it holds open.
func Abandon(s *Store) {
	s.journal.file.Close()
	s.writer.close()
	s.writing.Close()
	s.readers.Close()
	s.locked.Close()
}

// FailHarden has the database's file fail to reach the disk.
func FailHarden(s *Store, err error) { s.journal.harden = func() error { return err } }

// Disk is a journal's file on a disk that fails while Err is set, and hangs
// while Hold is.
type Disk struct {
	segmentFile
	Err  atomic.Pointer[error]
	Hold atomic.Pointer[chan struct{}]
}

// OnDisk puts the journal's current segment on a disk that can fail.
func OnDisk(s *Store) *Disk {
	s.journal.turn.await(nil)
	defer s.journal.leaveTurn()
	d := &Disk{segmentFile: s.journal.file}
	s.journal.file = d
	return d
}

// WriteAt writes half of it before it fails, as a disk does that becomes full.
func (d *Disk) WriteAt(b []byte, at int64) (int, error) {
	if hold := d.Hold.Load(); hold != nil {
		<-*hold
	}
	if err := d.Err.Load(); err != nil {
		n, _ := d.segmentFile.WriteAt(b[:len(b)/2], at)
		return n, *err
	}
	return d.segmentFile.WriteAt(b, at)
}

func (d *Disk) Sync() error {
	if err := d.Err.Load(); err != nil {
		return *err
	}
	return d.segmentFile.Sync()
}

// Pack gives a segment's content of the traces and what goes with them.
func Pack(all ...any) []byte {
	var b []byte
	for i, one := range all {
		var e entry
		switch v := one.(type) {
		case *record.Trace:
			e.trace = v
		case *record.Transition:
			e.transition = v
		case *record.Hold:
			e.hold = v
		case *record.KeyChange:
			e.key = v
		}
		b = appendFrame(b, uint64(i+1), &e)
	}
	return b
}

// Unpack is Pack's way back, with what was missing and skipped.
func Unpack(b []byte) (all []any, numbers []uint64, r Replay) {
	var f found
	f.readSegment(b, func(e entry) {
		numbers = append(numbers, e.number)
		switch {
		case e.trace != nil:
			all = append(all, e.trace)
		case e.transition != nil:
			all = append(all, e.transition)
		case e.hold != nil:
			all = append(all, e.hold)
		case e.key != nil:
			all = append(all, e.key)
		}
	})
	return all, numbers, Replay{Entries: uint64(len(all)), Missing: f.missing, Skipped: f.skipped}
}

// KeyRollups gives the rollups of a span that start at from or later and
// before to, by start, then by key. There is none where nothing happened, and
// there are two where both real and simulated traffic did.
func (s *Store) KeyRollups(ctx context.Context, span Span, from, to time.Time) ([]KeyRollup, error) {
	return query(ctx, s.readers, func(rows *sql.Rows, r *KeyRollup) error {
		var start int64
		err := rows.Scan(&start, &r.Simulated, &r.Provider, &r.Endpoint, &r.Key, &r.Requests, &r.Throttled, &r.Input, &r.Output, &r.Cost)
		r.Start = time.Unix(start, 0).UTC()
		return err
	}, `SELECT start, simulated, provider, endpoint, name, requests, throttled, input_tokens, output_tokens, cost
		FROM key_rollups JOIN keys ON keys.id = key WHERE span = ? AND start >= ? AND start < ? ORDER BY start, key, simulated`,
		int64(time.Duration(span)/time.Second), from.Unix(), to.Unix())
}

// Hasty has searches look at two rows only.
func Hasty(s *Store) { s.searches.hasty = true }

// PlanOfList gives how SQLite goes about reading a page of the list.
func PlanOfList(ctx context.Context, s *Store, q IncidentQuery) ([]string, error) {
	where, args := q.where()
	return s.plan(ctx, `SELECT * FROM incidents `+where, args...)
}

// PlanOfRecent gives how it reads the incidents that lasted until lately.
func PlanOfRecent(ctx context.Context, s *Store) ([]string, error) {
	return s.plan(ctx, `SELECT * FROM incidents `+sinceIncidents, 0, DefaultLimit)
}

func (s *Store) plan(ctx context.Context, of string, args ...any) ([]string, error) {
	return query(ctx, s.readers, func(rows *sql.Rows, step *string) error {
		var id, parent, unused int
		return rows.Scan(&id, &parent, &unused, step)
	}, `EXPLAIN QUERY PLAN `+of, args...)
}

// Turns gives the two ways to a turn, and the way out of it.
func Turns() (take func() bool, await func(patience <-chan time.Time) bool, leave func()) {
	t := &turn{left: make(chan struct{}, 1)}
	return t.take, t.await, t.leave
}
