package api

import (
	"cmp"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"math"
	"net/http"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"breakwater/internal/llm"
	"breakwater/internal/router"
	"breakwater/internal/traffic"
)

// Caller is one who may call.
type Caller struct {
	Name     string // in the record
	Key      string // what it presents
	Priority traffic.Priority
	Capped   bool // it may not ask for more than Priority
	Limits   traffic.Limits
}

// caller is a Caller and what it uses.
type caller struct {
	Caller
	digest  [sha256.Size]byte
	limiter *traffic.Limiter // nil where nothing is limited
}

// newCallers prepares the callers.
func newCallers(all []Caller) []*caller {
	var callers []*caller
	for _, c := range all {
		known := &caller{Caller: c, digest: sha256.Sum256([]byte(c.Key))}
		if c.Limits != (traffic.Limits{}) {
			known.limiter = traffic.NewLimiter(c.Limits)
		}
		callers = append(callers, known)
	}
	return callers
}

// callerKey is where a request's context has its caller, where there are several.
const callerKey = "breakwater-caller"

// caller gives who asks. Where no key is demanded everybody is the same, without a name.
func (s *Server) caller(c *gin.Context) *caller {
	switch len(s.callers) {
	case 0:
		return s.anyone
	case 1:
		return s.callers[0]
	}
	return c.MustGet(callerKey).(*caller) // checkKey set it
}

// presented gives the key that a request brings, in the form of any dialect: as a
// bearer token, an x-api-key, an x-goog-api-key or ?key=; or, for a browser, as
// the password of basic authentication under any name.
func presented(c *gin.Context) string {
	key := cmp.Or(c.GetHeader("X-Api-Key"), c.GetHeader("X-Goog-Api-Key"), c.Query("key"))
	if scheme, token, ok := strings.Cut(c.GetHeader("Authorization"), " "); ok && strings.EqualFold(scheme, "Bearer") {
		key = token
	} else if _, password, ok := c.Request.BasicAuth(); ok {
		key = password
	}
	return key
}

// checkPageKey demands the key of a caller, or the operator's: who may act on
// the pages may see them.
func (s *Server) checkPageKey(c *gin.Context) {
	if len(s.callers) == 0 || s.Operator == "" {
		s.checkKey(c)
		return
	}
	got, want := sha256.Sum256([]byte(presented(c))), sha256.Sum256([]byte(s.Operator))
	if subtle.ConstantTimeCompare(got[:], want[:]) != 1 {
		s.checkKey(c)
	}
}

// checkKey demands the key of a caller.
func (s *Server) checkKey(c *gin.Context) {
	if len(s.callers) == 0 {
		return
	}
	got := sha256.Sum256([]byte(presented(c)))
	var who *caller
	for _, known := range s.callers { // all of them, so that the time tells nothing
		if subtle.ConstantTimeCompare(got[:], known.digest[:]) == 1 {
			who = known
		}
	}
	if who != nil {
		if len(s.callers) > 1 {
			c.Set(callerKey, who)
		}
		return
	}
	if !strings.HasPrefix(c.Request.URL.Path, "/v1/") {
		c.Header("WWW-Authenticate", `Basic realm="Breakwater: any name, and the API key as password", charset="UTF-8"`)
	}
	refuse(c, http.StatusUnauthorized, "invalid_api_key",
		"this Breakwater demands its API key: send it as \"Authorization: Bearer ...\"; its operator set it as BREAKWATER_API_KEY or in callers")
}

// priority gives the priority of a request whose caller asks for one; "" asks
// for none.
func (k *caller) priority(word string) (traffic.Priority, error) {
	if word == "" {
		return k.Priority, nil
	}
	p, err := traffic.ParsePriority(word)
	if k.Capped {
		p = min(p, k.Priority)
	}
	return p, err
}

// room is what a request takes of its caller's limits. It is given back once,
// by whoever comes first; nil is none.
type room struct {
	limiter *traffic.Limiter
	tokens  int64
	back    bool
}

// take takes room for a request within its caller's limits.
func (s *Server) take(k *caller, req *llm.Request) (*room, *router.Error) {
	if k.limiter == nil {
		return nil, nil
	}
	r := &room{limiter: k.limiter}
	if k.Limits.Tokens > 0 {
		r.tokens = s.Tokens.Estimate(req.Model, req)
		if req.MaxTokens != nil {
			r.tokens += min(*req.MaxTokens, math.MaxInt64-r.tokens)
		}
	}
	wait, ok := k.limiter.Take(time.Now(), r.tokens)
	if ok {
		return r, nil
	}
	return nil, &router.Error{Status: http.StatusTooManyRequests, Type: "rate_limit_error", Code: "caller_rate_limited",
		Message: "the caller " + k.Name + " may send " + LimitWords(k.Limits), RetryAfter: max(wait, time.Second)}
}

// settle tells what the request used in fact.
func (r *room) settle(used llm.Usage) {
	if r != nil && !r.back {
		r.back = true
		r.limiter.Done(time.Now(), r.tokens, used.Input+used.Output)
	}
}

// failed settles a request without an answer. One that reached no provider is
// as if it had never been.
func (r *room) failed(err error) {
	var e *router.Error
	if r != nil && !r.back && errors.As(err, &e) && e.Attempts == 0 {
		r.back = true
		r.limiter.Undo(time.Now(), r.tokens)
		return
	}
	r.settle(llm.Usage{})
}

// LimitWords tells limits to people; "" where nothing is limited.
func LimitWords(l traffic.Limits) string {
	var words []string
	for _, limit := range []struct {
		n    int64
		what string
	}{{l.Requests, "%d requests a minute"}, {l.Tokens, "%d tokens a minute"}, {l.Concurrent, "%d requests at once"}} {
		if limit.n > 0 {
			words = append(words, fmt.Sprintf(limit.what, limit.n))
		}
	}
	return strings.Join(words, ", ")
}
