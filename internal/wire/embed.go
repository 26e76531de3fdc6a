package wire

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strconv"

	"breakwater/internal/llm"

	"github.com/tidwall/gjson"
	"github.com/tidwall/sjson"
)

// EmbedCodec gives the codec in which a provider is asked for embeddings by a
// caller of a dialect. Claude has none: its codec lacks them.
func EmbedCodec(p llm.Provider, caller llm.Dialect) Codec {
	d := llm.OpenAIEmbeddings
	switch {
	case p == llm.Claude:
		return noEmbeddings()
	case p == llm.Gemini && caller == llm.GeminiEmbed:
		d = llm.GeminiEmbed
	case p == llm.Gemini:
		d = llm.GeminiBatchEmbed
	case p == llm.Local && caller == llm.OllamaEmbeddings: // whose vectors are not of length 1
		d = llm.OllamaEmbeddings
	case p == llm.Local:
		d = llm.OllamaEmbed
	}
	codec, _ := CodecFor(d)
	return codec
}

// noEmbeddings refuses every embedding request, see
// https://platform.claude.com/docs/en/build-with-claude/embeddings (2026-11).
func noEmbeddings() Codec {
	return Codec{
		Dialect: llm.AnthropicMessages,
		encode: func(string, *llm.Request) (Encoded, error) {
			return Encoded{}, &RequestError{"", "Claude has no embeddings"}
		},
		Lacks:   func(string, *llm.Request) []string { return []string{"embeddings"} },
		Failure: anthropicFailure,
	}
}

// embedCodec puts the two sides of a codec for embeddings together. Their
// answers are never streamed.
func embedCodec(d llm.Dialect, encode func(string, *llm.Request) (Encoded, error), read func(gjson.Result) (embedded, *llm.Failure), failure func(int, []byte) *llm.Failure) Codec {
	lacks := func(_ string, req *llm.Request) []string { return embedLacks(d, req) }
	return Codec{
		Dialect: d,
		Lacks:   lacks,
		Failure: failure,
		encode: func(model string, req *llm.Request) (Encoded, error) {
			if lacking := lacks(model, req); lacking != nil {
				return Encoded{}, &RequestError{lacking[0], fmt.Sprintf("cannot be carried from %s to %s", req.Dialect, d)}
			}
			return encode(model, req)
		},
		Whole: func(body []byte, req *llm.Request) ([]llm.Chunk, error) {
			o, ok := object(body)
			if !ok {
				return nil, garbage("the answer is not a JSON object", nil)
			}
			if e := o.Get("error"); e.Exists() && e.Type != gjson.Null {
				return nil, failure(0, body)
			}
			a, f := read(o)
			if f == nil {
				f = a.check(req.Embed)
			}
			if f != nil {
				return nil, f
			}
			return a.chunks(body, req.Embed), nil
		},
	}
}

// embedLacks names what a request of another dialect asks for and this one
// cannot say: tokens are those of OpenAI's own models.
func embedLacks(d llm.Dialect, req *llm.Request) []string {
	if req.Dialect == d {
		return nil
	}
	lacks := slices.Clone(req.Beyond)
	if d != llm.OpenAIEmbeddings && slices.ContainsFunc(req.Embed.Inputs, func(in llm.EmbedInput) bool { return in.Tokens != nil }) {
		lacks = append(lacks, "input.tokens")
	}
	return lacks
}

// embedDoor puts the two sides of a door for embeddings together. It has no
// Stream: no dialect streams vectors.
func embedDoor(d llm.Dialect, decode func(*embedDecoder, []byte) error, answer func(Meta, Answer) []byte, problem func(Problem) []byte) Door {
	return Door{
		Dialect: d,
		Decode: func(body []byte) (*llm.Request, error) {
			r := &embedDecoder{req: &llm.Request{Dialect: d, Body: body, Embed: &llm.Embed{}}}
			if err := decode(r, body); err != nil {
				return nil, err
			}
			return r.req, nil
		},
		Answer:  answer,
		Problem: problem,
	}
}

// embedDecoder fills an embedding request from the fields of a body.
type embedDecoder struct{ req *llm.Request }

// input notes a text.
func (d *embedDecoder) input(text string) {
	d.req.Embed.Inputs = append(d.req.Embed.Inputs, llm.EmbedInput{Text: text})
}

// beyond notes a field that the request cannot say, once.
func (d *embedDecoder) beyond(field string) {
	if !slices.Contains(d.req.Beyond, field) {
		d.req.Beyond = append(d.req.Beyond, field)
	}
}

// aside notes a field that only tunes the vectors, once.
func (d *embedDecoder) aside(field string) {
	if !slices.Contains(d.req.Aside, field) {
		d.req.Aside = append(d.req.Aside, field)
	}
}

func (d *embedDecoder) dimensions(field string, v gjson.Result) (err *RequestError) {
	d.req.Embed.Dimensions, err = integer(field, v, 1, math.MaxInt32)
	return err
}

func (d *embedDecoder) truncate(field string, v gjson.Result) *RequestError {
	cut, err := boolean(field, v)
	d.req.Embed.Truncate = &cut
	return err
}

// flat decodes a body that is one object with a model.
func (d *embedDecoder) flat(body []byte, field func(name string, v gjson.Result) *RequestError) error {
	o, err := requestObject(body)
	if err != nil {
		return err
	}
	if err := eachField(o, "", func(name string, v gjson.Result) (err *RequestError) {
		switch {
		case v.Type == gjson.Null:
		case name == "model":
			d.req.Model, err = text(name, v)
		default:
			err = field(name, v)
		}
		return err
	}); err != nil {
		return err
	}
	if d.req.Model == "" {
		return &RequestError{"model", "is required: the name of an embedding model"}
	}
	return nil
}

// withModel is the caller's body with the target's model, whose name is at path.
func withModel(body []byte, path, model string) (Encoded, error) {
	if gjson.GetBytes(body, path).String() == model {
		return Encoded{Body: body}, nil
	}
	body, err := sjson.SetBytes(body, path, model)
	if err != nil {
		return Encoded{}, &RequestError{path, "cannot be replaced in the body"}
	}
	return Encoded{Body: body}, nil
}

// texts gives the inputs of a request that has no tokens.
func texts(req *llm.Request) []string {
	all := make([]string, len(req.Embed.Inputs))
	for i, in := range req.Embed.Inputs {
		all[i] = in.Text
	}
	return all
}

// embedded is an answer of vectors.
type embedded struct {
	model   string
	vectors []llm.Vector
	usage   *llm.Usage // nil where the provider tells none
}

// add reads the next vector, in either form.
func (a *embedded) add(v gjson.Result) *llm.Failure {
	vector := llm.Vector{Index: len(a.vectors)}
	var ok bool
	if v.Type == gjson.String {
		vector.Packed, ok = v.Str, v.Str != "" && isPacked(v.Str)
	} else {
		vector.Values, ok = numbers(v)
	}
	if !ok {
		return garbage("a vector of the answer cannot be read", nil)
	}
	a.vectors = append(a.vectors, vector)
	return nil
}

// check says whether there is one vector for each input.
func (a *embedded) check(e *llm.Embed) *llm.Failure {
	if e != nil && len(a.vectors) != len(e.Inputs) {
		return garbage(fmt.Sprintf("the answer has %d vectors, not %d", len(a.vectors), len(e.Inputs)), nil)
	}
	return nil
}

// chunks gives the answer as Codec.Whole does. One without vectors, of a server
// that only loaded a model, is an answer all the same.
func (a *embedded) chunks(body []byte, e *llm.Embed) []llm.Chunk {
	if len(a.vectors) == 0 {
		return []llm.Chunk{{Model: a.model, Usage: a.usage, Opaque: true, Raw: body}}
	}
	chunks := make([]llm.Chunk, len(a.vectors))
	for i := range chunks {
		chunks[i].Vector = &a.vectors[i]
	}
	chunks[0].Model = a.model
	// Many servers that speak as OpenAI do not pack: the door does it for them.
	if e == nil || !e.Packed || a.vectors[0].Packed != "" {
		chunks[0].Raw = body
	}
	chunks[len(chunks)-1].Usage = a.usage
	return chunks
}

// numbers gives the text of a list of numbers, digits untouched and without
// white space; false for anything else, a list without any included.
func numbers(v gjson.Result) (json.RawMessage, bool) {
	if !v.IsArray() {
		return nil, false
	}
	space, some := false, false
	for i := 1; i < len(v.Raw)-1; i++ {
		switch c := v.Raw[i]; c {
		case ' ', '\t', '\r', '\n':
			space = true
		case '[', '{', '"', 't', 'f', 'n': // what is no number begins with one of them
			return nil, false
		default:
			some = true
		}
	}
	if !some || !space {
		return json.RawMessage(v.Raw), some
	}
	var b bytes.Buffer
	if json.Compact(&b, []byte(v.Raw)) != nil {
		return nil, false
	}
	return b.Bytes(), true
}

// isPacked says whether s is base64 of finite float32 numbers.
func isPacked(s string) bool {
	b, err := base64.StdEncoding.DecodeString(s)
	if err != nil || len(b)%4 != 0 {
		return false
	}
	for ; len(b) > 0; b = b[4:] {
		const exponent = 0x7f800000 // all ones: infinite, or not a number, which JSON cannot say
		if binary.LittleEndian.Uint32(b)&exponent == exponent {
			return false
		}
	}
	return true
}

// listOf gives a vector as JSON's list of numbers. A packed number is written
// with the fewest digits that read back as the same float32.
func listOf(v llm.Vector) json.RawMessage {
	if v.Values != nil {
		return v.Values
	}
	packed, _ := base64.StdEncoding.DecodeString(v.Packed) // isPacked saw to it
	list := make([]byte, 1, 4*len(packed)+2)
	list[0] = '['
	for i := 0; i+4 <= len(packed); i += 4 {
		if i > 0 {
			list = append(list, ',')
		}
		f := math.Float32frombits(binary.LittleEndian.Uint32(packed[i:]))
		list = strconv.AppendFloat(list, float64(f), 'g', -1, 32)
	}
	return append(list, ']')
}

// packedOf gives a vector as base64 of float32. What is longer than a float32
// is rounded to the nearest.
func packedOf(v llm.Vector) string {
	if v.Values == nil {
		return v.Packed
	}
	packed := make([]byte, 0, len(v.Values)/2)
	gjson.ParseBytes(v.Values).ForEach(func(_, n gjson.Result) bool {
		f, _ := strconv.ParseFloat(n.Raw, 32) // too large gives infinity, which is the nearest
		packed = binary.LittleEndian.AppendUint32(packed, math.Float32bits(float32(f)))
		return true
	})
	return base64.StdEncoding.EncodeToString(packed)
}
