package sim

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// ollamaMoment is one ChatResponse or GenerateResponse.
type ollamaMoment struct {
	thinking, content string
	calls             []spoken
	logprobs          []string
	finish            finish
	after             int // tokens since the first
}

// line writes a response. The last one, with a finish, has the durations in
// nanoseconds.
func (d ollama) line(c call, a answer, m ollamaMoment) string {
	end := `,"done":false}`
	if m.finish != unfinished {
		end = ollamaEnd(c, a, m.finish, d.generate)
	}
	more := ""
	if m.thinking != "" {
		more = `,"thinking":` + quote(m.thinking)
	}
	if len(m.calls) > 0 {
		list := make([]string, len(m.calls))
		for i, s := range m.calls {
			list[i] = fmt.Sprintf(`{"id":"call_%s","function":{"index":%d,"name":%s,"arguments":%s}}`,
				strings.ToLower(s.id[:8]), ollamaIndex(a, s), quote(s.name), s.args)
		}
		more += `,"tool_calls":[` + strings.Join(list, ",") + `]`
	}
	said := fmt.Sprintf(`"message":{"role":"assistant","content":%s%s}`, quote(m.content), more)
	if d.generate {
		said = fmt.Sprintf(`"response":%s%s`, quote(m.content), more)
	}
	if c.logprobs && len(m.logprobs) > 0 {
		said += `,"logprobs":` + likelihoods(m.logprobs, c.likely)
	}
	return fmt.Sprintf(`{"model":%s,"created_at":%s,%s%s`,
		quote(c.model), quote(a.made.Add(a.first+time.Duration(m.after)*a.pace)), said, end)
}

// ollamaIndex gives the place of a call among all.
func ollamaIndex(a answer, s spoken) int {
	for i, other := range a.calls {
		if other.id == s.id {
			return i
		}
	}
	return 0
}

func ollamaEnd(c call, a answer, f finish, generate bool) string {
	reason, context := "stop", ""
	if f == finishLength {
		reason = "length"
	}
	if generate {
		context = `,"context":[1,2,3]`
	}
	n := a.output()
	eval := time.Duration(n) * max(a.pace, time.Millisecond)
	load := min(ollamaLoadTime, a.first/2)
	prompt := max(a.first-load, time.Millisecond)
	return fmt.Sprintf(`,"done_reason":%q,"done":true%s,"total_duration":%d,"load_duration":%d,"prompt_eval_count":%d,`+
		`"prompt_eval_duration":%d,"eval_count":%d,"eval_duration":%d}`,
		reason, context, load+prompt+eval, load, c.input, prompt, n, eval)
}

// complete gives the calls that no limit cut: a half one is never sent.
func complete(calls []spoken) (list []spoken) {
	for _, s := range calls {
		if !s.cut {
			list = append(list, s)
		}
	}
	return list
}

func (d ollama) whole(c call, a answer) response {
	if c.embed != nil {
		return ollamaVectors(c, a)
	}
	return response{status: 200, header: contentType(ollamaJSON), body: d.line(c, a, ollamaMoment{
		thinking: a.thought(), content: a.text(), calls: complete(a.calls), logprobs: a.tokens, finish: a.finish, after: a.output(),
	})}
}

func (d ollama) stream(c call, a answer) frames {
	f := frames{
		contentType: "application/x-ndjson",
		failure:     func(int) string { return `{"error":"an error was encountered while running the model"}` + "\n" },
	}
	add := func(m ollamaMoment) {
		m.after = len(f.tokens)
		f.token(d.line(c, a, m) + "\n")
	}
	for _, token := range a.thinking {
		add(ollamaMoment{thinking: token})
	}
	for _, token := range a.tokens {
		add(ollamaMoment{content: token, logprobs: []string{token}})
	}
	for _, s := range complete(a.calls) {
		add(ollamaMoment{calls: []spoken{s}})
	}
	if a.finish != unfinished {
		f.tail = []string{d.line(c, a, ollamaMoment{finish: a.finish, after: a.output()}) + "\n"}
	}
	return f
}

// decodeOllamaEmbedding reads a request for vectors, to the endpoint of today
// or to the old one.
func decodeOllamaEmbedding(r *http.Request, body []byte) (call, *response) {
	var q struct {
		Model, Prompt string
		Input         json.RawMessage
		Dimensions    int
	}
	problem := ollamaBody(body, &q)
	old := r.URL.Path == "/api/embeddings"
	c := call{model: q.Model, embed: &embedding{batch: !old, dimensions: max(q.Dimensions, 0)}}
	var one string
	switch {
	case problem != "":
	case q.Model == "":
		problem = "model is required"
	case old:
		c.embed.texts = []string{q.Prompt}
	case len(q.Input) == 0 || string(q.Input) == "null" || string(q.Input) == `""`:
	case json.Unmarshal(q.Input, &one) == nil:
		c.embed.texts = []string{one}
	case json.Unmarshal(q.Input, &c.embed.texts) != nil:
		problem = "invalid input type"
	}
	if problem != "" {
		res := ollamaError(400, problem)
		return c, &res
	}
	if !embeds(q.Model) {
		res := ollamaError(501, "This server does not support embeddings. Start it with `--embeddings`")
		return c, &res
	}
	for _, text := range c.embed.texts {
		c.input += len(pieces(text))
	}
	return c, nil
}

func ollamaVectors(c call, a answer) response {
	res := response{status: 200, header: contentType(ollamaJSON)}
	if !c.embed.batch {
		res.body = `{"embedding":` + quote(a.vectors[0]) + `}`
		return res
	}
	res.body = fmt.Sprintf(`{"model":%s,"embeddings":%s,"total_duration":%d,"load_duration":%d,"prompt_eval_count":%d}`,
		quote(c.model), quote(a.vectors), 2*ollamaLoadTime, ollamaLoadTime, c.input)
	return res
}
