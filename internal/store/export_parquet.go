package store

import (
	"io"
	"time"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/compress/zstd"

	"breakwater/internal/record"
)

// parquetGroup is how many traces a row group holds, and with them the memory
// that writing takes: about 50 MB.
const parquetGroup = 100_000

// The rows of a Parquet file. Durations are in microseconds, money is a decimal
// of US dollars with nine places; a failover's attempts are a list.
type (
	parquetTrace struct {
		ID         string           `parquet:"id"`
		Accepted   time.Time        `parquet:"accepted,timestamp(microsecond)"`
		Outcome    string           `parquet:"outcome,dict"`
		Status     int32            `parquet:"status"`
		Door       string           `parquet:"door,dict"`
		Asked      string           `parquet:"asked,dict"`
		Caller     string           `parquet:"caller,dict"`
		Preferred  string           `parquet:"preferred,dict"`
		Strategy   string           `parquet:"strategy,dict"`
		Reason     string           `parquet:"reason,dict"`
		Provider   string           `parquet:"provider,dict"`
		Endpoint   string           `parquet:"endpoint,dict"`
		Model      string           `parquet:"model,dict"`
		Stream     bool             `parquet:"stream"`
		Simulated  bool             `parquet:"simulated"`
		Queued     int64            `parquet:"queued_us"`
		TTFT       int64            `parquet:"ttft_us"`
		Took       int64            `parquet:"took_us"`
		Input      int64            `parquet:"input_tokens"`
		CacheRead  int64            `parquet:"cache_read_tokens"`
		CacheWrite int64            `parquet:"cache_write_tokens"`
		Output     int64            `parquet:"output_tokens"`
		Reasoning  int64            `parquet:"reasoning_tokens"`
		Cost       int64            `parquet:"cost_usd,decimal(9:18)"`
		Attempts   []parquetAttempt `parquet:"attempts,list"`
	}
	parquetAttempt struct {
		Provider   string `parquet:"provider,dict"`
		Endpoint   string `parquet:"endpoint,dict"`
		Model      string `parquet:"model,dict"`
		Key        string `parquet:"key,dict"`
		Class      string `parquet:"class,dict"`
		Status     int32  `parquet:"status"`
		Code       string `parquet:"code,dict"`
		Message    string `parquet:"message"`
		UpstreamID string `parquet:"upstream_id"`
		Start      int64  `parquet:"start_us"`
		TTFT       int64  `parquet:"ttft_us"`
		Took       int64  `parquet:"took_us"`
		Input      int64  `parquet:"input_tokens"`
		Output     int64  `parquet:"output_tokens"`
		Cost       int64  `parquet:"cost_usd,decimal(9:18)"`
		Probe      bool   `parquet:"probe"`
		Canary     bool   `parquet:"canary"`
		Hedge      bool   `parquet:"hedge"`
		LastResort bool   `parquet:"last_resort"`
		Looping    bool   `parquet:"looping"`
	}
)

func newParquet(out io.Writer) *parquet.GenericWriter[parquetTrace] {
	return parquet.NewGenericWriter[parquetTrace](out, parquet.Compression(&zstd.Codec{}), parquet.MaxRowsPerRowGroup(parquetGroup))
}

func parquetRow(t *record.Trace) parquetTrace {
	row := parquetTrace{
		ID: t.ID.String(), Accepted: t.Accepted, Outcome: string(t.Outcome), Status: int32(t.Status), Door: string(t.Door),
		Asked: t.Asked, Caller: t.Caller, Preferred: string(t.Preferred), Strategy: t.Strategy, Reason: t.Reason,
		Provider: string(t.Served.Provider), Endpoint: t.Served.Endpoint, Model: t.Served.Model,
		Stream: t.Stream, Simulated: t.Simulated, Queued: micros(t.Queued), TTFT: micros(t.TTFT), Took: micros(t.Took),
		Input: t.Usage.Input, CacheRead: t.Usage.CacheRead, CacheWrite: t.Usage.CacheWrite,
		Output: t.Usage.Output, Reasoning: t.Usage.Reasoning, Cost: int64(t.Cost),
	}
	for _, a := range t.Attempts {
		row.Attempts = append(row.Attempts, parquetAttempt{
			Provider: string(a.Target.Provider), Endpoint: a.Target.Endpoint, Model: a.Target.Model, Key: a.Key,
			Class: string(a.Class), Status: int32(a.Status), Code: a.Code, Message: a.Message, UpstreamID: a.UpstreamID,
			Start: micros(a.Start), TTFT: micros(a.TTFT), Took: micros(a.Took), Input: a.Usage.Input, Output: a.Usage.Output,
			Cost: int64(a.Cost), Probe: a.Probe, Canary: a.Canary, Hedge: a.Hedge, LastResort: a.LastResort, Looping: a.Looping,
		})
	}
	return row
}
