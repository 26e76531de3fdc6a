package sim

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"breakwater/internal/llm"
)

// invocation is one call of a tool.
type invocation struct {
	name string
	args string // a JSON object without spaces
}

// plan is what there is to say, before any limit cuts it.
type plan struct {
	thinking string
	text     string
	calls    []invocation
	vectors  [][]float64
}

// draft makes the plan for a call: the script that the package describes.
func draft(c call, reply func(string) string) plan {
	if c.embed != nil {
		return plan{vectors: c.embed.vectors()}
	}
	thought, prompt := cutThought(c.prompt)
	before, calls := c.commands(prompt)
	if len(c.results) > 0 && thought == "" && len(calls) == 0 && echoed(prompt) == "" {
		sentences := make([]string, len(c.results))
		for i, r := range c.results {
			sentences[i] = r.sentence()
		}
		return plan{text: strings.Join(sentences, " ")}
	}
	p := plan{text: before, calls: calls}
	if c.thinks {
		p.thinking = thought
	}
	if len(calls) == 0 && c.choice.any {
		if i := slices.IndexFunc(c.tools, c.allowed); i >= 0 {
			p.calls = []invocation{{c.tools[i].name, smallest(c.tools[i].schema)}}
		}
	}
	switch {
	case len(p.calls) > 0:
		if c.single {
			p.calls = p.calls[:1]
		}
	case c.form.schema != nil:
		p.text = smallest(c.form.schema)
	case c.form.json:
		p.text = `{"answer":"text"}`
	default:
		for _, m := range c.sees {
			p.text += m.sentence() + " "
		}
		p.text += c.speak(reply, prompt)
	}
	return p
}

func (c call) allowed(t tool) bool {
	return !c.choice.none && (len(c.choice.names) == 0 || slices.Contains(c.choice.names, t.name))
}

// commands finds the lines of a prompt that name a call which is possible, and
// the text before the first of them.
func (c call) commands(prompt string) (before string, calls []invocation) {
	for line := range strings.Lines(prompt) {
		name, args, ok := strings.Cut(strings.TrimSpace(line)+" ", " ")
		if ok && name == "call" {
			name, args, _ = strings.Cut(strings.TrimSpace(args), " ")
			if args = strings.TrimSpace(args); args == "" {
				args = "{}"
			}
			var b bytes.Buffer
			offered := slices.ContainsFunc(c.tools, func(t tool) bool { return t.name == name && c.allowed(t) })
			if offered && args[0] == '{' && json.Compact(&b, []byte(args)) == nil {
				calls = append(calls, invocation{name, b.String()})
				continue
			}
		}
		if len(calls) == 0 {
			before += line
		}
	}
	if len(calls) == 0 {
		return "", nil
	}
	before = strings.TrimSpace(before)
	if said := echoed(before); said != "" {
		before = said
	}
	return before, calls
}

// cutThought takes the line with think, and what stands before it, from a
// prompt. A line of another command ends the search.
func cutThought(prompt string) (thought, rest string) {
	rest = prompt
	for rest != "" {
		line, after, _ := strings.Cut(rest, "\n")
		word, text, _ := strings.Cut(strings.TrimSpace(line), " ")
		switch {
		case strings.EqualFold(word, "think") && text != "":
			return text, after
		case strings.EqualFold(word, "echo"), word == "call":
			return "", prompt
		}
		rest = after
	}
	return "", prompt
}

// echoed gives the text that a prompt asks to be repeated: all after the word
// echo at the start of a line. What stands before that line, as the reminders
// of command-line clients do, is not looked at.
func echoed(prompt string) string {
	for prompt != "" {
		if word, rest, _ := strings.Cut(prompt, " "); strings.EqualFold(word, "echo") {
			return rest
		}
		_, prompt, _ = strings.Cut(prompt, "\n")
	}
	return ""
}

// Speech gives the default Reply of a provider: a few fixed sentences that
// name it. Where a line of the prompt begins with "echo ", all from there on is
// repeated without that word.
func Speech(kind llm.Provider) func(string) string {
	return func(prompt string) string {
		if text := echoed(prompt); text != "" {
			return text
		}
		return fmt.Sprintf("This is the simulated %s speaking. A breakwater takes the force out of the waves, "+
			"so that the harbour behind it stays calm. Whatever was asked, this is the whole answer.", kind.Title())
	}
}
