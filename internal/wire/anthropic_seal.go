package wire

import (
	"bytes"
	"fmt"
	"slices"
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
	return editMessages(body, func(m gjson.Result) ([]byte, error) {
		message := []byte(m.Raw)
		if m.Get("role").String() != "assistant" || !m.Get("content").IsArray() {
			return message, nil
		}
		blocks := m.Get("content").Array()
		var paths []string
		taken := 0
		for i, b := range blocks {
			at := fmt.Sprintf("content.%d", i)
			switch {
			case isSealed(b):
				taken++
				paths = append(paths, at)
			case b.Get("type").String() == "text":
				for j, c := range b.Get("citations").Array() {
					if c.Get("encrypted_index").String() == sealCitation {
						paths = append(paths, fmt.Sprintf("%s.citations.%d", at, j))
					}
				}
			}
		}
		if taken > 0 && taken == len(blocks) { // Anthropic refuses an empty message
			return nil, nil
		}
		for _, path := range slices.Backward(paths) { // from the end, so that the others keep their place
			var err error
			if message, err = sjson.DeleteBytes(message, path); err != nil {
				return nil, err
			}
		}
		return message, nil
	})
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
