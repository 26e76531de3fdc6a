package web

import (
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	// SessionFor is how long a person who signed in may act: a working day
	// and some hours, so that an incident's night needs the key once.
	SessionFor = 12 * time.Hour
	// sessionCookie carries the session.
	sessionCookie = "breakwater_operator"
	// anOperator is who acts where no name is given.
	anOperator = "operator"
)

const (
	// MaxAttempts is how many wrong keys an address may present within
	// AttemptsFor before it has to wait: enough for slips of the hand.
	MaxAttempts = 5
	AttemptsFor = time.Minute
	// mostAddresses bounds the addresses that are remembered; when there are
	// more, all others share what is left.
	mostAddresses = 1024
)

// access says whether a request may act.
type access int

const (
	accessClosed  access = iota // nobody may: there is no key, and the request is not from this machine
	accessSignIn                // who presents the key may
	accessWrong                 // the key that it presents is wrong
	accessWait                  // too many wrong keys came from there
	accessGranted               // it may
)

// operators decides who may act. Without a key it is whoever sits at this
// machine; with one it is who knows it.
type operators struct {
	digest  [sha256.Size]byte // of the key, so that a comparison takes the same time for every length
	signing []byte            // derived from the key; nil where there is none
	secure  bool              // people reach Breakwater over TLS
	remote  bool              // people reach Breakwater by a name that is not this machine's

	mu       sync.Mutex
	attempts map[string]wrongKeys
}

// wrongKeys counts an address's wrong keys since an instant.
type wrongKeys struct {
	n     int
	since time.Time
}

// newOperators makes operators of the key, "" for none, and of the address
// that people reach Breakwater at.
func newOperators(key, publicURL string) (*operators, error) {
	o := &operators{attempts: make(map[string]wrongKeys)}
	if u, err := url.Parse(publicURL); err == nil && u.Host != "" {
		o.secure, o.remote = u.Scheme == "https", !loopback(u.Hostname())
	}
	if key == "" {
		return o, nil
	}
	var err error
	o.digest = sha256.Sum256([]byte(key))
	if o.signing, err = hkdf.Key(sha256.New, []byte(key), nil, "breakwater operator session 1", sha256.Size); err != nil {
		return nil, fmt.Errorf("the key that signs sessions: %w", err)
	}
	return o, nil
}

func (o *operators) keyed() bool { return o.signing != nil }

// may decides about a request that presents no key, and gives the name that
// its session carries.
func (o *operators) may(r *http.Request, now time.Time) (access, string) {
	if !o.keyed() {
		if o.direct(r) {
			return accessGranted, ""
		}
		return accessClosed, ""
	}
	if c, err := r.Cookie(sessionCookie); err == nil {
		if name, ok := o.session(c.Value, now); ok {
			return accessGranted, name
		}
	}
	return accessSignIn, ""
}

// mayAct decides about an action, which may present the key itself.
func (o *operators) mayAct(r *http.Request, now time.Time) (access, string) {
	may, name := o.may(r, now)
	if may != accessSignIn {
		return may, name
	}
	if scheme, token, ok := strings.Cut(r.Header.Get("Authorization"), " "); ok && strings.EqualFold(scheme, "Bearer") {
		return o.present(r, token, now), ""
	}
	return may, ""
}

// present judges a key, and counts wrong ones. While an address has to wait,
// even the right one is refused: otherwise there would be no limit.
func (o *operators) present(r *http.Request, key string, now time.Time) access {
	got := sha256.Sum256([]byte(key))
	right := subtle.ConstantTimeCompare(got[:], o.digest[:]) == 1
	o.mu.Lock()
	defer o.mu.Unlock()
	from := o.address(r, now)
	a := o.attempts[from]
	if now.Sub(a.since) >= AttemptsFor {
		a = wrongKeys{since: now}
	}
	switch {
	case a.n >= MaxAttempts:
		return accessWait
	case right:
		return accessGranted
	}
	a.n++
	o.attempts[from] = a
	return accessWrong
}

// address gives under what name a request's attempts are counted. It forgets
// those that are over when there are too many.
func (o *operators) address(r *http.Request, now time.Time) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		host = r.RemoteAddr
	}
	// A machine has a whole /64 of IPv6 to come from.
	if ip, err := netip.ParseAddr(host); err == nil && ip.Is6() && !ip.Is4In6() {
		if prefix, err := ip.WithZone("").Prefix(64); err == nil {
			host = prefix.String()
		}
	}
	if _, known := o.attempts[host]; known || len(o.attempts) < mostAddresses {
		return host
	}
	for k, a := range o.attempts {
		if now.Sub(a.since) >= AttemptsFor {
			delete(o.attempts, k)
		}
	}
	if len(o.attempts) < mostAddresses {
		return host
	}
	return ""
}

// direct says whether a request comes from this machine, without a proxy that
// could speak for others.
func (o *operators) direct(r *http.Request) bool {
	for _, h := range []string{"X-Forwarded-For", "X-Forwarded-Host", "X-Real-Ip", "Forwarded", "Via"} {
		if r.Header.Get(h) != "" {
			return false
		}
	}
	from, _, err := net.SplitHostPort(r.RemoteAddr)
	return err == nil && !o.remote && ipLoopback(from) && loopback(hostname(r.Host))
}

// hostname takes the port off a Host header.
func hostname(host string) string {
	if name, _, err := net.SplitHostPort(host); err == nil {
		return name
	}
	return strings.Trim(host, "[]")
}

// loopback says whether a name can only mean this machine.
func loopback(name string) bool { return strings.EqualFold(name, "localhost") || ipLoopback(name) }

func ipLoopback(name string) bool {
	ip := net.ParseIP(name)
	return ip != nil && ip.IsLoopback()
}

// begin makes the cookie of a new session.
func (o *operators) begin(r *http.Request, name string, now time.Time) *http.Cookie {
	payload := strconv.FormatInt(now.Add(SessionFor).Unix(), 10) + " " + name
	return o.cookie(r, encode([]byte(payload))+"."+encode(o.sign(payload)), int(SessionFor/time.Second))
}

// end makes the cookie that takes a session away.
func (o *operators) end(r *http.Request) *http.Cookie { return o.cookie(r, "", -1) }

func (o *operators) cookie(r *http.Request, value string, age int) *http.Cookie {
	return &http.Cookie{
		Name: sessionCookie, Value: value, Path: "/", MaxAge: age,
		HttpOnly: true, Secure: o.secure || r.TLS != nil, SameSite: http.SameSiteStrictMode,
	}
}

// session reads a cookie's value, and gives the name of who signed in.
func (o *operators) session(value string, now time.Time) (string, bool) {
	body, signature, _ := strings.Cut(value, ".")
	payload, err := base64.RawURLEncoding.Strict().DecodeString(body)
	if err != nil {
		return "", false
	}
	got, err := base64.RawURLEncoding.Strict().DecodeString(signature)
	if err != nil || !hmac.Equal(got, o.sign(string(payload))) {
		return "", false
	}
	ends, name, _ := strings.Cut(string(payload), " ")
	at, err := strconv.ParseInt(ends, 10, 64)
	return name, err == nil && now.Before(time.Unix(at, 0))
}

func (o *operators) sign(payload string) []byte {
	mac := hmac.New(sha256.New, o.signing)
	mac.Write([]byte(payload))
	return mac.Sum(nil)
}

func encode(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }
