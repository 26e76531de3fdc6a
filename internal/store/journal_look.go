package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
)

// JournalFindings is what Check found in the journal beside a database.
type JournalFindings struct {
	Waiting uint64 // entries that the database does not have yet: a start of Breakwater writes them
	Missing uint64 // entries that are damaged, or not there where others follow
	Unread  int    // segments of this database that cannot be read
}

// faults says in words what is wrong.
func (j JournalFindings) faults() []string {
	var all []string
	if j.Missing > 0 {
		all = append(all, fmt.Sprintf("%d entries of the journal are damaged or missing", j.Missing))
	}
	if j.Unread > 0 {
		all = append(all, fmt.Sprintf("%d segments of the journal cannot be read", j.Unread))
	}
	return all
}

// seenJournal is what the segments of a journal hold.
type seenJournal struct {
	found
	first  uint64 // the lowest number
	unread int
}

// seeJournal reads the segments of a database's journal and changes nothing.
// A Breakwater may be writing them: what is incomplete at the end is no fault,
// nor is a segment that goes meanwhile, since the database has all of it then.
func seeJournal(ctx context.Context, path string, db querier) (seenJournal, error) {
	var seen seenJournal
	name, _, err := journalOf(ctx, db)
	if err != nil {
		return seen, err
	}
	list, err := listSegments(journalFolder(path), name)
	if err != nil {
		return seen, err
	}
	for _, segment := range list.paths {
		b, ours, err := entriesOf(segment)
		if errors.Is(err, fs.ErrNotExist) {
			continue // gone meanwhile
		}
		if err != nil || !ours {
			seen.unread++
			continue
		}
		if number, _, ok := nextFrame(b); ok && seen.last == 0 {
			seen.first, seen.last = number, number-1
		}
		seen.readSegment(b, func(entry) {})
	}
	return seen, nil
}

// against compares the journal with how far the database said to be, later.
func (s seenJournal) against(written uint64) JournalFindings {
	j := JournalFindings{Missing: s.missing, Unread: s.unread}
	if s.last > written {
		from := max(written, s.first-1)
		j.Missing += from - written
		j.Waiting = s.last - from - min(s.missing, s.last-from)
	}
	return j
}
