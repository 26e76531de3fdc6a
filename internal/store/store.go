// Package store keeps the record in SQLite and nothing else: traces,
// transitions, holds, changes of keys, incidents, notices, silences, and
// rollups of the traces. Rows come in through a bounded queue and a journal on disk, neither of
// which makes a caller wait for the database; one writer commits them in
// batches, and readers have a handle of their own.
//
// Times are kept to the microsecond. Instants are cut to it; a duration is
// rounded up, so that what took any time is never shown as nothing.
package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"breakwater/internal/record"
)

// Errors of the store, to be matched with errors.Is. Each is wrapped with the
// path or the id that it is about.
var (
	ErrNotFound    = errors.New("not in the record")
	ErrConflict    = errors.New("another incident of the same is not over")
	ErrClosed      = errors.New("the store no longer writes")
	ErrLost        = errors.New("the database could not be written in time: rows are lost")
	ErrLeft        = errors.New("the database could not be written in time: rows wait in the journal for the next start")
	ErrWaiting     = errors.New("rows wait in the journal that the database cannot take")
	ErrNotDatabase = errors.New("not a Breakwater database")
	ErrNewer       = errors.New("the database was written by a newer Breakwater")
	ErrReadOnly    = errors.New("the database is read-only")
)

const (
	// DefaultQueue holds a minute of 1,000 requests a second, as long as a
	// backup or a full disk may take, in about 100 MB when it is full.
	DefaultQueue = 60_000
	// DefaultReaders lets a page, a live stream and a search read at once.
	DefaultReaders = 4
)

// Options say where the database is and how much may be in flight.
type Options struct {
	Path    string // of the database file, which is made where it does not exist
	Queue   int    // entries that may wait to be written; 0 means DefaultQueue
	Readers int    // connections that read; 0 means DefaultReaders
	// Durability is what outlives a kill or a power cut; "" means DefaultDurability.
	Durability Durability

	segment int64  // of the journal, beyond which another is begun; 0 means SegmentBytes
	bounds  bounds // of the dictionaries; zero means the constants
}

// Store is an open database. Its methods may be called from any goroutine.
type Store struct {
	locked   *os.File // nil where there are no locks
	path     string
	queue    *queue
	journal  *journal // nil where there is none
	replayed Replay
	newest   record.ID // in the journal at Open
	calls    chan call
	ended    chan struct{} // closed when Run has returned
	running  atomic.Bool
	readers  *reader
	writing  *sql.DB
	writer   *writer
	searches searches

	mu     sync.Mutex
	health health
}

// health is what Stats tells of the writer.
type health struct {
	written   uint64
	failing   bool
	lastError string
	lastAt    time.Time

	removed        uint64 // by retention
	retentionError string
}

// Stats says how the store is doing.
type Stats struct {
	Queued      int    // entries that wait to be committed
	Written     uint64 // entries committed since the store was opened
	Dropped     uint64 // entries lost since then, for want of room or at the end
	Failing     bool   // the last write failed and is being tried again
	LastError   string // the last failure of a write, "" where there was none
	LastErrorAt time.Time
	Damage      string // why some of the file could not be read, "" where all that was asked for can be
	SizeBytes   int64  // of the database and its write-ahead log
	LogBytes    int64  // of them, the write-ahead log

	Removed        uint64 // rows that Retain removed since the store was opened
	RetentionError string // why its last look failed, "" where it did not

	JournalBytes   int64  // of the journal's segments
	JournalFailing bool   // the last write of the journal failed and is being tried again
	JournalError   string // the last failure of the journal, "" where there was none
	Late           uint64 // traces whose requests ended before they were in the journal or, where that is asked for, on the disk
	Replay         Replay // what Open found in the journal
}

// Replay is what Open found in the journal of a run that did not end well.
type Replay struct {
	Entries uint64 // that were not in the database
	Missing uint64 // entries that are damaged, or not there where others follow
	Skipped int64  // bytes that are no entry: what a kill or a power cut left incomplete, or damage
	Unread  int    // segments that were left alone: of another database, of another version, or unreadable
}

// Stats gives the store's figures of this moment.
func (s *Store) Stats() Stats {
	queued, dropped := s.queue.counts()
	s.mu.Lock()
	h := s.health
	s.mu.Unlock()
	st := Stats{
		Queued: queued, Dropped: dropped, Written: h.written,
		Failing: h.failing, LastError: h.lastError, LastErrorAt: h.lastAt,
		Removed: h.removed, RetentionError: h.retentionError,
	}
	if info, err := os.Stat(s.path); err == nil {
		st.SizeBytes = info.Size()
	}
	if info, err := os.Stat(s.path + "-wal"); err == nil {
		st.LogBytes = info.Size()
		st.SizeBytes += st.LogBytes
	}
	if met := s.readers.damaged(); len(met) > 0 {
		st.Damage = met[0].err.Error()
	}
	st.Replay = s.replayed
	if s.journal != nil {
		s.journal.stats(&st)
	}
	return st
}

// wrote notes how a transaction of the writer's goroutine ended. Where a page
// was found damaged it is read anew the next time, since the disk may have
// given it wrong only once, or somebody mends it.
func (s *Store) wrote(err error) {
	if broken(err) {
		_, _ = s.writer.conn.ExecContext(context.Background(), "PRAGMA shrink_memory") // what fails here fails there again
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.health.failing = err != nil
	if err != nil {
		s.health.lastError = err.Error()
		s.health.lastAt = time.Now().UTC()
	}
}

// Record queues a trace and has it written to the journal; it waits for
// nothing else, unless the store is Durable. It gives false, and the trace is
// counted as dropped, when the queue is full or Run has ended. The trace must
// not be changed afterwards. A trace whose ID is in the record already is not
// counted again.
func (s *Store) Record(t *record.Trace) bool {
	number, ok := s.queue.put(entry{trace: t})
	if ok && s.journal != nil {
		s.journal.reach(number)
	}
	return ok
}

// RecordTransition queues a transition, as Record does a trace, but never
// waits for a disk: it is in the journal within SyncEvery.
func (s *Store) RecordTransition(t record.Transition) bool { return s.soon(entry{transition: &t}) }

// RecordHold queues a hold, as RecordTransition does; the row of the same ID is
// replaced.
func (s *Store) RecordHold(h record.Hold) bool { return s.soon(entry{hold: &h}) }

// RecordKey queues a change of a key, as RecordTransition does.
func (s *Store) RecordKey(k record.KeyChange) bool { return s.soon(entry{key: &k}) }

func (s *Store) soon(e entry) bool {
	_, ok := s.queue.put(e)
	if ok && s.journal != nil {
		signal(s.journal.wake)
	}
	return ok
}

// Flush waits until everything that was queued before is committed. It gives
// ErrLost or ErrLeft when Run ended before that, ErrClosed when it had ended already, or
// the context's error.
func (s *Store) Flush(ctx context.Context) error {
	flushed := make(chan error, 1)
	if _, ok := s.queue.put(entry{flushed: flushed}); !ok {
		return ErrClosed
	}
	select {
	case err := <-flushed:
		return err
	case <-ctx.Done():
		return fmt.Errorf("store: waiting for the writer: %w", ctx.Err())
	}
}

// Close closes the database. Run must have returned, or never been called.
func (s *Store) Close() error {
	var err error
	if s.journal != nil {
		err = s.journal.close()
	}
	err = errors.Join(err, s.readers.Close(), s.writer.close(), s.writing.Close())
	s.locked.Close() // fails only where there is no lock
	return err
}
