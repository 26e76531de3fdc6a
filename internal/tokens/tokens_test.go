package tokens

import (
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"math"
	"strings"
	"sync"
	"testing"

	"breakwater/internal/llm"
)

func ask(text string) *llm.Request {
	return &llm.Request{Messages: []llm.Message{{Role: llm.User, Parts: []llm.Part{{Kind: llm.Text, Text: text}}}}}
}

func TestTextIsCountedByCharacterClass(t *testing.T) {
	for _, test := range []struct {
		text      string
		low, high int64 // of tokens
	}{
		{"", 0, 0},
		{"How many bolts in total does it take?", 8, 10},
		{"It's the customer's internationalization.", 6, 10},
		{"人工知能は世界を変えます。", 9, 14},                // a token is about a character
		{"请用中文回答这个问题，谢谢。", 9, 15},               // and never four
		{"오늘 날씨가 어때요?", 7, 12},                  // Hangul
		{"Как погода сегодня в Москве?", 7, 13}, // Cyrillic
		{"Größe über alles", 3, 8},
		{"12345678", 3, 3},
		{"😀😀", 2, 6},
		{`{"a":1,"b":[2,3]}`, 8, 18},
		{"func main() {\n\tfmt.Println(\"x\")\n}\n", 10, 18},
		{"getUserNameFromDatabase", 5, 6},
		{"\xff\xfe", 1, 6},
	} {
		if n := text(test.text, 3) / 1000; n < test.low || n > test.high {
			t.Errorf("%q: %d, want %d to %d", test.text, n, test.low, test.high)
		}
	}
}

func TestRatioIsLearnedForEachModel(t *testing.T) {
	e := NewEstimator(DefaultModels)
	req := ask(strings.Repeat("The quick brown fox jumps over the lazy dog. ", 40))
	before := e.Estimate("new-model", req)
	for range 20 {
		e.Learn("new-model", req, before*13/10)
	}
	after := e.Estimate("new-model", req)
	if want := before * 13 / 10; after < want*97/100 || after > want*103/100 {
		t.Errorf("after learning %d, want about %d", after, want)
	}
	if other := e.Estimate("other-model", req); other != before {
		t.Errorf("another model: %d, want %d", other, before)
	}
	e.Learn("new-model", req, before*100) // not of this text
	if again := e.Estimate("new-model", req); again != after {
		t.Errorf("after a usage that cannot be: %d, want %d", again, after)
	}
	req.Tools = []llm.Tool{{Name: "f"}}
	if n := e.Estimate("new-model", req); n < after {
		t.Errorf("with tools, of which nothing is learned: %d, want at least %d", n, after)
	}
}

func TestAKnownModelIsStillFollowed(t *testing.T) {
	e := NewEstimator(DefaultModels)
	req := ask(strings.Repeat("the quick brown fox jumps over the lazy dog ", 100))
	counted := e.Estimate("m", req)
	off := func(actual int64) float64 { return math.Abs(float64(e.Estimate("m", req)-actual)) / float64(actual) }
	for _, c := range []struct {
		factor  float64
		answers int
	}{{1.5, 100}, {0.8, 10000}, {1.2, 10000}} {
		actual := int64(float64(counted) * c.factor)
		for range c.answers {
			e.Learn("m", req, actual)
		}
		if off(actual) > 0.02 {
			t.Errorf("after %d answers of %d tokens the estimate is %d", c.answers, actual, e.Estimate("m", req))
		}
	}
	looked := 0
	for range 8000 {
		before := e.clock
		e.Learn("m", req, counted)
		if e.clock > before {
			looked++
		}
	}
	if looked < 700 || looked > 1300 {
		t.Errorf("%d of 8000 answers were learned from", looked)
	}
}

func TestModelsAreBounded(t *testing.T) {
	e := NewEstimator(4)
	req := ask("some words to count in here")
	for i := range 100 {
		e.Learn(fmt.Sprint("model-", i), req, 12)
	}
	if len(e.learnt) != 8 {
		t.Errorf("%d entries, want 8", len(e.learnt))
	}
	if e.learnt[key{model: "model-99"}] == nil || e.learnt[key{model: "model-0"}] != nil {
		t.Error("the oldest should have given way")
	}
}

func TestEstimatorMayBeShared(t *testing.T) {
	e := NewEstimator(2)
	req := ask("some words to count in here")
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for j := range 200 {
				e.Learn(fmt.Sprint((i+j)%9), req, 12)
				e.Estimate(fmt.Sprint(j%9), req)
			}
		})
	}
	wg.Wait()
}

func png(w, h uint32) *llm.Media {
	b := append([]byte("\x89PNG\r\n\x1a\n"), make([]byte, 25)...)
	binary.BigEndian.PutUint32(b[16:], w)
	binary.BigEndian.PutUint32(b[20:], h)
	return &llm.Media{MIME: "image/png", Data: base64.StdEncoding.EncodeToString(b)}
}

func TestImagesCountByTheProvidersRules(t *testing.T) {
	low := png(2000, 2000)
	low.Detail = "low"
	for _, test := range []struct {
		model string
		image *llm.Media
		want  int64
	}{
		{"claude-sonnet-4-5", png(1000, 1000), 1334},
		{"claude-sonnet-4-5", png(4000, 3000), 1600},
		{"claude-opus-4-7", png(1920, 1080), 2765},
		{"gemini-2.5-flash", png(300, 300), 258},
		{"gemini-2.5-flash", png(1000, 800), 4 * 258},
		{"gemini-3-pro-preview", png(4000, 3000), 1120},
		{"gpt-4o", png(1024, 1024), 765},
		{"gpt-4o", png(2048, 4096), 1105},
		{"gpt-4o", low, 85},
		{"gpt-5-mini", png(1024, 1024), 1024},
		{"llava", png(10, 10), 576},
		{"gpt-4o", &llm.Media{URL: "https://example.com/a.png"}, 765},
	} {
		if got := familyOf(test.model).image(test.image); got != test.want {
			t.Errorf("%s: %d, want %d", test.model, got, test.want)
		}
	}
}

func TestDocumentsAndRecordingsAreCounted(t *testing.T) {
	pdf := "%PDF-1.4 /Type /Pages /Type /Page /Type/Page\n/Type /Catalog"
	paper := &llm.Media{MIME: "application/pdf", Data: base64.StdEncoding.EncodeToString([]byte(pdf))}
	if n := familyOf("gemini-2.5-pro").document(paper); n != 2*258 {
		t.Errorf("two pages: %d", n)
	}
	if n := familyOf("claude-opus-4-1").document(&llm.Media{Text: "some plain words"}); n != 3 {
		t.Errorf("text: %d", n)
	}
	wav := make([]byte, 32+3*32000)
	copy(wav, "RIFF....WAVE")
	binary.LittleEndian.PutUint32(wav[28:], 32000)
	if n := familyOf("gemini-2.5-pro").audio(&llm.Media{MIME: "audio/wav", Data: base64.StdEncoding.EncodeToString(wav)}); n < 96 || n > 98 {
		t.Errorf("three seconds: %d", n)
	}
}

func FuzzEstimate(f *testing.F) {
	f.Add("gpt-4o", "hello 世界", []byte("\xff\xd8\xff\xc0\x00\x11\x08\x00\x10\x00\x10"), []byte(`{"properties":{"a":{"type":"string"}}}`))
	f.Add("claude-opus-5", "a", []byte("RIFFxxxxWEBPVP8X0123456789012345"), []byte(`[`))
	f.Fuzz(func(t *testing.T, model, said string, media, schema []byte) {
		m := &llm.Media{Data: base64.StdEncoding.EncodeToString(media)}
		req := ask(said)
		req.Messages[0].Parts = append(req.Messages[0].Parts, llm.Part{Kind: llm.Image, Media: m}, llm.Part{Kind: llm.Document, Media: m}, llm.Part{Kind: llm.Audio, Media: m})
		req.Tools = []llm.Tool{{Name: "f", Schema: schema}}
		e := NewEstimator(1)
		if n := e.Estimate(model, req); n < 1 {
			t.Fatalf("%d tokens", n)
		}
		e.Learn(model, req, int64(len(said)))
	})
}

func BenchmarkEstimate(b *testing.B) {
	e := NewEstimator(DefaultModels)
	req := ask(strings.Repeat("Janet’s ducks lay 16 eggs per day, and she eats three for breakfast.\n", 64))
	b.SetBytes(int64(len(req.Messages[0].Text())))
	b.ReportAllocs()
	for b.Loop() {
		e.Estimate("claude-sonnet-4-5", req)
	}
}
