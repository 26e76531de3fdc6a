package wire

import (
	"bytes"
	"fmt"
	"strings"

	"breakwater/internal/llm"

	"github.com/tidwall/gjson"
	"github.com/tidwall/sjson"
)

// Seals. What another provider signed must come back from a caller who speaks
// Anthropic's dialect, where nothing but thinking blocks is signed. So its
// thinking is written as thinking blocks whose signature is a seal: it names
// the provider and holds what that signed, if anything. A signature of a text
// or a call follows its block as redacted_thinking, which clients neither show
// nor leave out. A caller sends all this back as it is; the door gives each
// signature back to its part, and before a request goes to Anthropic, which
// would refuse them, sealed blocks are taken out. Only history that a caller
// takes from here to Anthropic past Breakwater is refused there.
const (
	seal         = "breakwater."
	sealThinking = seal + "thinking." // a thinking block's signature
	sealRedacted = seal + "redacted." // encrypted thinking
	sealBlock    = seal + "block."    // the signature of the block before
	sealCitation = seal + "citation"  // an encrypted_index of no provider
)

// sealed makes a signature that says whose it is. by may be "" with a
// signature of "".
func sealed(kind string, by llm.Provider, signature string) string {
	return kind + string(by) + "." + signature
}

// unseal reads a signature: Anthropic's own, or one that sealed made.
func unseal(s string) (signature string, by llm.Provider, ours bool) {
	rest, ours := strings.CutPrefix(s, seal)
	if !ours {
		if s != "" {
			by = llm.Claude
		}
		return s, by, false
	}
	_, rest, _ = strings.Cut(rest, ".")
	provider, signature, _ := strings.Cut(rest, ".")
	if signature == "" {
		return "", "", true
	}
	return signature, llm.Provider(provider), true
}

// withoutSeals takes sealed blocks and citations out of a request's body.
func withoutSeals(body []byte) ([]byte, error) {
	if !bytes.Contains(body, []byte(seal)) {
		return body, nil
	}
	var paths []string
	for i, m := range gjson.GetBytes(body, "messages").Array() {
		if m.Get("role").String() != "assistant" || !m.Get("content").IsArray() {
			continue
		}
		blocks := m.Get("content").Array()
		var in []string
		taken := 0
		for j, b := range blocks {
			at := fmt.Sprintf("messages.%d.content.%d", i, j)
			switch {
			case isSealed(b):
				taken++
				in = append(in, at)
			case b.Get("type").String() == "text":
				for k, c := range b.Get("citations").Array() {
					if c.Get("encrypted_index").String() == sealCitation {
						in = append(in, fmt.Sprintf("%s.citations.%d", at, k))
					}
				}
			}
		}
		if taken > 0 && taken == len(blocks) { // Anthropic refuses an empty message
			in = []string{fmt.Sprintf("messages.%d", i)}
		}
		paths = append(paths, in...)
	}
	for i := len(paths) - 1; i >= 0; i-- { // from the end, so that the others keep their place
		var err error
		if body, err = sjson.DeleteBytes(body, paths[i]); err != nil {
			return nil, err
		}
	}
	return body, nil
}

func isSealed(b gjson.Result) bool {
	switch b.Get("type").String() {
	case "thinking":
		return strings.HasPrefix(b.Get("signature").String(), seal)
	case "redacted_thinking":
		return strings.HasPrefix(b.Get("data").String(), seal)
	}
	return false
}
