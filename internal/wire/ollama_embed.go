package wire

import (
	"encoding/json"
	"time"

	"breakwater/internal/llm"

	"github.com/tidwall/gjson"
)

// The dialects of POST /api/embed, see https://docs.ollama.com/api/embed, and
// of the older POST /api/embeddings, see
// https://github.com/ollama/ollama/blob/main/docs/api.md (2026-11).

// OllamaEmbedDoor is the door of POST /api/embed.
func OllamaEmbedDoor() Door {
	return embedDoor(llm.OllamaEmbed, func(d *embedDecoder, body []byte) error { return d.ollama(body, "input") }, ollamaEmbedAnswer, ollamaProblem)
}

// OllamaEmbeddingsDoor is the door of POST /api/embeddings. Ollama's own
// answers have vectors of any length there, not of length 1.
func OllamaEmbeddingsDoor() Door {
	return embedDoor(llm.OllamaEmbeddings, func(d *embedDecoder, body []byte) error { return d.ollama(body, "prompt") }, ollamaEmbeddingsAnswer, ollamaProblem)
}

func ollamaEmbed() Codec {
	return embedCodec(llm.OllamaEmbed, encodeOllamaEmbed, readOllamaEmbed, ollamaFailure)
}

// ollamaEmbeddings is only asked by callers of the same dialect.
func ollamaEmbeddings() Codec {
	encode := func(model string, req *llm.Request) (Encoded, error) { return withModel(req.Body, "model", model) }
	return embedCodec(llm.OllamaEmbeddings, encode, readOllamaEmbeddings, ollamaFailure)
}

// ollama reads a body whose texts are in the field named. Options say how a
// local server samples and where it keeps things, which no vector shows.
// Without a text it only loads the model, which no other provider can do.
func (d *embedDecoder) ollama(body []byte, named string) error {
	if err := d.flat(body, func(name string, v gjson.Result) *RequestError {
		switch {
		case name == named:
			return d.ollamaTexts(name, v)
		case name == "dimensions" && named == "input":
			if v.Type == gjson.Number && v.Num == 0 { // the model's own
				return nil
			}
			return d.dimensions(name, v)
		case name == "truncate" && named == "input":
			return d.truncate(name, v)
		case name == "options", name == "keep_alive":
		case v.Type != gjson.False && v.Raw != `""` && !emptyList(v):
			d.beyond(label(name))
		}
		return nil
	}); err != nil {
		return err
	}
	if len(d.req.Embed.Inputs) == 0 {
		d.beyond(named)
	}
	return nil
}

func (d *embedDecoder) ollamaTexts(name string, v gjson.Result) *RequestError {
	switch {
	case v.Type == gjson.String:
		if v.Str != "" {
			d.input(v.String())
		}
		return nil
	case name == "input" && v.IsArray():
		return eachElement(v, name, func(path string, v gjson.Result) *RequestError {
			words, err := text(path, v)
			d.input(words)
			return err
		})
	case name == "input":
		return wrongType(name, v, "a string or a list of strings")
	}
	return wrongType(name, v, "a string")
}

// encodeOllamaEmbed writes the body. Ollama cuts what is too long unless told
// not to; OpenAI, whose callers it may be asked for, refuses it.
func encodeOllamaEmbed(model string, req *llm.Request) (Encoded, error) {
	if req.Dialect == llm.OllamaEmbed {
		return withModel(req.Body, "model", model)
	}
	cut := req.Embed.Truncate
	if req.Dialect == llm.OpenAIEmbeddings {
		cut = new(bool)
	}
	var a adjusted
	a.dropped("user", req.User != "")
	return Encoded{Body: marshal(struct {
		Model      string   `json:"model"`
		Input      []string `json:"input"`
		Truncate   *bool    `json:"truncate,omitempty"`
		Dimensions *int64   `json:"dimensions,omitempty"`
	}{model, texts(req), cut, req.Embed.Dimensions}), Adjusted: a}, nil
}

func readOllamaEmbed(o gjson.Result) (a embedded, f *llm.Failure) {
	a.model = o.Get("model").String()
	vectors := o.Get("embeddings")
	if !vectors.IsArray() {
		return a, garbage("the answer has no vectors", nil)
	}
	vectors.ForEach(func(_, v gjson.Result) bool {
		f = a.add(v)
		return f == nil
	})
	if told := o.Get("prompt_eval_count"); told.Exists() {
		a.usage = &llm.Usage{Input: count(told)}
	}
	return a, f
}

func readOllamaEmbeddings(o gjson.Result) (a embedded, f *llm.Failure) {
	v := o.Get("embedding")
	if emptyList(v) { // of a model that was only loaded
		return a, nil
	}
	return a, a.add(v)
}

func ollamaEmbedAnswer(m Meta, a Answer) []byte {
	body := struct {
		Model      string            `json:"model"`
		Embeddings []json.RawMessage `json:"embeddings"`
		Total      time.Duration     `json:"total_duration"`
		Load       time.Duration     `json:"load_duration"`
		Prompt     int64             `json:"prompt_eval_count"`
	}{Model: m.Model, Embeddings: []json.RawMessage{}, Total: max(0, time.Since(m.Created))}
	for _, v := range a.Vectors {
		body.Embeddings = append(body.Embeddings, listOf(v))
	}
	if a.Usage != nil {
		body.Prompt = a.Usage.Input
	}
	return marshal(body)
}

func ollamaEmbeddingsAnswer(_ Meta, a Answer) []byte {
	vector := json.RawMessage("[]")
	if len(a.Vectors) > 0 {
		vector = listOf(a.Vectors[0])
	}
	return marshal(map[string]json.RawMessage{"embedding": vector})
}
