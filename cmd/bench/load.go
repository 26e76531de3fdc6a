package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// measured is what a round, or the median of rounds, showed of one server.
type measured struct {
	perSecond float64       // answers
	p50, p99  time.Duration // of whole answers
	first     time.Duration // p50 to the first bytes of the body
	cpu       time.Duration // of the server, per answer
	allocs    float64       // objects per answer; 0 where the server does not tell
	resident  float64       // memory, in MiB, when the load ended
}

// load asks a server with so many callers at once for a while, each at least
// once. Every answer must be complete.
func load(ctx context.Context, client *http.Client, url string, w workload, callers int, length time.Duration) (measured, int, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	began := time.Now()
	var mu sync.Mutex
	var took, first []time.Duration
	var wg sync.WaitGroup
	for range callers {
		wg.Go(func() {
			buffer := make([]byte, 32<<10)
			var mine, mineFirst []time.Duration
			for once := true; once || time.Since(began) < length && ctx.Err() == nil; once = false {
				at := time.Now()
				f, err := ask(ctx, client, url, w, buffer)
				if err != nil {
					cancel(err)
					break
				}
				mine, mineFirst = append(mine, time.Since(at)), append(mineFirst, f)
			}
			mu.Lock()
			defer mu.Unlock()
			took, first = append(took, mine...), append(first, mineFirst...)
		})
	}
	wg.Wait()
	if err := context.Cause(ctx); err != nil {
		return measured{}, 0, err
	}
	elapsed := time.Since(began)
	slices.Sort(took)
	slices.Sort(first)
	return measured{
		perSecond: float64(len(took)) / elapsed.Seconds(),
		p50:       took[len(took)/2], p99: took[len(took)*99/100], first: first[len(first)/2],
	}, len(took), nil
}

// ask completes one request and gives the time to the first bytes of the answer.
func ask(ctx context.Context, client *http.Client, url string, w workload, buffer []byte) (time.Duration, error) {
	began := time.Now()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url+"/v1/chat/completions", strings.NewReader(w.body))
	if err != nil {
		return 0, err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := client.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	var first time.Duration
	var tail []byte
	for {
		n, err := resp.Body.Read(buffer)
		if n > 0 && first == 0 {
			first = time.Since(began)
		}
		tail = append(tail, buffer[:n]...)
		tail = tail[max(0, len(tail)-64):]
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return 0, err
		}
	}
	if resp.StatusCode != http.StatusOK || !bytes.HasSuffix(tail, []byte(w.ends)) {
		return 0, fmt.Errorf("%s gave HTTP %d and an answer that ends in %q", url, resp.StatusCode, tail)
	}
	return first, nil
}

// median gives each figure's median over rounds.
func median(rounds []measured) measured {
	pick := func(of func(measured) float64) float64 {
		var all []float64
		for _, r := range rounds {
			all = append(all, of(r))
		}
		slices.Sort(all)
		return all[len(all)/2]
	}
	return measured{
		perSecond: pick(func(m measured) float64 { return m.perSecond }),
		p50:       time.Duration(pick(func(m measured) float64 { return float64(m.p50) })),
		p99:       time.Duration(pick(func(m measured) float64 { return float64(m.p99) })),
		first:     time.Duration(pick(func(m measured) float64 { return float64(m.first) })),
		cpu:       time.Duration(pick(func(m measured) float64 { return float64(m.cpu) })),
		allocs:    pick(func(m measured) float64 { return m.allocs }),
		resident:  pick(func(m measured) float64 { return m.resident }),
	}
}
