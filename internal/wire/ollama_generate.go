package wire

import (
	"breakwater/internal/llm"

	"github.com/tidwall/gjson"
)

// OllamaGenerateDoor is POST /api/generate. Any provider can answer it; what
// speaks of a model's own prompt format, raw, template, context and suffix, no
// upstream's chat can say.
func OllamaGenerateDoor() Door {
	return ollamaDoor(llm.OllamaGenerate, DecodeOllamaGenerate)
}

// DecodeOllamaGenerate reads the body of POST /api/generate, see
// https://docs.ollama.com/api/generate (2026-11), as DecodeOllamaChat does.
// The prompt is one user message. Without a prompt it only loads the model.
func DecodeOllamaGenerate(body []byte) (*llm.Request, error) {
	d := newOllamaDecoder(llm.OllamaGenerate, body)
	var system, prompt string
	var images []llm.Part
	err := d.decode(body, func(name string, v gjson.Result) (err *RequestError) {
		switch name {
		case "prompt":
			prompt, err = text(name, v)
		case "system":
			system, err = text(name, v)
		case "images":
			images, err = ollamaImages(name, v)
		default:
			err = d.sharedField(name, v)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	if prompt == "" {
		d.beyond(ollamaLoads)
		return d.req, nil
	}
	if system != "" {
		d.req.Messages = append(d.req.Messages, llm.Message{Role: llm.System, Parts: []llm.Part{{Kind: llm.Text, Text: system}}})
	}
	d.req.Messages = append(d.req.Messages, llm.Message{Role: llm.User, Parts: append(images, llm.Part{Kind: llm.Text, Text: prompt})})
	return d.req, nil
}

// ollamaLoads is what is Beyond other providers in a generate request that
// only loads the model.
const ollamaLoads = "prompt"
