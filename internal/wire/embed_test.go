package wire

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"breakwater/internal/llm"

	"github.com/tidwall/gjson"
)

func embedDialects() []llm.Dialect {
	return []llm.Dialect{llm.OpenAIEmbeddings, llm.GeminiEmbed, llm.GeminiBatchEmbed, llm.OllamaEmbed, llm.OllamaEmbeddings}
}

// embedAnswer reads an answer to a request that may be nil for any.
func embedAnswer(d llm.Dialect, body []byte, e *llm.Embed) (Answer, error) {
	codec, _ := CodecFor(d)
	chunks, err := codec.Whole(body, &llm.Request{Dialect: llm.Plain, Embed: e})
	if err != nil {
		return Answer{}, err
	}
	return Gather(&listed{chunks})
}

// embedMeta asks for vectors packed or as lists.
func embedMeta(packed bool) Meta {
	return Meta{RequestID: "r", Model: "m", Created: time.Now(), Request: &llm.Request{Embed: &llm.Embed{Packed: packed}}}
}

func decodeEmbed(t testing.TB, d llm.Dialect, body string) *llm.Request {
	t.Helper()
	door, _ := DoorFor(d)
	req, err := door.Decode([]byte(body))
	if err != nil {
		t.Fatalf("%s: %v", body, err)
	}
	return req
}

func TestRecordedEmbeddingsPassUnchangedAndMeanTheSameAtEveryDoor(t *testing.T) {
	seen := 0
	for _, x := range corpus(t) {
		var d llm.Dialect
		switch {
		case strings.HasSuffix(x.Request.Path, "/v1/embeddings") && x.Provider == "openai":
			d = llm.OpenAIEmbeddings
		case strings.HasSuffix(x.Request.Path, "/api/embed"):
			d = llm.OllamaEmbed
		default:
			continue
		}
		if x.Response.Status != 200 {
			continue
		}
		seen++
		door, _ := DoorFor(d)
		req, err := door.Decode(x.Request.Body)
		if err != nil {
			t.Errorf("%s: %v", x.Name, err)
			continue
		}
		codec, _ := CodecFor(d)
		if e, err := codec.Encode(req.Model, req); err != nil || !bytes.Equal(e.Body, x.Request.Body) || e.Adjusted != nil {
			t.Errorf("%s: the request became %s, %v", x.Name, e.Body, err)
		}
		chunks, err := codec.Whole(x.body(), req)
		if err != nil || !bytes.Equal(chunks[0].Raw, x.body()) {
			t.Errorf("%s: %v", x.Name, err)
			continue
		}
		a, _ := Gather(&listed{chunks})
		sameThroughEveryDoor(t, x.Name, a)
		if a.Usage == nil || a.Usage.Input == 0 || a.Model != req.Model {
			t.Errorf("%s: usage %v, model %q", x.Name, a.Usage, a.Model)
		}
	}
	if seen != 6 {
		t.Errorf("%d recordings, want 6", seen)
	}
}

// sameThroughEveryDoor writes an answer at each door and reads it again.
func sameThroughEveryDoor(t *testing.T, name string, a Answer) {
	t.Helper()
	for _, d := range embedDialects() {
		for _, packed := range []bool{false, true} {
			door, _ := DoorFor(d)
			b, err := embedAnswer(d, door.Answer(embedMeta(packed), a), nil)
			if err != nil {
				t.Errorf("%s at %s: %v", name, d, err)
				continue
			}
			if len(b.Vectors) != len(a.Vectors) && (d != llm.GeminiEmbed && d != llm.OllamaEmbeddings) {
				t.Errorf("%s at %s: %d vectors", name, d, len(b.Vectors))
			}
			for i, v := range b.Vectors {
				if packedOf(v) != packedOf(a.Vectors[i]) {
					t.Errorf("%s at %s: vector %d is another", name, d, i)
				}
				if was := a.Vectors[i].Values; was != nil && v.Values != nil && !bytes.Equal(was, v.Values) {
					t.Errorf("%s at %s: vector %d is written differently", name, d, i)
				}
			}
			if d != llm.OllamaEmbeddings && !reflect.DeepEqual(a.Usage, b.Usage) {
				t.Errorf("%s at %s: usage %v, want %v", name, d, b.Usage, a.Usage)
			}
		}
	}
}

func TestEmbeddingRequestsAreTranslated(t *testing.T) {
	for _, c := range []struct {
		from     llm.Dialect
		body     string
		to       llm.Dialect
		want     string
		adjusted string
	}{
		{llm.OpenAIEmbeddings, `{"model":"x","input":"a","encoding_format":"base64","user":"u"}`, llm.GeminiBatchEmbed,
			`{"requests":[{"model":"models/m","content":{"parts":[{"text":"a"}]}}]}`, "user"},
		{llm.OpenAIEmbeddings, `{"model":"x","input":["a","b"],"dimensions":3}`, llm.GeminiBatchEmbed,
			`{"requests":[{"model":"models/m","content":{"parts":[{"text":"a"}]},"outputDimensionality":3},{"model":"models/m","content":{"parts":[{"text":"b"}]},"outputDimensionality":3}]}`, ""},
		{llm.OpenAIEmbeddings, `{"model":"x","input":["a","b"],"dimensions":3}`, llm.OllamaEmbed,
			`{"model":"m","input":["a","b"],"truncate":false,"dimensions":3}`, ""},
		{llm.OllamaEmbed, `{"model":"x","input":"a","keep_alive":"5m","options":{"temperature":0},"dimensions":0}`, llm.OpenAIEmbeddings,
			`{"model":"m","input":["a"]}`, ""},
		{llm.OllamaEmbed, `{"model":"x","input":["a"],"truncate":true,"dimensions":2}`, llm.OpenAIEmbeddings,
			`{"model":"m","input":["a"],"dimensions":2}`, "truncate"},
		{llm.OllamaEmbed, `{"model":"x","input":["a"],"truncate":false}`, llm.GeminiBatchEmbed,
			`{"requests":[{"model":"models/m","content":{"parts":[{"text":"a"}]}}]}`, "truncate"},
		{llm.OllamaEmbeddings, `{"model":"x","prompt":"a"}`, llm.GeminiBatchEmbed,
			`{"requests":[{"model":"models/m","content":{"parts":[{"text":"a"}]}}]}`, ""},
		{llm.GeminiEmbed, `{"content":{"role":"user","parts":[{"text":"a"},{"text":"b"}]},"taskType":"RETRIEVAL_QUERY","title":"t","outputDimensionality":"5"}`, llm.OpenAIEmbeddings,
			`{"model":"m","input":["a\nb"],"dimensions":5}`, "taskType title"},
		{llm.GeminiBatchEmbed, `{"requests":[{"model":"models/x","content":{"parts":[{"text":"a"}]},"output_dimensionality":5,"task_type":"CLUSTERING"},{"content":{"parts":{"text":"b"}},"embedContentConfig":{"outputDimensionality":5,"taskType":"CLUSTERING"}}]}`, llm.OllamaEmbed,
			`{"model":"m","input":["a","b"],"dimensions":5}`, "taskType"},
		// To the same dialect bytes pass, but for the model's name.
		{llm.OpenAIEmbeddings, `{ "model":"m", "input":[[1,2],[3]], "new":{"a":1} }`, llm.OpenAIEmbeddings, `{ "model":"m", "input":[[1,2],[3]], "new":{"a":1} }`, ""},
		{llm.OpenAIEmbeddings, `{ "model":"openai/m", "input":[1,2] }`, llm.OpenAIEmbeddings, `{ "model":"m", "input":[1,2] }`, ""},
		{llm.OllamaEmbed, `{ "model":"m", "input":[], "x":1 }`, llm.OllamaEmbed, `{ "model":"m", "input":[], "x":1 }`, ""},
		{llm.OllamaEmbeddings, `{ "model":"local/m", "prompt":"" }`, llm.OllamaEmbeddings, `{ "model":"m", "prompt":"" }`, ""},
		{llm.GeminiEmbed, `{ "content":{"parts":[{"inlineData":{}}]}, "taskType":"CLUSTERING" }`, llm.GeminiEmbed, `{ "content":{"parts":[{"inlineData":{}}]}, "taskType":"CLUSTERING" }`, ""},
		{llm.GeminiEmbed, `{"model":"models/gemini/m","content":{"parts":[]}}`, llm.GeminiEmbed, `{"model":"models/m","content":{"parts":[]}}`, ""},
		{llm.GeminiBatchEmbed, `{ "requests":[ {"model":"models/m","content":{}} ] }`, llm.GeminiBatchEmbed, `{ "requests":[ {"model":"models/m","content":{}} ] }`, ""},
		{llm.GeminiBatchEmbed, `{ "requests":[ {"model":"models/gemini/m","title":"t","content":{}}, {"content":{}} ], "x":1 }`, llm.GeminiBatchEmbed,
			`{ "requests":[{"model":"models/m","title":"t","content":{}},{"content":{}}], "x":1 }`, ""},
	} {
		req := decodeEmbed(t, c.from, c.body)
		codec, _ := CodecFor(c.to)
		e, err := codec.Encode("m", req)
		if err != nil || string(e.Body) != c.want || strings.Join(e.Adjusted, " ") != c.adjusted {
			t.Errorf("%s to %s: %s\n got %s, %v, %v\nwant %s, %v", c.from, c.to, c.body, e.Body, e.Adjusted, err, c.want, c.adjusted)
		}
	}
}

func TestWhatAnEmbeddingTargetCannotDoIsNamed(t *testing.T) {
	for _, c := range []struct {
		from  llm.Dialect
		body  string
		to    llm.Provider
		lacks string
	}{
		{llm.OpenAIEmbeddings, `{"model":"m","input":"a"}`, llm.Claude, "embeddings"},
		{llm.OpenAIEmbeddings, `{"model":"m","input":[1,2]}`, llm.Gemini, "input.tokens"},
		{llm.OpenAIEmbeddings, `{"model":"m","input":[[1],[2]]}`, llm.Local, "input.tokens"},
		{llm.OpenAIEmbeddings, `{"model":"m","input":[[1],[2]]}`, llm.OpenAI, ""},
		{llm.OpenAIEmbeddings, `{"model":"m","input":[{"image":"x"}],"late_chunking":true}`, llm.Gemini, "input late_chunking"},
		{llm.OpenAIEmbeddings, `{"model":"m","input":[{"image":"x"}],"late_chunking":true}`, llm.OpenAI, ""},
		{llm.GeminiEmbed, `{"content":{"parts":[{"text":"a"},{"inlineData":{}}]}}`, llm.OpenAI, "content.parts[1].inlineData"},
		{llm.GeminiBatchEmbed, `{"requests":[{"content":{"parts":[{"text":"a"}]}},{"content":{"parts":[{"text":"a"}]},"outputDimensionality":9}]}`, llm.Local, "requests.outputDimensionality"},
		{llm.OllamaEmbed, `{"model":"m"}`, llm.OpenAI, "input"},
		{llm.OllamaEmbeddings, `{"model":"m","prompt":""}`, llm.Gemini, "prompt"},
		{llm.OllamaEmbeddings, `{"model":"m","prompt":""}`, llm.Local, ""},
	} {
		req := decodeEmbed(t, c.from, c.body)
		codec := EmbedCodec(c.to, c.from)
		if got := strings.Join(codec.Lacks("m", req), " "); got != c.lacks {
			t.Errorf("%s at %s: %q, want %q", c.body, c.to, got, c.lacks)
		}
		if _, err := codec.Encode("m", req); (err != nil) != (c.lacks != "") {
			t.Errorf("%s at %s: %v", c.body, c.to, err)
		}
	}
}

func TestEmbeddingRequestsThatAreWrongAreRefused(t *testing.T) {
	for _, c := range []struct {
		d    llm.Dialect
		body string
		want string
	}{
		{llm.OpenAIEmbeddings, `{"input":"a"}`, "model: is required"},
		{llm.OpenAIEmbeddings, `{"model":"m"}`, "input: is required"},
		{llm.OpenAIEmbeddings, `{"model":"m","input":[]}`, "input: is required"},
		{llm.OpenAIEmbeddings, `{"model":"m","input":7}`, "input: must be a string or a list, not a number"},
		{llm.OpenAIEmbeddings, `{"model":"m","input":[1,"a"]}`, "input[1]: must be a whole number"},
		{llm.OpenAIEmbeddings, `{"model":"m","input":["a",1]}`, "input[1]: must be a string or a list of tokens"},
		{llm.OpenAIEmbeddings, `{"model":"m","input":[[]]}`, "input[0]: must hold at least one token"},
		{llm.OpenAIEmbeddings, `{"model":"m","input":[[-1]]}`, "input[0][0]: must be between 0 and"},
		{llm.OpenAIEmbeddings, `{"model":"m","input":"a","encoding_format":"int8"}`, `encoding_format: must be "float" or "base64"`},
		{llm.OpenAIEmbeddings, `{"model":"m","input":"a","dimensions":0}`, "dimensions: must be between 1 and"},
		{llm.GeminiEmbed, `{}`, "content: is required"},
		{llm.GeminiEmbed, `{"content":"a"}`, "content: must be an object"},
		{llm.GeminiBatchEmbed, `{"requests":[]}`, "requests: is required"},
		{llm.GeminiBatchEmbed, `{"requests":[{}]}`, "requests[0].content: is required"},
		{llm.OllamaEmbed, `{"model":"m","input":[1]}`, "input[0]: must be a string"},
		{llm.OllamaEmbed, `{"model":"m","input":{}}`, "input: must be a string or a list of strings"},
		{llm.OllamaEmbeddings, `{"model":"m","prompt":["a"]}`, "prompt: must be a string"},
		{llm.OllamaEmbeddings, `[]`, "the body is a list"},
	} {
		door, _ := DoorFor(c.d)
		_, err := door.Decode([]byte(c.body))
		if _, ok := err.(*RequestError); !ok || !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("%s %s: got %v, want %s", c.d, c.body, err, c.want)
		}
	}
}

func TestEmbeddingAnswersThatAreNoAnswerFail(t *testing.T) {
	one := &llm.Embed{Inputs: []llm.EmbedInput{{Text: "a"}}}
	for _, c := range []struct {
		d    llm.Dialect
		body string
		want llm.FailureClass
	}{
		{llm.OpenAIEmbeddings, `<html>`, llm.Garbage},
		{llm.OpenAIEmbeddings, `{}`, llm.Garbage},
		{llm.OpenAIEmbeddings, `{"data":[]}`, llm.Garbage},
		{llm.OpenAIEmbeddings, `{"data":[{"embedding":[]}]}`, llm.Garbage},
		{llm.OpenAIEmbeddings, `{"data":[{"embedding":""}]}`, llm.Garbage},
		{llm.OpenAIEmbeddings, `{"data":[{"embedding":[1,null]}]}`, llm.Garbage},
		{llm.OpenAIEmbeddings, `{"data":[{"embedding":[1,[2]]}]}`, llm.Garbage},
		{llm.OpenAIEmbeddings, `{"data":[{"embedding":"AAAA"}]}`, llm.Garbage},     // three bytes
		{llm.OpenAIEmbeddings, `{"data":[{"embedding":"AADAfw=="}]}`, llm.Garbage}, // not a number
		{llm.OpenAIEmbeddings, `{"data":[{"embedding":[1],"index":1}]}`, llm.Garbage},
		{llm.OpenAIEmbeddings, `{"data":[{"embedding":[1]},{"embedding":[2]}]}`, llm.Garbage}, // one was asked for
		{llm.OpenAIEmbeddings, `{"error":{"code":"model_not_found","message":"x"}}`, llm.NoSuchModel},
		{llm.GeminiEmbed, `{"embedding":{}}`, llm.Garbage},
		{llm.GeminiEmbed, `{"embedding":{"values":["NaN"]}}`, llm.Garbage},
		{llm.GeminiBatchEmbed, `{"embeddings":[{"values":[1]},{"values":[2]}]}`, llm.Garbage},
		{llm.OllamaEmbed, `{"embeddings":[]}`, llm.Garbage},
		{llm.OllamaEmbed, `{"error":"model 'x' not found"}`, llm.NoSuchModel},
		{llm.OllamaEmbeddings, `{"embedding":[]}`, llm.Garbage},
	} {
		_, err := embedAnswer(c.d, []byte(c.body), one)
		if f, ok := llm.AsFailure(err); !ok || f.Class != c.want {
			t.Errorf("%s %s: got %v, want %s", c.d, c.body, err, c.want)
		}
	}
}

func TestAnOllamaModelThatIsOnlyLoadedIsAnAnswer(t *testing.T) {
	for d, body := range map[llm.Dialect]string{llm.OllamaEmbed: `{"model":"m","embeddings":[]}`, llm.OllamaEmbeddings: `{"embedding":[]}`} {
		codec, _ := CodecFor(d)
		chunks, err := codec.Whole([]byte(body), &llm.Request{Dialect: d, Embed: &llm.Embed{}})
		if err != nil || !chunks[0].HasContent() || string(chunks[0].Raw) != body {
			t.Errorf("%s: %v, %v", d, chunks, err)
		}
	}
}

func TestVectorsComeInTheOrderOfTheirInputs(t *testing.T) {
	a, err := embedAnswer(llm.OpenAIEmbeddings, []byte(`{"data":[{"index":1,"embedding":[2]},{"index":0,"embedding":[1]}],"usage":{"prompt_tokens":4,"total_tokens":4}}`), nil)
	if err != nil || string(a.Vectors[0].Values) != "[1]" || string(a.Vectors[1].Values) != "[2]" || a.Usage.Input != 4 {
		t.Errorf("%v, %v", a, err)
	}
}

func TestNoDigitOfAVectorIsLost(t *testing.T) {
	exact := "[0.015991924,-6.2594615e-4,1,-0,1E+2,0.123456789012345678901234567890]"
	spaced := strings.ReplaceAll(exact, ",", " ,\r\n\t")
	a, err := embedAnswer(llm.GeminiEmbed, []byte(`{"embedding":{"values":`+spaced+`}}`), nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range embedDialects() {
		door, _ := DoorFor(d)
		if body := door.Answer(embedMeta(false), a); !bytes.Contains(body, []byte(exact)) {
			t.Errorf("%s: %s", d, body)
		}
	}
	floats := []float32{0, float32(math.Copysign(0, -1)), 1, -1.5, 0.1, 1e-45, math.MaxFloat32, 0.015991924, 123456.79, 1e21}
	packed := packedOf(llm.Vector{Values: marshal(floats)})
	list := listOf(llm.Vector{Packed: packed})
	var back []float32
	if err := json.Unmarshal(list, &back); err != nil || packedOf(llm.Vector{Values: list}) != packed || len(back) != len(floats) {
		t.Fatalf("%s: %v", list, err)
	}
	for i, f := range back {
		if math.Float32bits(f) != math.Float32bits(floats[i]) {
			t.Errorf("%g became %g", floats[i], f)
		}
	}
	if one := packedOf(llm.Vector{Values: json.RawMessage("[1]")}); one != base64.StdEncoding.EncodeToString([]byte{0, 0, 0x80, 0x3f}) {
		t.Errorf("1 is packed as %s: the order of bytes is wrong", one)
	}
}

func FuzzEmbeddings(f *testing.F) {
	for _, seed := range []string{
		`{"model":"m","input":"a","encoding_format":"base64","dimensions":3,"user":"u"}`,
		`{"model":"m","input":["a","b"],"truncate":true,"prompt":"p","options":{}}`,
		`{"model":"m","input":[[1,2],[3]]}`,
		`{"content":{"parts":[{"text":"a"},{"inlineData":{}}]},"taskType":"X","output_dimensionality":"3"}`,
		`{"requests":[{"model":"models/m","content":{"parts":[{"text":"a"}]}},{"content":{"parts":{"text":"b"}},"title":"t"}]}`,
		`{"object":"list","data":[{"index":0,"embedding":[0.5,-1e-3]},{"index":1,"embedding":"AACAPw=="}],"usage":{"prompt_tokens":1}}`,
		`{"embedding":{"values":[ 1 , 2 ]},"embeddings":[[1],[2.5]],"prompt_eval_count":3}`,
		`{"embeddings":[{"values":[1]}],"embedding":[1],"usageMetadata":{"promptTokenCount":1}}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		for _, d := range embedDialects() {
			door, _ := DoorFor(d)
			if req, err := door.Decode(body); err == nil {
				fuzzEmbedRequest(t, req)
			} else if _, ok := err.(*RequestError); !ok {
				t.Fatalf("%s: not a RequestError: %v", d, err)
			}
			a, err := embedAnswer(d, body, nil)
			if _, failed := llm.AsFailure(err); err != nil && !failed {
				t.Fatalf("%s: not a Failure: %v", d, err)
			}
			if err == nil && len(a.Vectors) > 0 {
				fuzzEmbedAnswer(t, a)
			}
		}
	})
}

// fuzzEmbedRequest writes a request for every upstream and reads it again.
func fuzzEmbedRequest(t *testing.T, req *llm.Request) {
	for _, to := range embedDialects() {
		codec, _ := CodecFor(to)
		if to != req.Dialect && (to == llm.GeminiEmbed || to == llm.OllamaEmbeddings) {
			continue // asked by its own callers only
		}
		e, err := codec.Encode("m", req)
		if err != nil {
			continue
		}
		if !gjson.ValidBytes(e.Body) {
			t.Fatalf("%s to %s: %s", req.Dialect, to, e.Body)
		}
		door, _ := DoorFor(to)
		again, err := door.Decode(e.Body)
		if err != nil || !reflect.DeepEqual(again.Embed.Inputs, req.Embed.Inputs) || !reflect.DeepEqual(again.Embed.Dimensions, req.Embed.Dimensions) {
			t.Fatalf("%s to %s: %s became %s: %v", req.Dialect, to, req.Body, e.Body, err)
		}
	}
}

// fuzzEmbedAnswer writes an answer at every door and reads it again.
func fuzzEmbedAnswer(t *testing.T, a Answer) {
	for _, d := range embedDialects() {
		for _, packed := range []bool{false, true} {
			door, _ := DoorFor(d)
			body := door.Answer(embedMeta(packed), a)
			b, err := embedAnswer(d, body, nil)
			if err != nil {
				if packed && d == llm.OpenAIEmbeddings { // a number beyond float32
					continue
				}
				t.Fatalf("%s: %s: %v", d, body, err)
			}
			was := packedOf(llm.Vector{Values: listOf(a.Vectors[0])}) // without stray bits of its base64
			if packedOf(llm.Vector{Values: listOf(b.Vectors[0])}) != was {
				t.Fatalf("%s: %s", d, body)
			}
		}
	}
}

func TestAServerThatDoesNotPackIsPackedFor(t *testing.T) {
	codec, _ := CodecFor(llm.OpenAIEmbeddings)
	door, _ := DoorFor(llm.OpenAIEmbeddings)
	req, err := door.Decode([]byte(`{"model":"m","input":"a","encoding_format":"base64"}`))
	if err != nil {
		t.Fatal(err)
	}
	chunks, err := codec.Whole([]byte(`{"data":[{"index":0,"embedding":[0.5,-1]}],"usage":{"prompt_tokens":1}}`), req)
	if err != nil {
		t.Fatal(err)
	}
	a, err := Gather(&listed{chunks: chunks})
	if err != nil || a.Raw != nil {
		t.Fatalf("the server's own bytes would go to the caller: %s, %v", a.Raw, err)
	}
	if body := door.Answer(Meta{Request: req}, a); !strings.Contains(string(body), `"embedding":"AAAAPwAAgL8="`) {
		t.Errorf("the caller gets %s", body)
	}
}
