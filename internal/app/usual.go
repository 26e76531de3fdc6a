package app

import (
	"context"
	"slices"
	"time"

	"breakwater/internal/llm"
	"breakwater/internal/store"
	"breakwater/web"
)

const (
	// usualDays is how far back "usual" looks: a week holds every hour of
	// every weekday once.
	usualDays = 7
	// usualHours is how many hours with traffic make something usual.
	usualHours = 3
	// usualRequests is how many answers make an hour count.
	usualRequests = 5
	// usualEvery is how often "usual" is worked out again.
	usualEvery = time.Minute
)

// usual is what a subject's past week looked like.
type usual struct {
	p95       web.Figure[time.Duration] // of the median hour
	band      web.Figure[web.Band]      // from the 10th to the 90th percentile of the hours' p95
	p50, p99  web.Figure[web.Band]      // of the hours' p50 and p99
	ttft      web.Figure[web.Band]      // of the hours' p95 of the time to first token
	succeeded web.Figure[float64]
	perMinute web.Figure[float64]
}

// pasts holds the usual of the callers and of each provider.
type pasts struct {
	callers   usual
	providers map[llm.Provider]usual
}

// readPasts works out what is usual from the store's hours, the present one
// left out.
func readPasts(ctx context.Context, st *store.Store, now time.Time) (pasts, error) {
	to := now.UTC().Truncate(time.Hour)
	rollups, err := st.Rollups(ctx, store.Hour, to.AddDate(0, 0, -usualDays), to)
	if err != nil {
		return pasts{}, err
	}
	callers := map[time.Time]store.Rollup{}
	providers := map[llm.Provider]map[time.Time]store.Rollup{}
	add := func(hours map[time.Time]store.Rollup, r store.Rollup) {
		sum, ok := hours[r.Start]
		if !ok {
			sum = store.Rollup{Start: r.Start}
		}
		sum.Add(r)
		hours[r.Start] = sum
	}
	for _, r := range rollups {
		if r.Callers {
			add(callers, r)
			continue
		}
		p := r.Target.Provider
		if providers[p] == nil {
			providers[p] = map[time.Time]store.Rollup{}
		}
		add(providers[p], r)
	}
	all := pasts{callers: summarise(callers), providers: map[llm.Provider]usual{}}
	for p, hours := range providers {
		all.providers[p] = summarise(hours)
	}
	return all, nil
}

func summarise(hours map[time.Time]store.Rollup) usual {
	var p50s, p95s, p99s, ttfts []time.Duration
	var served, failed int64
	for _, h := range hours {
		served += h.Served
		failed += h.Failed
		if h.Served >= usualRequests {
			p50s = append(p50s, h.Latency.Quantile(0.5))
			p95s = append(p95s, h.Latency.Quantile(0.95))
			p99s = append(p99s, h.Latency.Quantile(0.99))
			if h.TTFT.Count() > 0 {
				ttfts = append(ttfts, h.TTFT.Quantile(0.95))
			}
		}
	}
	var u usual
	if len(p95s) < usualHours {
		return u
	}
	u.band, u.p50, u.p99, u.ttft = bandOf(p95s), bandOf(p50s), bandOf(p99s), bandOf(ttfts)
	u.p95 = web.Known(ofSorted(p95s, 0.5))
	u.succeeded = web.Known(float64(served) / float64(served+failed))
	u.perMinute = web.Known(float64(served+failed) / float64(len(hours)) / 60)
	return u
}

// bandOf sorts the hours' values and gives what most of them are within.
func bandOf(values []time.Duration) web.Figure[web.Band] {
	if len(values) < usualHours {
		return web.Figure[web.Band]{}
	}
	slices.Sort(values)
	return web.Known(web.Band{Low: ofSorted(values, 0.1), High: ofSorted(values, 0.9)})
}

func ofSorted(values []time.Duration, q float64) time.Duration {
	return values[int(q*float64(len(values)-1)+0.5)]
}
