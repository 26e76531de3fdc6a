package router

import (
	"fmt"
	"slices"
	"strings"

	"breakwater/internal/llm"
)

// wish is what a caller's model name comes to: a provider to try first and,
// where the caller named one, its model.
type wish struct {
	provider llm.Provider
	model    string // "" for the provider's default
	any      bool   // the caller named neither
	weight   int    // of a route's target
}

// family tells a provider by the shape of its models' names.
func family(model string) (llm.Provider, bool) {
	switch {
	case strings.HasPrefix(model, "text-embedding-00"), strings.HasPrefix(model, "embedding-00"): // Google's older embedding models
		return llm.Gemini, true
	case strings.HasPrefix(model, "gpt-"), strings.HasPrefix(model, "chatgpt-"), strings.HasPrefix(model, "text-embedding-"),
		len(model) > 1 && model[0] == 'o' && model[1] >= '0' && model[1] <= '9':
		return llm.OpenAI, true
	case strings.HasPrefix(model, "claude-"):
		return llm.Claude, true
	case strings.HasPrefix(model, "gemini-"):
		return llm.Gemini, true
	}
	return "", false
}

// resolve finds what a model's name means, in this order: an alias; a
// provider's word or "auto"; provider/model; a configured or discovered model;
// a family of names.
func (r *HybridRouter) resolve(model string) (wish, bool) {
	if len(model) > maxModelName {
		return wish{}, false
	}
	if meaning, ok := r.aliases[model]; ok {
		model = meaning
	}
	if model == "auto" {
		return wish{provider: r.chain[0], any: true}, true
	}
	if p, ok := llm.ParseProvider(model); ok {
		return wish{provider: p}, true
	}
	// Ollama's own names contain slashes, so only the word of a provider that is
	// set up counts before the names that are known.
	first, rest, _ := strings.Cut(model, "/")
	named, isWord := llm.ParseProvider(first)
	isWord = isWord && rest != ""
	if isWord && r.usable(named) {
		return wish{provider: named, model: rest}, true
	}
	for _, p := range llm.Providers() {
		for _, e := range r.endpoints[p] {
			if e.has(model) {
				return wish{provider: p, model: model}, true
			}
		}
	}
	if isWord {
		return wish{provider: named, model: rest}, true
	}
	p, ok := family(model)
	return wish{provider: p, model: model}, ok
}

// usable says whether requests can be sent to a provider at all.
func (r *HybridRouter) usable(p llm.Provider) bool {
	return slices.ContainsFunc(r.endpoints[p], func(e *endpoint) bool { return e.Unusable == "" })
}

// order gives the providers in the order in which they are tried: the
// preferred one, then the chain.
func (r *HybridRouter) order(preferred llm.Provider) []llm.Provider {
	order := []llm.Provider{preferred}
	for _, p := range r.chain {
		if p != preferred {
			order = append(order, p)
		}
	}
	return order
}

// unknownModel explains a model's name that means nothing here.
func (r *HybridRouter) unknownModel(model string) *Error {
	var words []string
	for _, p := range llm.Providers() {
		if len(r.endpoints[p]) > 0 {
			words = append(words, string(p))
		}
	}
	for alias := range r.aliases {
		words = append(words, alias)
	}
	slices.Sort(words)
	return &Error{
		Status: 404, Type: "invalid_request_error", Code: "model_not_found", Param: "model",
		Message: fmt.Sprintf("no provider here serves a model %q; ask for \"auto\", one of %s, \"provider/model\", "+
			"or a model that GET /v1/models lists", clip(model), strings.Join(words, ", ")),
	}
}

// noEmbeddingModel explains why an embedding needs a model's name.
func noEmbeddingModel(asked string) *Error {
	return &Error{
		Status: 400, Type: "invalid_request_error", Code: "invalid_request", Param: "model",
		Message: fmt.Sprintf("%q does not say which model shall embed; name one, such as \"openai/text-embedding-3-small\": "+
			"vectors of different models cannot be compared, so none is chosen for you", clip(asked)),
	}
}
