// Package api is the embedded HTTP API: it decodes a caller's request, has it
// routed, and answers in the caller's own dialect, streams and errors included.
package api

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"breakwater/internal/provider"
	"breakwater/internal/record"
	"breakwater/internal/replay"
	"breakwater/internal/router"
	"breakwater/internal/tokens"
	"breakwater/internal/traffic"
)

// Headers of every answer that a candidate gave or refused.
const (
	HeaderRequestID = "X-Breakwater-Request-Id" // 13 characters; sorts by time
	HeaderProvider  = "X-Breakwater-Provider"   // the provider that served
	HeaderModel     = "X-Breakwater-Model"      // the model that served, which after a failover is not the one asked for
	HeaderAttempts  = "X-Breakwater-Attempts"   // how many calls of targets were made, retries included
	HeaderReason    = "X-Breakwater-Reason"     // why this route, in words
	HeaderReplayed  = "X-Breakwater-Replayed"   // true where somebody asked before under the same Idempotency-Key
	HeaderAdjusted  = provider.AdjustedHeader   // settings that the target could not take as they were said; absent where there are none
)

const (
	// DefaultBodyLimit takes a prompt of millions of tokens or a few images.
	DefaultBodyLimit = 32 << 20
	// believedLength is how much memory a Content-Length alone is given, in bytes,
	// and what a body without one counts for at first.
	believedLength = 1 << 20
	// bodyPatience bounds how long a caller may take to send its body.
	bodyPatience = 2 * time.Minute
)

// Router is what the API needs of the routing engine.
type Router = router.HybridRouter

// Options set the API up.
type Options struct {
	Router    *Router
	Callers   []Caller      // who may call; everybody where there are none
	Operator  string        // the key of who acts on the pages: it opens them too; "" for none
	Gate      *traffic.Gate // bounds what is under way; nil for no bound
	Replay    replay.Limits // of answers to requests with an Idempotency-Key; nothing is kept for no time
	BodyLimit int64         // bytes; default DefaultBodyLimit
	Hop       string        // this instance's own token in HeaderHop
	Hosts     Hosts         // who may be asked, and from where
	Keep      Keep          // of the conversations of /v1/responses
	Stored    []Stored      // upstreams that keep such conversations themselves
	Metrics   http.Handler  // serves /metrics
	Tokens    *tokens.Estimator
	Version   string       // of Breakwater, as GET /api/version tells it
	Ready     func() error // nil while requests can be served
	Log       *slog.Logger
	Nowhere   gin.HandlerFunc // answers a browser at an address under which there is nothing; nil for JSON there too
}

// Server is the HTTP API.
type Server struct {
	Options
	callers []*caller
	anyone  *caller // where no key is demanded
	talks   *conversations
	runs    *replay.Cache
}

// New makes the API.
func New(o Options) *Server {
	if o.BodyLimit == 0 {
		o.BodyLimit = DefaultBodyLimit
	}
	o.Replay.Patience = writePatience
	return &Server{o, newCallers(o.Callers), &caller{}, newConversations(o.Keep), replay.New(o.Replay)}
}

// Replays counts the requests that came again under an Idempotency-Key.
func (s *Server) Replays() replay.Counts { return s.runs.Counts() }

// Close has the runs end that go on although nobody may wait for them.
func (s *Server) Close() { s.runs.Close() }

// Engine makes the gin engine that carries the API, behind its guard. Further
// pages are registered with the returned group: a caller's key opens them, and
// the operator's.
func (s *Server) Engine() (*gin.Engine, *gin.RouterGroup) {
	gin.SetMode(gin.ReleaseMode) // the other modes print every route
	engine := gin.New()
	engine.HandleMethodNotAllowed = true
	engine.ContextWithFallback = true
	engine.Use(s.recover, s.checkHost)
	engine.NoRoute(func(c *gin.Context) {
		if s.Nowhere != nil && c.Request.Method == http.MethodGet && strings.Contains(c.GetHeader("Accept"), "text/html") {
			s.Nowhere(c)
			return
		}
		s.unknownPath(c, http.StatusNotFound, "not_found", "there is nothing at")
	})
	engine.NoMethod(func(c *gin.Context) {
		s.unknownPath(c, http.StatusMethodNotAllowed, "method_not_allowed", c.Request.Method+" is not understood at")
	})
	for _, method := range []string{http.MethodGet, http.MethodHead} {
		engine.Handle(method, "/healthz", func(c *gin.Context) { c.String(http.StatusOK, "ok\n") })
		engine.Handle(method, "/readyz", s.readyz)
	}

	guarded := engine.Group("/", s.checkKey)
	s.registerDoors(guarded)
	s.registerModels(guarded)
	guarded.POST("/v1/route", s.route)
	guarded.GET("/v1/health", s.health)
	guarded.GET("/v1/local", s.local)
	guarded.GET("/metrics", gin.WrapH(s.Metrics))
	return engine, engine.Group("/", s.checkPageKey)
}

// recover turns a panic into a 500 and a log entry, so that one request's
// fault stays its own.
func (s *Server) recover(c *gin.Context) {
	defer func() {
		v := recover()
		if v == nil {
			return
		}
		if v == http.ErrAbortHandler {
			panic(v)
		}
		s.Log.Error("a handler panicked", "path", c.FullPath(), "panic", v, "stack", string(debug.Stack()))
		if c.Writer.Written() {
			panic(http.ErrAbortHandler) // half an answer must not look whole
		}
		sendError(c, &router.Error{Status: 500, Type: "server_error", Code: "internal_error",
			Message: "Breakwater failed to handle the request; its log says where"})
		c.Abort()
	}()
	c.Next()
}

func (s *Server) unknownPath(c *gin.Context, status int, code, what string) {
	sendError(c, &router.Error{Status: status, Type: "invalid_request_error", Code: code,
		Message: what + " " + c.Request.URL.Path + "; the API is POST /v1/chat/completions, /v1/responses, /v1/messages, " +
			"/v1beta/models/{model}:generateContent, /api/chat and /v1/route, and GET /v1/models, /v1/health and /v1/local"})
}

// describe puts an answer's facts into response headers.
func describe(h http.Header, id record.ID, provider, model string, attempts int, reason string) {
	h.Set(HeaderRequestID, id.String())
	h.Set(HeaderAttempts, strconv.Itoa(attempts))
	if provider != "" {
		h.Set(HeaderProvider, provider)
		h.Set(HeaderModel, headerSafe(model))
		h.Set(HeaderReason, headerSafe(reason))
	}
}

// headerSafe keeps a header's value to printable ASCII.
func headerSafe(s string) string {
	safe := []byte(s)
	for i, b := range safe {
		if b < ' ' || b > '~' {
			safe[i] = '?'
		}
	}
	return string(safe)
}

func sendJSON(c *gin.Context, status int, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		panic(err) // v is a value of ours; only a programming error gets here
	}
	c.Data(status, "application/json; charset=utf-8", body)
}

func (s *Server) readyz(c *gin.Context) {
	if err := s.Ready(); err != nil {
		c.String(http.StatusServiceUnavailable, "not ready: %s\n", err)
		return
	}
	c.String(http.StatusOK, "ready\n")
}

func (s *Server) health(c *gin.Context) { sendJSON(c, http.StatusOK, s.Router.HealthCheck(c)) }

func (s *Server) local(c *gin.Context) { sendJSON(c, http.StatusOK, s.Router.Local(c)) }

// callerGone says whether an error only means that the caller went away.
func callerGone(ctx context.Context, e *router.Error) bool {
	return e.Status == router.StatusAbandoned && ctx.Err() != nil
}
