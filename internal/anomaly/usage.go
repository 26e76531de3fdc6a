package anomaly

import (
	"cmp"
	"fmt"
	"math"
	"time"

	"breakwater/internal/llm"
)

// What callers use is counted in spans and compared when a span ends, so that a
// request costs two additions.
const (
	// UsageSpan is long enough to hold several requests of a busy caller and short
	// enough that three in five are known within a quarter of an hour.
	UsageSpan = 5 * time.Minute
	// UsageTimes is by how much use must exceed what is expected: twice as much
	// in five minutes is everyday life, since arrivals cluster.
	UsageTimes = 3.0
	// UsageUnlikely is how improbable such an excess must be after this
	// series' own past; one span in 10,000, five weeks of them.
	UsageUnlikely = 1e-4
	// UsageSpans of the last usageLooked must be so: one alone is a batch.
	UsageSpans = 3
	// UsageCooldown is how long one anomaly is told once.
	UsageCooldown = 6 * time.Hour
	// UsageLearn is how much is seen before anything is compared: two days, so
	// that one night is among it.
	UsageLearn = 48 * time.Hour
	// UsageLeastTokens and UsageLeastDollars are what the excess of a span comes
	// to at least: below it nobody cares.
	UsageLeastTokens  = 20_000
	UsageLeastDollars = 0.05
	// DefaultMaxUses bounds the callers and models whose use is known, and with
	// it the memory to 1.3 MB.
	DefaultMaxUses = 512

	usageLooked = 5                 // spans of which UsageSpans must be unlikely; what they teach waits as long
	usageLevel  = 1.0 / 36          // weight of a span in the present level: three hours
	usageBase   = 1.0 / 2016        // weight of a span in the level of a week
	usageGap    = 2 * UsageSpan     // without a look at the clock, after which the spans between are unknown
	hoursOfWeek = 168               // cells of the season
	tokenUnit   = 100.0             // tokens that count as none
	costUnit    = 1e5               // nano-dollars that count as none: a hundredth of a cent
	usageForget = 14 * 24 * 60 * 60 // seconds without use after which room may be made for another
)

// usage is what callers use: how long their answers are, by target, and how
// many tokens and how much money they take, by the model they ask for.
type usage struct {
	uses    map[useKey]*use
	lengths map[lengthKey]*length
	ends    instant // of the span under way; 0 before the first sample
	seen    instant // the last look at the clock
}

type useKey struct{ caller, model string }

type lengthKey struct {
	caller string
	target llm.Target
}

// use is what one caller uses of one model.
type use struct {
	last   instant
	tokens bins
	cost   bins
}

func newUsage() usage {
	return usage{uses: map[useKey]*use{}, lengths: map[lengthKey]*length{}}
}

// observe counts one sample.
func (u *usage) observe(cfg *Config, s Sample) []Finding {
	at := instantOf(s.At)
	var found []Finding
	if at >= u.ends || at > u.seen+instant(usageGap) {
		found = u.roll(cfg, at)
	}
	u.seen = max(u.seen, at)
	if s.Tokens == 0 && s.Cost == 0 && s.OutputTokens == 0 {
		return found
	}
	key := useKey{caller: s.Caller, model: cmp.Or(s.Asked, s.Target.Model)}
	if one := u.find(key, at); one != nil {
		one.last = at
		one.tokens.sum += float64(s.Tokens)
		one.cost.sum += float64(s.Cost)
	}
	if s.Class == "" && s.OutputTokens > 0 {
		if f, ok := u.lengthOf(s, at).observe(s, at, cfg, len(u.lengths)); ok {
			found = append(found, f)
		}
	}
	return found
}

func (u *usage) find(key useKey, at instant) *use {
	if one := u.uses[key]; one != nil {
		return one
	}
	if !room(u.uses, func(one *use) instant { return one.last }, at) {
		return nil
	}
	one := &use{last: at}
	u.uses[key] = one
	return one
}

// lengthOf gives the series of the sample's answers, or one that is thrown
// away where there is no room.
func (u *usage) lengthOf(s Sample, at instant) *length {
	key := lengthKey{caller: s.Caller, target: s.Target}
	if l := u.lengths[key]; l != nil {
		return l
	}
	if !room(u.lengths, func(l *length) instant { return l.last }, at) {
		return &length{}
	}
	l := &length{}
	u.lengths[key] = l
	return l
}

// room says whether there is room for one more: where all is taken, the one that
// was used last the longest ago makes it, if that is long enough.
func room[K comparable, V any](all map[K]V, last func(V) instant, at instant) bool {
	if len(all) < DefaultMaxUses {
		return true
	}
	var oldest K
	when := at
	for k, v := range all {
		if used := last(v); used < when {
			oldest, when = k, used
		}
	}
	if at.since(when) < usageForget*time.Second {
		return false
	}
	delete(all, oldest)
	return true
}

// roll ends the spans that are over. Those for which nobody looked, because
// nothing ran, are not taken as spans without use.
func (u *usage) roll(cfg *Config, now instant) []Finding {
	span := instant(UsageSpan)
	if u.ends == 0 || now.since(u.seen) > usageGap {
		for _, one := range u.uses {
			one.tokens.sum, one.cost.sum = 0, 0
		}
		u.ends, u.seen = now-now%span+span, now
		return nil
	}
	u.seen = max(u.seen, now)
	var found []Finding
	for ; now >= u.ends; u.ends += span {
		for key, one := range u.uses {
			found = append(found, one.end(key, u.ends)...)
		}
	}
	return found
}

// end takes a span that is over.
func (u *use) end(key useKey, at instant) []Finding {
	var found []Finding
	if e, ok := u.tokens.end(at, tokenUnit, UsageLeastTokens); ok {
		found = append(found, e.finding(key, at, Usage, func(v float64) string { return fmt.Sprintf("%.0f tokens", v) }))
	}
	if e, ok := u.cost.end(at, costUnit, UsageLeastDollars*1e9); ok {
		f := e.finding(key, at, Cost, func(v float64) string { return fmt.Sprintf("$%.2f", v/1e9) })
		f.Now, f.Usual = f.Now/1e9, f.Usual/1e9
		found = append(found, f)
	}
	return found
}

// scores gives how the last span of each use compares, and the lengths.
func (u *usage) scores(cfg *Config) []Score {
	var all []Score
	for key, one := range u.uses {
		for _, q := range []struct {
			b      *bins
			signal Signal
			label  string
			unit   string
			in     float64
		}{{&one.tokens, Usage, "tokens", "tokens", 1}, {&one.cost, Cost, "cost", "USD", 1e-9}} {
			if q.b.spans >= learnSpans {
				all = append(all, Score{
					Caller: key.caller, Model: key.model, Signal: q.signal, Measure: q.label + " in five minutes", Label: q.label, Unit: q.unit,
					Z: q.b.z, Now: q.b.now * q.in, Usual: q.b.expected * q.in,
					Evidence: float64(q.b.flagged()), Threshold: UsageSpans, Samples: int(q.b.spans),
				})
			}
		}
	}
	for key, l := range u.lengths {
		if int(l.n) >= cfg.MinSamples {
			all = append(all, l.score(key, l.threshold(len(u.lengths))))
		}
	}
	return all
}

// learnSpans is UsageLearn in spans.
const learnSpans = int32(UsageLearn / UsageSpan)

// bins is one quantity of one use, span by span, as logarithms.
type bins struct {
	sum    float64 // of the span under way
	spans  int32
	quiet  int32   // spans for which nothing is told
	flags  uint8   // which of the last spans were unlikely, the newest in bit 0
	level  float64 // the last hours
	base   float64 // the last weeks
	spread float64 // mean distance from what was expected
	season season
	tail   histogram
	waits  [usageLooked]float32 // distances that are not yet learned

	z, now, expected float64 // of the last span, for showing
}

// excess is an anomaly of one quantity.
type excess struct{ z, now, expected float64 }

// end takes the span under way. unit is what counts as nothing, least what an
// excess must come to.
func (b *bins) end(at instant, unit, least float64) (excess, bool) {
	sum := b.sum
	b.sum = 0
	v := math.Log1p(sum / unit)
	if b.spans == 0 {
		b.level, b.base, b.spread = v, v, 0.5
	}
	w := b.season.weight()
	expected := (1-w)*b.level + w*(b.base+b.season.usual(at))
	d := v - expected
	b.now, b.expected, b.z = sum, unit*math.Expm1(expected), d/max(b.spread, 0.1)
	unlikely := b.spans >= learnSpans && sum > UsageTimes*b.expected && sum-b.expected > least &&
		b.tail.level(d) > -math.Log10(UsageUnlikely)
	b.flags = b.flags<<1 | uint8(index(unlikely))
	b.spans = min(b.spans+1, math.MaxInt32-1)
	// What it teaches waits, so that an excess does not teach itself before it is found.
	if b.spans > usageLooked {
		b.tail.add(float64(b.waits[0]))
	}
	copy(b.waits[:], b.waits[1:])
	b.waits[usageLooked-1] = float32(max(0, d))
	b.level += max(usageLevel, 1/float64(b.spans)) * (v - b.level)
	b.base += max(usageBase, 1/float64(b.spans)) * (v - b.base)
	b.spread += max(usageBase, 1/float64(b.spans)) * (1.2533*min(math.Abs(d), 3*b.spread+0.1) - b.spread)
	b.season.add(at, v-b.base)
	b.quiet = max(0, b.quiet-1)
	if b.flagged() < UsageSpans || b.quiet > 0 {
		return excess{}, false
	}
	b.quiet = int32(UsageCooldown / UsageSpan)
	return excess{z: b.z, now: b.now, expected: b.expected}, true
}

// flagged counts the unlikely ones of the last spans.
func (b *bins) flagged() int {
	n := 0
	for i := range usageLooked {
		n += int(b.flags >> i & 1)
	}
	return n
}

func (e excess) finding(key useKey, at instant, signal Signal, words func(float64) string) Finding {
	who := cmp.Or(key.caller, "callers")
	return Finding{
		Caller: key.caller, Model: key.model, Signal: signal, At: time.Unix(0, int64(at)).UTC(), Z: e.z, Now: e.now, Usual: e.expected,
		Text: fmt.Sprintf("%s: %s of %s in five minutes, usually %s at this time (z = %.1f)", who, words(e.now), key.model, words(max(0, e.expected)), e.z),
	}
}

// season is how much the hours of a week differ from the whole, and how far
// that can be trusted: as far as an hour was like the same hour a week before.
type season struct {
	cells    [hoursOfWeek]float32
	hour     int32      // under way: hours since 1970
	n        int32      // spans of it so far
	hours    int32      // that were learned
	sum      float64    // of the hour under way
	products [3]float64 // of an hour with itself a week before, and of either with itself
}

func (s *season) cell(at instant) int {
	return int(int64(at)/int64(time.Hour)) % hoursOfWeek
}

func (s *season) usual(at instant) float64 { return float64(s.cells[s.cell(at-1)]) }

// weight is how much the season counts beside the level.
func (s *season) weight() float64 {
	weeks := float64(s.hours / hoursOfWeek)
	if weeks < 1 || s.products[1] <= 0 || s.products[2] <= 0 {
		return 0
	}
	alike := max(0, s.products[0]/math.Sqrt(s.products[1]*s.products[2]))
	return weeks / (weeks + 2) * alike * alike
}

// add takes a span that ended at an instant.
func (s *season) add(at instant, v float64) {
	hour := int32(int64(at-1) / int64(time.Hour))
	if hour != s.hour && s.n > 0 {
		s.endHour()
	}
	s.hour = hour
	s.n++
	s.sum += v
}

func (s *season) endHour() {
	mean := s.sum / float64(s.n)
	s.sum, s.n = 0, 0
	cell := &s.cells[int(s.hour)%hoursOfWeek]
	if weeks := s.hours / hoursOfWeek; weeks > 0 {
		before := float64(*cell)
		const keep = 1 - 1.0/(4*hoursOfWeek)
		for i, p := range [3]float64{mean * before, mean * mean, before * before} {
			s.products[i] = s.products[i]*keep + p
		}
		*cell += float32((mean - before) / float64(min(weeks+1, 4)))
	} else {
		*cell = float32(mean)
	}
	s.hours = min(s.hours+1, math.MaxInt32-1)
}

// histogram is how far a quantity was above what was expected, in a few hundred
// bytes: the tail fit of Tail over classes instead of the values themselves.
type histogram struct {
	classes [histogramClasses]float32
	total   float64
}

const (
	histogramClasses = 64
	histogramLeast   = 0.02         // distances below are all alike
	histogramRatio   = 1.11         // of one class to the one below: up to 15, and ln of any use is less
	histogramKeep    = 28 * 24 * 12 // spans after which those before count half: four weeks
	histogramTail    = 0.02         // the part that counts as the tail
	histogramPeaks   = 10           // in the tail at least
)

func (h *histogram) class(r float64) int {
	if r <= histogramLeast {
		return 0
	}
	return min(histogramClasses-1, 1+int(math.Log(r/histogramLeast)/math.Log(histogramRatio)))
}

// value is the middle of a class, and its upper end.
func (h *histogram) value(class int) (middle, end float64) {
	end = histogramLeast * math.Pow(histogramRatio, float64(class))
	if class == 0 {
		return 0, end
	}
	return end / math.Sqrt(histogramRatio), end
}

func (h *histogram) add(r float64) {
	if h.total >= histogramKeep {
		for i := range h.classes {
			h.classes[i] /= 2
		}
		h.total /= 2
	}
	h.classes[h.class(r)]++
	h.total++
}

// level is minus the power of ten of the probability that a distance is so
// large, or 0 within the bulk.
func (h *histogram) level(r float64) float64 {
	want := max(histogramTail*h.total, histogramPeaks)
	peaks, class := 0.0, histogramClasses
	for class > 0 && peaks < want {
		class--
		peaks += float64(h.classes[class])
	}
	_, threshold := h.value(class)
	peaks -= float64(h.classes[class]) // those in the class of the threshold count as the bulk
	if r <= threshold || h.total < histogramPeaks/histogramTail/2 {
		return 0
	}
	if peaks == 0 { // nothing was ever so large
		return min(math.Log10(h.total)+(r-threshold)/threshold, maxLevel)
	}
	var sum, squares float64
	for c := class + 1; c < histogramClasses; c++ {
		middle, _ := h.value(c)
		over := max(0, middle-threshold)
		sum += float64(h.classes[c]) * over
		squares += float64(h.classes[c]) * over * over
	}
	mean := sum / peaks
	variance := max(squares/peaks-mean*mean, mean*mean/4) // classes hide what peaks that are alike differ in
	return min(math.Log10(h.total/peaks)+pareto(r-threshold, max(mean, 1e-3), math.Sqrt(max(variance, 1e-6))), maxLevel)
}
