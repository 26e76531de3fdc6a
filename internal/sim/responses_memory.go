package sim

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
)

// memory holds the responses that were stored, the last SeenLimit of them.
type memory struct {
	mu   sync.Mutex
	kept []keptResponse
}

type keptResponse struct {
	id    string
	body  string
	items []item // the whole conversation, its output too
	input []json.RawMessage
}

// keep stores a response under its id.
func (m *memory) keep(k keptResponse) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.kept) == SeenLimit {
		m.kept = slices.Delete(m.kept, 0, 1)
	}
	m.kept = append(m.kept, k)
}

func (m *memory) find(id string) (keptResponse, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	i := slices.IndexFunc(m.kept, func(k keptResponse) bool { return k.id == id })
	if i < 0 {
		return keptResponse{}, false
	}
	return m.kept[i], true
}

// conversation gives the items of a response and of all before it.
func (m *memory) conversation(id string) ([]item, bool) {
	k, ok := m.find(id)
	return slices.Clone(k.items), ok
}

// knows says whether an item is stored.
func (m *memory) knows(id string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return id != "" && slices.ContainsFunc(m.kept, func(k keptResponse) bool {
		return slices.ContainsFunc(k.items, func(i item) bool { return i.ID == id })
	})
}

func (m *memory) forget(id string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.kept = slices.DeleteFunc(m.kept, func(k keptResponse) bool { return k.id == id })
}

// free answers the endpoints around stored responses, and that which counts.
func (d responses) free(r *http.Request, body []byte, models []string) response {
	ok := response{status: 200, header: contentType("application/json")}
	if r.Method == http.MethodPost && r.URL.Path == "/v1/responses/input_tokens" {
		c, refusal := d.read(body, "count")
		switch {
		case refusal != nil:
			return *refusal
		case c.model != "" && !knows(models, c.model):
			return openAINoModel(c.model)
		}
		ok.body = indent(fmt.Sprintf(`{"object":"response.input_tokens","input_tokens":%d}`, c.input))
		return ok
	}
	id, rest, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/v1/responses/"), "/")
	k, found := d.memory.find(id)
	switch what := r.Method + " " + rest; {
	case what != "GET " && what != "DELETE " && what != "GET input_items":
		return d.openAI.free(r, body, models)
	case !found:
		return openAIError(404, "Response with id '"+id+"' not found.", "invalid_request_error", "", "")
	case what == "GET input_items":
		ok.body = indent(`{"object":"list","data":` + quote(k.input) + `,"first_id":null,"last_id":null,"has_more":false}`)
	case r.Method == http.MethodDelete:
		d.memory.forget(id)
		ok.body = indent(fmt.Sprintf(`{"id":%q,"object":"response","deleted":true}`, id))
	default:
		ok.body = indent(k.body)
	}
	return ok
}
