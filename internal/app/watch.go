package app

import (
	"context"
	"fmt"
	"time"

	"breakwater/internal/alerts"
	"breakwater/internal/record"
	"breakwater/internal/store"
	"breakwater/web"
)

const (
	// storeLook is how often the store is asked whether it can write and read.
	storeLook = time.Second
	// recordPatience is how long the record may be unwritable or unreadable before
	// people are told: a backup's lock or a busy disk passes sooner.
	recordPatience = 15 * time.Second
	// damageLook is how often what could not be read for a damaged file is tried again,
	// and damagePatience for how long: a large table may have to be read to its end.
	damageLook     = 10 * time.Second
	damagePatience = 30 * time.Second
	// recordRepeat is how often the figures of a trouble that lasts are told anew.
	recordRepeat = time.Minute
)

// The parts of the record that may fail apart from each other, as incidents
// name them.
const (
	databasePart = "database"
	journalPart  = "journal"
	filePart     = "file"
)

// watchStore tells when the record cannot be written or read, and when it can again.
func (a *App) watchStore(ctx context.Context) error {
	w := storeWatch{known: a.store.Stats()}
	return every(ctx, storeLook, func(now time.Time) {
		stats := a.store.Stats()
		a.logStore(w.known, stats)
		for _, s := range w.look(stats, now) {
			a.alerts.Signal(s)
		}
	})
}

// watchDamage tries again to read what could not be read.
func (a *App) watchDamage(ctx context.Context) error {
	return every(ctx, damageLook, func(time.Time) {
		ctx, cancel := context.WithTimeout(ctx, damagePatience)
		defer cancel()
		a.store.ReadAgain(ctx)
	})
}

// logStore logs what changed, and has the page tell it.
func (a *App) logStore(was, is store.Stats) {
	if is.RetentionError != was.RetentionError && is.RetentionError != "" {
		a.log.Warn("old rows cannot be removed from the record", "error", is.RetentionError)
	}
	switch {
	case is.JournalFailing && !was.JournalFailing:
		a.log.Error("the journal cannot be written; requests are served, and a kill would lose what waits in memory", "error", is.JournalError)
	case was.JournalFailing && !is.JournalFailing:
		a.log.Info("the journal is written again", "late", is.Late)
	}
	switch {
	case is.Failing && !was.Failing:
		a.log.Error("the record cannot be written; requests are served and rows wait in memory", "error", is.LastError, "waiting", is.Queued)
	case was.Failing && !is.Failing:
		a.log.Info("the record is written again", "lost", is.Dropped)
	}
	switch {
	case is.Damage != "" && was.Damage == "":
		a.log.Error("the database is damaged, so that some of the record cannot be shown; breakwater store check says what it is", "error", is.Damage)
	case was.Damage != "" && is.Damage == "":
		a.log.Info("what could not be read of the record can be read again")
	}
	if is.Failing != was.Failing || is.Dropped != was.Dropped {
		a.changed(web.PartVerdict, web.PartNow)
	}
}

// storeWatch turns what the store tells of itself into signals.
type storeWatch struct {
	known                   store.Stats // as it was last
	database, journal, file failing
}

// failing is one part's trouble.
type failing struct {
	since, told time.Time // zero while it is well, and while nobody was told
	lost        uint64    // entries that were lost before it began
}

// look takes the figures of this moment.
func (w *storeWatch) look(is store.Stats, now time.Time) []alerts.Signal {
	was := w.known
	w.known = is
	var all []alerts.Signal
	if s, ok := w.database.look(databasePart, is.Failing, now, was.Dropped); ok {
		s.Title = "The record cannot be written"
		s.Text = fmt.Sprintf("The database: %s. Requests are served; %d rows wait in memory, %d are lost.", is.LastError, is.Queued, is.Dropped-w.database.lost)
		if is.Dropped > w.database.lost {
			s.Severity = record.Critical
		}
		if s.Kind == alerts.Cleared {
			s.Text = fmt.Sprintf("The database is written again; %d rows are lost.", is.Dropped-w.database.lost)
		}
		all = append(all, s)
	}
	if s, ok := w.journal.look(journalPart, is.JournalFailing, now, 0); ok {
		s.Title = "The journal cannot be written"
		s.Text = fmt.Sprintf("The journal: %s. Requests are served; a kill would lose what is not in the database yet.", is.JournalError)
		if s.Kind == alerts.Cleared {
			s.Text = "The journal is written again."
		}
		all = append(all, s)
	}
	if s, ok := w.file.look(filePart, is.Damage != "", now, 0); ok {
		s.Title = "Part of the record cannot be read"
		s.Text = fmt.Sprintf("The database: %s. Requests are served, and what can be is recorded; some of the history cannot be shown. Waiting loses nothing. "+
			"breakwater store check says what is damaged; to mend it, stop Breakwater and restore a backup: what came after that is lost.", is.Damage)
		if s.Kind == alerts.Cleared {
			s.Text = "All of the record can be read again."
		}
		all = append(all, s)
	}
	return all
}

// look gives a signal where there is something to tell: at recordPatience, each
// recordRepeat while the trouble lasts, and at its end.
func (f *failing) look(part string, fails bool, now time.Time, lost uint64) (alerts.Signal, bool) {
	s := alerts.Signal{At: now, Kind: alerts.Raised, Topic: record.TopicRecord, Name: part, Severity: record.Warning}
	if !fails {
		told := !f.told.IsZero()
		f.since, f.told = time.Time{}, time.Time{}
		s.Kind = alerts.Cleared
		return s, told
	}
	if f.since.IsZero() {
		f.since, f.lost = now, lost
	}
	if now.Sub(f.since) < recordPatience || now.Sub(f.told) < recordRepeat {
		return s, false
	}
	if f.told.IsZero() {
		s.At = f.since // the trouble is as old, though people are told only now
	}
	f.told = now
	return s, true
}
