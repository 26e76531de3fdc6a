package store

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"io/fs"
	"os"
	"slices"
)

// journalFolder is beside the database. SQLite has a use of its own for the
// name that ends in -journal.
func journalFolder(path string) string { return path + ".journal" }

// openJournal writes what an earlier run left in the journal, whatever the
// durability is now, and begins a journal unless there is to be none.
func (s *Store) openJournal(ctx context.Context, o Options) error {
	if !slices.Contains(Durabilities(), o.Durability) {
		return errors.New("no such durability: " + string(o.Durability))
	}
	name, written, err := journalOf(ctx, s.writer.conn)
	if err != nil {
		return err
	}
	list, err := listSegments(journalFolder(s.path), name)
	if err != nil {
		return err
	}
	last, old := s.recover(ctx, list, written)
	if o.Durability == Unjournaled {
		return nil
	}
	j := &journal{
		folder: journalFolder(s.path), name: name, durable: o.Durability == Durable,
		harden: s.harden, create: createSegment, maximum: o.segment, count: list.count,
	}
	if len(s.writer.pending) == 0 {
		j.settled.Store(last)
	}
	if err := j.start(last, old); err != nil {
		return err
	}
	s.journal, s.queue.journal = j, j
	return nil
}

// journalOf gives the name of a database's segments and the number of the last
// entry that it has.
func journalOf(ctx context.Context, db querier) (name string, written uint64, err error) {
	rows, err := db.QueryContext(ctx, `SELECT name, written FROM journal`)
	if err != nil {
		return "", 0, err
	}
	defer rows.Close()
	if !rows.Next() {
		return "", 0, cmp.Or(rows.Err(), sql.ErrNoRows)
	}
	var n int64
	err = rows.Scan(&name, &n)
	return name, uint64(n), err
}

// recover writes the entries that the database does not have. Those that it
// cannot take at the moment are left to Run, and their segments stay; so do
// segments that cannot be read. It gives the number of the last entry and the
// segments that are still needed.
func (s *Store) recover(ctx context.Context, list listed, written uint64) (last uint64, old []segment) {
	f := found{last: written}
	s.replayed.Unread = list.others
	w := s.writer
	for _, path := range list.paths {
		b, ours, err := loadSegment(path)
		if err != nil || !ours {
			s.replayed.Unread++
			continue
		}
		f.readSegment(b, func(e entry) {
			w.pending = append(w.pending, e)
			s.newest = max(s.newest, e.id())
		})
		old = append(old, segment{path: path, last: f.last, size: int64(len(b))})
	}
	s.replayed.Entries, s.replayed.Missing, s.replayed.Skipped = uint64(len(w.pending)), f.missing, f.skipped
	if len(w.pending) > 0 {
		s.queue.hold(len(w.pending))
		once, cancel := context.WithCancel(ctx)
		cancel() // so that what fails is tried once
		s.drain(once)
	}
	if len(w.pending) > 0 || len(old) == 0 || s.harden() != nil {
		return f.last, old
	}
	left, err := removeSegments(old, f.last)
	if err != nil {
		s.wrote(err)
	}
	return f.last, left
}

// harden brings to the disk what is committed, which SQLite does with each
// checkpoint only. SQLite locks other files than this one, so opening and
// closing it disturbs no lock.
func (s *Store) harden() error {
	f, err := os.OpenFile(s.path+"-wal", os.O_RDWR, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // all of it was checkpointed
	}
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
