package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"breakwater/internal/record"
)

// View reads a record that a running Breakwater may be writing to. It changes
// nothing.
type View struct{ store Store }

// OpenView opens the record at path for reading. It gives ErrNotDatabase,
// ErrOlder or ErrNewer where there is none that can be read.
func OpenView(ctx context.Context, path string) (*View, error) {
	db, err := look(ctx, path)
	if err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	if err := current(ctx, db); err != nil {
		return nil, errors.Join(fmt.Errorf("store: %s: %w", path, err), db.Close())
	}
	return &View{Store{readers: &reader{DB: db}, path: path}}, nil
}

// Close ends the reading.
func (v *View) Close() error { return v.store.readers.Close() }

// Traces is Store.Traces.
func (v *View) Traces(ctx context.Context, q TraceQuery) ([]record.Trace, error) {
	return v.store.Traces(ctx, q)
}

// Incidents is Store.Incidents.
func (v *View) Incidents(ctx context.Context, since time.Time, limit int) ([]record.Incident, error) {
	return v.store.Incidents(ctx, since, limit)
}
