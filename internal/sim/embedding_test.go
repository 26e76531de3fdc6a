package sim

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"math"
	"slices"
	"strings"
	"testing"

	"breakwater/internal/llm"
)

// floats reads a vector out of decoded JSON, packed or not.
func floats(t *testing.T, v any) (list []float64) {
	t.Helper()
	if text, ok := v.(string); ok {
		raw, err := base64.StdEncoding.DecodeString(text)
		if err != nil {
			t.Fatal(err)
		}
		for ; len(raw) >= 4; raw = raw[4:] {
			list = append(list, float64(math.Float32frombits(binary.LittleEndian.Uint32(raw))))
		}
		return list
	}
	values, _ := v.([]any)
	for _, x := range values {
		list = append(list, x.(float64))
	}
	return list
}

func TestVectorIsOfLengthOneAndTheSameForTheSameText(t *testing.T) {
	for _, n := range []int{0, 1, 3, 768} {
		v := Vector("harbour", n)
		sum := 0.0
		for _, x := range v {
			sum += x * x
		}
		if len(v) != max(n, 1) && len(v) != DefaultDimensions || math.Abs(sum-1) > 1e-5 || !slices.Equal(v, Vector("harbour", n)) ||
			n > 1 && slices.Equal(v, Vector("sea", n)) {
			t.Errorf("%d: %v", n, v)
		}
	}
}

func TestEmbeds(t *testing.T) {
	one, two := Vector("one", 0), Vector("two", 0)
	many := func(texts ...string) []any {
		var list []any
		for _, text := range texts {
			list = append(list, obj{"model": "models/embed", "content": obj{"parts": []any{obj{"text": text}}}, "outputDimensionality": 3})
		}
		return list
	}
	for _, c := range []struct {
		kind llm.Provider
		path string
		body obj
		at   [][]any
		want [][]float64
		says string
	}{
		{llm.OpenAI, "/v1/embeddings", obj{"model": "embed", "input": "one"}, [][]any{{"data", 0, "embedding"}}, [][]float64{one}, `"prompt_tokens": 1`},
		{llm.OpenAI, "/v1/embeddings", obj{"model": "embed", "input": []any{"one", "two"}, "encoding_format": "base64"},
			[][]any{{"data", 0, "embedding"}, {"data", 1, "embedding"}}, [][]float64{one, two}, `"index": 1`},
		{llm.OpenAI, "/v1/embeddings", obj{"model": "embed", "input": []any{1, 2}, "dimensions": 3},
			[][]any{{"data", 0, "embedding"}}, [][]float64{Vector("1 2", 3)}, `"total_tokens": 2`},
		{llm.OpenAI, "/v1/embeddings", obj{"model": "embed", "input": []any{[]any{1, 2}, []any{3}}},
			[][]any{{"data", 1, "embedding"}}, [][]float64{Vector("3", 0)}, `"total_tokens": 3`},
		{llm.Gemini, "/v1beta/models/embed:embedContent", obj{"content": obj{"parts": []any{obj{"text": "one"}}}},
			[][]any{{"embedding", "values"}}, [][]float64{one}, ""},
		{llm.Gemini, "/v1/models/embed:batchEmbedContents", obj{"requests": many("one", "two")},
			[][]any{{"embeddings", 0, "values"}, {"embeddings", 1, "values"}}, [][]float64{Vector("one", 3), Vector("two", 3)}, ""},
		{llm.Local, "/api/embed", obj{"model": "embed", "input": "one"}, [][]any{{"embeddings", 0}}, [][]float64{one}, `"prompt_eval_count":1`},
		{llm.Local, "/api/embed", obj{"model": "embed", "input": []any{"one", "two"}, "dimensions": 3},
			[][]any{{"embeddings", 1}}, [][]float64{Vector("two", 3)}, `"total_duration"`},
		{llm.Local, "/api/embeddings", obj{"model": "embed", "prompt": "one"}, [][]any{{"embedding"}}, [][]float64{one}, ""},
	} {
		s := start(t, c.kind, Options{Models: []string{"embed"}})
		g := post(t, s, c.path, c.body)
		if g.status != 200 || !strings.Contains(g.body, c.says) || s.Requests() != 1 {
			t.Errorf("%s: %d %s", c.path, g.status, g.body)
			continue
		}
		var tree any
		if err := json.Unmarshal([]byte(g.body), &tree); err != nil {
			t.Fatal(err)
		}
		for i, at := range c.at {
			if v := floats(t, dig(tree, at...)); !slices.Equal(v, c.want[i]) {
				t.Errorf("%s: got %v, want %v", c.path, v, c.want[i])
			}
		}
	}
}

func TestEmbeddingModelsOnlyEmbedAndOthersDoNot(t *testing.T) {
	text := obj{"parts": []any{obj{"text": "x"}}}
	message := []any{obj{"role": "user", "content": "x"}}
	for _, c := range []struct {
		kind   llm.Provider
		path   string
		body   obj
		status int
		says   string
	}{
		{llm.OpenAI, "/v1/embeddings", obj{"model": "gpt-4o", "input": "x"}, 403, "not allowed to generate embeddings"},
		{llm.OpenAI, "/v1/chat/completions", obj{"model": "embed", "messages": message}, 403, "not allowed to sample"},
		{llm.OpenAI, "/v1/responses", obj{"model": "embed", "input": "x"}, 403, "not allowed to sample"},
		{llm.OpenAI, "/v1/embeddings", obj{"model": "embed"}, 400, "'$.input' is invalid"},
		{llm.OpenAI, "/v1/embeddings", obj{"model": "embed", "input": ""}, 400, "'$.input' is invalid"},
		{llm.OpenAI, "/v1/embeddings", obj{"model": "embed", "input": "x", "truncate": true}, 400, "Unrecognized request argument supplied: truncate"},
		{llm.Gemini, "/v1beta/models/gemini-2.5-flash:embedContent", obj{"content": text}, 404, "is not supported for embedContent"},
		{llm.Gemini, "/v1beta/models/embed:generateContent", obj{"contents": []any{text}}, 404, "is not supported for generateContent"},
		{llm.Gemini, "/v1beta/models/embed:batchEmbedContents", obj{"requests": []any{obj{"content": text}}}, 400, "model must be"},
		{llm.Gemini, "/v1beta/models/embed:embedContent", obj{"content": text, "dimensions": 3}, 400, `Unknown name \"dimensions\"`},
		{llm.Local, "/api/embed", obj{"model": "llama3", "input": "x"}, 501, "does not support embeddings"},
		{llm.Local, "/api/embed", obj{"model": "embed", "input": 7}, 400, "invalid input type"},
		{llm.Local, "/api/chat", obj{"model": "embed", "messages": message}, 400, `\"embed\" does not support chat`},
		{llm.Local, "/api/generate", obj{"model": "embed", "prompt": "x"}, 400, `\"embed\" does not support generate`},
	} {
		g := post(t, start(t, c.kind, Options{}), c.path, c.body)
		if g.status != c.status || !strings.Contains(g.body, c.says) {
			t.Errorf("%s %v: %d %s", c.path, c.body, g.status, g.body)
		}
	}
}

func TestFaultsHitEmbeddings(t *testing.T) {
	text := obj{"parts": []any{obj{"text": "x"}}}
	for path, body := range map[string]obj{
		"/v1/embeddings":                    {"model": "embed", "input": "x"},
		"/v1beta/models/embed:embedContent": {"content": text},
		"/api/embed":                        {"model": "embed", "input": "x"},
		"/api/embeddings":                   {"model": "embed", "prompt": "x"},
	} {
		kind := llm.Local
		switch {
		case strings.HasPrefix(path, "/v1/"):
			kind = llm.OpenAI
		case strings.HasPrefix(path, "/v1beta"):
			kind = llm.Gemini
		}
		s := start(t, kind, Options{})
		for _, c := range []struct {
			fault  Fault
			status int
		}{{Fault{Kind: RateLimited}, 429}, {Fault{Kind: Empty}, 200}, {Fault{Kind: Cut}, 200}, {Fault{}, 200}} {
			s.Set(c.fault)
			g := post(t, s, path, body)
			if g.status != c.status || (g.err != nil) != (c.fault.Kind == Cut) || (g.body == "") != (c.fault.Kind == Empty) {
				t.Errorf("%s %s: %+v", path, c.fault.Kind, g)
			}
		}
	}
}
