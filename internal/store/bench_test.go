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
// and the median of requests that come one by one. Nothing is written meanwhile
// but, by turns with the journal, as many bytes to another file: p50-write-ns is
// what the system call alone takes.
func BenchmarkRecord(b *testing.B) {
	for _, d := range store.Durabilities() {
		b.Run(string(d), func(b *testing.B) {
			s := mustOpen(b, store.Options{Path: filepath.Join(b.TempDir(), "bench.db"), Queue: b.N + 2, Durability: d})
			if d == store.Durable {
				run(b, s) // which syncs
			}
			bare := startBare(b, s)
			ids, took, written := record.NewIDs(1, 0), make([]time.Duration, 0, b.N), make([]time.Duration, 0, b.N)
			b.ResetTimer()
			for i := range b.N {
				t := served(ids.Next(noon), noon) // as fresh as one that just ended
				began := time.Now()
				s.Record(t)
				took = append(took, time.Since(began))
				if d == store.Journaled {
					written = append(written, bare(i))
				}
			}
			b.StopTimer()
			for name, all := range map[string][]time.Duration{"": took, "write-": written} {
				if slices.Sort(all); len(all) > 0 {
					b.ReportMetric(float64(all[len(all)/2]), "p50-"+name+"ns")
					b.ReportMetric(float64(all[len(all)*99/100]), "p99-"+name+"ns")
				}
			}
		})
	}
}

// startBare gives what appends to a file of its own as many bytes as the journal
// takes for a trace, and how long that took.
func startBare(b *testing.B, s *store.Store) func(i int) time.Duration {
	before := s.Stats().JournalBytes
	s.Record(served(record.At(noon), noon))
	entry := make([]byte, s.Stats().JournalBytes-before)
	file, err := os.Create(filepath.Join(b.TempDir(), "bare"))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { file.Close() })
	return func(i int) time.Duration {
		began := time.Now()
		if _, err := file.WriteAt(entry, int64(i*len(entry))); err != nil {
			b.Fatal(err)
		}
		return time.Since(began)
	}
}
