package wire

import (
	"encoding/json"
	"math"
	"strings"

	"breakwater/internal/llm"

	"github.com/tidwall/gjson"
	"github.com/tidwall/sjson"
)

// The dialects of embedContent and batchEmbedContents, see
// https://ai.google.dev/api/embeddings (2026-11). As with generateContent, the
// path names the model and a field may be spelled in camelCase or snake_case.

// GeminiEmbedDoor is the door of embedContent.
func GeminiEmbedDoor() Door {
	return embedDoor(llm.GeminiEmbed, decodeGeminiEmbed, geminiEmbedAnswer, geminiProblem)
}

// GeminiBatchEmbedDoor is the door of batchEmbedContents.
func GeminiBatchEmbedDoor() Door {
	return embedDoor(llm.GeminiBatchEmbed, decodeGeminiBatchEmbed, geminiBatchEmbedAnswer, geminiProblem)
}

func geminiEmbed() Codec {
	return embedCodec(llm.GeminiEmbed, encodeGeminiEmbed, readGeminiEmbed, geminiFailure)
}

func geminiBatchEmbed() Codec {
	return embedCodec(llm.GeminiBatchEmbed, encodeGeminiBatchEmbed, readGeminiBatchEmbed, geminiFailure)
}

func decodeGeminiEmbed(d *embedDecoder, body []byte) error {
	o, err := requestObject(body)
	if err != nil {
		return err
	}
	if err := d.geminiRequest("", o); err != nil {
		return err
	}
	return nil
}

func decodeGeminiBatchEmbed(d *embedDecoder, body []byte) error {
	o, err := requestObject(body)
	if err != nil {
		return err
	}
	if err := geminiFields("", o, func(name, path string, v gjson.Result) *RequestError {
		switch name {
		case "requests":
			return geminiList(path, v, func(path string, v gjson.Result) *RequestError { return d.geminiRequest(path+".", v) })
		case "model":
		default:
			d.beyond(path)
		}
		return nil
	}); err != nil {
		return err
	}
	if len(d.req.Embed.Inputs) == 0 {
		return &RequestError{"requests", "is required: a list with at least one request"}
	}
	return nil
}

// geminiRequest reads an EmbedContentRequest. The task that the vector is for
// and the text's title are words that only Google's models know.
func (d *embedDecoder) geminiRequest(path string, o gjson.Result) *RequestError {
	before := len(d.req.Embed.Inputs)
	var dimensions *int64
	var field func(name, path string, v gjson.Result) *RequestError
	field = func(name, path string, v gjson.Result) (err *RequestError) {
		switch name {
		case "content":
			err = d.geminiContent(path, v)
		case "taskType", "title":
			d.aside(name)
		case "outputDimensionality":
			dimensions, err = integer(path, geminiNumber(v), 1, math.MaxInt32)
		case "autoTruncate":
			err = d.truncate(path, v)
		case "embedContentConfig":
			err = geminiFields(path+".", v, field)
		case "model":
		default:
			d.beyond(path)
		}
		return err
	}
	if err := geminiFields(path, o, field); err != nil {
		return err
	}
	e := d.req.Embed
	switch {
	case len(e.Inputs) != before+1:
		return &RequestError{path + "content", "is required: an object with parts"}
	case before == 0:
		e.Dimensions = dimensions
	case (e.Dimensions == nil) != (dimensions == nil) || dimensions != nil && *dimensions != *e.Dimensions:
		d.beyond("requests.outputDimensionality") // one size for all is all that others know
	}
	return nil
}

// geminiContent notes a content's text. Its parts make one vector together.
func (d *embedDecoder) geminiContent(path string, v gjson.Result) *RequestError {
	var said []string
	if err := geminiFields(path+".", v, func(name, path string, v gjson.Result) *RequestError {
		switch name {
		case "parts":
			return geminiList(path, v, func(path string, v gjson.Result) *RequestError {
				return geminiFields(path+".", v, func(name, path string, v gjson.Result) (err *RequestError) {
					var words string
					if name == "text" {
						words, err = text(path, v)
						said = append(said, words)
					} else {
						d.beyond(path)
					}
					return err
				})
			})
		case "role":
		default:
			d.beyond(path)
		}
		return nil
	}); err != nil {
		return err
	}
	d.input(strings.Join(said, "\n"))
	return nil
}

// geminiResource is a model's name as bodies tell it.
func geminiResource(model string) string { return "models/" + strings.TrimPrefix(model, "models/") }

// encodeGeminiEmbed keeps the caller's body: nobody else is asked so.
func encodeGeminiEmbed(model string, req *llm.Request) (Encoded, error) {
	if !gjson.GetBytes(req.Body, "model").Exists() {
		return Encoded{Body: req.Body}, nil
	}
	return withModel(req.Body, "model", geminiResource(model))
}

// geminiEmbedding is an EmbedContentRequest of a batch.
type geminiEmbedding struct {
	Model   string `json:"model"`
	Content struct {
		Parts [1]geminiEmbedText `json:"parts"`
	} `json:"content"`
	Dimensions *int64 `json:"outputDimensionality,omitempty"`
}

type geminiEmbedText struct {
	Text string `json:"text"`
}

// encodeGeminiBatchEmbed writes the body. Gemini has no word for truncation
// that all its models take: some cut what is too long.
func encodeGeminiBatchEmbed(model string, req *llm.Request) (Encoded, error) {
	if req.Dialect == llm.GeminiBatchEmbed {
		return spliceGeminiBatch(model, req.Body)
	}
	var a adjusted
	a.dropped("truncate", req.Embed.Truncate != nil && !*req.Embed.Truncate)
	a.dropped("user", req.User != "")
	requests := make([]geminiEmbedding, len(req.Embed.Inputs))
	for i, in := range req.Embed.Inputs {
		requests[i] = geminiEmbedding{Model: geminiResource(model), Dimensions: req.Embed.Dimensions}
		requests[i].Content.Parts[0].Text = in.Text
	}
	return Encoded{Body: marshal(map[string][]geminiEmbedding{"requests": requests}), Adjusted: a}, nil
}

// spliceGeminiBatch keeps the caller's body but for the model's name, which
// each request of the batch repeats.
func spliceGeminiBatch(model string, body []byte) (Encoded, error) {
	name := geminiResource(model)
	requests := gjson.GetBytes(body, "requests").Array()
	list, changed := []byte{'['}, false
	for i, r := range requests {
		one := []byte(r.Raw)
		if told := r.Get("model"); told.Exists() && told.String() != name {
			named, err := withModel(one, "model", name)
			if err != nil {
				return named, err
			}
			one, changed = named.Body, true
		}
		if i > 0 {
			list = append(list, ',')
		}
		list = append(list, one...)
	}
	if changed {
		var err error
		if body, err = sjson.SetRawBytes(body, "requests", append(list, ']')); err != nil {
			return Encoded{}, &RequestError{"requests", "cannot be replaced in the body"}
		}
	}
	return Encoded{Body: body}, nil
}

func readGeminiEmbed(o gjson.Result) (a embedded, f *llm.Failure) {
	if f = a.add(o.Get("embedding.values")); f == nil {
		a.usage = geminiEmbedUsage(o)
	}
	return a, f
}

func readGeminiBatchEmbed(o gjson.Result) (a embedded, f *llm.Failure) {
	o.Get("embeddings").ForEach(func(_, v gjson.Result) bool {
		f = a.add(v.Get("values"))
		return f == nil
	})
	a.usage = geminiEmbedUsage(o)
	return a, f
}

// geminiEmbedUsage reads the usage, which older models do not tell.
func geminiEmbedUsage(o gjson.Result) *llm.Usage {
	told := o.Get("usageMetadata.promptTokenCount")
	if !told.Exists() {
		return nil
	}
	return &llm.Usage{Input: count(told)}
}

// geminiVector is a ContentEmbedding.
type geminiVector struct {
	Values json.RawMessage `json:"values"`
}

type geminiEmbedTokens struct {
	Prompt int64 `json:"promptTokenCount"`
}

// geminiEmbedUsageOf gives the usage of an answer; nil where there is none.
func geminiEmbedUsageOf(a Answer) *geminiEmbedTokens {
	if a.Usage == nil {
		return nil
	}
	return &geminiEmbedTokens{a.Usage.Input}
}

func geminiVectors(a Answer) []geminiVector {
	vectors := make([]geminiVector, len(a.Vectors))
	for i, v := range a.Vectors {
		vectors[i].Values = listOf(v)
	}
	return vectors
}

func geminiEmbedAnswer(_ Meta, a Answer) []byte {
	vector := geminiVector{Values: json.RawMessage("[]")}
	if all := geminiVectors(a); len(all) > 0 {
		vector = all[0]
	}
	return marshal(struct {
		Embedding geminiVector       `json:"embedding"`
		Usage     *geminiEmbedTokens `json:"usageMetadata,omitempty"`
	}{vector, geminiEmbedUsageOf(a)})
}

func geminiBatchEmbedAnswer(_ Meta, a Answer) []byte {
	return marshal(struct {
		Embeddings []geminiVector     `json:"embeddings"`
		Usage      *geminiEmbedTokens `json:"usageMetadata,omitempty"`
	}{geminiVectors(a), geminiEmbedUsageOf(a)})
}
