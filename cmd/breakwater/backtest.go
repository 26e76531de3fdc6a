package main

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"breakwater/internal/anomaly"
	"breakwater/internal/app"
	"breakwater/internal/config"
)

const (
	// maxRowsNamed is how many bad rows are named one by one; beyond, they are
	// only counted.
	maxRowsNamed = 10
	// progressEvery is how many rows pass between two looks at the clock.
	progressEvery = 4096
	// progressPause is how long a line of progress stands at least.
	progressPause = 500 * time.Millisecond
	// stopPause is how long a stop waits for the rows under way.
	stopPause = 100 * time.Millisecond
	// readAhead is how much is read at once.
	readAhead = 64 << 10
	// maxRow is how long a row may be: far longer than any, and a bound for the
	// memory that a file without line breaks, or with a quote left open, takes.
	maxRow = 1 << 20
)

const aboutBacktest = `Replay the recorded requests through the anomaly detector and the breakers, with the
settings of the configuration, and print what they would have found, when, and what
keeping traffic away would have cost and saved, beside the incidents that were. They
begin knowing nothing. The database is only read, also while Breakwater runs. With
--json it is one JSON document.

With --csv, score a series of numbers instead, as if its rows came one by one: no row's
score depends on a later row. The file has a header and the columns timestamp and value;
others are ignored. What is written to standard output has the columns
timestamp,value,anomaly_score, one row for each row read. The score is from 0 to 1, and
0.5 is where a row deserves an alert; the 120 rows after an alert score 0. A row without
a number stays in its place with a score of 0, is not learned from, and is named on
standard error.

docs/backtest.md says what it all means, and how well it does. Exits 1 when the record
or the file cannot be read to its end, and 2 when the command line or the configuration
is wrong.`

// defaultLast is how much of the record is replayed where nothing else is said:
// enough to learn from and to hold a few incidents.
const defaultLast = 7 * 24 * time.Hour

func backtestCommand() *cobra.Command {
	var path string
	var last time.Duration
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "backtest",
		Short: "Replay the record, or a CSV file, through anomaly detection",
		Long:  aboutBacktest,
		Example: "  BREAKWATER_ANOMALY_MIN_SAMPLES=30 breakwater backtest --last 720h\n" +
			"  breakwater backtest --csv latency.csv > scores.csv\n  tail -f -n +1 latency.csv | breakwater backtest --csv -",
		Args: only(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !cmd.Flags().Changed("csv") {
				return backtestRecord(cmd, last, asJSON)
			}
			wrong := ""
			switch {
			case path == "":
				wrong = "--csv needs the name of a file, or - for standard input"
			case asJSON:
				wrong = "--csv writes CSV, not JSON"
			case cmd.Flags().Changed("last"):
				wrong = "--csv scores the whole file; --last is for the record"
			default:
				return backtestCSV(cmd, path)
			}
			return exitError{exitConfig, fmt.Errorf("breakwater: %s; see breakwater backtest --help", wrong)}
		},
	}
	config.AddFlags(cmd.Flags())
	cmd.Flags().StringVar(&path, "csv", "", "score this `FILE` instead of the record; - reads standard input")
	cmd.Flags().DurationVar(&last, "last", defaultLast, "how much of the record is replayed, up to now; not with --csv")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print what was found as JSON; not with --csv")
	return cmd
}

func backtestRecord(cmd *cobra.Command, last time.Duration, asJSON bool) error {
	if last <= 0 {
		return exitError{exitConfig, errors.New("breakwater: --last must be more than 0; see breakwater backtest --help")}
	}
	cfg, err := load(cmd)
	if err != nil {
		return err
	}
	if err := present(cfg.DB); err != nil {
		return err
	}
	now := time.Now()
	o := app.BacktestOptions{From: now.Add(-last), To: now, Out: cmd.OutOrStdout(), JSON: asJSON}
	if isTerminal(os.Stderr) {
		o.Progress = func(at time.Time) {
			fmt.Fprintf(cmd.ErrOrStderr(), "\r%d %%", 100*at.Sub(o.From)/last)
			if !at.Before(now) {
				fmt.Fprint(cmd.ErrOrStderr(), "\r     \r")
			}
		}
	}
	return app.Backtest(cmd.Context(), cfg, o)
}

func backtestCSV(cmd *cobra.Command, path string) error {
	b := backtest{name: "standard input", notes: cmd.ErrOrStderr(), progress: isTerminal(os.Stderr) && !isTerminal(os.Stdout)}
	in := cmd.InOrStdin()
	if path != "-" {
		file, err := os.Open(path)
		if err != nil {
			return err
		}
		defer file.Close()
		if info, err := file.Stat(); err == nil && info.Mode().IsRegular() {
			b.size = info.Size()
		}
		b.name, in = path, file
	}
	done := make(chan error, 1)
	go func() { done <- b.score(cmd.Context(), in, cmd.OutOrStdout()) }()
	select {
	case err := <-done:
		return err
	case <-cmd.Context().Done():
	}
	// A read that waits for a pipe cannot be interrupted, and is left behind:
	// whatever came before it is written.
	select {
	case <-done:
	case <-time.After(stopPause):
	}
	return errors.New("stopped before the end")
}

// isTerminal says whether somebody looks at a file's output.
func isTerminal(f *os.File) bool {
	info, err := f.Stat()
	if err != nil || info.Mode()&os.ModeCharDevice == 0 {
		return false
	}
	nowhere, err := os.Stat(os.DevNull)
	return err != nil || !os.SameFile(info, nowhere)
}

// backtest scores one CSV file.
type backtest struct {
	name     string
	size     int64 // in bytes; 0 where it is not known
	notes    io.Writer
	progress bool // is shown

	rows, bad int
	shown     time.Time // when progress was
}

// rowByRow bounds what is read for one row.
type rowByRow struct {
	in   io.Reader
	left int // of the bytes that the row may take
}

var errLongRow = fmt.Errorf("a row is longer than %d MiB; perhaps a quote is left open", maxRow>>20)

// Read reads on, and gives errLongRow where the row has had its bytes.
func (r *rowByRow) Read(into []byte) (int, error) {
	if r.left <= 0 {
		return 0, errLongRow
	}
	n, err := r.in.Read(into)
	r.left -= n
	return n, err
}

// waits says whether the next row is not whole yet, so that reading it may
// take until more comes.
func waits(ahead *bufio.Reader) bool {
	there, _ := ahead.Peek(ahead.Buffered()) // cannot fail: it is in the buffer
	return !bytes.Contains(there, []byte{'\n'})
}

// score writes each row of in to out with its score. Before it waits for more
// rows, all that were scored are written.
func (b *backtest) score(ctx context.Context, in io.Reader, out io.Writer) (err error) {
	bounded := &rowByRow{in: in, left: maxRow}
	ahead := bufio.NewReaderSize(bounded, readAhead)
	rows := csv.NewReader(ahead)
	rows.FieldsPerRecord = -1
	rows.ReuseRecord = true
	at, value, err := b.header(ahead, rows)
	if err != nil {
		return err
	}
	scored := csv.NewWriter(out)
	defer func() {
		scored.Flush()
		err = cmp.Or(err, scored.Error())
	}()
	if err := scored.Write([]string{"timestamp", "value", "anomaly_score"}); err != nil {
		return err
	}
	var detector anomaly.Tail
	line := 1 // of the last row that was read
	for ctx.Err() == nil {
		if waits(ahead) {
			scored.Flush()
		}
		bounded.left = maxRow
		row, err := rows.Read()
		if errors.Is(err, io.EOF) {
			b.finish()
			return nil
		}
		if errors.Is(err, errLongRow) {
			return fmt.Errorf("%s, after line %d: %w", b.name, line, err)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", b.name, err)
		}
		line, _ = rows.FieldPos(0)
		text := field(row, value)
		score := 0.0
		if x, err := strconv.ParseFloat(strings.TrimSpace(text), 64); err == nil && !math.IsNaN(x) && !math.IsInf(x, 0) {
			score = detector.Add(x)
		} else {
			b.complain(line, text)
		}
		if err := scored.Write([]string{field(row, at), text, strconv.FormatFloat(score, 'f', -1, 64)}); err != nil {
			return err
		}
		b.show(rows.InputOffset())
	}
	return ctx.Err()
}

// header reads the first line and finds the two columns in it.
func (b *backtest) header(ahead *bufio.Reader, rows *csv.Reader) (at, value int, err error) {
	if mark, err := ahead.Peek(3); err == nil && string(mark) == "\ufeff" {
		_, _ = ahead.Discard(len(mark)) // spreadsheets begin a file with it
	}
	names, err := rows.Read()
	if errors.Is(err, io.EOF) {
		return 0, 0, fmt.Errorf("%s is empty: it needs a header with the columns timestamp and value", b.name)
	}
	if err != nil {
		return 0, 0, fmt.Errorf("%s: %w", b.name, err)
	}
	column := func(name string) int {
		return slices.IndexFunc(names, func(n string) bool { return strings.EqualFold(strings.TrimSpace(n), name) })
	}
	at, value = column("timestamp"), column("value")
	if at < 0 || value < 0 {
		return 0, 0, fmt.Errorf("%s, line 1: the header must name the columns timestamp and value, and is %.200q", b.name, strings.Join(names, ","))
	}
	return at, value, nil
}

// field gives a row's field, or "" where the row is too short.
func field(row []string, i int) string {
	if i < len(row) {
		return row[i]
	}
	return ""
}

// complain names a row without a number.
func (b *backtest) complain(line int, text string) {
	if b.bad++; b.bad <= maxRowsNamed {
		fmt.Fprintf(b.notes, "%s, line %d: the value %.40q is no number; the row scores 0\n", b.name, line, text)
	}
}

// show tells how far it is, to somebody who looks.
func (b *backtest) show(offset int64) {
	b.rows++
	if !b.progress || b.rows%progressEvery != 0 || time.Since(b.shown) < progressPause {
		return
	}
	b.shown = time.Now()
	fmt.Fprintf(b.notes, "\r%d rows", b.rows)
	if b.size > 0 {
		fmt.Fprintf(b.notes, ", %d %%", 100*offset/b.size)
	}
}

// finish says what is left to say.
func (b *backtest) finish() {
	if !b.shown.IsZero() {
		fmt.Fprintf(b.notes, "\r%d rows, done \n", b.rows)
	}
	if b.bad > maxRowsNamed {
		fmt.Fprintf(b.notes, "%s: %d of %d rows had no number and score 0\n", b.name, b.bad, b.rows)
	}
}
