package web

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"breakwater/internal/llm"
	"breakwater/internal/record"
)

// Requests is where the pages of requests get what they show.
type Requests interface {
	// Search gives what it finds within a few milliseconds, and how far it came.
	Search(ctx context.Context, q RequestQuery) (RequestsFound, error)
	// Count gives how many matches there were over time.
	Count(ctx context.Context, q RequestQuery) (RequestCounts, error)
	// Export writes what matches, newest first, and calls flush after each
	// part. Where that is not all its last line says so.
	Export(ctx context.Context, q RequestQuery, form ExportForm, out io.Writer, flush func()) error
	// Request gives one request. It gives ErrNoRequest where it is not recorded.
	Request(ctx context.Context, id record.ID) (Request, error)
}

// ErrNoRequest says that a request is not in the record.
var ErrNoRequest = errors.New("no such request is recorded")

// ExportForm is a form of a download.
type ExportForm string

// The forms.
const (
	AsCSV    ExportForm = "csv"
	AsNDJSON ExportForm = "ndjson"
)

// AnyFailure stands for every class of failure in a RequestQuery.
const AnyFailure llm.FailureClass = "any"

// RequestQuery says which requests are searched for. What is empty, zero or
// false asks for nothing.
type RequestQuery struct {
	Before       record.ID // only older ones
	Since, Until time.Time
	ID           string // what the id begins with
	Outcome      record.Outcome
	Caller       string
	Asked        string // the model as the caller wrote it

	// One and the same attempt must be all of these.
	Provider llm.Provider
	Endpoint string
	Model    string
	Key      string           // the name of the provider's key
	Class    llm.FailureClass // how it failed; AnyFailure for all ways

	Rerouted   bool           // went another way than the first
	Hedged     bool           // an attempt was sent beside one that was late
	Queued     bool           // waited for its turn
	Took, TTFT time.Duration  // took longer than this
	Cost       record.NanoUSD // cost more than this

	Limit int // of the requests that are given; 0 for a page
}

// RequestsFound is what a search found.
type RequestsFound struct {
	Traces  []record.Trace // newest first
	Next    record.ID      // the Before to go on with; 0 where it is Done
	Reached time.Time      // how far back was searched
	Done    bool           // there is nothing older
	Unknown [][2]string    // fields with words that no request has, and those
	Kept    time.Time      // from when on requests are kept; zero where none was removed
}

// Counted says what a count is of.
type Counted string

// What a count may be of.
const (
	CountedRequests Counted = "requests" // by their ends
	CountedAttempts Counted = "attempts" // by their ends: a request may count several times
	CountedScanned  Counted = "scanned"  // requests by their beginnings, as far back as a scan came
)

// RequestCounts is how many matches there were over time.
type RequestCounts struct {
	Of       Counted
	From, To time.Time
	Step     time.Duration
	Bars     []RequestCount // in order; where none was, there is none
	Whole    bool           // From is as far back as was asked for
}

// RequestCount is one bar.
type RequestCount struct {
	Start     time.Time
	Number    int64
	Simulated int64 // of them
}

// Request is one request, with what was around it.
type Request struct {
	Trace        record.Trace
	Older, Newer record.ID         // the requests beside it; 0 where there is none
	Incidents    []record.Incident // of the providers concerned, while it was under way
}

// registerRequests adds the routes of the pages of requests.
func (s *Server) registerRequests(r gin.IRoutes) {
	for _, method := range []string{http.MethodGet, http.MethodHead} {
		r.Handle(method, "/requests", secureForms, s.requests)
		r.Handle(method, "/requests.csv", secure, s.download(AsCSV, "text/csv; charset=utf-8; header=present"))
		r.Handle(method, "/requests.ndjson", secure, s.download(AsNDJSON, "application/x-ndjson; charset=utf-8"))
		r.Handle(method, "/requests/:id", secure, s.request)
	}
}

// requests answers with the page of a search.
func (s *Server) requests(c *gin.Context) {
	now := s.now().UTC()
	p := requestsPage{Form: readRequestForm(c.Request.URL.Query(), now), Now: now, Assets: s.assets, Version: s.options.Version}
	if len(p.Form.Errors) > 0 {
		s.send(c, http.StatusBadRequest, requestsDocument(p))
		return
	}
	var err error
	if p.Found, err = s.options.Requests.Search(c.Request.Context(), p.Form.Query); err == nil {
		p.Counts, err = s.options.Requests.Count(c.Request.Context(), p.Form.Query)
	}
	if err != nil {
		s.unreadablePage(c, err)
		return
	}
	s.send(c, http.StatusOK, requestsDocument(p))
}

// download answers with what a search finds, as a file.
func (s *Server) download(form ExportForm, kind string) gin.HandlerFunc {
	return func(c *gin.Context) {
		now := s.now().UTC()
		asked := readRequestForm(c.Request.URL.Query(), now)
		if len(asked.Errors) > 0 {
			c.String(http.StatusBadRequest, asked.complaint()+"\n")
			return
		}
		h := c.Writer.Header()
		h.Set("Content-Type", kind)
		h.Set("Content-Disposition", fmt.Sprintf(`attachment; filename="requests-%s.%s"`, now.Format("20060102-150405"), form))
		h.Set("Cache-Control", "no-store")
		if c.Request.Method == http.MethodHead {
			c.Status(http.StatusOK)
			return
		}
		if err := s.options.Requests.Export(c.Request.Context(), asked.Query, form, c.Writer, c.Writer.Flush); err != nil {
			if c.Writer.Written() { // the reader must not take a part for the whole
				s.options.Log.Error("download of requests broke off", "error", err)
				panic(http.ErrAbortHandler)
			}
			h.Del("Content-Disposition")
			s.unreadable(c, err)
			c.String(http.StatusServiceUnavailable, "The record cannot be read right now. The reason is in Breakwater's log.\n")
		}
	}
}

// request answers with the page of one request, or with its JSON.
func (s *Server) request(c *gin.Context) {
	name, asJSON := strings.CutSuffix(c.Param("id"), ".json")
	asJSON = asJSON || c.NegotiateFormat(gin.MIMEHTML, gin.MIMEJSON) == gin.MIMEJSON
	c.Header("Vary", "Accept")
	id, err := record.ParseID(strings.ToLower(name))
	if err != nil {
		s.noRequest(c, name, asJSON)
		return
	}
	if asJSON {
		s.requestJSON(c, id)
		return
	}
	found, err := s.options.Requests.Request(c.Request.Context(), id)
	switch {
	case errors.Is(err, ErrNoRequest):
		s.noRequest(c, name, false)
	case err != nil:
		s.unreadablePage(c, err)
	default:
		s.send(c, http.StatusOK, requestDocument(requestPage{Request: found, Now: s.now().UTC(), Assets: s.assets, Version: s.options.Version}))
	}
}

// requestJSON answers with a line of an export.
func (s *Server) requestJSON(c *gin.Context, id record.ID) {
	var line bytes.Buffer
	err := s.options.Requests.Export(c.Request.Context(), RequestQuery{ID: id.String()}, AsNDJSON, &line, func() {})
	switch {
	case err != nil:
		s.unreadable(c, err)
		c.JSON(http.StatusServiceUnavailable, gin.H{"error": "the record cannot be read right now"})
	case line.Len() == 0:
		s.noRequest(c, id.String(), true)
	default:
		c.Header("Cache-Control", "no-store")
		c.Data(http.StatusOK, "application/json; charset=utf-8", line.Bytes())
	}
}

// noRequest says that there is no such request, and what to do.
func (s *Server) noRequest(c *gin.Context, name string, asJSON bool) {
	if asJSON {
		c.Header("Cache-Control", "no-store")
		c.JSON(http.StatusNotFound, gin.H{"error": "no such request is in the record: its id may be mistyped, it may still be under way, or it was removed for its age"})
		return
	}
	s.send(c, http.StatusNotFound, requestMissing(missingPage{Name: name, Now: s.now().UTC(), Assets: s.assets, Version: s.options.Version}))
}
