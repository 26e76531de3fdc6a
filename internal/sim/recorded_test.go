package sim

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"breakwater/internal/llm"
)

// recorded is one exchange with a real API.
type recorded struct {
	Fidelity string
	Tags     []string
	Response struct {
		Status int
		Raw    string
		Body   json.RawMessage
		Lines  []string
		Stream string
	}
}

func (r recorded) body() string {
	switch {
	case r.Response.Lines != nil:
		return strings.Join(r.Response.Lines, "\n")
	case r.Response.Raw != "":
		return r.Response.Raw
	}
	return string(r.Response.Body)
}

// shapes collects every path in a body's objects with the kind of value there:
// "choices[].delta.content string". Objects of a stream are told apart by the
// type that they name.
func shapes(body string) map[string]bool {
	set := map[string]bool{}
	var walk func(at string, v any)
	walk = func(at string, v any) {
		switch v := v.(type) {
		case map[string]any:
			for name, value := range v {
				walk(at+"."+name, value)
			}
		case []any:
			for _, value := range v {
				walk(at+"[]", value)
			}
		case nil:
			set[at+" null"] = true
		default:
			set[fmt.Sprintf("%s %T", at, v)] = true
		}
	}
	for _, o := range objects(body) {
		kind, _ := o["type"].(string)
		walk(kind, o)
	}
	return set
}

// properEnd is the finish reason of an answer that came to its end.
var properEnd = map[llm.Provider]string{llm.OpenAI: "stop", llm.Claude: "end_turn", llm.Gemini: "STOP", llm.Local: "stop"}

// TestShapesAreThoseOfTheRecordings holds every field that the simulated
// providers send against what the real ones were recorded to send, and the
// other way round what all recorded answers have.
func TestShapesAreThoseOfTheRecordings(t *testing.T) {
	dir := testdata(t, "wire")
	// Fields that no recording of this corpus has, each with its evidence.
	documented := []string{
		"error.details[].links[].description string",                   // google-gemini/gemini-cli issue 8437, as the three below
		"error.details[].links[].url string",                           //
		"error.details[].violations[].quotaDimensions.location string", //
		"error.details[].violations[].quotaDimensions.model string",    //
		"error.details[].violations[].quotaMetric string",              //
		"error.details[].violations[].quotaValue string",               // google-gemini/gemini-cli issue 10062
		"error.details[].reason string",                                // google-gemini/gemini-cli issue 26620
		"error.details[].domain string",                                //
		"error.details[].metadata.service string",                      //
		"error.details[].locale string",                                //
		"error.details[].message string",                               //
	}
	for kind, folder := range map[llm.Provider]string{
		llm.OpenAI: "openai", llm.Claude: "anthropic", llm.Gemini: "gemini", llm.Local: "ollama",
	} {
		t.Run(folder, func(t *testing.T) {
			known := map[string]bool{}    // in any recording
			common := map[bool][]string{} // in each whole answer, and in each stream
			files, err := filepath.Glob(filepath.Join(dir, folder, "*.json"))
			if err != nil || len(files) == 0 {
				t.Fatalf("no recordings: %v", err)
			}
			for _, file := range files {
				var r recorded
				raw, err := os.ReadFile(file)
				if err != nil {
					t.Fatal(err)
				}
				if err := json.Unmarshal(raw, &r); err != nil {
					t.Fatalf("%s: %v", file, err)
				}
				if slices.Contains(r.Tags, "openai_compat") && kind == llm.Local {
					continue // Ollama's other dialect
				}
				all := shapes(r.body())
				maps.Copy(known, all)
				if stream := r.Response.Lines != nil; r.Response.Status == 200 && slices.Contains(r.Tags, "fin_"+properEnd[kind]) {
					if common[stream] == nil {
						common[stream] = slices.Collect(maps.Keys(all))
					}
					common[stream] = slices.DeleteFunc(common[stream], func(shape string) bool { return !all[shape] })
				}
			}
			s := start(t, kind, Options{})
			for _, stream := range []bool{false, true} {
				if len(common[stream]) < 3 {
					t.Errorf("no recordings to compare with: %q", common[stream])
				}
				ours := shapes(ask{stream: stream, usage: stream}.send(t, s).body)
				for _, shape := range common[stream] {
					if !ours[shape] {
						t.Errorf("every recording with stream %t has %s", stream, shape)
					}
				}
			}
			for name, g := range scripted(t, kind) {
				for shape := range shapes(g.body) {
					if path := strings.TrimPrefix(shape, "."); !known[shape] && !argument(path) && !slices.Contains(documented, path) {
						t.Errorf("%s: no recording has %s", name, path)
					}
				}
			}
			faults := []Fault{
				{}, {Kind: NoEnd}, {Kind: Errors}, {Kind: Errors, Status: 503}, {Kind: RateLimited}, {Kind: QuotaExhausted},
				{Kind: Unauthorized}, {Kind: NoSuchModel}, {Kind: ContextLength}, {Kind: BadRequest}, {Kind: ContentFilter},
				{Kind: ContentFilter, After: 2}, {Kind: ErrorInStream, After: 2},
			}
			for _, f := range faults {
				s.Set(f)
				for _, a := range []ask{{}, {stream: true}, {stream: true, usage: true}, {max: 2}, {stop: []string{"waves"}}} {
					g := a.send(t, s)
					for shape := range shapes(g.body) {
						path := strings.TrimPrefix(shape, ".")
						if !known[shape] && !slices.Contains(documented, path) && !(f.Kind == NoEnd && strings.HasSuffix(path, " null")) {
							t.Errorf("%+v %+v: no recording has %s", f, a, path)
						}
					}
				}
			}
		})
	}
}

// argument says whether a path leads into a call's arguments: their names are
// the caller's.
func argument(path string) bool {
	return strings.Contains(path, ".input.") || strings.Contains(path, ".args.") || strings.Contains(path, ".arguments.")
}

// scripted plays the script of a provider, whole and streamed, as far as
// recordings exist to hold it against.
func scripted(t *testing.T, kind llm.Provider) map[string]got {
	s := start(t, kind, Options{})
	answers := map[string]got{}
	for _, stream := range []bool{false, true} {
		for name, c := range map[string]struct {
			prompt string
			more   obj
		}{
			"calls":   {"Let me look.\ncall weather {\"city\":\"Oslo\"}\ncall clock", withTools(kind, "weather", "clock")},
			"a call":  {"call weather {\"city\":\"Oslo\"}", withTools(kind, "weather")},
			"a form":  {"Fill it in", withSchema(kind, weather)},
			"thought": {"think twice\necho so", withThinking(kind)},
			"both":    {"think twice\ncall weather", merged(withThinking(kind), withTools(kind, "weather"))},
		} {
			g := converse(t, s, stream, []any{user(kind, c.prompt)}, c.more)
			if g.status != 200 {
				t.Errorf("%s: %d %s", name, g.status, g.body)
			}
			answers[fmt.Sprintf("%s, stream %t", name, stream)] = g
		}
		if kind == llm.OpenAI {
			answers[fmt.Sprintf("probabilities, stream %t", stream)] = converse(t, s, stream, []any{user(kind, "Hi")},
				obj{"n": 2, "logprobs": true, "top_logprobs": 2})
		}
	}
	switch kind {
	case llm.OpenAI:
		answers["vectors"] = post(t, s, "/v1/embeddings", obj{"model": "embed", "input": "x"})
		answers["packed vectors"] = post(t, s, "/v1/embeddings", obj{"model": "embed", "input": "x", "encoding_format": "base64"})
		answers["no vectors"] = post(t, start(t, kind, Options{Models: []string{"gpt-4o"}}), "/v1/embeddings", obj{"model": "embed", "input": "x"})
	case llm.Gemini:
		answers["count"] = post(t, s, "/v1beta/models/m:countTokens", obj{"contents": []any{user(kind, "x")}})
	case llm.Local:
		answers["vectors"] = post(t, s, "/api/embed", obj{"model": "embed", "input": "x"})
		answers["generated"] = post(t, s, "/api/generate", obj{"model": "llama3", "prompt": "x"})
	}
	return answers
}

// merged gives the fields of several objects.
func merged(objects ...obj) obj {
	all := obj{}
	for _, o := range objects {
		maps.Copy(all, o)
	}
	return all
}
