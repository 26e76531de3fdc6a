package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/mattn/go-sqlite3"
)

// mostUnread bounds the queries that are remembered: what is damaged beyond them
// is told when they can be read.
const mostUnread = 16

// reader is the handle that is read through. It remembers what could not be read
// since the file or its disk is damaged.
type reader struct {
	*sql.DB
	idle int // connections that it keeps

	mu     sync.Mutex
	unread map[string]unread // by the query's text
}

// unread is a query that met damage.
type unread struct {
	text string
	args []any
	err  error
}

// fails takes note of why a query failed, and says it in the store's words.
func fails(db querier, err error, text string, args []any) error {
	if r, ok := db.(*reader); ok && (broken(err) || unreadable(err)) {
		r.met(unread{text, slices.Clone(args), err})
	}
	return fmt.Errorf("store: reading: %w", err)
}

// unreadable says whether the disk did not give what is in the file.
func unreadable(err error) bool {
	var e sqlite3.Error
	return errors.As(err, &e) && (e.ExtendedCode == sqlite3.ErrIoErrRead || e.ExtendedCode == sqlite3.ErrIoErrShortRead)
}

func (r *reader) met(u unread) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, known := r.unread[u.text]; !known && len(r.unread) >= mostUnread {
		return
	}
	if r.unread == nil {
		r.unread = make(map[string]unread)
	}
	r.unread[u.text] = u
}

// damaged gives the queries that met damage.
func (r *reader) damaged() []unread {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Collect(maps.Values(r.unread))
}

// ReadAgain reads what could not be read since the file is damaged, if anything, from
// the file itself: the disk may have given it wrong only once, or somebody mends it.
// When all of it can be read, Stats no longer tells of damage.
func (s *Store) ReadAgain(ctx context.Context) {
	r := s.readers
	all := r.damaged()
	if len(all) == 0 {
		return
	}
	r.SetMaxIdleConns(-1) // what they have cached goes with the connections
	r.SetMaxIdleConns(r.idle)
	for _, u := range all {
		if _, err := query(ctx, r, func(*sql.Rows, *struct{}) error { return nil }, u.text, u.args...); err == nil {
			r.mu.Lock()
			delete(r.unread, u.text)
			r.mu.Unlock()
		}
	}
}
