package sim

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// ollamaRequest is what is read of a request to chat or to generate. Unknown
// fields pass, as they do there
// (https://github.com/ollama/ollama/blob/main/docs/api.md, 2026-11).
type ollamaRequest struct {
	Model                  string
	Messages               []ollamaMessage
	Prompt, System, Suffix string
	Images                 [][]byte
	Stream                 *bool
	Format                 json.RawMessage
	Think                  json.RawMessage
	Tools                  []struct{ Function openAIFunction }
	Logprobs               bool
	TopLogprobs            int `json:"top_logprobs"`
	Options                struct {
		NumPredict int `json:"num_predict"`
		Stop       []string
	}
}

type ollamaMessage struct {
	Role, Content string
	Images        [][]byte
	ToolName      string `json:"tool_name"`
	ToolCallID    string `json:"tool_call_id"`
	ToolCalls     []struct {
		ID       string
		Function struct {
			Name      string
			Arguments map[string]json.RawMessage
		}
	} `json:"tool_calls"`
}

// ollamaBody reads a body, and gives the message of its refusal.
func ollamaBody(body []byte, q any) string {
	switch err := json.Unmarshal(body, q); {
	case len(body) == 0:
		return "missing request body"
	case errors.Is(err, io.ErrUnexpectedEOF):
		return "unexpected EOF"
	case err != nil:
		return err.Error()
	}
	return ""
}

func (d ollama) decode(r *http.Request, body []byte) (call, *response) {
	if strings.HasPrefix(r.URL.Path, "/api/embed") {
		return decodeOllamaEmbedding(r, body)
	}
	var q ollamaRequest
	problem := ollamaBody(body, &q)
	if d.generate {
		q.Messages = nil
		if q.System != "" {
			q.Messages = append(q.Messages, ollamaMessage{Role: "system", Content: q.System})
		}
		if q.Prompt != "" {
			q.Messages = append(q.Messages, ollamaMessage{Role: "user", Content: q.Prompt, Images: q.Images})
		}
	}
	c := call{
		model: q.Model, stream: q.Stream == nil || *q.Stream,
		maxTokens: max(q.Options.NumPredict, 0), // -1 is no limit
		stop:      q.Options.Stop, logprobs: q.Logprobs, likely: q.TopLogprobs,
		thinks: ollamaCan(q.Model, "thinking") && string(q.Think) != "false",
		form:   ollamaForm(q.Format),
	}
	if problem == "" {
		problem = q.check(d)
	}
	if problem != "" {
		res := ollamaError(400, problem)
		return c, &res
	}
	for _, t := range q.Tools {
		c.tools = append(c.tools, tool{t.Function.Name, t.Function.Parameters})
	}
	q.converse(&c)
	if len(q.Messages) == 0 { // only loads the model
		content := `"message":{"role":"assistant","content":""}`
		if d.generate {
			content = `"response":""`
		}
		res := response{status: 200, header: contentType(ollamaJSON), body: fmt.Sprintf(
			`{"model":%s,"created_at":%s,%s,"done_reason":"load","done":true}`, quote(q.Model), quote(time.Now().UTC()), content)}
		return c, &res
	}
	return c, nil
}

// check gives the message of the refusal that a request deserves, or "".
func (q ollamaRequest) check(d ollama) string {
	door := "chat"
	if d.generate {
		door = "generate"
	}
	thinks := len(q.Think) > 0 && string(q.Think) != "null" && string(q.Think) != "false"
	images := false
	for _, m := range q.Messages {
		images = images || len(m.Images) > 0
	}
	full := "registry.ollama.ai/library/" + withTag(q.Model)
	switch {
	case q.Model == "":
		return "model is required"
	case !ollamaCan(q.Model, "completion"):
		return fmt.Sprintf("%q does not support %s", q.Model, door)
	case thinks && !ollamaCan(q.Model, "thinking"):
		return fmt.Sprintf("%q does not support thinking", q.Model)
	case len(q.Tools) > 0 && !ollamaCan(q.Model, "tools"):
		return full + " does not support tools"
	case images && !ollamaCan(q.Model, "vision"):
		return full + " does not support vision"
	case q.Suffix != "":
		return full + " does not support insert"
	case q.TopLogprobs < 0 || q.TopLogprobs > 20:
		return "top_logprobs must be between 0 and 20"
	}
	return ""
}

// converse puts the conversation into a call.
func (q ollamaRequest) converse(c *call) {
	var texts []string
	names := map[string]string{} // of the calls, by id
	for _, m := range q.Messages {
		texts = append(texts, m.Content)
		switch strings.ToLower(m.Role) {
		case "user":
			c.hear(m.Content, nil)
			for _, image := range m.Images {
				c.sees = append(c.sees, ollamaImage(image))
			}
		case "assistant":
			c.results, c.begun = nil, m.Content
			for _, t := range m.ToolCalls {
				names[t.ID] = t.Function.Name
				texts = append(texts, t.Function.Name+quote(t.Function.Arguments))
				c.prompt, c.sees = "", nil // done with
			}
		case "tool":
			r := result{name: m.ToolName, text: m.Content}
			if r.name == "" {
				r.name = names[m.ToolCallID]
			}
			for _, image := range m.Images {
				r.sees = append(r.sees, ollamaImage(image))
			}
			c.results = append(c.results, r)
		}
	}
	for _, t := range c.tools {
		texts = append(texts, t.name+string(t.schema))
	}
	c.input = count(texts...)
}

// ollamaImage finds the type of an image in its first bytes: the API is told
// none.
func ollamaImage(image []byte) medium {
	return medium{kind: "image", mime: http.DetectContentType(image), bytes: len(image)}
}

// ollamaForm reads a format: "json", or a schema.
func ollamaForm(raw json.RawMessage) form {
	switch s := string(raw); {
	case s == `"json"`:
		return form{json: true}
	case strings.HasPrefix(s, "{"):
		return form{json: true, schema: raw}
	}
	return form{}
}
