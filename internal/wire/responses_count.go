package wire

// ResponsesCount is the answer of POST /v1/responses/input_tokens, see
// https://developers.openai.com/api/docs/guides/token-counting (2026-11).
func ResponsesCount(tokens int64) []byte {
	return marshal(struct {
		Object string `json:"object"`
		Input  int64  `json:"input_tokens"`
	}{"response.input_tokens", tokens})
}
