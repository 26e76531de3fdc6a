package router

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"breakwater/internal/llm"
	"breakwater/internal/record"
	"breakwater/internal/wire"
)

// DefaultPreferred is the provider that the plain call tries first.
const DefaultPreferred = llm.Gemini

// Routed is the answer to a plain call.
type Routed struct {
	Text     string
	Target   llm.Target
	Request  record.ID
	Attempts int
	Reason   string
	Usage    llm.Usage
	Cost     record.NanoUSD
	Priced   bool // Cost is known
}

// RouteRequest is the plain call of the original design: a prompt, an optional
// system prompt, and the provider to try first: "gemini" (also for ""),
// "claude", "openai" or "local". It gives the answer's text; errors are *Error.
func (r *HybridRouter) RouteRequest(ctx context.Context, prompt, systemPrompt, preferredModel string) (string, error) {
	req, err := PlainRequest(prompt, systemPrompt, preferredModel)
	if err != nil {
		return "", err
	}
	routed, err := r.Route(ctx, r.NewCall(req, ""))
	return routed.Text, err
}

// PlainRequest makes the request of a plain call; its error is a *Error that
// names the field at fault.
func PlainRequest(prompt, systemPrompt, preferredModel string) (*llm.Request, error) {
	if preferredModel == "" {
		preferredModel = string(DefaultPreferred)
	}
	req := &llm.Request{Dialect: llm.Plain, Model: preferredModel}
	if _, ok := llm.ParseProvider(preferredModel); !ok {
		return req, plainError("preferred_model", fmt.Sprintf("preferred_model is gemini, claude, openai or local, not %q", clip(preferredModel)))
	}
	if strings.TrimSpace(prompt) == "" {
		return req, plainError("prompt", "prompt is empty; it must hold the text to answer")
	}
	if systemPrompt != "" {
		req.Messages = append(req.Messages, textMessage(llm.System, systemPrompt))
	}
	req.Messages = append(req.Messages, textMessage(llm.User, prompt))
	return req, nil
}

func textMessage(role llm.Role, text string) llm.Message {
	return llm.Message{Role: role, Parts: []llm.Part{{Kind: llm.Text, Text: text}}}
}

func plainError(field, message string) *Error {
	return &Error{Status: 400, Type: "invalid_request_error", Code: "invalid_value", Param: field, Message: message}
}

// Route routes a call and gathers its answer; errors are *Error.
func (r *HybridRouter) Route(ctx context.Context, call *Call) (Routed, error) {
	answer, err := r.Do(ctx, call)
	if err != nil {
		return Routed{}, err
	}
	defer answer.Close()
	whole, err := wire.Gather(answer)
	if err != nil {
		return Routed{}, answer.Broken(err)
	}
	return Routed{
		Text: whole.Text(), Target: answer.Target, Request: answer.ID, Attempts: answer.Attempts,
		Reason: answer.Reason, Usage: answer.walk.trace.Usage, Cost: answer.walk.trace.Cost, Priced: answer.attempt.priced,
	}, nil
}

// Broken gives what the caller of an answer that broke off is told.
func (a *Answer) Broken(err error) *Error {
	e := &Error{Status: 502, Type: "server_error", Code: "stream_cut"}
	f, _ := llm.AsFailure(err)
	switch {
	case f == nil || f.Class == llm.Cancelled:
		e = abandoned()
	case f.Class == llm.Deadline:
		e.Status, e.Code, e.Message = 504, "deadline_exceeded", "the time that the caller gave was up in the middle of the answer"
	default:
		e.Message = fmt.Sprintf("%s stopped in the middle of the answer: %s", a.Target.Provider.Title(), f.Error())
	}
	e.Request, e.Attempts = a.ID, max(a.Attempts, len(a.walk.trace.Attempts))
	return e
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
