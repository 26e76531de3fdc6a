package wire

import (
	"crypto/sha256"
	"encoding/base32"
	"fmt"
	"strings"

	"breakwater/internal/llm"
)

// madeUpCallID gives an id to a call that its provider gave none. It is
// stable: the same answer read again gives the same ids. seed tells answers
// apart, index the calls of one answer.
func madeUpCallID(seed string, index int) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%d %s", index, seed))
	return "call_" + strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(sum[:15]))
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
