package sim

import (
	"encoding/json"
	"fmt"
	"strings"
)

// openAIMaxInputs is how many texts one request may hold
// (https://platform.openai.com/docs/api-reference/embeddings/create, 2026-11).
const openAIMaxInputs = 2048

// decodeOpenAIEmbedding reads a request for vectors.
func decodeOpenAIEmbedding(body []byte) (call, *response) {
	var q struct {
		Model          string
		Input          json.RawMessage
		EncodingFormat string `json:"encoding_format"`
		Dimensions     *int
	}
	tree, refusal := openAIBody(body, &q)
	c := call{model: q.Model, embed: &embedding{base64: q.EncodingFormat == "base64"}}
	if refusal != nil {
		return c, refusal
	}
	if path := (grammar{"body": "input model encoding_format dimensions user"}).unknown(tree, "body"); path != nil {
		return c, openAIBad("", "", "Unrecognized request argument supplied: %s", path[0])
	}
	const input = "'$.input' is invalid. Please check the API reference: https://platform.openai.com/docs/api-reference."
	texts, tokens, ok := openAIInputs(q.Input)
	switch {
	case q.Model == "":
		return c, openAIBad("", "", "you must provide a model parameter")
	case q.EncodingFormat != "" && q.EncodingFormat != "float" && q.EncodingFormat != "base64":
		return c, openAIBad("encoding_format", "invalid_value", "Invalid value: '%s'. Supported values are: 'float' and 'base64'.", q.EncodingFormat)
	case q.Dimensions != nil && *q.Dimensions < 1:
		return c, openAIBad("dimensions", "integer_below_min_value", "Invalid 'dimensions': integer below minimum value. Expected a value >= 1, "+
			"but got %d instead.", *q.Dimensions)
	case !ok || len(texts) == 0:
		return c, openAIBad("", "", input)
	case len(texts) > openAIMaxInputs:
		return c, openAIBad("input", "array_above_max_length", "Invalid 'input': array too long. Expected an array with maximum length %d, but "+
			"got an array with length %d instead.", openAIMaxInputs, len(texts))
	case !embeds(q.Model):
		res := openAIError(403, "You are not allowed to generate embeddings from this model", "invalid_request_error", "", "")
		return c, &res
	}
	for _, text := range texts {
		if text == "" {
			return c, openAIBad("", "", input)
		}
	}
	if q.Dimensions != nil {
		c.embed.dimensions = *q.Dimensions
	}
	c.embed.texts, c.input = texts, tokens
	return c, nil
}

// openAIInputs reads the four shapes of an input: a text, texts, the tokens of
// a text, and those of several. Tokens stand for the text that lists them.
func openAIInputs(raw json.RawMessage) (texts []string, tokens int, ok bool) {
	var text string
	var ids []int
	var several [][]int
	switch {
	case json.Unmarshal(raw, &text) == nil && len(raw) > 0 && raw[0] == '"':
		texts = []string{text}
	case json.Unmarshal(raw, &texts) == nil:
	case json.Unmarshal(raw, &ids) == nil:
		return []string{listed(ids)}, len(ids), true
	case json.Unmarshal(raw, &several) == nil:
		texts = nil
		for _, ids := range several {
			texts, tokens = append(texts, listed(ids)), tokens+len(ids)
		}
		return texts, tokens, true
	default:
		return nil, 0, false
	}
	for _, t := range texts {
		tokens += len(pieces(t))
	}
	return texts, tokens, true
}

func listed(ids []int) string { return strings.Trim(fmt.Sprint(ids), "[]") }

func openAIVectors(c call, a answer) response {
	list := make([]string, len(a.vectors))
	for i, v := range a.vectors {
		body := quote(v)
		if c.embed.base64 {
			body = quote(packed(v))
		}
		list[i] = fmt.Sprintf(`{"object":"embedding","index":%d,"embedding":%s}`, i, body)
	}
	return response{status: 200, header: contentType("application/json"), body: indent(fmt.Sprintf(
		`{"object":"list","data":[%s],"model":%s,"usage":{"prompt_tokens":%d,"total_tokens":%d}}`,
		strings.Join(list, ","), quote(c.model), c.input, c.input))}
}
