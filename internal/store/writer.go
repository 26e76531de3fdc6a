package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"time"

	"github.com/mattn/go-sqlite3"
)

const (
	// CommitEvery bounds how long an entry waits for its commit, and so what a
	// kill can lose; nobody sees 50 ms on a page.
	CommitEvery = 50 * time.Millisecond
	// BatchRows commits earlier: at 256 rows the cost of the commit itself has
	// become small beside the rows'.
	BatchRows = 256
	// MaxBatch bounds one transaction, so that the readers' snapshots and the
	// write-ahead log stay small while a long queue is worked off.
	MaxBatch = 4096
	// RetryMin and RetryMax are the pauses before a failed write is tried
	// again: soon enough for a moment's lock, rarely enough for a full disk.
	RetryMin = 100 * time.Millisecond
	RetryMax = 5 * time.Second
	// DrainTime is how long Run goes on trying after its end was asked for:
	// less than the 30 seconds that service managers give before they kill.
	DrainTime = 10 * time.Second
)

// call is a transaction that its caller waits for.
type call struct {
	do    func(context.Context, *writer) error
	reply chan<- error
}

// writer is the one connection that writes. Only Run's goroutine uses it.
type writer struct {
	conn       *sql.Conn
	statements map[string]*sql.Stmt
	words      dictionaries
	pending    []entry // taken from the queue and not yet committed

	together map[string]driver.Stmt // that insert rowsAtOnce into a table
	columns  []any                  // of traces that are being inserted: the same memory, to be used again
	args     []driver.NamedValue    // as well
}

func newWriter(ctx context.Context, db *sql.DB, most bounds) (*writer, error) {
	conn, err := db.Conn(ctx)
	if err != nil {
		return nil, err
	}
	w := &writer{conn: conn, statements: map[string]*sql.Stmt{}, together: map[string]driver.Stmt{}}
	if _, err = conn.ExecContext(ctx, fmt.Sprintf("PRAGMA journal_size_limit = %d", walLimit)); err == nil {
		w.words, err = openDictionaries(ctx, w, most)
	}
	if err != nil {
		return nil, errors.Join(err, w.close())
	}
	return w, nil
}

func (w *writer) close() error {
	var errs []error
	for _, stmt := range w.statements {
		errs = append(errs, stmt.Close())
	}
	for _, stmt := range w.together {
		errs = append(errs, stmt.Close())
	}
	return errors.Join(append(errs, w.conn.Close())...)
}

// prepared gives the statement of a query, which is compiled once.
func (w *writer) prepared(ctx context.Context, query string) (*sql.Stmt, error) {
	stmt, ok := w.statements[query]
	if !ok {
		var err error
		if stmt, err = w.conn.PrepareContext(ctx, query); err != nil {
			return nil, err
		}
		w.statements[query] = stmt
	}
	return stmt, nil
}

// exec runs a statement and gives the number of rows that it changed.
func (w *writer) exec(ctx context.Context, query string, args ...any) (int64, error) {
	stmt, err := w.prepared(ctx, query)
	if err != nil {
		return 0, err
	}
	result, err := stmt.ExecContext(ctx, args...)
	if err != nil {
		return 0, err
	}
	return result.RowsAffected()
}

// scan reads the one row of a query.
func (w *writer) scan(ctx context.Context, query string, args []any, into ...any) error {
	stmt, err := w.prepared(ctx, query)
	if err != nil {
		return err
	}
	return stmt.QueryRowContext(ctx, args...).Scan(into...)
}

// transact runs do in a transaction, which no cancelled context cuts short:
// it is brief, and waits for a lock no longer than the busy timeout.
func (w *writer) transact(ctx context.Context, do func(context.Context, *writer) error) error {
	ctx = context.WithoutCancel(ctx)
	_, err := w.exec(ctx, "BEGIN IMMEDIATE")
	if err != nil {
		return err
	}
	if err = do(ctx, w); err == nil {
		_, err = w.exec(ctx, "COMMIT")
	}
	w.words.settle(err == nil)
	if err != nil {
		// SQLite has rolled back by itself after some errors, such as a full
		// disk; then there is nothing to roll back and this fails.
		_, _ = w.exec(ctx, "ROLLBACK")
	}
	return err
}

// Run writes what is queued until the context ends. Then it takes no more,
// writes the rest, for at most about DrainTime, and gives ErrLost when that
// failed. It may be called once.
func (s *Store) Run(ctx context.Context) error {
	if !s.running.CompareAndSwap(false, true) {
		return errors.New("store: Run was called twice")
	}
	defer close(s.ended)
	defer s.keepJournal()()
	if len(s.writer.pending) > 0 { // what Open could not write
		s.drain(ctx)
	}
	commit := time.NewTimer(CommitEvery)
	commit.Stop()
	for {
		select {
		case <-ctx.Done():
			return s.finish(ctx)
		case c := <-s.calls:
			s.answer(ctx, c)
		case <-s.queue.some:
			commit.Reset(CommitEvery)
		case <-s.queue.full:
			s.drain(ctx)
		case <-commit.C:
			s.drain(ctx)
		}
	}
}

// finish is the end of Run.
func (s *Store) finish(ctx context.Context) error {
	s.queue.close()
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), DrainTime)
	defer cancel()
	s.writer.pending = append(s.writer.pending, s.queue.take()...)
	s.drain(grace)
	err := s.abandon(s.writer.pending)
	_, checkpoint := s.writer.conn.ExecContext(grace, "PRAGMA wal_checkpoint(TRUNCATE)")
	if checkpoint != nil {
		err = errors.Join(err, fmt.Errorf("store: checkpoint: %w", checkpoint))
	}
	return err
}

// keepJournal has the journal kept until the function that it gives is called.
func (s *Store) keepJournal() (stop func()) {
	if s.journal == nil {
		return func() {}
	}
	stopped, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		s.journal.run(stopped)
	}()
	return func() {
		close(stopped)
		<-ended
	}
}

// abandon gives up what could not be written before the end. What is in the
// journal is not lost.
func (s *Store) abandon(left []entry) error {
	if len(left) == 0 {
		return nil
	}
	lost, err := 0, ErrLeft
	for _, e := range left {
		if e.flushed == nil && (s.journal == nil || e.number == 0 || e.number > s.journal.written.Load()) {
			lost, err = lost+1, ErrLost
		}
	}
	s.queue.done(len(left), lost)
	tell(left, err)
	return fmt.Errorf("store: %w", err)
}

// tell answers those who wait for entries.
func tell(batch []entry, err error) {
	for _, e := range batch {
		if e.flushed != nil {
			e.flushed <- err
		}
	}
}

// drain commits everything that is in hand, or else in the queue. A failed
// write is tried again until the context ends; then what is left stays in
// hand. Where the fault is in the rows themselves, ever smaller batches find
// the row and leave it out.
func (s *Store) drain(ctx context.Context) {
	w := s.writer
	if len(w.pending) == 0 {
		w.pending = s.queue.take()
	}
	size, wait := MaxBatch, RetryMin
	for len(w.pending) > 0 {
		size = min(size, len(w.pending))
		batch := w.pending[:size]
		err := w.transact(ctx, func(ctx context.Context, w *writer) error { return w.write(ctx, batch) })
		s.wrote(err)
		switch {
		case err == nil || permanent(err) && size == 1:
			s.settle(batch, err)
			w.pending = w.pending[size:]
			size, wait = min(2*size, MaxBatch), RetryMin
		case permanent(err):
			size /= 2
		case !s.pause(ctx, wait):
			return
		default:
			wait = min(2*wait, RetryMax)
		}
	}
	w.pending = nil
}

// permanent says whether the same rows would fail again for ever.
func permanent(err error) bool {
	var e sqlite3.Error
	if !errors.As(err, &e) {
		return false
	}
	switch e.Code {
	case sqlite3.ErrConstraint, sqlite3.ErrMismatch, sqlite3.ErrTooBig, sqlite3.ErrRange:
		return true
	}
	return false
}

// settle says of entries that they are out of hand: committed or, with an
// error, lost. The figures are right before those who flushed go on.
func (s *Store) settle(batch []entry, err error) {
	var rows, lost int
	for _, e := range batch {
		if e.flushed == nil {
			rows++
		}
	}
	if err != nil {
		rows, lost = 0, rows
	}
	s.mu.Lock()
	s.health.written += uint64(rows)
	s.mu.Unlock()
	s.queue.done(len(batch), lost)
	if s.journal != nil {
		s.journal.settle(lastNumber(batch))
	}
	tell(batch, err)
}

// pause waits before another try and answers calls meanwhile. It gives false
// when the context ended.
func (s *Store) pause(ctx context.Context, wait time.Duration) bool {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return false
		case <-timer.C:
			return true
		case c := <-s.calls:
			s.answer(ctx, c)
		}
	}
}

func (s *Store) answer(ctx context.Context, c call) {
	err := s.writer.transact(ctx, c.do)
	if err == nil && s.journal != nil {
		err = s.journal.called()
	}
	c.reply <- err
}

// call has the writer run a transaction. Once the writer has it, the answer is
// waited for, so that it is always known whether it was written.
func (s *Store) call(ctx context.Context, do func(context.Context, *writer) error) error {
	reply := make(chan error, 1)
	select {
	case s.calls <- call{do, reply}:
		return <-reply
	case <-s.ended:
		return ErrClosed
	case <-ctx.Done():
		return ctx.Err()
	}
}
