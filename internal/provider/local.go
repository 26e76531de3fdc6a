package provider

import (
	"context"
	"sync"
	"time"

	"breakwater/internal/wire"

	"github.com/ollama/ollama/api"
)

const (
	// showPatience bounds how long a ping asks what models can do: a server
	// answers in milliseconds, and the rest is asked at the next ping.
	showPatience = time.Second
	// maxLocalModels bounds the models whose abilities are kept.
	maxLocalModels = 1024
)

// localModels is what is known of an Ollama server's models, as of the last
// ping. The zero value knows nothing.
type localModels struct {
	mu     sync.RWMutex
	byName map[string]localModel // never changed once they are here
}

type localModel struct {
	*wire.OllamaModel
	asked bool // what it can do
}

// capabilities gives what a model can do; nil where that is not known.
func (l *localModels) capabilities(name string) []string {
	l.mu.RLock()
	defer l.mu.RUnlock()
	m, ok := l.byName[name]
	if !ok {
		m, ok = l.byName[name+":latest"] // as Ollama itself reads a name
	}
	if !ok {
		return nil
	}
	return m.Capabilities
}

// refresh takes over a list of models, and asks once for each model what it
// can do: a model that is pulled anew has another digest. One that the server
// does not tell of in time is a model of which nothing is known.
func (l *localModels) refresh(ctx context.Context, client *api.Client, list []api.ListModelResponse) []*wire.OllamaModel {
	ctx, cancel := context.WithTimeout(ctx, showPatience)
	defer cancel()
	l.mu.RLock()
	before := l.byName
	l.mu.RUnlock()
	now := make(map[string]localModel, min(len(list), maxLocalModels))
	models := make([]*wire.OllamaModel, len(list))
	for i, entry := range list {
		m := before[entry.Name]
		if !m.asked || m.Digest != entry.Digest {
			m = localModel{OllamaModel: ollamaModel(entry.Name, entry.Size, entry.Digest, entry.Details)}
			m.ModifiedAt = entry.ModifiedAt // see https://docs.ollama.com/api/tags (2026-11)
			if len(now) < maxLocalModels && ctx.Err() == nil {
				m.asked = show(ctx, client, m.OllamaModel)
			}
		}
		models[i] = m.OllamaModel
		if len(now) < maxLocalModels {
			now[m.Name] = m
		}
	}
	l.mu.Lock()
	l.byName = now
	l.mu.Unlock()
	return models
}

func ollamaModel(name string, size int64, digest string, d api.ModelDetails) *wire.OllamaModel {
	return &wire.OllamaModel{
		Name: name, Size: size, Digest: digest,
		Format: d.Format, Family: d.Family, ParameterSize: d.ParameterSize, Quantization: d.QuantizationLevel,
		ContextLength: int64(d.ContextLength), EmbeddingLength: int64(d.EmbeddingLength),
	}
}

// show adds what the server tells of one model, see
// https://docs.ollama.com/api-reference/show-model-details (2026-11). Ollama
// refuses chats by the same abilities. Older servers tell none. It says whether
// the server answered.
func show(ctx context.Context, client *api.Client, m *wire.OllamaModel) bool {
	told, err := client.Show(ctx, &api.ShowRequest{Model: m.Name})
	if err != nil {
		return false
	}
	for _, c := range told.Capabilities {
		m.Capabilities = append(m.Capabilities, c.String())
	}
	architecture, _ := told.ModelInfo["general.architecture"].(string)
	number := func(known int64, name string) int64 {
		if n, ok := told.ModelInfo[architecture+"."+name].(float64); ok && known == 0 {
			return int64(n)
		}
		return known
	}
	m.ContextLength = number(m.ContextLength, "context_length")
	m.EmbeddingLength = number(m.EmbeddingLength, "embedding_length")
	return true
}

// Loaded gives the models that an Ollama server has in its memory now, see
// https://docs.ollama.com/api/ps (2026-11). Errors are those of Send.
func (c *Client) Loaded(ctx context.Context) ([]wire.OllamaModel, error) {
	list, err := c.ollama().ListRunning(ctx)
	if err != nil {
		return nil, c.ollamaFailed(ctx, err)
	}
	models := make([]wire.OllamaModel, len(list.Models))
	for i, entry := range list.Models {
		m := ollamaModel(entry.Name, entry.Size, entry.Digest, entry.Details)
		m.ExpiresAt, m.SizeVRAM, m.ContextLength = entry.ExpiresAt, entry.SizeVRAM, int64(entry.ContextLength)
		models[i] = *m
	}
	return models, nil
}
