package router

import (
	"hash/maphash"

	"breakwater/internal/llm"
)

// fingerprintOf tells requests that ask the same from others, so that a prompt
// which fails everywhere does not speak against a target. It looks at the shape
// of the whole and at the beginning of the last message, so that a long
// conversation costs no more than a short one. The seed is this process's own:
// the number says nothing to anybody else.
func fingerprintOf(seed maphash.Seed, req *llm.Request) uint64 {
	var h fingerprint
	h.SetSeed(seed)
	h.text(req.Model)
	h.number(len(req.Body))
	h.number(len(req.Messages))
	h.number(len(req.Tools))
	if req.Embed != nil && len(req.Embed.Inputs) > 0 {
		h.number(len(req.Embed.Inputs))
		h.text(req.Embed.Inputs[0].Text)
	}
	if n := len(req.Messages); n > 0 {
		for _, p := range req.Messages[n-1].Parts {
			h.text(p.Text)
		}
	}
	return max(h.Sum64(), 1)
}
