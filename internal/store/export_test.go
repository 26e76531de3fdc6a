package store

import (
	"context"
	"fmt"
	"time"
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
