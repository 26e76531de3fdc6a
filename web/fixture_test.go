package web

import (
	"context"
	"errors"
	"log/slog"
	"math"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/gin-gonic/gin"

	"breakwater/internal/llm"
	"breakwater/internal/record"
	"breakwater/internal/traffic"
)

var testNow = time.Date(2026, time.November, 22, 12, 0, 7, 0, time.UTC)

const usd = record.NanoUSD(1_000_000_000)

// history makes 90 days with trouble on the given days ago.
func history(trouble map[int]Day) []Day {
	today := testNow.Truncate(24 * time.Hour)
	days := make([]Day, DayCount)
	for i := range days {
		days[i] = Day{Date: today.AddDate(0, 0, i-DayCount+1), Served: int64(4100 + 37*i%911), Failed: int64(i % 7)}
		if d, ok := trouble[DayCount-1-i]; ok {
			d.Date = days[i].Date
			days[i] = d
		}
	}
	return days
}

// hour makes 60 minutes around a level, worse in the last ones.
func hour(level time.Duration, worse int, factor float64) []Point {
	var points []Point
	for i := range hourMinutes {
		v := float64(level) * (1 + 0.08*math.Sin(float64(i)*1.7) + 0.04*math.Cos(float64(i)*0.6))
		if i >= hourMinutes-worse {
			v *= factor * (1 + 0.1*math.Sin(float64(i)*2.1))
		}
		points = append(points, Point{At: testNow.Truncate(time.Minute).Add(time.Duration(i-hourMinutes+1) * time.Minute), P95: time.Duration(v)})
	}
	return points
}

func well() Status {
	row := func(name llm.Provider, model string, share float64, p95 time.Duration, errors float64, trouble map[int]Day) Provider {
		return Provider{
			Name: name, Model: model, State: Operational,
			Breaker: Breaker{State: record.Closed, Threshold: 3},
			Share:   Known(share), P95: Known(p95), UsualP95: Known(p95 * 98 / 100), Errors: Known(errors),
			Hour: hour(p95, 0, 1), Usual: Known(Band{Low: p95 * 86 / 100, High: p95 * 112 / 100}),
			Days: history(trouble),
		}
	}
	bad := Day{Served: 3700, Failed: 410, Incident: 48 * time.Minute}
	warn := Day{Served: 4100, Failed: 60, Incident: 8 * time.Minute}
	local := row(llm.Local, "llama3", 0.04, 3400*time.Millisecond, 0, nil)
	local.Days = local.Days[21:]
	return Status{
		Now: testNow, Started: testNow.Add(-76 * time.Hour),
		Numbers: Numbers{
			Served: 4664, Failed: 9, UsualSucceeded: Known(0.9984),
			P95: Known(2050 * time.Millisecond), UsualP95: Known(2 * time.Second),
			PerMinute: Known(311.6), UsualPerMinute: Known(290.0),
			SpentToday: 41*usd + 8*usd/10, DailyCap: 60 * usd,
		},
		Providers: []Provider{
			row(llm.Gemini, "gemini-2.5-flash", 0.61, 2100*time.Millisecond, 0.002, map[int]Day{60: warn}),
			row(llm.Claude, "claude-3-5-sonnet-20241022", 0.27, 1800*time.Millisecond, 0.001, map[int]Day{78: bad, 77: warn, 49: warn, 23: warn}),
			row(llm.OpenAI, "gpt-4o", 0.08, 1900*time.Millisecond, 0, map[int]Day{68: bad, 67: warn, 3: warn}),
			local,
		},
		Incidents: []record.Incident{past(41, llm.OpenAI, "OpenAI is slow", 69*time.Hour, 8*time.Minute), past(40, llm.Gemini, "Gemini is failing", 11*24*time.Hour, 21*time.Minute)},
		Budgets: []Budget{
			{Name: "All providers", Period: PerDay, Cap: 60 * usd, Spent: 41*usd + 8*usd/10},
			{Name: "All providers", Period: PerMonth, Cap: 1200 * usd, Spent: 812 * usd},
			{Name: "Claude", Period: PerMonth, Cap: 400 * usd, Spent: 74*usd + usd/4},
			{Name: "OpenAI", Period: PerMonth, Spent: 61 * usd},
		},
	}
}

func past(number int64, who llm.Provider, title string, ago, took time.Duration) record.Incident {
	began := testNow.Add(-ago)
	return record.Incident{
		ID: record.At(began), Number: number, Topic: record.TopicProvider, Severity: record.Critical, Subject: who, State: record.Resolved, Title: title,
		Began: began, Opened: began.Add(time.Minute), Ended: began.Add(took),
		Timeline: []record.Event{
			{At: began, Kind: "breaker", Text: "Breaker opened after 3 failures in a row (HTTP 503)"},
			{At: began.Add(time.Minute), Kind: "opened", Text: "The first probe failed. Slack notified"},
			{At: began.Add(took), Kind: "resolved", Text: "A probe succeeded and the breaker closed"},
		},
	}
}

func degraded() Status {
	s := well()
	s.Numbers.Served, s.Numbers.Failed = 4655, 18
	s.Numbers.P95 = Known(2400 * time.Millisecond)
	c := &s.Providers[1]
	c.State, c.Share, c.P95, c.Errors = Degraded, Known(0.04), Known(6900*time.Millisecond), Known(0.081)
	c.Breaker = Breaker{State: record.HalfOpen, Threshold: 3, Reason: "3 failures in a row, last: server error, HTTP 529"}
	c.Hour = hour(1800*time.Millisecond, 13, 3.4)
	c.Days[89] = Day{Date: c.Days[89].Date, Served: 2010, Failed: 164, Incident: 8 * time.Minute}
	s.Providers[0].Share = Known(0.84)
	began := testNow.Add(-8*time.Minute - 20*time.Second)
	s.Incidents = append(s.Incidents, record.Incident{
		ID: record.At(began), Number: 42, Topic: record.TopicProvider, Severity: record.Critical, Subject: llm.Claude, State: record.Ongoing, Title: "Claude is failing", Began: began, Opened: began.Add(time.Minute),
		Timeline: []record.Event{
			{At: began, Kind: "anomaly", Text: "Latency z = 4.2 for 3 windows (6.9 s against 2.0 s). Slack notified"},
			{At: began.Add(time.Minute), Kind: "breaker", Text: "Breaker opened after 3 failures in a row (HTTP 529)"},
			{At: began.Add(8 * time.Minute), Kind: "probing", Text: "Breaker half-open: the next request is a probe"},
		},
	})
	return s
}

func held() Status {
	s := well()
	o := &s.Providers[2]
	o.State, o.Share = Held, Known(0.0)
	o.P95 = Known(9300 * time.Millisecond)
	o.Hour = append(hour(1900*time.Millisecond, 22, 4)[:20], hour(1900*time.Millisecond, 22, 4)[31:55]...)
	o.Hold = &record.Hold{
		Source: record.ByAnomaly, Placed: testNow.Add(-4 * time.Minute), Expires: testNow.Add(6 * time.Minute),
		Reason: "latency z = 5.1 for 3 windows, 9.3 s against a usual 1.9 s",
	}
	return s
}

func down() Status {
	s := degraded()
	s.Numbers.Served, s.Numbers.Failed = 2011, 1604
	for i := range s.Providers {
		p := &s.Providers[i]
		p.State, p.Share, p.Errors = Down, Figure[float64]{}, Known(1.0)
		p.Breaker = Breaker{State: record.Open, NextProbe: testNow.Add(time.Duration(23+9*i) * time.Second), Reason: "3 failures in a row, last: network trouble"}
	}
	s.Budgets[0].Spent = 61 * usd
	s.Budgets[1].Spent = 1130 * usd
	return s
}

// newcomer is the first start: nothing asked yet, only the local provider.
func newcomer() Status {
	return Status{
		Now: testNow, Started: testNow.Add(-40 * time.Second),
		Providers: []Provider{
			{Name: llm.Gemini, Model: "gemini-2.5-flash", State: Off, Missing: "GEMINI_API_KEY"},
			{Name: llm.Claude, Model: "claude-3-5-sonnet-20241022", State: Off, Missing: "ANTHROPIC_API_KEY"},
			{Name: llm.OpenAI, Model: "gpt-4o", State: Off, Missing: "OPENAI_API_KEY"},
			{Name: llm.Local, Model: "llama3", State: Unknown, Breaker: Breaker{State: record.Closed}},
		},
	}
}

func simulated() Status {
	s := well()
	s.SimulatedUntil = testNow.Add(-9 * time.Minute)
	s.Dropped = 0
	return s
}

// busy is a status in which keys are lost and requests wait.
func busy() Status {
	s := well()
	s.Providers[0].Keys = KeysOut{Usable: 2, All: 4}
	s.Line = Line{Waiting: map[traffic.Priority]int{traffic.Urgent: 2, traffic.Batch: 1210}, Load: 0.94}
	return s
}

// keysLost is a status in which a provider is down for want of a key.
func keysLost() Status {
	s := well()
	s.Providers[1].State, s.Providers[1].Keys = Down, KeysOut{Usable: 0, All: 1}
	s.Providers[1].Share = Known(0.0)
	return s
}

// geminiDetail has keys in every state, limits and several endpoints.
func geminiDetail() Detail {
	return Detail{
		Course: madeUpCourse(), Records: madeUpRecords(), Slow: 4200 * time.Millisecond,
		Measures: []Measure{
			{Model: "gemini-2.5-flash", Name: "time to first token", Seconds: true, Now: 1.9, Usual: 0.62, Z: 4.24, Evidence: 1.2, Samples: 41_204},
			{Model: "gemini-2.5-pro", Endpoint: "eu", Name: "errors", Share: true, Now: 0.031, Usual: 0.004, Z: 2.1, Evidence: 0.55, Samples: 1204},
			{Model: "gemini-2.5-flash", Name: "time per output token", Seconds: true, Now: 0.011, Usual: 0.012, Z: -0.3, Samples: 38_112},
		},
		Looks: []Look{
			{At: testNow.Add(-41 * time.Second), Took: 212 * time.Millisecond, Next: testNow.Add(4 * time.Minute)},
			{Endpoint: "eu", At: testNow.Add(-80 * time.Second), Took: 10 * time.Second, Error: "network: connection refused", Next: testNow.Add(-time.Second)},
			{Paid: true, At: testNow.Add(-11 * time.Minute), Took: 1300 * time.Millisecond, Next: testNow.Add(4 * time.Minute)},
		},
		Keys: []Key{
			{Endpoint: "", Name: "main", Last4: "x7Qf", State: record.KeyUsable, Under: 3, Requests: 41_204, Throttled: 12, Input: 31_204_118, Output: 9_120_003, Cost: 31*usd + usd/3, Share: Known(0.71)},
			{Endpoint: "", Name: "team-b", Last4: "9f3c", State: record.KeyCooling, Until: testNow.Add(23 * time.Second), Reason: "HTTP 429 RESOURCE_EXHAUSTED: requests per minute", Requests: 16_822, Throttled: 410, Input: 12_004_551, Output: 3_500_100, Cost: 11 * usd, Share: Known(0.28)},
			{Endpoint: "eu", Name: "batch", Last4: "Kq2z", State: record.KeyExhausted, Until: testNow.Add(20 * time.Hour), Reason: "HTTP 429 RESOURCE_EXHAUSTED: You exceeded your current quota, please check your plan and billing details", Requests: 300, Throttled: 3, Input: 120_000, Output: 4_000, Cost: usd / 5, Share: Known(0.01)},
			{Endpoint: "eu", Name: "old", State: record.KeyRevoked, Reason: "HTTP 401: API key expired", Share: Known(0.0)},
		},
		Pools: []Pool{
			{InUse: 3, Idle: 14, Opened: 212, Reused: 58_012, Handshake: 84 * time.Millisecond},
			{Endpoint: "eu"},
		},
		Limits: []Limit{
			{Of: "all of Gemini", Use: traffic.Use{Limits: traffic.Limits{Requests: 60}, Allowed: 42.5, Under: 3, RequestsLeft: 11}},
			{Of: "key main", Use: traffic.Use{Limits: traffic.Limits{Requests: 40, Tokens: 1_000_000, Concurrent: 8}, Allowed: 40, Under: 3, TokensLeft: 801_422}},
			{Of: "model gemini-2.5-pro", Use: traffic.Use{Allowed: 5}},
		},
		Changes: []Change{
			{At: testNow.Add(-40 * time.Second), Key: "team-b", Last4: "9f3c", To: record.KeyCooling, Model: "gemini-2.5-flash", Reason: "HTTP 429 RESOURCE_EXHAUSTED: requests per minute"},
			{At: testNow.Add(-4 * time.Hour), Endpoint: "eu", Key: "batch", Last4: "Kq2z", To: record.KeyExhausted, Reason: "HTTP 429 RESOURCE_EXHAUSTED: You exceeded your current quota"},
			{At: testNow.Add(-50 * time.Hour), Endpoint: "eu", Key: "old", To: record.KeyRevoked, Reason: "HTTP 401: API key expired"},
		},
	}
}

// madeUpCourse is a day with an outage, a hold, and a gap in the night.
func madeUpCourse() Course {
	from := testNow.Truncate(time.Hour).Add(-23 * time.Hour)
	at := func(h float64) time.Time { return from.Add(time.Duration(h * float64(time.Hour))) }
	c := Course{
		From: from, To: testNow, Step: 10 * time.Minute,
		Stretches: []Stretch{
			{from, at(2), unseenState}, {at(2), at(9.5), record.Closed}, {at(9.5), at(9.9), record.Open}, {at(9.9), at(9.95), record.HalfOpen},
			{at(9.95), at(18), record.Closed}, {at(18), at(18.8), heldState}, {at(18.8), testNow, record.Closed},
		},
		Usual: Bands{
			P50: Known(Band{600 * time.Millisecond, 900 * time.Millisecond}), P95: Known(Band{1800 * time.Millisecond, 2400 * time.Millisecond}),
			P99: Known(Band{3 * time.Second, 5 * time.Second}), TTFT: Known(Band{500 * time.Millisecond, 800 * time.Millisecond}),
		},
		Marks: []record.Incident{past(41, llm.Gemini, "Gemini is failing", testNow.Sub(at(9.45)), 40*time.Minute)},
	}
	moment := func(t time.Time, scale int64) Moment {
		h := t.Sub(from).Hours()
		m := Moment{At: t}
		if h < 2 || h > 4 && h < 5 {
			return m
		}
		slow := 1 + 0.1*math.Sin(h*3)
		m.Served = scale * int64(200+80*math.Sin(h/4))
		m.Throttled, m.Cancelled, m.Cost = scale*int64(1+h)/7, scale, record.NanoUSD(scale)*usd/40
		if h > 9.4 && h < 10 {
			slow, m.Failed, m.Served = 3.2, scale*90, scale*40
		}
		if h > 17.6 && h < 19 {
			slow = 2.4
		}
		of := func(ms float64) Figure[time.Duration] {
			return Known(time.Duration(ms * slow * float64(time.Millisecond)))
		}
		m.P50, m.P95, m.P99, m.TTFT = of(720), of(2050), of(3900), of(640)
		return m
	}
	for t := from; t.Before(testNow); t = t.Add(c.Step) {
		m := moment(t, 1)
		c.Points = append(c.Points, m)
		c.Sum.Served += m.Served
		c.Sum.Failed += m.Failed
		c.Sum.Throttled += m.Throttled
		c.Sum.Cancelled += m.Cancelled
		c.Sum.Cost += m.Cost
	}
	for t := from; t.Before(testNow); t = t.Add(time.Hour) {
		m := moment(t, 6)
		m.In = map[record.State]time.Duration{record.Closed: time.Hour}
		c.Rows = append(c.Rows, m)
	}
	return c
}

// madeUpRecords has a window without data, and one in which nothing is known of
// breakers.
func madeUpRecords() []Record {
	all := []Record{{Window: "5 minutes", Callers: Known(0.998)}}
	for i, window := range []string{"1 hour", "24 hours", "7 days", "30 days", "90 days"} {
		length := []time.Duration{time.Hour, 24 * time.Hour, 7 * 24 * time.Hour, 30 * 24 * time.Hour, 90 * 24 * time.Hour}[i]
		all = append(all, Record{
			Window: window, Health: Known(99.21 - float64(i)), Availability: Known(0.9968), Errors: Known(0.0081), Callers: Known(0.99951),
			P50: Known(720 * time.Millisecond), P95: Known(2050 * time.Millisecond), P99: Known(3900 * time.Millisecond), TTFT: Known(640 * time.Millisecond),
			In:       map[record.State]time.Duration{record.Open: 24 * time.Minute, record.HalfOpen: 3 * time.Minute, heldState: 48 * time.Minute, record.Closed: length - 75*time.Minute},
			Downtime: Known(40 * time.Minute),
		})
	}
	return all
}

func localDetail() Detail { return Detail{Pools: []Pool{{InUse: 1, Opened: 4, Reused: 9}}} }

// fake is a Source and a Changes that a test controls.
type fake struct {
	mu     sync.Mutex
	status Status
	detail Detail
	err    error
	subs   map[chan Part]bool
}

func (f *fake) Status(context.Context) (Status, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.status, f.err
}

func (f *fake) Detail(context.Context, llm.Provider, Span) (Detail, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.detail, f.err
}

func (f *fake) Subscribe() (<-chan Part, func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.subs == nil {
		f.subs = map[chan Part]bool{}
	}
	c := make(chan Part, 64)
	f.subs[c] = true
	return c, func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		delete(f.subs, c)
	}
}

func (f *fake) set(s Status, err error, changed ...Part) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.status, f.err = s, err
	for c := range f.subs {
		for _, part := range changed {
			c <- part
		}
	}
}

func (f *fake) subscribers() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.subs)
}

var errTest = errors.New("database is locked: secret-detail")

func newServer(t *testing.T, f *fake) (*Server, http.Handler) {
	t.Helper()
	return newDesk(t, f, &fakeDesk{}, Options{})
}

// newDesk makes a server with a desk.
func newDesk(t *testing.T, f *fake, desk *fakeDesk, o Options) (*Server, http.Handler) {
	t.Helper()
	o.Source, o.Changes, o.Desk, o.Version = f, f, desk, "0.1.0"
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	s.now = func() time.Time { return testNow }
	gin.SetMode(gin.ReleaseMode)
	engine := gin.New()
	s.Register(engine)
	return s, engine
}

func get(t *testing.T, h http.Handler, path string, header ...string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequest(http.MethodGet, path, nil)
	r.Host = "127.0.0.1:8080"
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// end closes every subscription's channel.
func (f *fake) end() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for c := range f.subs {
		close(c)
	}
}
