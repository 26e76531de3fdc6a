package web

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"breakwater/internal/record"
)

// noData stands where a figure is missing.
const noData = "no data"

// percent writes a share. It never rounds up to 100%: one failed request of a
// million is still seen.
func percent(share float64, decimals int) string {
	p := 100 * share
	if p >= 100 {
		return "100%"
	}
	unit := math.Pow10(decimals)
	if p > 50 {
		p = math.Floor(p*unit+1e-6) / unit
	}
	if p > 0 && p < 0.5/unit {
		return "<" + strconv.FormatFloat(1/unit, 'f', decimals, 64) + "%"
	}
	return strconv.FormatFloat(p, 'f', decimals, 64) + "%"
}

// latency writes a duration of a request in two or three digits.
func latency(d time.Duration) string {
	switch s := d.Seconds(); {
	case d < time.Millisecond:
		return "<1 ms"
	case d < 995*time.Millisecond:
		return fmt.Sprintf("%.0f ms", s*1000)
	case s < 9.95:
		return fmt.Sprintf("%.1f s", s)
	case s < 119.5:
		return fmt.Sprintf("%.0f s", s)
	default:
		return fmt.Sprintf("%.0f min", d.Minutes())
	}
}

// span writes how long something has lasted, in words.
func span(d time.Duration) string {
	d = max(d, 0)
	switch {
	case d < time.Minute:
		return count(int64(d/time.Second), "second")
	case d < time.Hour:
		return count(int64(d/time.Minute), "minute")
	case d < 48*time.Hour:
		text := count(int64(d/time.Hour), "hour")
		if m := int64(d % time.Hour / time.Minute); m > 0 {
			text += " " + count(m, "minute")
		}
		return text
	default:
		return count(int64(d/(24*time.Hour)), "day")
	}
}

// count writes a number of things: "1 minute", "1,204 requests".
func count(n int64, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return thousands(n) + " " + thing + "s"
}

// thousands writes a whole number with separators.
func thousands(n int64) string {
	digits := strconv.FormatInt(max(n, -n), 10)
	var b strings.Builder
	if n < 0 {
		b.WriteString("−")
	}
	for i, d := range digits {
		if i > 0 && (len(digits)-i)%3 == 0 {
			b.WriteByte(',')
		}
		b.WriteRune(d)
	}
	return b.String()
}

// perMinute writes a rate of requests.
func perMinute(r float64) string {
	switch {
	case r > 0 && r < 0.1:
		return "<0.1"
	case r < 10:
		return strings.TrimSuffix(strconv.FormatFloat(r, 'f', 1, 64), ".0")
	default:
		return thousands(int64(math.Round(r)))
	}
}

// dollars writes an amount: whole dollars where there are no cents, cents
// below a thousand dollars, and two significant digits below a cent.
func dollars(n record.NanoUSD) string {
	const (
		cent   = record.NanoUSD(10_000_000)
		dollar = 100 * cent
	)
	sign := ""
	if n < 0 {
		sign, n = "−", -n
	}
	switch {
	case n == 0:
		return "$0"
	case n < cent/100:
		return sign + "<$0.0001"
	case n < cent:
		return sign + "$" + strconv.FormatFloat(n.Dollars(), 'f', 4, 64)
	case n%dollar == 0 || n >= 1000*dollar:
		return sign + "$" + thousands(int64((n+dollar/2)/dollar))
	default:
		return sign + "$" + strconv.FormatFloat(n.Dollars(), 'f', 2, 64)
	}
}

// against compares a latency with what is usual.
func against(now, usual Figure[time.Duration]) string {
	if !now.Known || !usual.Known || usual.Value <= 0 {
		return ""
	}
	ratio := float64(now.Value) / float64(usual.Value)
	change := math.Round(100 * (ratio - 1))
	switch {
	case ratio >= 1.95:
		return fmt.Sprintf("%.1f× usual", ratio)
	case change == 0:
		return "as usual"
	case change < 0:
		return fmt.Sprintf("−%.0f%% vs usual", -change)
	default:
		return fmt.Sprintf("+%.0f%% vs usual", change)
	}
}

// clock writes a time of day in UTC, to the second.
func clock(t time.Time) string { return t.UTC().Format("15:04:05") }

// when writes an instant to the minute, with its date where that is not today's.
func when(t, now time.Time) string {
	t, now = t.UTC(), now.UTC()
	if t.Format(time.DateOnly) == now.Format(time.DateOnly) {
		return t.Format("15:04")
	}
	return t.Format("2 Jan 15:04")
}

// stamp writes an instant to the second, with its date where that is not today's.
func stamp(t, now time.Time) string {
	t, now = t.UTC(), now.UTC()
	if t.Format(time.DateOnly) == now.Format(time.DateOnly) {
		return t.Format("15:04:05")
	}
	return t.Format("2 Jan 15:04:05")
}

// machine writes an instant for a time element's datetime.
func machine(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// names joins names as a sentence does: "A", "A and B", "A, B and C".
func names(list []string) string {
	if len(list) < 2 {
		return strings.Join(list, "")
	}
	return strings.Join(list[:len(list)-1], ", ") + " and " + list[len(list)-1]
}
