package wire

import (
	"encoding/base64"
	"slices"
	"strings"
	"testing"

	"breakwater/internal/llm"

	"pgregory.net/rapid"
)

func TestBase64IsJudgedAsTheStandardLibraryDoes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := rapid.StringMatching(`[A-Za-z0-9+/]{0,9}[-_=@\[`+"`{"+`\r\n é]{0,2}[AZaz09+/]{0,2}={0,3}`).Draw(t, "s")
		if _, err := base64.StdEncoding.DecodeString(s); isBase64(s) != (err == nil) {
			t.Fatalf("%q: %v, want %v", s, isBase64(s), err)
		}
	})
}

func TestBrokenBase64IsForItsOwnProviderToJudge(t *testing.T) {
	const broken = "aGV5!"
	for _, c := range []struct {
		from  llm.Dialect
		body  string
		field string
	}{
		{llm.OpenAIChat, `{"model":"m","messages":[{"role":"user","content":"x"},{"role":"user","content":[{"type":"image_url","image_url":{"url":"data:image/png;base64,` + broken + `"}}]}]}`, "messages[1].content[0].image_url.url"},
		{llm.OpenAIChat, `{"model":"m","messages":[{"role":"user","content":[{"type":"input_audio","input_audio":{"format":"wav","data":"` + broken + `"}}]}]}`, "messages[0].content[0].input_audio.data"},
		{llm.OpenAIChat, `{"model":"m","messages":[{"role":"user","content":[{"type":"file","file":{"filename":"a.pdf","file_data":"` + broken + `"}}]}]}`, "messages[0].content[0].file.file_data"},
		{llm.OpenAIResponses, `{"model":"m","input":[{"role":"user","content":[{"type":"input_image","image_url":"data:image/png;base64,` + broken + `"}]}]}`, "input[0].content[0].image_url"},
		{llm.OpenAIResponses, `{"model":"m","input":[{"role":"user","content":[{"type":"input_file","file_data":"data:application/pdf;base64,` + broken + `"}]}]}`, "input[0].content[0].file_data"},
		{llm.AnthropicMessages, `{"model":"m","max_tokens":9,"messages":[{"role":"user","content":[{"type":"image","source":{"type":"base64","media_type":"image/png","data":"` + broken + `"}}]}]}`, "messages[0].content[0].source.data"},
		{llm.AnthropicMessages, `{"model":"m","max_tokens":9,"messages":[{"role":"assistant","content":[{"type":"tool_use","id":"t","name":"f","input":{}}]},{"role":"user","content":[{"type":"tool_result","tool_use_id":"t","content":[{"type":"image","source":{"type":"base64","media_type":"image/png","data":"` + broken + `"}}]}]}]}`, "messages[1].content[0].content[0].source.data"},
		{llm.GeminiGenerate, `{"contents":[{"role":"user","parts":[{"inlineData":{"mimeType":"image/png","data":"` + broken + `"}}]}]}`, "contents[0].parts[0].inlineData.data"},
	} {
		door, _ := DoorFor(c.from)
		for _, d := range []llm.Dialect{llm.OpenAIChat, llm.AnthropicMessages, llm.GeminiGenerate, llm.OllamaChat} {
			codec, _ := CodecFor(d)
			req, err := door.Decode([]byte(c.body))
			if err != nil {
				t.Fatal(err)
			}
			lacks := codec.Lacks(benchModels()[d], req)
			e, err := codec.Encode(benchModels()[d], req)
			if d == c.from {
				if len(lacks) > 0 && !strings.HasPrefix(lacks[0], "messages.") || err != nil || !strings.Contains(string(e.Body), broken) {
					t.Errorf("%s to itself: lacks %q, %v", c.from, lacks, err)
				}
				continue
			}
			if !slices.Contains(lacks, c.field) || err == nil {
				t.Errorf("%s to %s: lacks %q, %v; want %s", c.from, d, lacks, err, c.field)
			}
		}
	}
}
