package faultsim

import (
	"cmp"
	"container/heap"
	"flag"
	"fmt"
	"math"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"breakwater/internal/anomaly"
	"breakwater/internal/llm"
	"breakwater/internal/record"
)

var (
	full   = flag.Bool("full", false, "run the whole simulation, 25 minutes on two processors")
	update = flag.Bool("update", false, "write the tables to the documentation; only with -full")
)

// plan is how much of everything is simulated.
type plan struct {
	volumes []float64                 // requests a minute
	seeds   map[float64]int           // single runs of each fault
	part    map[float64]time.Duration // of a single run: before, during and after its fault
	days    map[float64]int           // of random incidents
	control map[float64]int           // days without faults through the router
}

// alone gives the days without faults for the detector alone.
func alone(perMin float64, back background) int {
	if perMin > 100 && back.burst > 1 {
		return 10 // 26 million attempts
	}
	return 30
}

func wholePlan() plan {
	hour := time.Hour
	return plan{
		volumes: []float64{1, 5, 20, 60, 600},
		seeds:   map[float64]int{1: 400, 5: 100, 20: 50, 60: 30, 600: 10},
		part:    map[float64]time.Duration{1: hour, 5: hour, 20: hour, 60: hour, 600: hour / 3},
		days:    map[float64]int{5: 60, 60: 30, 600: 3},
		control: map[float64]int{1: 30, 5: 30, 20: 30, 60: 10, 600: 1},
	}
}

// cell is what one fault came to at one volume.
type cell struct {
	perMin               float64
	runs, found, held    int
	away                 int // still away at the end of the run
	by                   map[reason]int
	waited, back         []float64 // seconds
	asked, heard         []float64 // requests
	flaps                []float64
	requests, lost, good int
}

// single runs one fault at one volume, as many times at once as there are
// processors.
func (p plan) single(t *testing.T, s *shape, f fault, perMin float64, back background) cell {
	part, runs := p.part[perMin], make([]*incident, p.seeds[perMin])
	var next atomic.Int64
	var workers sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		workers.Go(func() {
			for seed := next.Add(1); seed <= int64(len(runs)); seed = next.Add(1) {
				runs[seed-1] = breakwater(t, single(s, f, perMin, back, part, uint64(seed))).incidents[0]
			}
		})
	}
	workers.Wait()
	c := cell{perMin: perMin, by: map[reason]int{}}
	for _, in := range runs {
		c.add(in, part)
	}
	return c
}

// add counts a run. Where the traffic was not back at its end, all of the time
// that was watched after the fault counts, so that the slowest are not left out.
func (c *cell) add(in *incident, watched time.Duration) {
	c.runs++
	c.held += count(in.held)
	c.requests, c.lost, c.good = c.requests+in.requests, c.lost+in.lost, c.good+in.good
	c.flaps = append(c.flaps, float64(in.flaps))
	if !in.found {
		return
	}
	c.found++
	c.by[in.by]++
	c.waited, c.asked, c.heard = append(c.waited, in.after.Seconds()), append(c.asked, float64(in.asked)), append(c.heard, float64(in.heard))
	if in.out {
		c.away++
		in.back = watched
	}
	c.back = append(c.back, in.back.Seconds())
}

// quantile gives the value that a share of all is within; NaN of none.
func quantile(all []float64, q float64) float64 {
	if len(all) == 0 {
		return math.NaN()
	}
	all = slices.Sorted(slices.Values(all))
	return all[max(0, int(math.Ceil(q*float64(len(all))))-1)]
}

func mean(all []float64) float64 {
	sum := 0.0
	for _, x := range all {
		sum += x
	}
	return sum / float64(len(all))
}

// pair writes a median and a 95th percentile.
func pair(all []float64, unit float64) string {
	if len(all) == 0 {
		return "-"
	}
	return fmt.Sprintf("%s (%s)", short(quantile(all, 0.5)/unit), short(quantile(all, 0.95)/unit))
}

func short(x float64) string {
	if x < 10 && x != math.Trunc(x) {
		return fmt.Sprintf("%.1f", x)
	}
	return fmt.Sprintf("%.0f", x)
}

// across writes one figure for each volume.
func across(cells []cell, figure func(cell) string) string {
	var all []string
	for _, c := range cells {
		all = append(all, figure(c))
	}
	if len(slices.Compact(slices.Clone(all))) == 1 {
		return all[0]
	}
	return strings.Join(all, " / ")
}

func (c cell) mainly() string {
	best, most := "-", 0
	for by, n := range c.by {
		if n > most || n == most && string(by) < best {
			best, most = string(by), n
		}
	}
	return best
}

// faultRow writes what became of one fault.
func faultRow(name string, cells []cell) string {
	columns := []func(cell) string{
		func(c cell) string { return fmt.Sprintf("%.0f", 100*float64(c.found)/float64(c.runs)) },
		cell.mainly,
		func(c cell) string { return pair(c.asked, 1) },
		func(c cell) string { return pair(c.waited, 1) },
		func(c cell) string { return fmt.Sprintf("%.2f", 100-100*float64(c.lost)/float64(c.requests)) },
		func(c cell) string { return fmt.Sprintf("%.1f", 100*float64(c.good)/float64(c.requests)) },
		func(c cell) string { return short(mean(c.flaps)) },
		func(c cell) string {
			if c.away > 0 {
				return fmt.Sprintf("%s, %d of %d not", pair(c.back, 60), c.away, c.runs)
			}
			return pair(c.back, 60)
		},
	}
	row := "| " + name
	for _, column := range columns {
		row += " | " + across(cells, column)
	}
	return row + " |\n"
}

// policyRow writes what became of random incidents under one policy.
func policyRow(name string, perMin float64, r *tally) string {
	of := func(n int) float64 { return 100 * float64(n) / float64(r.requests) }
	lost, n, flaps, mattering, missed := 0, 0, 0, 0, 0
	var back []float64
	for _, in := range r.incidents {
		if in.name == blip || in.kind == ownEgress || in.requests == 0 || !slices.Contains(in.on, llm.Claude) {
			continue
		}
		n++
		lost += in.lost
		flaps += in.flaps
		if in.matters() {
			mattering++
			missed += count(!in.found)
		}
		if in.found {
			back = append(back, in.back.Seconds())
		}
	}
	days := r.span.Hours() / 24
	found := fmt.Sprintf("%d of %d", missed, mattering)
	if len(back) == 0 {
		found = "-" // nobody looks for any
	}
	return fmt.Sprintf("| %s/min | %s | %.3f | %.3f | %.3f | %.1f | %s | %.3f | %d | %d | %.2f | %.2f | %s | %.2f | %.2f | %.2f | %s |\n",
		number(perMin), name, of(r.whole), of(r.good), of(r.good+r.unlucky), float64(lost)/float64(max(1, n)),
		found, float64(len(r.falsely[byHold])+len(r.falsely[byRule]))/days/float64(len(targets)), r.common, r.longBlips,
		of(r.elsewhere), r.cost.Dollars()/float64(r.requests)*1000, pair(back, 60), float64(flaps)/float64(max(1, n)),
		r.waits.quantile(0.95).Seconds(), r.moved.quantile(0.5).Seconds(), (r.cpu / time.Duration(max(1, r.requests))).Round(100*time.Nanosecond))
}

// control is time without faults.
type control struct {
	perMin   float64
	back     background
	days     int
	alone    bool // the detector without the router
	requests int
	holds    int
	early    int // of them, within the time of learning
	told     int // findings that led to no hold
	opened   int // breakers
	whole    int
	perReq   time.Duration
}

// learning is how long it may take until a background that fails in bursts is
// known well enough to be left alone.
const learning = 7 * 24 * time.Hour

func controlThrough(t *testing.T, s *shape, perMin float64, back background, days int) control {
	sc := &scenario{shape: s, perMin: perMin, span: time.Duration(days) * 24 * time.Hour, back: back, seed: 11}
	r := breakwater(t, sc)
	c := control{
		perMin: perMin, back: back, days: days, requests: r.requests, whole: r.whole, holds: len(r.falsely[byHold]),
		opened: len(r.falsely[byBreaker]), perReq: r.cpu / time.Duration(r.requests),
	}
	for _, at := range r.falsely[byHold] {
		c.early += count(at < learning)
	}
	return c
}

// careless takes every hold and lets a canary through every five seconds.
type careless struct {
	held map[llm.Target]time.Time // since when, or the last canary; later while it rests
}

func (c *careless) Hold(h record.Hold) bool {
	if _, again := c.held[h.Target]; !again {
		c.held[h.Target] = h.Placed
	}
	return true
}

// Rest counts from an instant as if a canary had gone then.
func (c *careless) Rest(t llm.Target, until time.Time) { c.held[t] = until }

func (c *careless) Release(t llm.Target, _ string) bool {
	_, was := c.held[t]
	delete(c.held, t)
	return was
}

// controlAlone has the detector watch all providers at once, each with all of
// the requests, which is more than any of them would have.
func controlAlone(s *shape, perMin float64, back background, days int) control {
	sc := &scenario{shape: s, perMin: perMin, span: time.Duration(days) * 24 * time.Hour, back: back, seed: 12}
	holder := &careless{held: map[llm.Target]time.Time{}}
	c := control{perMin: perMin, back: back, days: days, alone: true}
	w := anomaly.NewWatcher(anomaly.WatcherConfig{}, holder, record.NewIDs(2, 0).Next, func(e anomaly.Event) {
		switch {
		case e.Kind == anomaly.HoldPlaced:
			c.holds++
			c.early += count(e.At.Before(moment(learning)))
		case e.Kind == anomaly.Found && !e.Finding.Again:
			c.told++
		}
	})
	from, ticked := sc.source(), time.Duration(0)
	stubs := sc.stubs()
	for _, stub := range stubs {
		stub.perMin = 0
	}
	var ended events
	var sent uint32
	for r := from.request(); r.at < sc.span; r = from.request() {
		for len(ended) > 0 && ended[0].at <= r.at {
			heap.Pop(&ended).(event).do()
		}
		for ticked += time.Second; len(holder.held) > 0 && ticked < r.at; ticked += time.Second {
			w.Tick(moment(ticked))
		}
		ticked = r.at
		sent++
		for i, stub := range stubs {
			c.requests++
			sample := sampleOf(stub.answer(r.at, &r, targets[i].Model), targets[i], &r)
			sample.Nth = sent
			if holder.lets(&sample, moment(r.at)) {
				heap.Push(&ended, event{r.at + sample.Took, func() { w.Observe(sample) }})
			}
		}
	}
	return c
}

// lets says whether a request goes to its target, and marks canaries.
func (c *careless) lets(sample *anomaly.Sample, now time.Time) bool {
	since, held := c.held[sample.Target]
	if !held {
		return true
	}
	if now.Sub(since) < canaryEvery {
		return false
	}
	c.held[sample.Target], sample.Canary = now, true
	return true
}

// sampleOf is an outcome as the detector sees it when it has ended.
func sampleOf(o outcome, target llm.Target, r *request) anomaly.Sample {
	sample := anomaly.Sample{Target: target, Stream: true, Caller: r.caller, InputTokens: int64(r.input), Took: o.wait}
	if o.failure != nil {
		sample.Class = o.failure.Class
	} else {
		sample.TTFT, sample.OutputTokens = o.wait, int64(o.output)
		sample.Took += time.Duration(o.output-1) * o.each
	}
	sample.Looping, sample.At = o.worthless, moment(r.at+sample.Took)
	return sample
}

func (c control) row() string {
	how, told, opened, available, cpu := "router and detector", "-", "-", "-", "-"
	if c.alone {
		how, told = "detector alone", fmt.Sprint(c.told)
	} else {
		opened, available = fmt.Sprintf("%.2f", float64(c.opened)/float64(c.days)), fmt.Sprintf("%.4f", 100*float64(c.whole)/float64(c.requests))
		cpu = fmt.Sprint(c.perReq.Round(100 * time.Nanosecond))
	}
	return fmt.Sprintf("| %s/min | %s | %d, %s | %.2f M | %d | %d | %s | %s | %s | %s |\n",
		number(c.perMin), c.back.name, c.days, how, float64(c.requests)/1e6, c.holds, c.early, told, opened, available, cpu)
}

// report is all that was measured, as the documentation shows it.
type report struct {
	source   string
	plan     plan
	faults   []string // rows
	bursty   []string
	policies []string
	controls []string
	verdicts []string
	limits   []string
}

func (r *report) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, preface, r.source, seedsOf(r.plan))
	table := func(title, words, head string, rows []string) {
		columns := strings.Count(head, "|") - 1
		fmt.Fprintf(&b, "\n## %s\n\n%s\n\n%s\n|%s\n%s", title, words, head, strings.Repeat("---|", columns), strings.Join(rows, ""))
	}
	table("What was to hold", acceptanceWords, "| what | bound | measured | holds |", r.verdicts)
	table("What can be had at one request a minute", limitWords, "| go badly | good canaries in a row | back after, minutes | within 5 (10) |", r.limits)
	head := "| fault of A | found % | by | requests until found | seconds until found | available % | good % | flaps | back after, minutes |"
	table("One fault at a time", singleWords, head, r.faults)
	table("The same in a bursty background", burstyWords, head, r.bursty)
	table("Random incidents, policy by policy", policyWords,
		"| requests | policy | available % | good % | good, outliers apart % | lost per incident | missed | false holds a day and provider | held with no network here | blips held over 2 min | not on A % | $ per 1,000 | back after, minutes | flaps per incident | TTFT p95 s | TTFT p50 of the moved s | CPU a request |", r.policies)
	table("Without faults", controlWords,
		"| requests | background | days | requests in all | holds | of them in the first week | told without a hold | breakers opened a day | available % | CPU a request |", r.controls)
	return b.String()
}

func seedsOf(p plan) string {
	var all []string
	for _, v := range p.volumes {
		all = append(all, fmt.Sprintf("%d at %s/min", p.seeds[v], number(v)))
	}
	return strings.Join(all, ", ")
}

// byVolume sorts the volumes of a part of the plan.
func byVolume(days map[float64]int) []float64 {
	var all []float64
	for v := range days {
		all = append(all, v)
	}
	slices.SortFunc(all, func(a, b float64) int { return cmp.Compare(a, b) })
	return all
}
