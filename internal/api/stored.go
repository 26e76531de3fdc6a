package api

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/tidwall/gjson"

	"breakwater/internal/router"
	"breakwater/internal/wire"
)

// Stored is an upstream that keeps answers of /v1/responses itself.
type Stored interface {
	// Stored passes a call about such an answer on. A refusal is no error.
	Stored(ctx context.Context, method, path string, query url.Values, header http.Header, via []string) (*http.Response, error)
}

// storedPatience bounds a call about a kept answer, which no model has to make.
const storedPatience = time.Minute

// stored serves a call about an answer: here, where it was made here, else by
// who keeps it, and in its absence here after all, if it is kept.
func (s *Server) stored(c *gin.Context, what string, here func(*gin.Context, []*turn)) {
	id := c.Param("id")
	turns, known := s.talks.turns(s.caller(c).Name, id)
	e := notFound(id)
	if !wire.IsOwnID(id) && isID(id) {
		status, failed := s.passStored(c, strings.TrimSuffix(id+"/"+what, "/"))
		if c.Request.Method == http.MethodDelete && (status == http.StatusOK || status == http.StatusNotFound) {
			s.talks.remove(s.caller(c).Name, id)
		}
		if status != 0 {
			return
		}
		if failed != nil {
			e, known = failed, known && c.Request.Method == http.MethodGet // who keeps it alone can delete or cancel it
		}
	} else if !known {
		e.Message += " " + s.talks.advice()
	}
	if !known {
		sendError(c, e)
		return
	}
	here(c, turns)
}

func notFound(id string) *router.Error {
	return &router.Error{Status: 404, Type: "invalid_request_error", Code: "response_not_found", Param: "id",
		Message: "Response with id '" + clip(id) + "' not found."}
}

// isID says whether a path's id can be one.
func isID(id string) bool {
	return id != "" && len(id) <= 256 && strings.Trim(id, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-") == ""
}

// passStored asks those who keep answers themselves, the next one where an
// answer is not found. It gives the status that the caller got, or 0 and what went wrong.
func (s *Server) passStored(c *gin.Context, path string) (status int, failed *router.Error) {
	via, e := s.hops(c)
	if e != nil {
		return 0, e
	}
	ctx := c.Request.Context()
	query := c.Request.URL.Query()
	query.Del("key")
	if query.Get("stream") != "true" {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, storedPatience)
		defer cancel()
	}
	for i, upstream := range s.Stored {
		resp, err := upstream.Stored(ctx, c.Request.Method, path, query, passable(c.Request.Header), via)
		if err != nil {
			failed = &router.Error{Status: 502, Type: "server_error", Code: "all_providers_failed", Message: "OpenAI, who keeps the answer, failed: " + err.Error()}
			continue
		}
		if resp.StatusCode == http.StatusNotFound && (i < len(s.Stored)-1 || failed != nil) { // who failed may have it
			resp.Body.Close()
			continue
		}
		defer resp.Body.Close()
		passOn(c.Writer.Header(), resp.Header)
		c.Writer.WriteHeader(resp.StatusCode)
		c.Writer.WriteHeaderNow()
		flowing(c.Writer, resp.Body)
		return resp.StatusCode, nil
	}
	return 0, failed
}

// flowing copies a body piece by piece. An error is the caller's to see: the
// body ends too early.
func flowing(w gin.ResponseWriter, body io.Reader) {
	control := http.NewResponseController(w)
	defer control.SetWriteDeadline(time.Time{})
	buffer := make([]byte, 32<<10)
	for {
		n, err := body.Read(buffer)
		if n > 0 {
			control.SetWriteDeadline(time.Now().Add(writePatience))
			if _, gone := w.Write(buffer[:n]); gone != nil {
				return
			}
			w.Flush()
		}
		if err != nil {
			if !errors.Is(err, io.EOF) {
				panic(http.ErrAbortHandler)
			}
			return
		}
	}
}

// keptResponse gives a kept answer.
func (s *Server) keptResponse(c *gin.Context, turns []*turn) {
	if c.Query("stream") == "true" {
		sendError(c, &router.Error{Status: 400, Type: "invalid_request_error", Code: "invalid_value", Param: "stream", Message: "a kept answer is given whole: leave stream out"})
		return
	}
	c.Data(http.StatusOK, "application/json", turns[len(turns)-1].response)
}

// deleteResponse forgets a kept answer.
func (s *Server) deleteResponse(c *gin.Context, _ []*turn) {
	s.talks.remove(s.caller(c).Name, c.Param("id"))
	sendJSON(c, http.StatusOK, struct {
		ID      string `json:"id"`
		Object  string `json:"object"`
		Deleted bool   `json:"deleted"`
	}{c.Param("id"), "response.deleted", true})
}

// cancelKept refuses: what was made here was never in the background.
func (s *Server) cancelKept(c *gin.Context, _ []*turn) {
	sendError(c, &router.Error{Status: 400, Type: "invalid_request_error", Code: "invalid_value", Param: "id", Message: "Only an answer that is made in the background can be cancelled."})
}

// keptInput lists what a kept answer answers, the earlier turns included.
func (s *Server) keptInput(c *gin.Context, turns []*turn) {
	var items []json.RawMessage
	last := len(turns) - 1
	for _, t := range turns[:last] {
		items = append(append(items, t.input...), t.output()...)
	}
	items = append(items, turns[last].input...)
	if c.DefaultQuery("order", "desc") == "desc" {
		slices.Reverse(items)
	}
	if after := c.Query("after"); after != "" {
		at := slices.IndexFunc(items, func(item json.RawMessage) bool { return gjson.GetBytes(item, "id").String() == after })
		if at < 0 {
			sendError(c, &router.Error{Status: 400, Type: "invalid_request_error", Code: "invalid_value", Param: "after", Message: "no item of this answer has the id in after"})
			return
		}
		items = items[at+1:]
	}
	limit, err := strconv.Atoi(c.DefaultQuery("limit", "20"))
	if err != nil || limit < 1 || limit > 100 {
		sendError(c, &router.Error{Status: 400, Type: "invalid_request_error", Code: "invalid_value", Param: "limit", Message: "limit must be a whole number from 1 to 100"})
		return
	}
	page := struct {
		Object  string            `json:"object"`
		Data    []json.RawMessage `json:"data"`
		FirstID *string           `json:"first_id"`
		LastID  *string           `json:"last_id"`
		HasMore bool              `json:"has_more"`
	}{Object: "list", Data: []json.RawMessage{}, HasMore: len(items) > limit}
	if page.Data = append(page.Data, items[:min(limit, len(items))]...); len(page.Data) > 0 {
		first, final := gjson.GetBytes(page.Data[0], "id").String(), gjson.GetBytes(page.Data[len(page.Data)-1], "id").String()
		page.FirstID, page.LastID = &first, &final
	}
	sendJSON(c, http.StatusOK, page)
}
