package price

import (
	"cmp"
	"embed"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"breakwater/internal/llm"
	"breakwater/internal/record"
)

//go:embed models.csv
var files embed.FS

// date is the day of the newest source of models.csv.
const date = "2026-08-21"

// header is the first line of a table. Prices are US dollars per million
// tokens, with a point; an empty cache price means the input price.
const header = "provider,model,context,from,above,input,cache_read,cache_write,output"

// Default gives the built-in table.
func Default() *Table {
	f, err := files.Open("models.csv")
	if err != nil {
		panic(err) // embedded
	}
	defer f.Close()
	t, err := Parse(f, date)
	if err != nil {
		panic("models.csv: " + err.Error()) // embedded, held by a test
	}
	return t
}

// Parse reads a table in the form of models.csv, and the day of its prices as
// YYYY-MM-DD. Its errors name every faulty line.
func Parse(r io.Reader, day string) (*Table, error) {
	when, err := time.Parse(time.DateOnly, day)
	if err != nil {
		return nil, fmt.Errorf("date of the prices: %w", err)
	}
	rows, err := csv.NewReader(r).ReadAll()
	if err != nil {
		return nil, err
	}
	if len(rows) == 0 || strings.Join(rows[0], ",") != header {
		return nil, fmt.Errorf("the first line is not %q", header)
	}
	t := &Table{date: when, models: map[llm.Provider]map[string]Model{}}
	var errs []error
	for i, row := range rows[1:] {
		if err := t.add(row); err != nil {
			errs = append(errs, fmt.Errorf("line %d: %w", i+2, err))
		}
	}
	for _, models := range t.models {
		for id, m := range models {
			slices.SortFunc(m.Tiers, func(a, b Tier) int {
				return cmp.Or(a.From.Compare(b.From), cmp.Compare(a.Above, b.Above))
			})
			if !m.Tiers[0].From.IsZero() || m.Tiers[0].Above != 0 {
				errs = append(errs, fmt.Errorf("%s: no price that always holds", id))
			}
		}
	}
	return t, errors.Join(errs...)
}

func (t *Table) add(row []string) error {
	p, ok := llm.ParseProvider(row[0])
	if !ok || p == llm.Local {
		return fmt.Errorf("%q is not a cloud provider", row[0])
	}
	id := row[1]
	context, err := strconv.ParseInt(row[2], 10, 64)
	if err != nil {
		return err
	}
	tier, err := parseTier(row[3:])
	if err != nil {
		return err
	}
	if p == llm.Claude {
		tier.Rates.CacheWrite1h = 2 * tier.Rates.Input
	}
	m := t.models[p][id]
	for _, other := range m.Tiers {
		if other.From.Equal(tier.From) && other.Above == tier.Above {
			return fmt.Errorf("%s has this price twice", id)
		}
	}
	if t.models[p] == nil {
		t.models[p] = map[string]Model{}
	}
	t.models[p][id] = Model{Provider: p, ID: id, Context: context, Tiers: append(m.Tiers, tier)}
	return nil
}

func parseTier(cells []string) (t Tier, err error) {
	if cells[0] != "" {
		if t.From, err = time.Parse(time.DateOnly, cells[0]); err != nil {
			return t, err
		}
	}
	if t.Above, err = strconv.ParseInt(cells[1], 10, 64); err != nil {
		return t, err
	}
	var rates [4]int64
	for i, cell := range cells[2:] {
		if cell == "" && (i == 1 || i == 2) {
			rates[i] = rates[0]
			continue
		}
		n, err := ParseUSD(cell)
		if err != nil {
			return t, err
		}
		rates[i] = int64(n)
	}
	t.Rates = Rates{Input: rates[0], CacheRead: rates[1], CacheWrite: rates[2], CacheWrite1h: rates[2], Output: rates[3]}
	return t, nil
}

// ParseUSD reads an amount of US dollars such as "12" or "0.075", exactly. It
// takes no sign, no exponent and no more than nine decimals.
func ParseUSD(s string) (record.NanoUSD, error) {
	whole, fraction, point := strings.Cut(s, ".")
	if !digits(whole) || point && !digits(fraction) {
		return 0, errors.New(`must be an amount of US dollars such as "12" or "0.50"`)
	}
	if len(fraction) > 9 {
		return 0, errors.New("must have at most nine decimals")
	}
	n, err := strconv.ParseInt(whole+fraction+strings.Repeat("0", 9-len(fraction)), 10, 64)
	if err != nil {
		return 0, errors.New("must be less than nine billion US dollars")
	}
	return record.NanoUSD(n), nil
}

func digits(s string) bool { return s != "" && strings.Trim(s, "0123456789") == "" }
