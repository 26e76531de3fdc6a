package store_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"breakwater/internal/record"
	"breakwater/internal/store"
)

func BenchmarkRecordServed(b *testing.B) { benchmarkRecord(b, served) }

func BenchmarkRecordFailedOver(b *testing.B) { benchmarkRecord(b, failedOver) }

// benchmarkRecord writes traces of 100 a second through the whole path, with
// rollups, and reports what the writer sustains and what a trace takes on disk.
func benchmarkRecord(b *testing.B, make func(record.ID, time.Time) *record.Trace) {
	path := filepath.Join(b.TempDir(), "bench.db")
	s := mustOpen(b, store.Options{Path: path, Queue: b.N + 1})
	stop := run(b, s)
	ids := record.NewIDs(1, 0)
	traces := []*record.Trace{}
	for i := range b.N {
		at := noon.Add(time.Duration(i) * 10 * time.Millisecond)
		t := make(ids.Next(at), at)
		t.Strategy, t.Attempts[len(t.Attempts)-1].Key = "failover", "main"
		traces = append(traces, t)
	}
	b.ReportAllocs()
	b.ResetTimer()
	for _, t := range traces {
		s.Record(t)
	}
	mustFlush(b, s)
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "traces/s")
	if err := stop(); err != nil {
		b.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(info.Size())/float64(b.N), "bytes/trace")
}
