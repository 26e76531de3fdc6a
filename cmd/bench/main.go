// Command bench measures what Breakwater costs: it stands between a load
// generator and an upstream on loopback, with everything on, and is compared
// in the same run with the upstream asked directly and with a bare
// httputil.ReverseProxy in its place.
//
//	go run ./cmd/bench                     all workloads, a minute and a half
//	go run ./cmd/bench -work chat -callers 1 -profile /tmp
//	go run ./cmd/bench -soak 1000000       whether memory stays flat
//
// The three are asked in turn, several rounds each, so that a noisy machine
// disturbs all of them; the ratios of the medians are what counts. Each runs as a
// process of its own, so that its CPU time and memory are its own.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Defaults.
const (
	// defaultRounds makes a median that one disturbed round does not move.
	defaultRounds = 5
	// defaultRound is long enough for hundreds of requests at one caller, and
	// for CPU time to be told in its steps of 10 ms.
	defaultRound = time.Second
)

func main() {
	if len(os.Args) > 2 && os.Args[1] == "serve" { // a child of ours
		if err := serve(os.Args[2], os.Args[3:]); err != nil {
			fmt.Fprintln(os.Stderr, "bench:", err)
			os.Exit(1)
		}
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	rounds := flag.Int("rounds", defaultRounds, "rounds of each workload; medians are printed")
	length := flag.Duration("round", defaultRound, "how long each server is asked in a round")
	work := flag.String("work", "", "comma-separated workloads: "+workloadNames()+" (default all)")
	callers := flag.String("callers", "", "comma-separated numbers of callers at once (default each workload's own)")
	profile := flag.String("profile", "", "write Breakwater's CPU and heap profiles to this `folder`")
	soak := flag.Int("soak", 0, "instead, ask Breakwater this many small requests and print its memory along the way")
	flag.Parse()
	if flag.NArg() > 0 || *rounds < 1 || *length <= 0 || *soak < 0 {
		return errors.New("wrong arguments; see -help")
	}
	chosen, err := choose(*work, *callers)
	if err != nil {
		return err
	}
	s, err := start(ctx, *profile)
	if err != nil {
		return err
	}
	defer s.stop()
	if *soak > 0 {
		return s.soak(ctx, os.Stdout, *soak)
	}
	fmt.Printf("%d rounds of %v for each server, in turn; medians\n\n%s", *rounds, *length, heading)
	for _, w := range chosen {
		for _, n := range w.callers {
			results, err := s.compare(ctx, w, n, *rounds, *length)
			if err != nil {
				return fmt.Errorf("%s, %d callers: %w", w.name, n, err)
			}
			fmt.Print(row(w.name, n, results))
		}
	}
	s.memory(os.Stdout)
	return nil
}

// choose picks the workloads and callers that were asked for.
func choose(work, callers string) ([]workload, error) {
	var chosen []workload
	for _, w := range workloads() {
		if work == "" || contains(work, w.name) {
			chosen = append(chosen, w)
		}
	}
	if len(chosen) == 0 {
		return nil, fmt.Errorf("no workload %q; there are %s", work, workloadNames())
	}
	if callers == "" {
		return chosen, nil
	}
	var counts []int
	for _, word := range strings.Split(callers, ",") {
		n, err := strconv.Atoi(strings.TrimSpace(word))
		if err != nil || n < 1 || n > 4096 {
			return nil, fmt.Errorf("callers: %q is no number from 1 to 4096", word)
		}
		counts = append(counts, n)
	}
	for i := range chosen {
		chosen[i].callers = counts
	}
	return chosen, nil
}

func contains(list, word string) bool {
	for _, w := range strings.Split(list, ",") {
		if strings.TrimSpace(w) == word {
			return true
		}
	}
	return false
}
