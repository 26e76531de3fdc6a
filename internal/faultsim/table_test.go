package faultsim

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"breakwater/internal/anomaly"
)

// page is where the tables are told to operators.
const page = "../../docs/fault-simulation.md"

// TestTable runs the whole simulation, where that is asked for, and prints what
// came out.
func TestTable(t *testing.T) {
	if !*full {
		t.Skip("the whole simulation takes 25 minutes on two processors: -args -full runs it")
	}
	s, p := loadShape(), wholePlan()
	r := &report{source: s.source, plan: p}
	began := time.Now()
	say := func(what string) { fmt.Printf("%7s %s\n", time.Since(began).Round(time.Second), what) }
	v := &verdicts{}
	r.faults = p.rows(t, s, singles(), backgrounds()[0], v.fault, say)
	r.bursty = p.rows(t, s, burstySingles(), backgrounds()[1], v.bursty, say)
	for _, perMin := range byVolume(p.control) {
		for _, back := range backgrounds() {
			rows := []control{controlAlone(s, perMin, back, alone(perMin, back))}
			if perMin <= 20 || back.burst == 1 {
				rows = append(rows, controlThrough(t, s, perMin, back, p.control[perMin]))
			}
			for _, c := range rows {
				v.control(c)
				r.controls = append(r.controls, c.row())
				say(strings.TrimSpace(c.row()))
			}
		}
	}
	for _, perMin := range byVolume(p.days) {
		sc := history(s, perMin, p.days[perMin], 2)
		results := map[string]*tally{}
		for _, simple := range append(policies(), oracle()) {
			results[simple.name] = simple.run(sc)
		}
		results[ours] = breakwater(t, sc)
		for _, name := range order() {
			r.policies = append(r.policies, policyRow(name, perMin, results[name]))
			say(strings.TrimSpace(r.policies[len(r.policies)-1]))
		}
		v.history(perMin, results[ours], results["oracle"])
	}
	v.add("ns of the detector for an attempt", 0, "≤ 1000", fmt.Sprint(observing(s)), observing(s) <= 1000)
	r.verdicts, r.limits = v.rows(), limitRows(s)
	fmt.Print(r)
	if *update {
		if err := os.WriteFile(page, []byte(r.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// rows runs each fault at each volume, has what came out judged, and writes it.
func (p plan) rows(t *testing.T, s *shape, faults []fault, back background, judge func(fault, cell), say func(string)) []string {
	var rows []string
	for _, f := range faults {
		var cells []cell
		for _, perMin := range p.volumes {
			c := p.single(t, s, f, perMin, back)
			judge(f, c)
			cells = append(cells, c)
		}
		rows = append(rows, faultRow(f.name, cells))
		say(strings.TrimSpace(rows[len(rows)-1]))
	}
	return rows
}

// observing gives how many nanoseconds of the processor one attempt costs in
// the detector.
func observing(s *shape) int64 {
	sc := &scenario{shape: s, perMin: 60, span: time.Hour, back: backgrounds()[0], seed: 1}
	from, stub := sc.source(), sc.stubs()[0]
	var samples []anomaly.Sample
	for range 100_000 {
		r := from.request()
		samples = append(samples, sampleOf(stub.answer(r.at, &r, targets[0].Model), targets[0], &r))
	}
	detector, began := anomaly.NewDetector(anomaly.Config{}), spent()
	for _, sample := range samples {
		detector.Observe(sample)
	}
	return (spent() - began).Nanoseconds() / int64(len(samples))
}

const ours = "detector and fallback (Breakwater)"

func order() []string {
	var all []string
	for _, p := range policies() {
		all = append(all, p.name)
	}
	return append(all, ours, oracle().name)
}

// burstySingles are the faults whose finding depends on the background most.
func burstySingles() []fault {
	return []fault{errorsOf(0.25), errorsOf(0.50), {name: "hard down, refused", kind: refused, share: 1}}
}

// verdicts holds what was measured against what was to hold.
type verdicts struct{ all []verdict }

type verdict struct {
	what, bound, got string
	holds            bool
}

func (v *verdicts) add(what string, perMin float64, bound, got string, holds bool) {
	v.all = append(v.all, verdict{fmt.Sprintf("%s, %s/min", what, number(perMin)), bound, got, holds})
}

// most holds a figure to an upper bound.
func (v *verdicts) most(what string, perMin, got, bound float64) {
	v.add(what, perMin, "≤ "+number(bound), short(got), got <= bound)
}

// fault judges single runs on a quiet background.
func (v *verdicts) fault(f fault, c cell) {
	if len(c.heard) > 0 {
		switch {
		case f.name == "hard down, refused" || f.name == "hard down, 503":
			v.most("answers until found, "+f.name, c.perMin, quantile(c.heard, 0.5), 7)
		case f.name == "hang, 100 %":
			v.most("seconds until found beyond the deadline of a first byte, "+f.name, c.perMin,
				quantile(c.waited, 0.5)-hurried.Seconds(), max(10, 6*60/c.perMin))
		case f.name == "slow x2":
			v.most("answers until found, "+f.name, c.perMin, quantile(c.heard, 0.5), 10)
		case f.name == "5xx, 25 %":
			v.most("answers until found, "+f.name, c.perMin, quantile(c.heard, 0.5), 45)
		}
	}
	if f.matters() {
		v.missed(f, c)
	}
	switch f.kind {
	case poison, ownEgress:
		v.most(fmt.Sprintf("holds in %d runs, %s", c.runs, f.name), c.perMin, float64(c.held), 0)
	}
}

// missed keeps those faults of a kind apart that were missed too often.
func (v *verdicts) missed(f fault, c cell) {
	missed := 1 - float64(c.found)/float64(c.runs)
	if missed > 0.05 {
		v.add("missed, "+f.name, c.perMin, "≤ 5 %", percent(missed), false)
	}
	if f.kind == limited || f.half > 0 || len(c.back) == 0 {
		return
	}
	if p50, p95 := quantile(c.back, 0.5)/60, quantile(c.back, 0.95)/60; p50 > 5 || p95 > 10 {
		v.add("minutes until back, "+f.name, c.perMin, "≤ 5 (10)", pair(c.back, 60), false)
	}
	if flaps := mean(c.flaps); flaps > 1 {
		v.most("flaps, "+f.name, c.perMin, flaps, 1)
	}
}

// bursty judges single runs where failures come in bursts of two.
func (v *verdicts) bursty(f fault, c cell) {
	if f.kind == refused && len(c.asked) > 0 {
		v.most("requests until found in bursts of 2, "+f.name, c.perMin, quantile(c.asked, 0.5), 20)
	}
}

// control leaves the first week out where the background has to be learned.
func (v *verdicts) control(c control) {
	how := "router and detector"
	if c.alone {
		how = "detector alone"
	}
	holds, days := c.holds, float64(c.days)
	if c.back.burst > 1 {
		holds, days = holds-c.early, days-learning.Hours()/24
		how += ", after a week"
	}
	if days > 0 {
		v.add(fmt.Sprintf("false holds in %.0f days over all providers, %s, %s", days, c.back.name, how), c.perMin, "≤ 1", fmt.Sprint(holds), holds <= 1)
	}
}

func (v *verdicts) history(perMin float64, got, best *tally) {
	of := func(n int, r *tally) float64 { return 100 * float64(n) / float64(r.requests) }
	available, good := of(got.whole, got), of(got.good, got)
	v.add("available, random incidents", perMin, "≥ 99.99 %", fmt.Sprintf("%.3f %%", available), available >= 99.99)
	apart := of(got.good+got.unlucky, got)
	v.add("good, outliers apart, random incidents", perMin, "≥ 99.85 %", fmt.Sprintf("%.3f %%", apart), apart >= 99.85)
	v.add("good, short of the oracle, random incidents", perMin, "≤ 0.10", fmt.Sprintf("%.3f", of(best.good, best)-good), of(best.good, best)-good <= 0.10)
	v.most("held with no network on this side", perMin, float64(got.common), 0)
}

func (v *verdicts) rows() []string {
	var rows []string
	for _, x := range v.all {
		rows = append(rows, fmt.Sprintf("| %s | %s | %s | %s |\n", x.what, x.bound, x.got, map[bool]string{true: "yes", false: "**no**"}[x.holds]))
	}
	return rows
}
