// Package wire turns the bytes of one dialect into llm values and back. It does
// no I/O beyond an io.Reader. A dialect has two sides: as a door it is what a
// caller speaks (Decode..., writers), as an upstream it is what a provider
// speaks (Codec).
package wire

import (
	"fmt"
	"io"
	"slices"

	"breakwater/internal/llm"
	"breakwater/internal/redact"

	"github.com/tidwall/gjson"
)

// RequestError says what is wrong with a caller's request, in words for the
// caller. It is a bad request, never a failure of a provider.
type RequestError struct {
	Field   string // such as "messages[0].role"; "" where the whole body is meant
	Message string
}

// Error gives the field and the message.
func (e *RequestError) Error() string {
	if e.Field == "" {
		return e.Message
	}
	return e.Field + ": " + e.Message
}

// Encoded is a request in the words of an upstream.
type Encoded struct {
	Body []byte
	// Adjusted names, in the words of OpenAI's dialect, what this target cannot
	// take as the caller said it and what therefore was left out or changed, so
	// that the caller can be told. Only settings that llm.Request has are treated
	// so: what is in its Beyond makes Encode fail.
	Adjusted []string
}

// Codec speaks one dialect to an upstream.
type Codec struct {
	Dialect llm.Dialect
	// StreamOnly says that Encode asks for a stream even when the caller did
	// not, unless the caller's own body is passed on; see Streams.
	StreamOnly bool
	// Lacks names, in the words of OpenAI's dialect, what req asks for and this
	// model of this dialect cannot do or be told: "tools", "n", "messages.image".
	// Such a target is passed over. nil says that nothing is lacking.
	Lacks func(model string, req *llm.Request) []string
	// Whole reads a whole answer to req: a chunk for each part, in order, of
	// which the first has the body in Raw. The error is a *llm.Failure.
	Whole func(body []byte, req *llm.Request) ([]llm.Chunk, error)
	// Failure says what an error body with this HTTP status means; status 0
	// is an error object within an answer. Headers are not its concern.
	Failure func(status int, body []byte) *llm.Failure

	encode func(model string, req *llm.Request) (Encoded, error) // writes a request, whatever its limit of tokens
	events func(req *llm.Request) decoder                        // reads the events of an answer to req
	framed bool                                                  // a stream is server-sent events, never plain JSON
	mark   string                                                // what ends a stream after its last finish reason; "" where that itself does
}

// Streams says whether the answer to req comes as a stream, or else whole.
func (c Codec) Streams(req *llm.Request) bool {
	return req.Stream || c.StreamOnly && req.Dialect != c.Dialect
}

// Stream reads an answer to req event by event.
func (c Codec) Stream(r io.Reader, req *llm.Request) *Stream {
	return &Stream{blocks: blocks{r: r}, decode: c.events(req), framed: c.framed, mark: c.mark}
}

// Encode gives the body that asks model to answer req. A request that came in
// the same dialect keeps its bytes but for what must differ. The error is a
// *RequestError.
func (c Codec) Encode(model string, req *llm.Request) (Encoded, error) {
	req, less := limited(c.Dialect, model, req)
	e, err := c.encode(model, req)
	if err == nil && less {
		e.Adjusted = append(e.Adjusted, "max_tokens")
	}
	if err == nil && !carriesAside(c.Dialect, req.Dialect) {
		e.Adjusted = append(e.Adjusted, req.Aside...)
	}
	return e, err
}

// carriesAside says whether a target that speaks one dialect gets what a
// caller's request in another has in Aside.
func carriesAside(target, caller llm.Dialect) bool {
	return target == caller || target == llm.OllamaChat && caller == llm.OllamaGenerate
}

// CodecFor gives the codec of an upstream's dialect; false for a dialect that
// no upstream speaks.
func CodecFor(d llm.Dialect) (Codec, bool) {
	switch d {
	case llm.OpenAIChat:
		return Codec{Dialect: d, encode: encodeOpenAI, Lacks: lacksOpenAI, Whole: wholeOpenAI, Failure: openAIFailure, events: openAIEvents, framed: true, mark: "data: [DONE]\n\n"}, true
	case llm.OpenAIResponses:
		return Codec{Dialect: d, encode: encodeResponses, Lacks: lacksResponses, Whole: wholeResponses, Failure: openAIFailure, events: eventsOfResponses, framed: true}, true
	case llm.AnthropicMessages:
		return Codec{Dialect: d, encode: encodeAnthropic, Lacks: lacksAnthropic, Whole: wholeAnthropic, Failure: anthropicFailure, events: anthropicEvents, framed: true, mark: "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n"}, true
	case llm.GeminiGenerate:
		return Codec{Dialect: d, encode: encodeGemini, Lacks: lacksGemini, Whole: wholeGemini, Failure: geminiFailure, events: geminiEvents}, true
	case llm.OllamaChat:
		return Codec{Dialect: d, StreamOnly: true, encode: encodeOllama, Lacks: ollamaLacks, Whole: wholeOllama, Failure: ollamaFailure, events: ollamaEvents}, true
	case llm.OpenAIEmbeddings:
		return openAIEmbeddings(), true
	case llm.GeminiEmbed:
		return geminiEmbed(), true
	case llm.GeminiBatchEmbed:
		return geminiBatchEmbed(), true
	case llm.OllamaEmbed:
		return ollamaEmbed(), true
	case llm.OllamaEmbeddings:
		return ollamaEmbeddings(), true
	}
	return Codec{}, false
}

// translatable refuses what only a target of the caller's own dialect can do.
func translatable(req *llm.Request, d llm.Dialect) error {
	if len(req.Beyond) == 0 || req.Dialect == d {
		return nil
	}
	return &RequestError{
		Field:   req.Beyond[0],
		Message: fmt.Sprintf("cannot be carried from %s to %s", req.Dialect, d),
	}
}

// editMessages passes each message of a body through edit, which gives it back
// as it is, changed, or nil to take it out. All else keeps its bytes, and a long
// conversation costs no more than its length.
func editMessages(body []byte, edit func(m gjson.Result) ([]byte, error)) ([]byte, error) {
	messages := gjson.GetBytes(body, "messages")
	if !messages.IsArray() {
		return body, nil
	}
	out := append(make([]byte, 0, len(body)), body[:messages.Index+1]...)
	at, kept := messages.Index+1, 0 // what of the body is dealt with
	for i, m := range messages.Array() {
		gap := body[at:m.Index]
		at = m.Index + len(m.Raw)
		edited, err := edit(m)
		switch {
		case err != nil:
			return nil, err
		case edited == nil:
			continue
		case kept == 0 && i > 0: // the comma goes with what was taken out
			gap = nil
		}
		kept++
		out = append(append(out, gap...), edited...)
	}
	return append(out, body[at:]...), nil
}

// adjusted collects what Encode had to leave out or change.
type adjusted []string

// dropped notes names whose values are set.
func (a *adjusted) dropped(name string, set bool) {
	if set {
		*a = append(*a, name)
	}
}

// names notes that messages carry speakers' names that the dialect has no place for.
func (a *adjusted) names(messages []llm.Message) {
	for _, m := range messages {
		if m.Name != "" {
			a.dropped("messages.name", true)
			return
		}
	}
}

// begins says whether the conversation ends in the beginning of an answer,
// which the model is to go on with.
func begins(req *llm.Request) bool {
	n := len(req.Messages)
	return n > 0 && req.Messages[n-1].Role == llm.Assistant &&
		!slices.ContainsFunc(req.Messages[n-1].Parts, func(p llm.Part) bool { return p.Kind == llm.Call })
}

// isSet says whether an optional setting is given and is not the value that
// means nothing.
func isSet(v *float64, neutral float64) bool { return v != nil && *v != neutral }

// object parses a JSON object.
func object(b []byte) (gjson.Result, bool) {
	if !validJSON(b) {
		return gjson.Result{}, false
	}
	o := gjson.ParseBytes(b)
	return o, o.IsObject()
}

// maxCount bounds what is believed of a number of tokens, so that sums of some stay numbers.
const maxCount = 1 << 40

// count reads a number of tokens.
func count(v gjson.Result) int64 { return max(0, min(v.Int(), maxCount)) }

// maxLabel bounds what is repeated of a caller's or provider's own names.
const maxLabel = 64

func label(s string) string { return redact.Short(s, maxLabel) }
