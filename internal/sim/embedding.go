package sim

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"math"
	"math/rand/v2"
	"strings"
)

// DefaultDimensions is how long the vectors are where a request asks for no
// length: enough to tell texts apart, short enough to read.
const DefaultDimensions = 8

// embedding is a request for vectors.
type embedding struct {
	texts      []string
	dimensions int // 0 for the default
	base64     bool
	batch      bool // Gemini: a list was asked for. Ollama: the old endpoint was not
}

// embeds says whether a model makes vectors, and nothing else.
func embeds(model string) bool { return strings.Contains(model, "embed") }

// vectors gives a unit vector for each text, the same for the same text.
func (e embedding) vectors() [][]float64 {
	list := make([][]float64, len(e.texts))
	for i, text := range e.texts {
		list[i] = Vector(text, e.dimensions)
	}
	return list
}

// Vector gives the vector of a text that the simulated providers all answer
// with: of length 1, in so many dimensions, DefaultDimensions where that is 0.
func Vector(text string, dimensions int) []float64 {
	if dimensions == 0 {
		dimensions = DefaultDimensions
	}
	draw := rand.New(rand.NewChaCha8(sha256.Sum256([]byte(text))))
	v, square := make([]float64, dimensions), 0.0
	for i := range v {
		v[i] = draw.Float64()*2 - 1
		square += v[i] * v[i]
	}
	for i := range v {
		v[i] = float64(float32(v[i] / math.Sqrt(square))) // as precise as the providers are
	}
	return v
}

// packed writes a vector as OpenAI does on request: base64 of little-endian
// 32-bit floats.
func packed(v []float64) string {
	var b []byte
	for _, x := range v {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(float32(x)))
	}
	return base64.StdEncoding.EncodeToString(b)
}
