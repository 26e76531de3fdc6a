package store_test

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"breakwater/internal/record"
	"breakwater/internal/store"
)

func BenchmarkWriterServed(b *testing.B) { benchmarkWriter(b, served) }

func BenchmarkWriterFailedOver(b *testing.B) { benchmarkWriter(b, failedOver) }

func benchmarkWriter(b *testing.B, make func(record.ID, time.Time) *record.Trace) {
	for _, d := range []store.Durability{store.Unjournaled, store.Journaled} {
		b.Run(string(d), func(b *testing.B) { benchmarkRecord(b, d, make) })
	}
}

// benchmarkRecord writes traces of 100 a second through the whole path, with
// rollups, and reports what the writer sustains and what a trace takes on disk.
func benchmarkRecord(b *testing.B, d store.Durability, make func(record.ID, time.Time) *record.Trace) {
	path := filepath.Join(b.TempDir(), "bench.db")
	s := mustOpen(b, store.Options{Path: path, Queue: b.N + 1, Durability: d})
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

// BenchmarkRecord is what recording costs a request, by durability: the mean,
// and the median of requests that come one by one. Nothing is written meanwhile.
func BenchmarkRecord(b *testing.B) {
	for _, d := range store.Durabilities() {
		b.Run(string(d), func(b *testing.B) {
			s := mustOpen(b, store.Options{Path: filepath.Join(b.TempDir(), "bench.db"), Queue: b.N + 1, Durability: d})
			if d == store.Durable {
				run(b, s) // which syncs
			}
			ids, took := record.NewIDs(1, 0), make([]time.Duration, 0, b.N)
			b.ResetTimer()
			for range b.N {
				t := served(ids.Next(noon), noon) // as fresh as one that just ended
				began := time.Now()
				s.Record(t)
				took = append(took, time.Since(began))
			}
			b.StopTimer()
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)/2]), "p50-ns")
			b.ReportMetric(float64(took[len(took)*99/100]), "p99-ns")
		})
	}
}
