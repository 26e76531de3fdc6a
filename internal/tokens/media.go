package tokens

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"math"
	"strings"

	"breakwater/internal/llm"
)

// What images, documents and recordings count, by the providers' rules of
// thumb (2026-11):
//   - Claude: https://platform.claude.com/docs/en/build-with-claude/vision and
//     https://platform.claude.com/docs/en/build-with-claude/pdf-support
//   - Gemini: https://ai.google.dev/gemini-api/docs/tokens and
//     https://ai.google.dev/gemini-api/docs/media-resolution
//   - OpenAI: https://developers.openai.com/api/docs/guides/images-vision
//
// A local model's own projector decides; most take some hundreds of tokens.
const (
	unknownSide    = 1024 // pixels of an image whose size is not told, such as one at a URL
	localImage     = 576  // 24 × 24 patches, what LLaVA's projector gives
	pdfPageBytes   = 50 << 10
	claudePage     = 2000  // 1,500 to 3,000 of text per page, the page's image not counted
	openAIPage     = 1200  // text and an image of the page
	geminiPage     = 258   // before Gemini 3
	gemini3Medium  = 560   // a page of Gemini 3
	gemini3Image   = 1120  // an image of Gemini 3, whatever its size
	audioByteRate  = 16000 // bytes a second of a recording at 128 kbit/s, where its header does not tell
	geminiSecond   = 32    // tokens of a second of sound
	otherSecond    = 10    // OpenAI: a token for 100 ms
	maxHeaderBytes = 64 << 10
)

// image counts an image.
func (f family) image(m *llm.Media) int64 {
	w, h := size(m)
	switch f.provider {
	case llm.Claude:
		return claudeImage(w, h, f.newer)
	case llm.Gemini:
		switch {
		case f.newer:
			return gemini3Image
		case w <= 384 && h <= 384:
			return 258
		}
		return 258 * ceilDiv(w, 768) * ceilDiv(h, 768)
	case llm.OpenAI:
		return openAIImage(w, h, m.Detail, f.patches)
	}
	return localImage
}

// claudeImage is a token for 750 pixels, of an image that is scaled down to
// 1,568 pixels on its long side and about 1,600 tokens, or to 2,576 and 4,784
// on models of high resolution.
func claudeImage(w, h float64, newer bool) int64 {
	side, most := 1568.0, 1600.0
	if newer {
		side, most = 2576, 4784
	}
	scale := min(1, side/max(w, h))
	return int64(min(most, math.Ceil(w*scale*h*scale/750)))
}

// openAIImage counts patches of 32 pixels on newer and smaller models, else
// tiles of 512 pixels after scaling to 2,048 by 2,048 and 768 on the short side.
func openAIImage(w, h float64, detail string, patches bool) int64 {
	if patches {
		most := 1536.0
		n := math.Ceil(w/32) * math.Ceil(h/32)
		return int64(min(n, most))
	}
	if detail == "low" {
		return 85
	}
	if scale := 2048 / max(w, h); scale < 1 {
		w, h = w*scale, h*scale
	}
	if scale := 768 / min(w, h); scale < 1 {
		w, h = w*scale, h*scale
	}
	return 85 + 170*ceilDiv(w, 512)*ceilDiv(h, 512)
}

func ceilDiv(a, b float64) int64 { return int64(math.Ceil(a / b)) }

// document counts a document: its text where it is plain, else its pages.
func (f family) document(m *llm.Media) int64 {
	if m.Text != "" {
		return text(m.Text, f.digits) / 1000
	}
	if strings.HasPrefix(m.MIME, "text/") || m.MIME == "application/json" {
		if b, err := base64.StdEncoding.DecodeString(m.Data); err == nil {
			return text(string(b), f.digits) / 1000
		}
	}
	pages := pages(m)
	switch f.provider {
	case llm.Claude:
		return pages * claudePage
	case llm.Gemini:
		if f.newer {
			return pages * gemini3Medium
		}
		return pages * geminiPage
	}
	return pages * openAIPage
}

// pages counts a PDF's pages by its page objects, or by its size where these
// are compressed or it is not at hand.
func pages(m *llm.Media) int64 {
	b, err := base64.StdEncoding.DecodeString(m.Data)
	if err != nil {
		b = nil
	}
	n := int64(0)
	for rest := b; ; n++ {
		i := bytes.Index(rest, []byte("/Type"))
		if i < 0 {
			break
		}
		rest = rest[i+len("/Type"):]
		name := bytes.TrimLeft(rest, " \r\n\t")
		if !bytes.HasPrefix(name, []byte("/Page")) || bytes.HasPrefix(name, []byte("/Pages")) {
			n--
		}
	}
	if n > 0 {
		return n
	}
	return 1 + int64(len(b)/pdfPageBytes)
}

// audio counts a recording by its length.
func (f family) audio(m *llm.Media) int64 {
	rate := float64(audioByteRate)
	if h := head(m); len(h) >= 32 && string(h[:4]) == "RIFF" && string(h[8:12]) == "WAVE" {
		if told := binary.LittleEndian.Uint32(h[28:]); told > 0 {
			rate = float64(told)
		}
	}
	perSecond := float64(otherSecond)
	if f.provider == llm.Gemini {
		perSecond = geminiSecond
	}
	return int64(math.Ceil(float64(len(m.Data)*3/4) / rate * perSecond))
}

// head gives the first bytes of the data.
func head(m *llm.Media) []byte {
	data := m.Data[:min(len(m.Data), maxHeaderBytes)/4*4]
	b := make([]byte, base64.StdEncoding.DecodedLen(len(data)))
	n, _ := base64.StdEncoding.Decode(b, []byte(data))
	return b[:n]
}

// size gives an image's pixels as its header tells.
func size(m *llm.Media) (w, h float64) {
	b := head(m)
	switch {
	case len(b) >= 24 && string(b[:8]) == "\x89PNG\r\n\x1a\n":
		return pixels(binary.BigEndian.Uint32(b[16:]), binary.BigEndian.Uint32(b[20:]))
	case len(b) >= 10 && (string(b[:6]) == "GIF89a" || string(b[:6]) == "GIF87a"):
		return pixels(uint32(binary.LittleEndian.Uint16(b[6:])), uint32(binary.LittleEndian.Uint16(b[8:])))
	case len(b) >= 30 && string(b[:4]) == "RIFF" && string(b[8:12]) == "WEBP":
		return webp(b)
	case len(b) >= 4 && b[0] == 0xff && b[1] == 0xd8:
		return jpeg(b)
	}
	return unknownSide, unknownSide
}

func pixels(w, h uint32) (float64, float64) {
	if w == 0 || h == 0 || w > 1<<16 || h > 1<<16 {
		return unknownSide, unknownSide
	}
	return float64(w), float64(h)
}

// webp reads the three kinds of header, see
// https://developers.google.com/speed/webp/docs/riff_container (2026-11).
func webp(b []byte) (float64, float64) {
	switch string(b[12:16]) {
	case "VP8X":
		return pixels(1+(uint32(b[24])|uint32(b[25])<<8|uint32(b[26])<<16), 1+(uint32(b[27])|uint32(b[28])<<8|uint32(b[29])<<16))
	case "VP8 ":
		return pixels(uint32(binary.LittleEndian.Uint16(b[26:])&0x3fff), uint32(binary.LittleEndian.Uint16(b[28:])&0x3fff))
	case "VP8L":
		bits := binary.LittleEndian.Uint32(b[21:])
		return pixels(1+bits&0x3fff, 1+bits>>14&0x3fff)
	}
	return unknownSide, unknownSide
}

// jpeg walks the segments to the frame header.
func jpeg(b []byte) (float64, float64) {
	for i := 2; i+9 < len(b) && b[i] == 0xff; {
		marker := b[i+1]
		if marker >= 0xc0 && marker <= 0xcf && marker != 0xc4 && marker != 0xc8 && marker != 0xcc {
			return pixels(uint32(binary.BigEndian.Uint16(b[i+7:])), uint32(binary.BigEndian.Uint16(b[i+5:])))
		}
		i += 2 + int(binary.BigEndian.Uint16(b[i+2:]))
	}
	return unknownSide, unknownSide
}
