package web

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"breakwater/internal/llm"
	"breakwater/internal/record"
)

// requestForm is the form of a search as it was sent, and what it means.
type requestForm struct {
	Values url.Values        // what is not empty, without before
	Errors map[string]string // by field: what is wrong with it; "" for what is no field
	Query  RequestQuery
}

// noSuchFilter says that an address has a parameter that is no filter of its
// list, and which there are; "" where all are. One that is ignored would show
// everything as what was asked for.
func noSuchFilter(values url.Values, known []string) string {
	unknown := slices.Sorted(maps.Keys(values))
	unknown = slices.DeleteFunc(unknown, func(name string) bool { return slices.Contains(known, name) })
	if len(unknown) == 0 {
		return ""
	}
	return fmt.Sprintf("There is no parameter “%s”. Those that there are: %s.", shorten(unknown[0]), names(known))
}

// formLabels name the fields as the page does.
func formLabels() map[string]string {
	return map[string]string{
		"since": "From", "until": "Until", "outcome": "Outcome", "provider": "Provider", "class": "Failure", "asked": "Asked for",
		"model": "Model", "endpoint": "Endpoint", "key": "Provider’s key", "caller": "Caller", "took": "Slower than", "ttft": "First token after",
		"cost": "Dearer than", "id": "Id begins with", "before": "before",
	}
}

// readRequestForm reads the parameters of an address.
func readRequestForm(values url.Values, now time.Time) requestForm {
	f := requestForm{Values: url.Values{}, Errors: map[string]string{}}
	q := &f.Query
	var known []string
	get := func(name string) string {
		known = append(known, name)
		value := strings.TrimSpace(strings.ToValidUTF8(values.Get(name), "\uFFFD"))
		if value != "" && name != "before" {
			f.Values.Set(name, value)
		}
		return value
	}
	word := func(name string, into *string) { *into = get(name) }
	read := func(name string, parse func(string) error) {
		if value := get(name); value != "" {
			if err := parse(value); err != nil {
				f.Errors[name] = err.Error()
			}
		}
	}
	flag := func(name string, into *bool) {
		read(name, func(value string) (err error) {
			if *into, err = strconv.ParseBool(value); err != nil {
				return errors.New("it is 1, or left out")
			}
			return nil
		})
	}
	read("since", func(v string) (err error) { q.Since, err = parseInstant(v, now); return err })
	read("until", func(v string) (err error) { q.Until, err = parseInstant(v, now); return err })
	word("caller", &q.Caller)
	word("asked", &q.Asked)
	word("model", &q.Model)
	word("endpoint", &q.Endpoint)
	word("key", &q.Key)
	flag("rerouted", &q.Rerouted)
	flag("hedged", &q.Hedged)
	flag("queued", &q.Queued)
	read("took", func(v string) (err error) { q.Took, err = parseLength(v); return err })
	read("ttft", func(v string) (err error) { q.TTFT, err = parseLength(v); return err })
	read("cost", func(v string) (err error) { q.Cost, err = parseDollars(v); return err })
	read("outcome", func(v string) error { return oneOf(v, &q.Outcome, record.Outcomes()) })
	read("class", func(v string) error { return oneOf(v, &q.Class, append(llm.FailureClasses(), AnyFailure)) })
	read("provider", func(v string) error { return oneOf(v, &q.Provider, llm.Providers()) })
	read("id", func(v string) error {
		q.ID = strings.ToLower(v)
		_, _, err := record.Prefixed(q.ID)
		return err
	})
	read("before", func(v string) (err error) { q.Before, err = record.ParseID(v); return err })
	if none := noSuchFilter(values, known); none != "" {
		f.Errors[""] = none
	}
	if len(f.Errors) == 0 && !q.Since.IsZero() && !q.Until.IsZero() && !q.Since.Before(q.Until) {
		f.Errors["until"] = "it must be later than From"
	}
	return f
}

// complaint says in a sentence what is wrong.
func (f requestForm) complaint() string {
	var all []string
	for name, what := range f.Errors {
		if name == "" {
			all = append(all, what)
			continue
		}
		label := cmp.Or(formLabels()[name], name)
		all = append(all, label+": "+what+".")
	}
	slices.Sort(all)
	return strings.Join(all, " ")
}

// address is where a search is, as page or download, further back if before is
// an ID.
func (f requestForm) address(path string, before record.ID) string {
	values := url.Values{}
	for name, v := range f.Values {
		values[name] = v
	}
	if before != 0 {
		values.Set("before", before.String())
	}
	if len(values) == 0 {
		return path
	}
	return path + "?" + values.Encode()
}

// rare says whether a field is used that is folded away.
func (f requestForm) rare() bool {
	for _, name := range []string{"model", "endpoint", "key", "caller", "took", "ttft", "cost", "id", "hedged", "queued"} {
		if f.Values.Has(name) {
			return true
		}
	}
	return false
}

func oneOf[T ~string](value string, into *T, all []T) error {
	if *into = T(value); slices.Contains(all, *into) {
		return nil
	}
	words := make([]string, len(all))
	for i, w := range all {
		words[i] = string(w)
	}
	return fmt.Errorf("“%s” is none of %s", value, names(words))
}

// parseInstant reads an instant in UTC, or how long ago it is: "2h", "7d ago".
func parseInstant(value string, now time.Time) (time.Time, error) {
	if ago, err := parseLength(strings.TrimSuffix(value, "ago")); err == nil {
		return now.Add(-ago), nil
	}
	for _, layout := range []string{
		time.RFC3339Nano, "2006-01-02T15:04:05", "2006-01-02 15:04:05", "2006-01-02T15:04", "2006-01-02 15:04", time.DateOnly,
	} {
		if at, err := time.Parse(layout, value); err == nil {
			return at.UTC(), nil
		}
	}
	for _, layout := range []string{"15:04", "15:04:05"} {
		if at, err := time.Parse(layout, value); err == nil {
			return now.Truncate(24 * time.Hour).Add(at.Sub(time.Date(0, 1, 1, 0, 0, 0, 0, time.UTC))), nil
		}
	}
	return time.Time{}, fmt.Errorf("“%s” is no time; write 2h for two hours ago, 11:30, or 2026-11-22 11:30", value)
}

// parseLength reads a length of time: "800ms", "2.5 s", "7d".
func parseLength(value string) (time.Duration, error) {
	text := strings.ReplaceAll(value, " ", "")
	d, err := time.ParseDuration(text)
	if days, isDays := strings.CutSuffix(text, "d"); isDays {
		var n float64
		n, err = strconv.ParseFloat(days, 64)
		d = time.Duration(n * float64(24*time.Hour))
	}
	if err != nil || d <= 0 {
		return 0, fmt.Errorf("“%s” is no length of time; write 800ms, 2.5s or 1m", value)
	}
	return d, nil
}

// parseDollars reads an amount in US dollars, exactly.
func parseDollars(value string) (record.NanoUSD, error) {
	whole, part, _ := strings.Cut(strings.TrimPrefix(value, "$"), ".")
	if len(part) <= 9 && len(whole) <= 9 && whole+part != "" {
		n, err := strconv.ParseUint(whole+part+strings.Repeat("0", 9-len(part)), 10, 63)
		if err == nil && n > 0 {
			return record.NanoUSD(n), nil
		}
	}
	return 0, fmt.Errorf("“%s” is no amount; write dollars, such as 0.05", value)
}
