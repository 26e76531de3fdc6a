package wire

import (
	"crypto/sha256"
	"encoding/hex"
	"time"
)

// Answers about models in Ollama's dialect, see https://docs.ollama.com/api/tags,
// https://docs.ollama.com/api-reference/show-model-details,
// https://docs.ollama.com/api/ps and https://docs.ollama.com/api-reference/get-version
// (2026-11).

// OllamaModel is a model of any provider as Ollama tells of its own. Only Name
// must be given.
type OllamaModel struct {
	Name          string
	ModifiedAt    time.Time
	Size          int64  // bytes
	Digest        string // SHA-256 in hexadecimal digits; "" for one made of the name
	Format        string // such as "gguf"
	Family        string // such as "llama"
	ParameterSize string // such as "8.0B"
	Quantization  string // such as "Q4_K_M"

	ContextLength   int64    // tokens
	EmbeddingLength int64    // numbers
	Capabilities    []string // "completion", "tools", "vision", "thinking", "embedding"

	ExpiresAt time.Time // when it leaves the memory
	SizeVRAM  int64     // bytes
}

type ollamaDetails struct {
	ParentModel     string   `json:"parent_model"`
	Format          string   `json:"format"`
	Family          string   `json:"family"`
	Families        []string `json:"families"`
	ParameterSize   string   `json:"parameter_size"`
	Quantization    string   `json:"quantization_level"`
	ContextLength   int64    `json:"context_length,omitempty"`
	EmbeddingLength int64    `json:"embedding_length,omitempty"`
}

// details tells of the model what /api/tags, /api/show and /api/ps share.
func (m OllamaModel) details() ollamaDetails {
	families := []string{}
	if m.Family != "" {
		families = append(families, m.Family)
	}
	return ollamaDetails{
		Format: m.Format, Family: m.Family, Families: families, ParameterSize: m.ParameterSize, Quantization: m.Quantization,
		ContextLength: m.ContextLength, EmbeddingLength: m.EmbeddingLength,
	}
}

// digest gives the model's digest. Clients cut it to its first twelve digits:
// there is always one.
func (m OllamaModel) digest() string {
	if m.Digest != "" {
		return m.Digest
	}
	sum := sha256.Sum256([]byte(m.Name))
	return hex.EncodeToString(sum[:])
}

// OllamaTags is the body of GET /api/tags: the models there are.
func OllamaTags(models []OllamaModel) []byte {
	type entry struct {
		Name         string        `json:"name"`
		Model        string        `json:"model"`
		ModifiedAt   time.Time     `json:"modified_at"`
		Size         int64         `json:"size"`
		Digest       string        `json:"digest"`
		Details      ollamaDetails `json:"details"`
		Capabilities []string      `json:"capabilities,omitempty"`
	}
	entries := make([]entry, len(models))
	for i, m := range models {
		entries[i] = entry{m.Name, m.Name, m.ModifiedAt.UTC(), m.Size, m.digest(), m.details(), m.Capabilities}
	}
	return ollamaList(entries)
}

// OllamaPs is the body of GET /api/ps: the models that are loaded.
func OllamaPs(models []OllamaModel) []byte {
	type entry struct {
		Name          string        `json:"name"`
		Model         string        `json:"model"`
		Size          int64         `json:"size"`
		Digest        string        `json:"digest"`
		Details       ollamaDetails `json:"details"`
		ExpiresAt     time.Time     `json:"expires_at"`
		SizeVRAM      int64         `json:"size_vram"`
		ContextLength int64         `json:"context_length"`
	}
	entries := make([]entry, len(models))
	for i, m := range models {
		entries[i] = entry{m.Name, m.Name, m.Size, m.digest(), m.details(), m.ExpiresAt.UTC(), m.SizeVRAM, m.ContextLength}
	}
	return ollamaList(entries)
}

func ollamaList[T any](entries []T) []byte {
	return marshal(struct {
		Models []T `json:"models"`
	}{entries})
}

// OllamaShow is the body of POST /api/show. Clients look for the context's
// length in model_info, by the name of the architecture.
func OllamaShow(m OllamaModel) []byte {
	info := map[string]any{}
	if m.Family != "" {
		info["general.architecture"] = m.Family
		if m.ContextLength > 0 {
			info[m.Family+".context_length"] = m.ContextLength
		}
		if m.EmbeddingLength > 0 {
			info[m.Family+".embedding_length"] = m.EmbeddingLength
		}
	}
	return marshal(struct {
		Details      ollamaDetails  `json:"details"`
		ModelInfo    map[string]any `json:"model_info"`
		Capabilities []string       `json:"capabilities,omitempty"`
		ModifiedAt   time.Time      `json:"modified_at"`
	}{m.details(), info, m.Capabilities, m.ModifiedAt.UTC()})
}

// OllamaVersion is the body of GET /api/version.
func OllamaVersion(version string) []byte {
	return marshal(struct {
		Version string `json:"version"`
	}{version})
}
