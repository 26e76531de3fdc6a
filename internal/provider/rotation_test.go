package provider

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"breakwater/internal/bubble"
	"breakwater/internal/llm"
	"breakwater/internal/record"
	"breakwater/internal/traffic"
)

func TestARotationKeepsWhatIsKnownOfAKey(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		keys := keysNamed("a", "b")
		c := ringOf(t, Config{Keys: keys})
		fail(t, c, "a", "m", limited)
		fail(t, c, "b", "n", refused)
		keys[0].Name, keys[0].Limits, keys[0].Weight = "renamed", traffic.Limits{Requests: 5}, 3
		if err := c.SetKeys(keys, time.Minute); err != nil {
			t.Fatal(err)
		}
		expect(t, c, "m", keysCooling+", 20s, false")
		if uses := c.KeyUses(); uses[0].Name != "renamed" || uses[0].Requests != 1 || uses[1].State != record.KeyRevoked || c.ring.keys[0].limits.Requests != 5 || c.ring.keys[0].weight != 3 {
			t.Errorf("got %+v", uses)
		}
		keys[1].Secret = "another-secret-of-b-5678"
		if err := c.SetKeys(keys, time.Minute); err != nil {
			t.Fatal(err)
		}
		expect(t, c, "m", "b")
		if b := c.KeyUses()[1]; b.State != record.KeyUsable || b.Last4 != "5678" || b.Requests != 1 {
			t.Errorf("got %+v", b)
		}
	})
}

func TestAKeyThatIsGoneIsASpareForAWhile(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		c := ringOf(t, Config{Keys: keysNamed("old")})
		if err := c.SetKeys(keysNamed("new"), time.Minute); err != nil {
			t.Fatal(err)
		}
		expect(t, c, "m", "new")
		fail(t, c, "new", "m", refused) // the provider does not know it yet
		expect(t, c, "m", "old")
		time.Sleep(time.Minute)
		expect(t, c, "m", keysRefused+", 0s, true")
		if err := c.SetKeys(keysNamed("newest"), 0); err != nil {
			t.Fatal(err)
		}
		fail(t, c, "newest", "m", limited)
		expect(t, c, "m", keysCooling+", 20s, false")
	})
}

func TestWhatAnOldKeyIsToldDoesNotTouchTheNewOne(t *testing.T) {
	var told []string
	c := ringOf(t, Config{Keys: keysNamed("a"), OnKey: func(k record.KeyChange) {
		told = append(told, fmt.Sprintf("%s %s>%s %s", k.Last4, k.From, k.To, k.Reason))
	}})
	old, _ := c.Admit(Ask{Model: "m"})
	older, _ := c.Admit(Ask{Model: "m"})
	older.Done(llm.Usage{}, refused)
	if err := c.SetKeys([]Key{{Name: "a", Secret: "another-secret-of-a-5678"}}, time.Minute); err != nil {
		t.Fatal(err)
	}
	old.Done(llm.Usage{}, refused)
	expect(t, c, "m", "a")
	if want := []string{"1234 usable>revoked auth (HTTP 401): invalid x-api-key", "1234 revoked>usable it is no longer configured"}; !slices.Equal(told, want) {
		t.Errorf("told %q", told)
	}
}

func TestAFormerKeyThatIsConfiguredAgainBeginsAnew(t *testing.T) {
	c := ringOf(t, Config{Keys: keysNamed("a")})
	under, _ := c.Admit(Ask{Model: "m"})
	if err := errors.Join(c.SetKeys(keysNamed("b"), time.Minute), c.SetKeys(keysNamed("a"), time.Minute)); err != nil {
		t.Fatal(err)
	}
	under.Done(llm.Usage{}, refused) // of before
	expect(t, c, "m", "a")
	fail(t, c, "a", "m", refused)
	expect(t, c, "m", "b")
}

func TestWrongKeysChangeNothing(t *testing.T) {
	c := ringOf(t, Config{Keys: keysNamed("a")})
	for name, keys := range map[string][]Key{
		"none":             nil,
		"empty":            {{Name: "x"}},
		"with a space":     {{Name: "x", Secret: "a b-very-secret"}},
		"twice":            {{Name: "x", Secret: "very-secret"}, {Name: "y", Secret: "very-secret"}},
		"a negative share": {{Name: "x", Secret: "very-secret", Weight: -1}},
	} {
		if err := c.SetKeys(keys, time.Minute); err == nil || strings.Contains(err.Error(), "very-secret") {
			t.Errorf("%s: %v", name, err)
		}
	}
	expect(t, c, "m", "a")
	local := ringOf(t, Config{Provider: llm.Local, Keys: keysNamed("a")})
	if err := local.SetKeys(nil, 0); err != nil {
		t.Error(err)
	}
	expect(t, local, "m", "")
	fail(t, local, "", "m", limited)
	if err := local.SetKeys(nil, 0); err != nil {
		t.Error(err)
	}
	if got := admitted(local, Ask{Model: "m"}); !strings.HasPrefix(got, keysCooling) {
		t.Errorf("a server without keys forgets that it cools down: %s", got)
	}
}

func TestRotationsDropNoRequest(t *testing.T) {
	valid := func(secret string) bool { return strings.HasPrefix(secret, "Bearer secret-of-key-") }
	c := upstream(t, llm.OpenAI, func(w http.ResponseWriter, r *http.Request) {
		if !valid(r.Header.Get("Authorization")) {
			w.WriteHeader(http.StatusUnauthorized)
		}
		io.WriteString(w, `{"choices":[{"message":{"content":"Hi"},"finish_reason":"stop"}]}`)
	})
	if err := c.SetKeys(keysNamed("0a", "0b"), time.Minute); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 50 {
				l, busy := c.Admit(Ask{Model: "m"})
				if busy != nil {
					t.Errorf("got %+v", busy)
					return
				}
				reply, err := c.Send(t.Context(), l, llm.Target{Model: "m"}, hello(false))
				if err != nil {
					t.Error(err)
					l.Done(llm.Usage{}, &llm.Failure{Class: llm.Auth})
					return
				}
				for err == nil {
					_, err = reply.Next()
				}
				reply.Close()
				l.Done(llm.Usage{}, nil)
			}
		})
	}
	for i := range 50 {
		if err := c.SetKeys(keysNamed(fmt.Sprint(i, "a"), fmt.Sprint(i, "b")), time.Duration(i%3)*time.Millisecond); err != nil {
			t.Error(err)
		}
		c.KeyUses()
		c.ModelUses()
	}
	wg.Wait()
	for _, k := range c.KeyUses() {
		if k.Under != 0 || k.State != record.KeyUsable {
			t.Errorf("got %+v", k)
		}
	}
}

func TestAListenerMayLookAtTheKeys(t *testing.T) {
	var c *Client
	var states []record.KeyState
	c = ringOf(t, Config{Keys: keysNamed("a"), OnKey: func(k record.KeyChange) {
		states = append(states, c.KeyUses()[0].State)
		if k.To == record.KeyRevoked && len(states) == 1 {
			c.ring.takes(c.ring.keys[0])
		}
		if strings.Contains(k.Reason, "secret-of") {
			t.Errorf("reason %q", k.Reason)
		}
	}})
	fail(t, c, "a", "m", &llm.Failure{Class: llm.Auth, Message: "bad key " + c.ring.keys[0].secret})
	if !slices.Equal(states, []record.KeyState{record.KeyRevoked, record.KeyUsable}) {
		t.Errorf("got %v", states)
	}
}

func TestNoTextHoldsAnyKey(t *testing.T) {
	all := append(keysNamed("a", "b", "c"), Key{Name: "short", Secret: "tiny"})
	c := ringOf(t, Config{Keys: all})
	if last4 := c.KeyUses()[3].Last4; last4 != "" {
		t.Errorf("%q is told of a short secret", last4)
	}
	if err := errors.Join(c.SetKeys(all[1:2], time.Minute), c.SetKeys(keysNamed("d"), 0)); err != nil {
		t.Fatal(err)
	}
	for _, k := range append(all, keysNamed("d")...) {
		f := c.clean(&llm.Failure{Message: "x " + k.Secret, Body: []byte(`{"error":"` + k.Secret + `"}`)})
		h := c.passedOn(http.Header{"X-Echo": {"=" + k.Secret}, "X-Kept": {"1"}})
		if strings.Contains(f.Message, k.Secret) || f.Body != nil || len(h) != 1 {
			t.Errorf("%s: %+v, %v", k.Name, f, h)
		}
	}
	for i := range 3 * maxFormer {
		if err := c.SetKeys(keysNamed(fmt.Sprint(i)), 0); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(*c.ring.secrets.Load()); n != maxFormer+1 {
		t.Errorf("%d secrets are kept", n)
	}
}

func TestAPingBringsARefusedKeyBack(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		accepted := map[string]bool{}
		asked := map[string]int{}
		c := ringOf(t, Config{Keys: keysNamed("a", "b")})
		listing := func(r *http.Request) (*http.Response, error) {
			secret := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
			asked[secret]++
			status, body := http.StatusUnauthorized, `{"error":{"message":"no","code":"invalid_api_key"}}`
			if accepted[secret] {
				status, body = http.StatusOK, `{"data":[{"id":"m"}]}`
			}
			return &http.Response{StatusCode: status, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(body))}, nil
		}
		c.call = roundTripper(listing)
		a, b := c.ring.keys[0].secret, c.ring.keys[1].secret
		fail(t, c, "a", "m", refused)
		accepted[b] = true
		for range 10 {
			if status, err := c.Ping(t.Context()); err != nil || !slices.Equal(status.Models, []string{"m"}) {
				t.Fatalf("got %+v, %v", status, err)
			}
			time.Sleep(time.Minute)
		}
		if asked[a] != 2 || asked[b] != 10 {
			t.Errorf("asked %v", asked)
		}
		expect(t, c, "m", "b")
		accepted[a] = true
		if _, err := c.Ping(t.Context()); err != nil {
			t.Fatal(err)
		}
		expect(t, c, "m", "a")
		if u := c.KeyUses()[0]; u.State != record.KeyUsable {
			t.Errorf("got %+v", u)
		}
		fail(t, c, "a", "m", refused)
		fail(t, c, "b", "m", refused)
		if _, err := c.Ping(t.Context()); err != nil { // with the first of them
			t.Fatal(err)
		}
		expect(t, c, "m", "a")
	})
}

func TestAPingThatIsRefusedForItsKeyTakesItOutAndAsksWithTheNext(t *testing.T) {
	for name, test := range map[string]struct {
		status   int
		body     string
		asked    int
		states   []record.KeyState
		answered bool
	}{
		"the first is unknown":     {401, `{"error":{"message":"no","code":"invalid_api_key"}}`, 2, []record.KeyState{record.KeyRevoked, record.KeyUsable}, true},
		"it may not list models":   {401, `{"error":{"message":"Missing scopes: api.model.read"}}`, 1, []record.KeyState{record.KeyUsable, record.KeyUsable}, false},
		"the provider is at fault": {503, `{}`, 1, []record.KeyState{record.KeyUsable, record.KeyUsable}, false},
	} {
		t.Run(name, func(t *testing.T) {
			var told []record.KeyChange
			c := ringOf(t, Config{Keys: keysNamed("a", "b"), OnKey: func(k record.KeyChange) { told = append(told, k) }})
			first, asked := c.ring.keys[0].secret, 0
			c.call = roundTripper(func(r *http.Request) (*http.Response, error) {
				asked++
				status, body := http.StatusOK, `{"data":[{"id":"m"}]}`
				if strings.HasSuffix(r.Header.Get("Authorization"), first) {
					status, body = test.status, test.body
				}
				return &http.Response{StatusCode: status, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(body))}, nil
			})
			_, err := c.Ping(t.Context())
			if asked != test.asked || (err == nil) != test.answered {
				t.Errorf("asked %d times, %v", asked, err)
			}
			if got, want := Answered(err), name != "the provider is at fault"; got != want {
				t.Errorf("%v: answered %v, want %v", err, got, want)
			}
			for i, u := range c.KeyUses() {
				if u.State != test.states[i] {
					t.Errorf("got %+v, want %s", u, test.states[i])
				}
			}
			if test.answered != (len(told) == 1) {
				t.Errorf("told %+v", told)
			}
		})
	}
}

func TestAPingWithNoKeyThatIsTakenFailsOnce(t *testing.T) {
	c := ringOf(t, Config{Keys: keysNamed("a", "b")})
	asked := 0
	c.call = roundTripper(func(*http.Request) (*http.Response, error) {
		asked++
		return &http.Response{StatusCode: 401, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(`{"error":{"code":"invalid_api_key"}}`))}, nil
	})
	_, err := c.Ping(t.Context())
	if f, ok := llm.AsFailure(err); !ok || f.Class != llm.Auth || asked != 2 {
		t.Errorf("asked %d times, %v", asked, err)
	}
}

// roundTripper answers calls without a network.
type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestAnotherKeyServesWhereOneIsRefused(t *testing.T) {
	keys := keysNamed("revoked", "limited", "poor", "good")
	answers := map[string]struct {
		status int
		body   string
	}{
		keys[0].Secret: {401, `{"type":"error","error":{"type":"authentication_error","message":"invalid x-api-key"}}`},
		keys[1].Secret: {429, `{"type":"error","error":{"type":"rate_limit_error","message":"slow down"}}`},
		keys[2].Secret: {400, `{"type":"error","error":{"type":"invalid_request_error","message":"Your credit balance is too low to access the Anthropic API."}}`},
		keys[3].Secret: {200, `{"content":[{"type":"text","text":"Hi"}],"stop_reason":"end_turn"}`},
	}
	c := upstream(t, llm.Claude, func(w http.ResponseWriter, r *http.Request) {
		a := answers[r.Header.Get("X-Api-Key")]
		w.Header().Set("Retry-After", "20")
		w.WriteHeader(a.status)
		io.WriteString(w, a.body)
	})
	if err := c.SetKeys(keys, 0); err != nil {
		t.Fatal(err)
	}
	var asked []string
	for range keys {
		l, busy := c.Admit(Ask{Model: "m"})
		if busy != nil {
			t.Fatalf("got %+v", busy)
		}
		asked = append(asked, l.Key)
		reply, err := c.Send(t.Context(), l, llm.Target{Model: "m"}, hello(false))
		f, _ := llm.AsFailure(err)
		l.Done(llm.Usage{}, f)
		if err == nil {
			reply.Close()
		}
	}
	if !slices.Equal(asked, []string{"revoked", "limited", "poor", "good"}) {
		t.Errorf("asked %v", asked)
	}
	states := []record.KeyState{record.KeyRevoked, record.KeyCooling, record.KeyExhausted, record.KeyUsable}
	for i, u := range c.KeyUses() {
		if u.State != states[i] || u.Requests != 1 {
			t.Errorf("got %+v", u)
		}
	}
}

func TestLimitsThatAProviderTellsAreKeptByModelAndKey(t *testing.T) {
	for _, status := range []int{http.StatusOK, http.StatusBadRequest} {
		c := upstream(t, llm.OpenAI, func(w http.ResponseWriter, r *http.Request) {
			for name, value := range map[string]string{"Limit": "10", "Remaining": "0", "Reset": "20s"} {
				w.Header().Set("X-Ratelimit-"+name+"-Requests", value)
			}
			w.WriteHeader(status)
			io.WriteString(w, `{"choices":[{"message":{"content":"Hi"},"finish_reason":"stop"}]}`)
		})
		l, _ := c.Admit(Ask{Model: "m"})
		if reply, err := c.Send(t.Context(), l, llm.Target{Model: "m"}, hello(false)); err == nil {
			reply.Close()
		}
		l.Done(llm.Usage{}, nil)
		_, busy := c.Admit(Ask{Model: "m"})
		if busy == nil {
			t.Skip("the limiter lets everything through")
		}
		if busy.Wait <= 0 || busy.Wait > 20*time.Second || busy.NoKey || busy.Detail != keysLimited {
			t.Errorf("%d: got %+v", status, busy)
		}
		if got := admitted(c, Ask{Model: "n"}); got != "main" {
			t.Errorf("%d: the other model: %s", status, got)
		}
	}
}
