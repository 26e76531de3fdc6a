package wire

import (
	"strings"
	"testing"
	"unsafe"
)

func TestAPromptIsHeldOnce(t *testing.T) {
	body := []byte(`{"model":"gpt-4o","messages":[{"role":"user","content":"` + strings.Repeat("It takes the force out of the waves. ", 1000) + `"}]}`)
	req, err := DecodeOpenAIChat(body)
	if err != nil {
		t.Fatal(err)
	}
	text := uintptr(unsafe.Pointer(unsafe.StringData(req.Messages[0].Parts[0].Text)))
	first := uintptr(unsafe.Pointer(unsafe.SliceData(body)))
	if text < first || text >= first+uintptr(len(body)) {
		t.Error("the text is a copy of what the body holds already")
	}
}

func BenchmarkDecodePrompt(b *testing.B) {
	body := []byte(`{"model":"gpt-4o","messages":[{"role":"user","content":"` + strings.Repeat("It takes the force out of the waves. ", 3000) + `"}]}`)
	b.ReportAllocs()
	b.SetBytes(int64(len(body)))
	for b.Loop() {
		if _, err := DecodeOpenAIChat(body); err != nil {
			b.Fatal(err)
		}
	}
}
