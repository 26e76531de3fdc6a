package api

import (
	"encoding/json"
	"slices"
	"strings"

	"github.com/gin-gonic/gin"
	"github.com/tidwall/gjson"
	"github.com/tidwall/sjson"

	"breakwater/internal/llm"
	"breakwater/internal/redact"
	"breakwater/internal/router"
	"breakwater/internal/wire"
)

func (s *Server) registerResponses(g *gin.RouterGroup) {
	g.POST("/v1/responses", s.responses)
	g.GET("/v1/responses/:id", func(c *gin.Context) { s.stored(c, "", s.keptResponse) })
	g.DELETE("/v1/responses/:id", func(c *gin.Context) { s.stored(c, "", s.deleteResponse) })
	g.GET("/v1/responses/:id/input_items", func(c *gin.Context) { s.stored(c, "input_items", s.keptInput) })
	g.POST("/v1/responses/:id/cancel", func(c *gin.Context) { s.stored(c, "cancel", s.cancelKept) })
}

// responses serves POST /v1/responses.
func (s *Server) responses(c *gin.Context) {
	door := doorOf(llm.OpenAIResponses)
	t := &talk{kept: s.talks, caller: s.caller(c).Name}
	door.Decode = t.decode
	s.answer(c, door, nil, t)
}

// talk is a request of /v1/responses and the conversation that it goes on with,
// see https://developers.openai.com/api/docs/guides/conversation-state (2026-11).
type talk struct {
	kept      *conversations
	caller    string
	earlier   []*turn
	input     []json.RawMessage // the request's own
	store     bool              // the caller lets it be kept
	elsewhere bool              // a part of the conversation is known to OpenAI alone
}

// decode reads a request. Its Messages are the whole conversation as far as it is
// kept; its Body, for OpenAI, names what OpenAI keeps and holds the rest.
func (t *talk) decode(body []byte) (*llm.Request, error) {
	req, state, err := wire.DecodeResponses(body)
	if err != nil {
		return nil, err
	}
	t.store = state.Store
	t.input = rawItems(gjson.ParseBytes(state.Items))
	if state.PreviousID != "" || len(state.References) > 0 {
		if req, err = t.expand(body, state); err != nil {
			return nil, err
		}
	}
	t.elsewhere = slices.ContainsFunc(req.Beyond, func(name string) bool {
		return name == "previous_response_id" || name == "conversation" || name == "prompt" || strings.HasSuffix(name, ".item_reference")
	})
	return req, nil
}

// expand reads a request that names an answer or items.
func (t *talk) expand(body []byte, state wire.ResponsesState) (*llm.Request, error) {
	var earlier json.RawMessage
	if id := state.PreviousID; id != "" {
		turns, ok := t.kept.turns(t.caller, id)
		if !ok && wire.IsOwnID(id) {
			return nil, &router.Error{Status: 400, Type: "invalid_request_error", Code: "previous_response_not_found", Param: "previous_response_id",
				Message: "Previous response with id '" + clip(id) + "' not found. " + t.kept.advice()}
		}
		if ok {
			t.earlier, earlier = turns, conversationItems(turns)
		}
	}
	find := func(id string) (json.RawMessage, bool) { return t.kept.item(t.caller, id) }
	for _, id := range state.References {
		if _, ok := find(id); !ok && wire.IsOwnID(id) {
			return nil, &router.Error{Status: 404, Type: "invalid_request_error", Code: "item_not_found", Param: "input",
				Message: "Item with id '" + clip(id) + "' not found. " + t.kept.advice()}
		}
	}
	// What the caller itself sent, with the items that are kept in their places.
	sent, err := wire.ExpandResponses(body, nil, find)
	if err != nil {
		return nil, err
	}
	t.input = rawItems(gjson.GetBytes(sent, "input"))
	whole, err := wire.ExpandResponses(body, earlier, find)
	if err != nil {
		return nil, err
	}
	req, _, err := wire.DecodeResponses(whole)
	if err != nil {
		return nil, err
	}
	if wire.IsOwnID(state.PreviousID) {
		if req.Body, err = sjson.SetBytes(whole, "previous_response_id", state.PreviousID); err != nil { // the answer repeats it
			return nil, &wire.RequestError{Field: "previous_response_id", Message: "cannot be kept in the body"}
		}
		return req, nil
	}
	req.Body = body
	if !slices.ContainsFunc(state.References, wire.IsOwnID) {
		return req, nil
	}
	req.Body, err = wire.ExpandResponses(body, nil, func(id string) (json.RawMessage, bool) {
		if !wire.IsOwnID(id) {
			return nil, false
		}
		return find(id)
	})
	return req, err
}

// conversationItems lists all items of some turns.
func conversationItems(turns []*turn) json.RawMessage {
	items := []json.RawMessage{}
	for _, t := range turns {
		items = append(append(items, t.input...), t.output()...)
	}
	b, err := json.Marshal(items)
	if err != nil {
		panic(err) // each was parsed before
	}
	return b
}

// keeps says whether a later request may go on from the answer.
func (t *talk) keeps() bool { return t.store && !t.elsewhere && t.kept.For > 0 }

// answered takes the answer's response object.
func (t *talk) answered(response []byte) {
	if status := gjson.GetBytes(response, "status").String(); t.keeps() && (status == "completed" || status == "incomplete") {
		t.kept.add(t.caller, t.earlier, t.input, response)
	}
}

// explain adds to an error what can be done where only OpenAI knows the
// conversation.
func (t *talk) explain(e *router.Error) {
	if t.elsewhere && (e.Code == "capability_missing" || e.Status >= 500) {
		e.Message += "; a part of the conversation is kept by OpenAI alone: send all items in input to reach others"
		if t.kept.For <= 0 {
			e.Message += ", or have Breakwater keep conversations (responses.keep)"
		}
	}
}

// advice says what helps against an id that is not known.
func (k *conversations) advice() string {
	if k.For <= 0 {
		return "Breakwater keeps no conversations: send all items in input, or set responses.keep."
	}
	return "Breakwater keeps a conversation for " + k.For.String() + " after its last use, as long as there is room: send all items in input."
}

// clip shortens a caller's own word before it is repeated.
func clip(id string) string { return redact.Short(id, 128) }
