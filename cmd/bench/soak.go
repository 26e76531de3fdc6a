package main

import (
	"context"
	"fmt"
	"io"
	"time"
)

const (
	// soakCallers keep a small machine busy without a queue at the load generator.
	soakCallers = 16
	// soakSteps is how often memory is printed: a leak is a line that climbs.
	soakSteps = 20
)

// soak asks Breakwater n small requests, and prints its memory after each part
// of them. The first parts fill pools and windows; then it should be flat.
func (s *servers) soak(ctx context.Context, w io.Writer, n int) error {
	chat := workloads()[0]
	fmt.Fprintf(w, "%d requests of %d callers\n\n%10s %14s %8s\n", n, soakCallers, "requests", "resident, MiB", "a second")
	done := 0
	for step := 1; step <= soakSteps; step++ {
		began, from := time.Now(), done
		for done < n*step/soakSteps {
			_, answers, err := load(ctx, s.client, s.breakwater.url, chat, soakCallers, time.Second)
			if err != nil {
				return fmt.Errorf("after %d requests: %w", done, err)
			}
			done += answers
		}
		if done > from {
			fmt.Fprintf(w, "%10d %14.1f %8.0f\n", done, s.breakwater.memory("VmRSS:"), float64(done-from)/time.Since(began).Seconds())
		}
	}
	return nil
}
