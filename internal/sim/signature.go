package sim

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"strings"

	"breakwater/internal/llm"
)

// sign makes the signature that a provider puts on what it thought or called:
// a sum of the content, and a seal that shows who made it.
func sign(kind llm.Provider, content string) string {
	sum := sha256.Sum256([]byte(content))
	seal := sealOf(kind, sum[:])
	return base64.StdEncoding.EncodeToString(append(sum[:], seal[:]...))
}

func sealOf(kind llm.Provider, sum []byte) [sha256.Size]byte {
	return sha256.Sum256(append([]byte("sealed by the simulated "+string(kind)+": "), sum...))
}

// genuine says whether a signature is one that a provider made, for any
// content. Both alphabets of base64 are read, padded or not.
func genuine(kind llm.Provider, signature string) bool {
	raw, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(strings.NewReplacer("-", "+", "_", "/").Replace(signature), "="))
	if err != nil || len(raw) != 2*sha256.Size {
		return false
	}
	seal := sealOf(kind, raw[:sha256.Size])
	return bytes.Equal(raw[sha256.Size:], seal[:])
}
