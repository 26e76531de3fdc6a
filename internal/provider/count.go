package provider

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"

	"breakwater/internal/llm"
	"breakwater/internal/wire"

	"github.com/tidwall/gjson"
	"github.com/tidwall/sjson"
)

// ErrNoCount says that a provider has no free endpoint that counts the tokens
// of such a request.
var ErrNoCount = errors.New("the provider does not count tokens for free")

// Count is what a provider counted.
type Count struct {
	Tokens  int64
	Dialect llm.Dialect // of Raw
	Header  http.Header // of the answer, as Reply.Header
	Raw     []byte      // the answer's body
}

// Count asks t's provider how many tokens req has for t's model. It asks no
// endpoint that might cost anything:
//   - Claude's is free, and its limits are its own, see
//     https://platform.claude.com/docs/en/build-with-claude/token-counting (2026-11).
//   - Gemini's is free, see https://ai.google.dev/gemini-api/docs/tokens and
//     https://firebase.google.com/docs/vertex-ai/count-tokens (2026-11).
//   - That OpenAI's is free no page of
//     https://developers.openai.com/api/docs/guides/token-counting (2026-11) says, so
//     only a caller who asks for that very endpoint is passed on to it.
//   - Ollama has none.
//
// The error is ErrNoCount, or one of Send's.
func (c *Client) Count(ctx context.Context, t llm.Target, req *llm.Request) (*Count, error) {
	u, body, err := c.countCall(t.Model, req)
	if err != nil {
		return nil, err
	}
	r, err := c.request(ctx, c.ring.first(), http.MethodPost, u, body, req.Via)
	if err != nil {
		return nil, err
	}
	d := c.countDialect()
	if req.Dialect == d {
		passHeaders(r.Header, req.Header)
	}
	resp, err := c.do(r, nil)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(resp.Body, MaxErrorBody))
	if err != nil {
		return nil, c.broken(ctx, err)
	}
	field := "input_tokens"
	if d == llm.GeminiGenerate {
		field = "totalTokens"
	}
	told := gjson.GetBytes(raw, field)
	if !gjson.ValidBytes(raw) || told.Type != gjson.Number || told.Int() < 0 {
		return nil, &llm.Failure{Class: llm.Garbage, Status: resp.StatusCode, Message: "the count of tokens cannot be read"}
	}
	return &Count{Tokens: told.Int(), Dialect: d, Header: c.passedOn(resp.Header), Raw: raw}, nil
}

// countDialect is what the endpoint that counts speaks.
func (c *Client) countDialect() llm.Dialect {
	if c.provider == llm.OpenAI {
		return llm.OpenAIResponses
	}
	return DialectOf(c.provider)
}

// countCall gives address and body of the call that counts. The error is
// ErrNoCount, or a bad request.
func (c *Client) countCall(model string, req *llm.Request) (u *url.URL, body []byte, err error) {
	var encoded wire.Encoded
	switch c.provider {
	case llm.Claude:
		u = c.base.JoinPath("v1/messages/count_tokens")
		encoded, err = wire.EncodeAnthropicCount(model, req)
	case llm.Gemini:
		name := strings.TrimPrefix(model, "models/")
		u = c.base.JoinPath("v1beta", "models/"+url.PathEscape(name)+":countTokens")
		encoded, err = geminiCount(name, req)
	case llm.OpenAI:
		if req.Dialect != llm.OpenAIResponses || !c.answers {
			return nil, nil, ErrNoCount
		}
		u = c.base.JoinPath("responses/input_tokens")
		codec, _ := wire.CodecFor(llm.OpenAIResponses)
		encoded, err = codec.Encode(model, req)
	default:
		return nil, nil, ErrNoCount
	}
	if err != nil {
		return nil, nil, &llm.Failure{Class: llm.BadRequest, Message: err.Error(), Err: err}
	}
	return u, encoded.Body, nil
}

// geminiCount writes the body of countTokens: a caller's own, or the whole
// request that would be sent, so that instructions and tools count too, see
// https://ai.google.dev/api/tokens (2026-11).
func geminiCount(model string, req *llm.Request) (wire.Encoded, error) {
	codec, _ := wire.CodecFor(llm.GeminiGenerate)
	encoded, err := codec.Encode(model, req)
	if err != nil || req.Dialect == llm.GeminiGenerate {
		return encoded, err
	}
	whole, err := sjson.SetBytes(encoded.Body, "model", "models/"+model)
	encoded.Body = bytes.Join([][]byte{[]byte(`{"generateContentRequest":`), whole, []byte(`}`)}, nil)
	return encoded, err
}
