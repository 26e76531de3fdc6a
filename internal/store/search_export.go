package store

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"breakwater/internal/record"
)

const (
	// MostFound bounds the traces that ExportFound writes: as many as a
	// spreadsheet still opens at once. Whoever wants more has Export.
	MostFound = 100_000
	// FoundTime bounds how long ExportFound searches, not counting how long its
	// reader takes, so that nobody's download
	// keeps a reader of the database busy for minutes.
	FoundTime = 10 * time.Second
)

// ExportFound writes the traces that a query asks for, the newest first, in
// the form of Export, and sends each thousand on as it is found. It ends after
// MostFound of them or FoundTime; then the last line says so, and where to go
// on. In CSV, text that a spreadsheet might take for a formula begins with an
// apostrophe.
func (s *Store) ExportFound(ctx context.Context, q Query, format Format, out io.Writer, flush func()) error {
	var write func(*record.Trace) error
	var note func(Found) error
	table := csv.NewWriter(out)
	switch format {
	case NDJSON:
		lines := json.NewEncoder(out)
		lines.SetEscapeHTML(false)
		write = func(t *record.Trace) error { return lines.Encode(exported(t)) }
		note = func(f Found) error {
			return lines.Encode(map[string]string{"note": bounded(f), "before": f.Next.String()})
		}
	case CSV:
		if err := table.Write(csvHeading()); err != nil {
			return err
		}
		write = func(t *record.Trace) error { return table.Write(tame(csvLine(t))) }
		note = func(f Found) error {
			line := make([]string, len(csvHeading()))
			line[0] = "# " + bounded(f)
			return table.Write(line)
		}
	default:
		return fmt.Errorf("store: %q is no format: ndjson or csv", format)
	}
	searched := time.Duration(0)
	for left := s.searches.most(); ; {
		q.Limit = min(exportRows, left)
		began := time.Now()
		found, err := s.Search(ctx, q)
		if err != nil {
			return err
		}
		searched += time.Since(began)
		for i := range found.Traces {
			if err := write(&found.Traces[i]); err != nil {
				return err
			}
		}
		left -= len(found.Traces)
		over := !found.Done && (left == 0 || searched > FoundTime)
		if over {
			if err := note(found); err != nil {
				return err
			}
		}
		if table.Flush(); table.Error() != nil {
			return table.Error()
		}
		flush()
		if found.Done || over {
			return nil
		}
		q.Before = found.Next
	}
}

// bounded is the last line of what is not all.
func bounded(f Found) string {
	return fmt.Sprintf("not all: searched back to %s; go on with before=%s", f.Reached.Format(time.RFC3339), f.Next)
}

// tame keeps spreadsheets from running what a caller wrote.
func tame(line []string) []string {
	for i, field := range line {
		if field != "" && strings.ContainsRune("=+-@\t\r", rune(field[0])) {
			line[i] = "'" + field
		}
	}
	return line
}
