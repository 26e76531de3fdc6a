package wire

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"

	"breakwater/internal/llm"

	"github.com/tidwall/gjson"
	"github.com/tidwall/sjson"
)

// Gemini signs the parts of its answers and, since version 3, refuses a
// history whose calls have lost their signatures. For calls that another
// model made it documents a value that skips the check, see
// https://ai.google.dev/gemini-api/docs/thought-signatures (2026-11). The
// field is of type bytes: SDKs that keep to it write and read base64, others
// the bare words. Both are understood here, but Google takes the bare words
// only: https://github.com/langchain-ai/langchain-google/issues/1570 (2026-11).
const (
	geminiSkip        = "skip_thought_signature_validator"
	geminiSkipEncoded = "c2tpcF90aG91Z2h0X3NpZ25hdHVyZV92YWxpZGF0b3I="
	geminiSkipOld     = "context_engineering_is_the_way_to_go"
)

// geminiSkips says whether a signature is one of the values that stand for none.
func geminiSkips(signature string) bool {
	if signature == geminiSkip || signature == geminiSkipOld {
		return true
	}
	if len(signature) > 2*len(geminiSkipEncoded) {
		return false
	}
	b, ok := fromBase64(signature)
	return ok && (string(b) == geminiSkip || string(b) == geminiSkipOld)
}

// A caller of Gemini's dialect sends back what stands in thoughtSignature and
// often nothing else of the thinking. So the thinking of another provider,
// which that provider wants back, travels in it: on the part that follows it,
// as Gemini's own signatures do.

// geminiSealMark begins the bytes of a signature that holds another provider's
// thinking, geminiSealPrefix the same in base64, so that others need not be decoded.
const (
	geminiSealMark   = "breakwater:"
	geminiSealPrefix = "YnJlYWt3YXRlcj"
)

// geminiSealed is one thinking part of another provider.
type geminiSealed struct {
	By        llm.Provider `json:"by"`
	Text      string       `json:"text,omitempty"`
	Signature string       `json:"signature"`
	Redacted  bool         `json:"redacted,omitempty"`
}

// geminiSeal writes thinking parts as a thoughtSignature.
func geminiSeal(parts []geminiSealed) string {
	return base64.StdEncoding.EncodeToString(append([]byte(geminiSealMark), marshal(parts)...))
}

// geminiUnseal reads what geminiSeal wrote; false for any other signature.
func geminiUnseal(signature string) ([]llm.Part, bool) {
	if !strings.HasPrefix(signature, geminiSealPrefix) {
		return nil, false
	}
	b, ok := fromBase64(signature)
	text, marked := strings.CutPrefix(string(b), geminiSealMark)
	var list []geminiSealed
	if !ok || !marked || !validJSON([]byte(text)) || json.Unmarshal([]byte(text), &list) != nil {
		return nil, false
	}
	parts := make([]llm.Part, len(list))
	for i, s := range list {
		parts[i] = llm.Part{Kind: llm.Thinking, Text: s.Text, Signature: s.Signature, SignedBy: s.By, Redacted: s.Redacted}
	}
	return parts, true
}

// fromBase64 reads both alphabets of base64, with or without padding, as
// JSON's mapping of bytes asks for: https://protobuf.dev/programming-guides/json (2026-11).
func fromBase64(s string) ([]byte, bool) {
	b, err := base64.StdEncoding.DecodeString(standardBase64(s))
	return b, err == nil
}

// standardBase64 gives the same data in the usual alphabet, padded.
func standardBase64(s string) string {
	if strings.ContainsAny(s, "-_") {
		s = strings.NewReplacer("-", "+", "_", "/").Replace(s)
	}
	if over := len(s) % 4; over > 1 {
		s += "==="[:4-over]
	}
	return s
}

// spliceGemini keeps the caller's body but for the model's name, where it is
// told, and for what stands in the place of signatures and no model of Gemini
// made: another provider's thinking is taken out, its calls get the value that
// skips the check, and models that check nothing get none.
func spliceGemini(model string, req *llm.Request) (Encoded, error) {
	body := []byte(req.Body)
	refused := func(field string, err error) (Encoded, error) {
		return Encoded{}, &RequestError{field, "cannot be replaced in the body: " + err.Error()}
	}
	var err error
	path := ""
	for _, name := range [...]string{"generateContentRequest", "generate_content_request"} {
		if gjson.GetBytes(body, name).IsObject() { // of countTokens
			path = name + "."
		}
	}
	if told := gjson.GetBytes(body, path+"model"); told.Exists() {
		name := "models/" + strings.TrimPrefix(model, "models/")
		if told.String() != name {
			if body, err = sjson.SetBytes(body, path+"model", name); err != nil {
				return refused(path+"model", err)
			}
		}
	}
	if !bytes.Contains(body, []byte(geminiSealPrefix)) && !bytes.Contains(body, []byte(geminiSkipEncoded)) {
		return Encoded{Body: body}, nil
	}
	contents := gjson.GetBytes(body, path+"contents").Array()
	for i := len(contents) - 1; i >= 0; i-- { // from the end, so that the others keep their place
		parts := contents[i].Get("parts").Array()
		foreign := false // what follows holds the thinking of another provider
		for j := len(parts) - 1; j >= 0; j-- {
			at := fmt.Sprintf("%scontents.%d.parts.%d", path, i, j)
			shown := parts[j].Get("thought").Bool() && geminiSignature(parts[j]).String() == ""
			if foreign && shown {
				body, err = sjson.DeleteBytes(body, at)
			} else {
				_, foreign = geminiUnseal(geminiSignature(parts[j]).String())
				body, err = spliceGeminiPart(body, at, parts[j], foreign, geminiVersion(model))
			}
			if err != nil {
				return refused(at, err)
			}
		}
		if at := fmt.Sprintf("%scontents.%d.parts", path, i); len(parts) > 0 && gjson.GetBytes(body, at+".#").Int() == 0 {
			if body, err = sjson.SetRawBytes(body, at, []byte(`[{"text":""}]`)); err != nil {
				return refused(at, err)
			}
		}
	}
	return Encoded{Body: body}, nil
}

// geminiSignature finds a part's signature in either spelling.
func geminiSignature(part gjson.Result) gjson.Result {
	if v := part.Get("thoughtSignature"); v.Exists() {
		return v
	}
	return part.Get("thought_signature")
}

// spliceGeminiPart mends the signature of one part.
func spliceGeminiPart(body []byte, at string, part gjson.Result, foreign bool, version int) ([]byte, error) {
	name := "thoughtSignature"
	if !part.Get(name).Exists() {
		name = "thought_signature"
	}
	call := part.Get("functionCall").Exists() || part.Get("function_call").Exists()
	switch {
	case foreign && call && version >= geminiLevels:
		return sjson.SetBytes(body, at+"."+name, geminiSkip)
	case foreign && part.Get("text").String() == "" && !call:
		return sjson.DeleteBytes(body, at)
	case foreign, part.Get(name).String() == geminiSkipEncoded && version < geminiLevels:
		return sjson.DeleteBytes(body, at+"."+name)
	case part.Get(name).String() == geminiSkipEncoded:
		return sjson.SetBytes(body, at+"."+name, geminiSkip)
	}
	return body, nil
}
