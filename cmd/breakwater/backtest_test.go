package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// scored runs a backtest over a text.
func scored(t *testing.T, in string) (out, notes string, err error) {
	t.Helper()
	var to, said bytes.Buffer
	b := &backtest{name: "in.csv", notes: &said}
	err = b.score(t.Context(), strings.NewReader(in), &to)
	return to.String(), said.String(), err
}

// spiky is a series of so many rows, a few of them far out.
func spiky(rows int) string {
	r := rand.New(rand.NewPCG(5, 6))
	var in strings.Builder
	in.WriteString("timestamp,value\n")
	for i := range rows {
		x := r.NormFloat64()
		if i%397 == 396 {
			x += 30
		}
		fmt.Fprintf(&in, "t%d,%.3f\n", i, x)
	}
	return in.String()
}

func TestBacktestKeepsEveryRowInItsPlace(t *testing.T) {
	in := "\ufeffhost,Value,timestamp\r\n" +
		"a,1.50,2026-03-02 00:00:00\r\n" +
		"a,,2026-03-02 00:05:00\r\n" +
		"\r\n" +
		"a\r\n" +
		"a,NaN,2026-03-02 00:15:00\r\n" +
		"\"a,b\",oops,\"2 March, later\"\r\n" +
		"a, 2 ,2026-03-02 00:25:00\r\n"
	out, notes, err := scored(t, in)
	if err != nil {
		t.Fatal(err)
	}
	want := `timestamp,value,anomaly_score
2026-03-02 00:00:00,1.50,0
2026-03-02 00:05:00,,0
,,0
2026-03-02 00:15:00,NaN,0
"2 March, later",oops,0
2026-03-02 00:25:00," 2 ",0
`
	if out != want {
		t.Errorf("got\n%s\nwant\n%s", out, want)
	}
	want = `in.csv, line 3: the value "" is no number; the row scores 0
in.csv, line 5: the value "" is no number; the row scores 0
in.csv, line 6: the value "NaN" is no number; the row scores 0
in.csv, line 7: the value "oops" is no number; the row scores 0
`
	if notes != want {
		t.Errorf("got\n%s\nwant\n%s", notes, want)
	}
}

func TestBacktestCountsBadRowsBeyondTheFirst(t *testing.T) {
	_, notes, err := scored(t, "timestamp,value\n"+strings.Repeat("t,-\n", 30)+"t,1\n")
	if err != nil {
		t.Fatal(err)
	}
	if got, want := strings.Count(notes, "\n"), maxRowsNamed+1; got != want {
		t.Errorf("got %d lines, want %d", got, want)
	}
	if want := "in.csv: 30 of 31 rows had no number and score 0\n"; !strings.HasSuffix(notes, want) {
		t.Errorf("got %q, want it to end with %q", notes, want)
	}
}

func TestBacktestScoresDependOnEarlierRowsOnly(t *testing.T) {
	whole, _, err := scored(t, spiky(2000))
	if err != nil {
		t.Fatal(err)
	}
	for _, rows := range []int{1, 500, 1190, 1999} {
		part, _, err := scored(t, spiky(rows))
		if err != nil {
			t.Fatal(err)
		}
		if !strings.HasPrefix(whole, part) {
			t.Errorf("the scores of the first %d rows change with what follows", rows)
		}
	}
	if want := "t1190,"; !strings.Contains(whole, want) || strings.HasSuffix(whole[:strings.Index(whole, "\nt1191,")], ",0") {
		t.Error("the spike in row 1190 scores 0")
	}
}

func TestBacktestWritesWhatIsScoredBeforeItWaits(t *testing.T) {
	in, feed := io.Pipe()
	out, to := io.Pipe()
	done := make(chan error, 1)
	go func() {
		done <- (&backtest{name: "a pipe", notes: io.Discard}).score(t.Context(), in, to)
		to.Close()
	}()
	lines := bufio.NewScanner(out)
	// What writes by blocks ends in the middle of a row.
	for i, sent := range []string{"timestamp,value\n", "t1,1\nt2", ",2\nt3,3"} {
		if _, err := io.WriteString(feed, sent); err != nil {
			t.Fatal(err)
		}
		want := []string{"timestamp,value,anomaly_score", "t1,1,0", "t2,2,0"}[i]
		if !lines.Scan() || lines.Text() != want {
			t.Fatalf("got %q, want %q", lines.Text(), want)
		}
	}
	feed.Close()
	if !lines.Scan() || lines.Text() != "t3,3,0" {
		t.Errorf("got %q for the last row, which has no line break", lines.Text())
	}
	if lines.Scan() {
		t.Errorf("got %q after the end", lines.Text())
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestBacktestTellsWhereAFileIsWrong(t *testing.T) {
	for _, c := range []struct{ name, in, out, want string }{
		{"empty", "", "", "in.csv is empty: it needs a header with the columns timestamp and value"},
		{"no header", "2026-03-02,1\n", "", `in.csv, line 1: the header must name the columns timestamp and value, and is "2026-03-02,1"`},
		{"a quote left open", "timestamp,value\nt,1\nt,\"2\n", "timestamp,value,anomaly_score\nt,1,0\n",
			"in.csv: parse error on line 3, column 6: extraneous or missing \" in quoted-field"},
		{"a quote left open in a large file", "timestamp,value\nt,1\nt,\"2\n" + strings.Repeat("t,3\n", maxRow/2), "timestamp,value,anomaly_score\nt,1,0\n",
			"in.csv, after line 2: a row is longer than 1 MiB; perhaps a quote is left open"},
		{"no line break", strings.Repeat("x", 2*maxRow), "", "in.csv: a row is longer than 1 MiB; perhaps a quote is left open"},
		{"something else", strings.Repeat("word ", 100), "",
			`in.csv, line 1: the header must name the columns timestamp and value, and is "` + strings.Repeat("word ", 40) + `"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			out, _, err := scored(t, c.in)
			if err == nil || err.Error() != c.want {
				t.Errorf("got %v, want %s", err, c.want)
			}
			if out != c.out {
				t.Errorf("got the rows %q, want %q", out, c.out)
			}
		})
	}
}

func TestBacktestShowsItsProgress(t *testing.T) {
	in := spiky(2 * progressEvery)
	var said bytes.Buffer
	b := &backtest{name: "in.csv", size: int64(len(in)), notes: &said, progress: true}
	if err := b.score(t.Context(), strings.NewReader(in), io.Discard); err != nil {
		t.Fatal(err)
	}
	if want := fmt.Sprintf("\r%d rows, 49 %%", progressEvery); !strings.HasPrefix(said.String(), want) {
		t.Errorf("got %q, want %q", said.String(), want)
	}
	if want := fmt.Sprintf("\r%d rows, done \n", 2*progressEvery); !strings.HasSuffix(said.String(), want) {
		t.Errorf("got %q, want %q", said.String(), want)
	}
}

func TestBacktestStopsWhenTold(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	stop()
	var out bytes.Buffer
	err := (&backtest{name: "in.csv", notes: io.Discard}).score(ctx, strings.NewReader(spiky(10)), &out)
	if !errors.Is(err, context.Canceled) || strings.Count(out.String(), "\n") != 1 {
		t.Errorf("got %v and %q, want it canceled after the header", err, out.String())
	}
}

func TestBacktestCommand(t *testing.T) {
	file := filepath.Join(t.TempDir(), "in.csv")
	if err := os.WriteFile(file, []byte("timestamp,value\nt1,1\nt2,x\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args      []string
		code      int
		out, errs string
	}{
		{[]string{"--csv", file}, 0, "timestamp,value,anomaly_score\nt1,1,0\nt2,x,0\n", file + ", line 3: the value \"x\" is no number; the row scores 0\n"},
		{[]string{"--csv", "-"}, exitTrouble, "", "breakwater: standard input is empty: it needs a header with the columns timestamp and value\n"},
		{[]string{"--csv", file + ".gz"}, exitTrouble, "", "breakwater: open " + file + ".gz: no such file or directory\n"},
		{[]string{"--csv", ""}, exitConfig, "", "breakwater: --csv needs the name of a file, or - for standard input; see breakwater backtest --help\n"},
		{[]string{"--csv", file, "--json"}, exitConfig, "", "breakwater: --csv writes CSV, not JSON; see breakwater backtest --help\n"},
		{[]string{"--csv", file, "--last", "1h"}, exitConfig, "", "breakwater: --csv scores the whole file; --last is for the record; see breakwater backtest --help\n"},
		{[]string{"--last", "-1h"}, exitConfig, "", "breakwater: --last must be more than 0; see breakwater backtest --help\n"},
		{[]string{"--db", file + ".db"}, exitTrouble, "", "breakwater: there is no database at " + file + ".db; --db or BREAKWATER_DB names another\n"},
	} {
		code, out, errs := runProgram(t, nil, append([]string{"backtest"}, c.args...)...)
		if code != c.code || out != c.out || errs != c.errs {
			t.Errorf("%v: got %d, %q and %q, want %d, %q and %q", c.args, code, out, errs, c.code, c.out, c.errs)
		}
	}
}
