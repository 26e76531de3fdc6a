package store

import (
	"bufio"
	"context"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"time"

	"breakwater/internal/llm"
	"breakwater/internal/record"
)

// exportRows is how many traces are read at once, and with them the memory
// that an export takes, and how long it keeps the write-ahead log from
// beginning anew.
const exportRows = 1000

// exportBuffer is how much is written at once: a line for each trace would be
// a system call for each.
const exportBuffer = 64 << 10

// Format is a form of exported traces.
type Format string

// The formats.
const (
	NDJSON  Format = "ndjson"  // one JSON object a line, with attempts and candidates
	CSV     Format = "csv"     // RFC 4180, one line for each trace, with a heading
	Parquet Format = "parquet" // Apache Parquet, Zstandard, one row for each trace, with its attempts as a list
)

// Formats lists all formats.
func Formats() []Format { return []Format{NDJSON, CSV, Parquet} }

// Export writes the traces that were accepted from from on and before to, the
// oldest first, while a Breakwater may be writing. It tells progress how many
// it has written and how far it has come.
func Export(ctx context.Context, path string, format Format, from, to time.Time, out io.Writer, progress func(traces int64, at time.Time)) error {
	if err := export(ctx, path, format, from, to, out, progress); err != nil {
		return fmt.Errorf("store: export: %w", err)
	}
	return nil
}

func export(ctx context.Context, path string, format Format, from, to time.Time, out io.Writer, progress func(int64, time.Time)) error {
	e, err := newExporter(format, out)
	if err != nil {
		return err
	}
	db, err := look(ctx, path)
	if err != nil {
		return err
	}
	defer db.Close()
	if err := current(ctx, db); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	last, end := record.At(later(from))-1, record.At(later(to))
	for done := int64(0); ; {
		traces, err := readTraces(ctx, db, selectTraces+`WHERE t.id > ? AND t.id < ? ORDER BY t.id LIMIT ?`, last, end, exportRows)
		if err != nil {
			return err
		}
		for i := range traces {
			if err := e.write(&traces[i]); err != nil {
				return err
			}
		}
		if err := e.flush(); err != nil {
			return err
		}
		done += int64(len(traces))
		if len(traces) > 0 {
			last = traces[len(traces)-1].ID
		}
		progress(done, last.Time())
		if len(traces) < exportRows {
			return e.end()
		}
	}
}

// exporter writes traces in one format.
type exporter struct {
	write func(*record.Trace) error
	flush func() error // sends on what was written, where the format has no need of more first
	end   func() error // after the last trace
}

func newExporter(format Format, out io.Writer) (exporter, error) {
	done := func() error { return nil }
	switch format {
	case NDJSON:
		buffered := bufio.NewWriterSize(out, exportBuffer)
		lines := json.NewEncoder(buffered)
		lines.SetEscapeHTML(false)
		return exporter{func(t *record.Trace) error { return lines.Encode(exported(t)) }, buffered.Flush, done}, nil
	case CSV:
		table := csv.NewWriter(out)
		flush := func() error { table.Flush(); return table.Error() }
		return exporter{func(t *record.Trace) error { return table.Write(csvLine(t)) }, flush, done}, table.Write(csvHeading())
	case Parquet:
		columns := newParquet(out)
		write := func(t *record.Trace) error {
			_, err := columns.Write([]parquetTrace{parquetRow(t)})
			return err
		}
		return exporter{write, done, columns.Close}, nil
	}
	return exporter{}, fmt.Errorf("%q is no format: ndjson, csv or parquet", format)
}

// The exported JSON. Durations are in microseconds, money in US dollars as an
// exact decimal.
type (
	exportedTrace struct {
		ID         string              `json:"id"`
		Accepted   time.Time           `json:"accepted"`
		Outcome    record.Outcome      `json:"outcome"`
		Status     int                 `json:"status"`
		Door       llm.Dialect         `json:"door"`
		Asked      string              `json:"asked"`
		Caller     string              `json:"caller,omitempty"`
		Preferred  llm.Provider        `json:"preferred,omitempty"`
		Strategy   string              `json:"strategy,omitempty"`
		Reason     string              `json:"reason,omitempty"`
		Served     *exportedTarget     `json:"served,omitempty"`
		Stream     bool                `json:"stream"`
		Simulated  bool                `json:"simulated,omitempty"`
		QueuedUS   int64               `json:"queued_us"`
		TTFTUS     int64               `json:"ttft_us"`
		TookUS     int64               `json:"took_us"`
		Usage      exportedUsage       `json:"usage"`
		CostUSD    string              `json:"cost_usd"`
		Attempts   []exportedAttempt   `json:"attempts"`
		Candidates []exportedCandidate `json:"candidates"`
	}
	exportedTarget struct {
		Provider llm.Provider `json:"provider"`
		Endpoint string       `json:"endpoint,omitempty"`
		Model    string       `json:"model"`
	}
	exportedUsage struct {
		Input      int64 `json:"input_tokens"`
		CacheRead  int64 `json:"cache_read_tokens"`
		CacheWrite int64 `json:"cache_write_tokens"`
		Output     int64 `json:"output_tokens"`
		Reasoning  int64 `json:"reasoning_tokens"`
	}
	exportedAttempt struct {
		exportedTarget
		Key        string           `json:"key,omitempty"`
		Class      llm.FailureClass `json:"class,omitempty"`
		Status     int              `json:"status"`
		Code       string           `json:"code,omitempty"`
		Message    string           `json:"message,omitempty"`
		UpstreamID string           `json:"upstream_id,omitempty"`
		StartUS    int64            `json:"start_us"`
		TTFTUS     int64            `json:"ttft_us"`
		TookUS     int64            `json:"took_us"`
		Usage      exportedUsage    `json:"usage"`
		CostUSD    string           `json:"cost_usd"`
		Probe      bool             `json:"probe,omitempty"`
		Canary     bool             `json:"canary,omitempty"`
		Hedge      bool             `json:"hedge,omitempty"`
		LastResort bool             `json:"last_resort,omitempty"`
		Looping    bool             `json:"looping,omitempty"`
	}
	exportedCandidate struct {
		exportedTarget
		Verdict record.Verdict `json:"verdict"`
		Detail  string         `json:"detail,omitempty"`
	}
)

func exported(t *record.Trace) exportedTrace {
	e := exportedTrace{
		ID: t.ID.String(), Accepted: t.Accepted, Outcome: t.Outcome, Status: t.Status, Door: t.Door, Asked: t.Asked,
		Caller: t.Caller, Preferred: t.Preferred, Strategy: t.Strategy, Reason: t.Reason, Stream: t.Stream,
		Simulated: t.Simulated, QueuedUS: micros(t.Queued), TTFTUS: micros(t.TTFT), TookUS: micros(t.Took),
		Usage: usageOf(t.Usage), CostUSD: t.Cost.String(), Attempts: []exportedAttempt{}, Candidates: []exportedCandidate{},
	}
	if t.Served != (llm.Target{}) {
		served := exportedTarget(t.Served)
		e.Served = &served
	}
	for _, a := range t.Attempts {
		e.Attempts = append(e.Attempts, exportedAttempt{
			exportedTarget: exportedTarget(a.Target), Key: a.Key, Class: a.Class, Status: a.Status, Code: a.Code,
			Message: a.Message, UpstreamID: a.UpstreamID, StartUS: micros(a.Start), TTFTUS: micros(a.TTFT),
			TookUS: micros(a.Took), Usage: usageOf(a.Usage), CostUSD: a.Cost.String(),
			Probe: a.Probe, Canary: a.Canary, Hedge: a.Hedge, LastResort: a.LastResort, Looping: a.Looping,
		})
	}
	for _, c := range t.Plan {
		e.Candidates = append(e.Candidates, exportedCandidate{exportedTarget(c.Target), c.Verdict, c.Detail})
	}
	return e
}

func usageOf(u llm.Usage) exportedUsage {
	return exportedUsage{u.Input, u.CacheRead, u.CacheWrite, u.Output, u.Reasoning}
}

// csvHeading names the columns of csvLine.
func csvHeading() []string {
	return []string{
		"id", "accepted", "outcome", "status", "door", "asked", "caller", "preferred", "strategy", "reason",
		"provider", "endpoint", "model", "key", "stream", "simulated", "attempts", "queued_us", "ttft_us", "took_us",
		"input_tokens", "cache_read_tokens", "cache_write_tokens", "output_tokens", "reasoning_tokens", "cost_usd", "upstream_id",
	}
}

func csvLine(t *record.Trace) []string {
	var last record.Attempt
	if n := len(t.Attempts); n > 0 {
		last = t.Attempts[n-1]
	}
	number := func(n int64) string { return strconv.FormatInt(n, 10) }
	return []string{
		t.ID.String(), t.Accepted.Format(time.RFC3339Nano), string(t.Outcome), strconv.Itoa(t.Status), string(t.Door),
		t.Asked, t.Caller, string(t.Preferred), t.Strategy, t.Reason,
		string(t.Served.Provider), t.Served.Endpoint, t.Served.Model, last.Key,
		strconv.FormatBool(t.Stream), strconv.FormatBool(t.Simulated), strconv.Itoa(len(t.Attempts)),
		number(micros(t.Queued)), number(micros(t.TTFT)), number(micros(t.Took)),
		number(t.Usage.Input), number(t.Usage.CacheRead), number(t.Usage.CacheWrite), number(t.Usage.Output),
		number(t.Usage.Reasoning), t.Cost.String(), last.UpstreamID,
	}
}
