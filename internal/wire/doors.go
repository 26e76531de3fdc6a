package wire

import "breakwater/internal/llm"

// DoorFor gives the door of a dialect; false for one that no caller speaks here.
func DoorFor(d llm.Dialect) (Door, bool) {
	switch d {
	case llm.OpenAIChat:
		return OpenAIChatDoor(), true
	case llm.OpenAILegacy:
		return OpenAILegacyDoor(), true
	case llm.OpenAIResponses:
		return ResponsesDoor(), true
	case llm.AnthropicMessages:
		return AnthropicDoor(), true
	case llm.GeminiGenerate:
		return GeminiDoor(), true
	case llm.OllamaChat:
		return OllamaChatDoor(), true
	case llm.OllamaGenerate:
		return OllamaGenerateDoor(), true
	case llm.OpenAIEmbeddings:
		return OpenAIEmbeddingsDoor(), true
	case llm.GeminiEmbed:
		return GeminiEmbedDoor(), true
	case llm.GeminiBatchEmbed:
		return GeminiBatchEmbedDoor(), true
	case llm.OllamaEmbed:
		return OllamaEmbedDoor(), true
	case llm.OllamaEmbeddings:
		return OllamaEmbeddingsDoor(), true
	}
	return Door{}, false
}
