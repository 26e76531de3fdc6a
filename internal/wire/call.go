package wire

import (
	"crypto/sha256"
	"encoding/base32"
	"encoding/json"
	"fmt"
	"strings"

	"breakwater/internal/llm"

	"github.com/tidwall/gjson"
)

// madeUpCallID gives an id to a call that its provider gave none. It is
// stable: the same answer read again gives the same ids. seed tells answers
// apart, index the calls of one answer.
func madeUpCallID(seed string, index int) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%d %s", index, seed))
	return "call_" + strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(sum[:15]))
}

// callArguments gives a call's arguments, which a model wrote, as the JSON
// object that most dialects demand: none where there is nothing but blanks, and
// what is no object under a name of its own, in the way of
// https://platform.claude.com/docs/en/agents-and-tools/tool-use/fine-grained-tool-streaming
// (2026-11), so that the model sees what it wrote. whole says that nothing was changed.
func callArguments(args string) (object json.RawMessage, whole bool) {
	if strings.TrimSpace(args) == "" {
		return json.RawMessage("{}"), true
	}
	if b := []byte(args); validJSON(b) && gjson.ParseBytes(b).IsObject() {
		return b, true
	}
	return marshal(map[string]string{"INVALID_JSON": args}), false
}

// argsScan follows a call's arguments as they arrive.
type argsScan struct {
	depth                  int
	began, quoted, escaped bool
}

func (s *argsScan) add(piece string) {
	for i := range len(piece) {
		switch c := piece[i]; {
		case s.escaped:
			s.escaped = false
		case s.quoted:
			s.escaped = c == '\\'
			s.quoted = c != '"'
		case c == '"':
			s.quoted = true
		case c == '{' || c == '[':
			s.began = true
			s.depth++
		case c == '}' || c == ']':
			s.depth--
		}
	}
}

// whole says whether an object has come to its end.
func (s *argsScan) whole() bool { return s.began && s.depth <= 0 && !s.quoted }

// callInput gives a call's arguments as an object, whatever they are.
func callInput(c *llm.ToolCall) json.RawMessage {
	args, _ := callArguments(string(c.Args))
	return args
}

// saysSomething says whether there is anything in a conversation but blank
// text, which some providers refuse. One without messages has its words elsewhere.
func saysSomething(req *llm.Request) bool {
	if len(req.Messages) == 0 {
		return true
	}
	for _, m := range req.Messages {
		for _, p := range m.Parts {
			if p.Kind != llm.Text || strings.TrimSpace(p.Text) != "" {
				return true
			}
		}
	}
	return false
}

// callNames gives the tool's name for the id of every call in a conversation:
// some dialects want it beside a result that names only the call.
func callNames(messages []llm.Message) map[string]string {
	names := make(map[string]string)
	for _, m := range messages {
		for _, p := range m.Parts {
			if p.Kind == llm.Call {
				names[p.Call.ID] = p.Call.Name
			}
		}
	}
	return names
}
