package wire

import (
	"encoding/json"
	"math"

	"breakwater/internal/llm"

	"github.com/tidwall/gjson"
)

// The dialect of POST /v1/embeddings, see
// https://developers.openai.com/api/reference/resources/embeddings (2026-11).

// OpenAIEmbeddingsDoor is the door of POST /v1/embeddings.
func OpenAIEmbeddingsDoor() Door {
	return embedDoor(llm.OpenAIEmbeddings, decodeOpenAIEmbeddings, openAIEmbeddingsAnswer, openAIProblem)
}

func openAIEmbeddings() Codec {
	return embedCodec(llm.OpenAIEmbeddings, encodeOpenAIEmbeddings, readOpenAIEmbeddings, openAIFailure)
}

// decodeOpenAIEmbeddings reads the body: input is a text, several, or the same
// in tokens.
func decodeOpenAIEmbeddings(d *embedDecoder, body []byte) error {
	err := d.flat(body, func(name string, v gjson.Result) (err *RequestError) {
		switch name {
		case "input":
			err = d.openAIInput(v)
		case "dimensions":
			err = d.dimensions(name, v)
		case "user":
			d.req.User, err = text(name, v)
		case "encoding_format":
			switch v.String() {
			case "float":
			case "base64":
				d.req.Embed.Packed = true
			default:
				err = &RequestError{name, `must be "float" or "base64"`}
			}
		default:
			if v.Type != gjson.False && !emptyList(v) && v.Raw != "{}" {
				d.beyond(label(name))
			}
		}
		return err
	})
	if err == nil && len(d.req.Embed.Inputs) == 0 {
		return &RequestError{"input", "is required: a string, or a list that is not empty"}
	}
	return err
}

func (d *embedDecoder) openAIInput(v gjson.Result) *RequestError {
	switch {
	case v.Type == gjson.String:
		d.input(v.String())
		return nil
	case !v.IsArray():
		return wrongType("input", v, "a string or a list")
	case v.Get("0").Type == gjson.Number:
		return d.tokens("input", v)
	}
	return eachElement(v, "input", func(path string, v gjson.Result) *RequestError {
		switch {
		case v.Type == gjson.String:
			d.input(v.String())
		case v.IsArray():
			return d.tokens(path, v)
		case v.IsObject(): // of servers that embed images too
			d.input("")
			d.beyond("input")
		default:
			return wrongType(path, v, "a string or a list of tokens")
		}
		return nil
	})
}

// tokens notes an input in tokens.
func (d *embedDecoder) tokens(path string, v gjson.Result) *RequestError {
	ids := []int64{}
	err := eachElement(v, path, func(path string, v gjson.Result) *RequestError {
		id, err := integer(path, v, 0, math.MaxInt32)
		if err == nil {
			ids = append(ids, *id)
		}
		return err
	})
	if err == nil && len(ids) == 0 {
		err = &RequestError{path, "must hold at least one token"}
	}
	d.req.Embed.Inputs = append(d.req.Embed.Inputs, llm.EmbedInput{Tokens: ids})
	return err
}

// encodeOpenAIEmbeddings writes the body. OpenAI refuses an input that is too
// long, whatever the caller would like.
func encodeOpenAIEmbeddings(model string, req *llm.Request) (Encoded, error) {
	if req.Dialect == llm.OpenAIEmbeddings {
		return withModel(req.Body, "model", model)
	}
	var a adjusted
	a.dropped("truncate", req.Embed.Truncate != nil && *req.Embed.Truncate)
	return Encoded{Body: marshal(struct {
		Model      string   `json:"model"`
		Input      []string `json:"input"`
		Dimensions *int64   `json:"dimensions,omitempty"`
	}{model, texts(req), req.Embed.Dimensions}), Adjusted: a}, nil
}

func readOpenAIEmbeddings(o gjson.Result) (embedded, *llm.Failure) {
	a := embedded{model: o.Get("model").String()}
	data := o.Get("data")
	if !data.IsArray() {
		return a, garbage("the answer has no vectors", nil)
	}
	all := data.Array()
	byIndex := make([]gjson.Result, len(all))
	for i, v := range all {
		at := int64(i)
		if told := v.Get("index"); told.Exists() {
			at = told.Int()
		}
		if at < 0 || at >= int64(len(all)) || byIndex[at].Exists() {
			return a, garbage("the vectors of the answer are not numbered from 0", nil)
		}
		byIndex[at] = v.Get("embedding")
	}
	for _, v := range byIndex {
		if f := a.add(v); f != nil {
			return a, f
		}
	}
	if u := o.Get("usage"); u.IsObject() {
		a.usage = &llm.Usage{Input: count(u.Get("prompt_tokens"))}
	}
	return a, nil
}

// openAIEmbedding is one vector of an answer.
type openAIEmbedding struct {
	Object    string          `json:"object"`
	Index     int             `json:"index"`
	Embedding json.RawMessage `json:"embedding"`
}

func openAIEmbeddingsAnswer(m Meta, a Answer) []byte {
	body := struct {
		Object string            `json:"object"`
		Data   []openAIEmbedding `json:"data"`
		Model  string            `json:"model"`
		Usage  struct {
			Prompt int64 `json:"prompt_tokens"`
			Total  int64 `json:"total_tokens"`
		} `json:"usage"`
	}{Object: "list", Data: []openAIEmbedding{}, Model: m.Model}
	for i, v := range a.Vectors {
		e := openAIEmbedding{Object: "embedding", Index: i}
		if m.Request.Embed.Packed {
			e.Embedding = marshal(packedOf(v))
		} else {
			e.Embedding = listOf(v)
		}
		body.Data = append(body.Data, e)
	}
	if a.Usage != nil {
		body.Usage.Prompt, body.Usage.Total = a.Usage.Input, a.Usage.Input
	}
	return marshal(body)
}
