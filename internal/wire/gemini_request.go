package wire

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"breakwater/internal/llm"

	"github.com/tidwall/gjson"
)

// DecodeGemini reads the body of generateContent and streamGenerateContent,
// see https://ai.google.dev/api/generate-content (2026-11). The error is a
// *RequestError. Model and streaming stand in the path, not in the body.
//
// As in JSON's mapping of protocol buffers, a field may be spelled in
// camelCase or snake_case, null is no value, a number may be a string, an enum
// a number, and a list of one its only element.
//
// Beyond the shared words are the tools that Google runs, cached contents,
// other answers than text, uploaded files, and safety settings that are
// stricter than other providers' own policies. What loosens Google's filters,
// tells where a file came from or how requests are logged changes nothing.
func DecodeGemini(body []byte) (*llm.Request, error) {
	o, err := requestObject(body)
	if err != nil {
		return nil, err
	}
	d := newGeminiDecoder(body)
	if err := d.request("", o); err != nil {
		return nil, err
	}
	return d.req, nil
}

// DecodeGeminiCount reads the body of countTokens: contents alone, or a whole
// generateContentRequest, see https://ai.google.dev/api/tokens (2026-11).
func DecodeGeminiCount(body []byte) (*llm.Request, error) {
	o, err := requestObject(body)
	if err != nil {
		return nil, err
	}
	d := newGeminiDecoder(body)
	path := ""
	for _, name := range [...]string{"generateContentRequest", "generate_content_request"} {
		if inner := o.Get(name); inner.IsObject() {
			o, path = inner, name+"."
		}
	}
	if err := d.request(path, o); err != nil {
		return nil, err
	}
	return d.req, nil
}

// geminiDecoder fills a request from the fields of a body.
type geminiDecoder struct {
	req      *llm.Request
	contents bool
	calls    []*geminiOpenCall // in order
	detail   string            // how closely images shall be looked at
	mime     string            // of the answer
	schema   gjson.Result      // of the answer, an OpenAPI schema
	json     gjson.Result      // of the answer, a JSON schema
}

// geminiOpenCall is a call of the history that awaits its result.
type geminiOpenCall struct {
	call     *llm.ToolCall
	answered bool
}

func newGeminiDecoder(body []byte) *geminiDecoder {
	return &geminiDecoder{req: &llm.Request{Dialect: llm.GeminiGenerate, Body: body}}
}

// beyond notes a field that the request cannot say, once.
func (d *geminiDecoder) beyond(path string) {
	if !slices.Contains(d.req.Beyond, path) {
		d.req.Beyond = append(d.req.Beyond, path)
	}
}

func (d *geminiDecoder) request(path string, o gjson.Result) error {
	if err := geminiFields(path, o, d.field); err != nil {
		return err
	}
	if !d.contents {
		return &RequestError{path + "contents", "is required: a list with at least one content"}
	}
	d.format()
	if d.detail != "" {
		for _, m := range d.req.Messages {
			for _, p := range m.Parts {
				if p.Kind == llm.Image && p.Media.Detail == "" {
					p.Media.Detail = d.detail
				}
			}
		}
	}
	return nil
}

func (d *geminiDecoder) field(name, path string, v gjson.Result) (err *RequestError) {
	switch name {
	case "contents":
		err = d.conversation(path, v)
	case "systemInstruction":
		err = d.system(path, v)
	case "tools":
		err = geminiList(path, v, d.tool)
	case "toolConfig":
		err = geminiFields(path+".", v, d.toolConfig)
	case "generationConfig":
		err = geminiFields(path+".", v, d.config)
	case "safetySettings":
		err = geminiList(path, v, d.safety)
	case "labels":
		err = d.labels(path, v)
	case "serviceTier":
		d.req.ServiceTier, err = text(path, v)
		d.req.ServiceTier = strings.TrimPrefix(strings.ToLower(d.req.ServiceTier), "service_tier_")
		if d.req.ServiceTier == "unspecified" {
			d.req.ServiceTier = ""
		}
	case "model", "store": // the path names the model; store is about Google's own logs
	default:
		d.beyond(path)
	}
	return err
}

func (d *geminiDecoder) labels(path string, v gjson.Result) *RequestError {
	if !v.IsObject() {
		return wrongType(path, v, "an object")
	}
	return eachField(v, path+".", func(name string, v gjson.Result) *RequestError {
		value, err := text(path+"."+label(name), v)
		if d.req.Metadata == nil {
			d.req.Metadata = make(map[string]string)
		}
		d.req.Metadata[name] = value
		return err
	})
}

// safety passes over thresholds that loosen Google's filters or stop only what
// every provider stops.
func (d *geminiDecoder) safety(path string, v gjson.Result) *RequestError {
	return geminiFields(path+".", v, func(name, path string, v gjson.Result) *RequestError {
		if name != "threshold" {
			return nil
		}
		switch v.String() {
		case "BLOCK_LOW_AND_ABOVE", "BLOCK_MEDIUM_AND_ABOVE", "1", "2":
			d.beyond(path)
		}
		return nil
	})
}

func (d *geminiDecoder) system(path string, v gjson.Result) *RequestError {
	m := llm.Message{Role: llm.System}
	add := func(path string, v gjson.Result) *RequestError {
		said, err := text(path, v)
		m.Parts = append(m.Parts, llm.Part{Kind: llm.Text, Text: said})
		return err
	}
	part := func(path string, v gjson.Result) *RequestError {
		return geminiFields(path+".", v, func(name, path string, v gjson.Result) *RequestError {
			switch name {
			case "text":
				return add(path, v)
			case "inlineData", "fileData":
				d.beyond(path)
			}
			return nil
		})
	}
	var err *RequestError
	switch {
	case v.Type == gjson.String:
		err = add(path, v)
	case v.Get("parts").Exists():
		err = geminiList(path+".parts", v.Get("parts"), part)
	case v.IsObject() && v.Get("text").Exists():
		err = part(path, v)
	case !v.IsObject():
		err = wrongType(path, v, "a content or a string")
	}
	if len(m.Parts) > 0 {
		d.req.Messages = append([]llm.Message{m}, d.req.Messages...)
	}
	return err
}

func (d *geminiDecoder) tool(path string, v gjson.Result) *RequestError {
	return geminiFields(path+".", v, func(name, path string, v gjson.Result) *RequestError {
		if name != "functionDeclarations" {
			d.beyond(path) // what Google runs: googleSearch, codeExecution, urlContext and others
			return nil
		}
		return geminiList(path, v, d.function)
	})
}

func (d *geminiDecoder) function(path string, v gjson.Result) *RequestError {
	var t llm.Tool
	err := geminiFields(path+".", v, func(name, path string, v gjson.Result) (err *RequestError) {
		switch name {
		case "name":
			t.Name, err = text(path, v)
		case "description":
			t.Description, err = text(path, v)
		case "parameters", "parametersJsonSchema":
			switch {
			case !v.IsObject():
				err = wrongType(path, v, "an object")
			case name == "parameters":
				t.Schema = []byte(compact(string(fromOpenAPI(v))))
			default:
				t.Schema = []byte(compact(v.Raw))
			}
		case "response", "responseJsonSchema", "behavior": // tell the model nothing it must obey
		default:
			d.beyond(path)
		}
		return err
	})
	if err == nil && t.Name == "" {
		err = &RequestError{path + ".name", "is required"}
	}
	d.req.Tools = append(d.req.Tools, t)
	return err
}

func (d *geminiDecoder) toolConfig(name, path string, v gjson.Result) *RequestError {
	switch name {
	case "functionCallingConfig":
		c := llm.ToolChoice{Mode: llm.ChooseAuto}
		err := geminiFields(path+".", v, func(name, path string, v gjson.Result) (err *RequestError) {
			switch name {
			case "mode":
				if c.Mode, err = geminiMode(path, v); v.String() == "VALIDATED" {
					d.req.Aside = append(d.req.Aside, path)
				}
			case "allowedFunctionNames":
				err = geminiList(path, v, func(path string, v gjson.Result) *RequestError {
					name, err := text(path, v)
					c.Among = append(c.Among, name)
					return err
				})
			case "streamFunctionCallArguments": // how calls are sent, not what they are
			default:
				d.beyond(path)
			}
			return err
		})
		if c.Mode == llm.ChooseAny && len(c.Among) == 1 {
			c = llm.ToolChoice{Mode: llm.ChooseTool, Name: c.Among[0]}
		}
		d.req.ToolChoice = &c
		return err
	case "includeServerSideToolInvocations": // of tools that are beyond themselves
		return nil
	}
	d.beyond(path)
	return nil
}

// geminiMode reads the mode of functionCallingConfig. VALIDATED is AUTO whose
// calls surely fit their schemas.
func geminiMode(path string, v gjson.Result) (llm.ChoiceMode, *RequestError) {
	switch v.String() {
	case "AUTO", "VALIDATED", "MODE_UNSPECIFIED", "0", "1", "4":
		return llm.ChooseAuto, nil
	case "ANY", "2":
		return llm.ChooseAny, nil
	case "NONE", "3":
		return llm.ChooseNone, nil
	}
	return "", &RequestError{path, fmt.Sprintf("%q is none of AUTO, ANY, NONE, VALIDATED", label(v.String()))}
}

// config takes a field of generationConfig, see
// https://ai.google.dev/api/generate-content#generationconfig (2026-11).
func (d *geminiDecoder) config(name, path string, v gjson.Result) (err *RequestError) {
	r := d.req
	v = geminiNumber(v)
	switch name {
	case "temperature":
		r.Temperature, err = number(path, v, 0, 2)
	case "topP":
		r.TopP, err = number(path, v, 0, 1)
	case "topK":
		r.TopK, err = integer(path, v, 0, math.MaxInt32)
	case "candidateCount":
		r.N, err = integer(path, v, 1, math.MaxInt32)
	case "maxOutputTokens":
		r.MaxTokens, err = integer(path, v, 1, math.MaxInt32)
	case "stopSequences":
		err = geminiList(path, v, func(path string, v gjson.Result) *RequestError {
			stop, err := text(path, v)
			r.Stop = append(r.Stop, stop)
			return err
		})
	case "seed":
		r.Seed, err = integer(path, v, math.MinInt32, math.MaxInt32)
	case "presencePenalty":
		r.PresencePenalty, err = number(path, v, -2, 2)
	case "frequencyPenalty":
		r.FrequencyPenalty, err = number(path, v, -2, 2)
	case "responseLogprobs":
		var set bool
		set, err = boolean(path, v)
		r.Logprobs = &set
	case "logprobs":
		r.TopLogprobs, err = integer(path, v, 0, 20)
	case "thinkingConfig":
		r.Thought = new(llm.Thought)
		err = geminiFields(path+".", v, d.thinking)
	default:
		err = d.output(name, path, v)
	}
	return err
}

// output takes the fields that say what form the answer has.
func (d *geminiDecoder) output(name, path string, v gjson.Result) (err *RequestError) {
	switch name {
	case "responseMimeType":
		d.mime, err = text(path, v)
		if d.mime != "" && d.mime != "text/plain" && d.mime != "application/json" {
			d.beyond(path) // text/x.enum
		}
	case "responseSchema":
		d.schema = v
	case "responseJsonSchema", "_responseJsonSchema":
		d.json = v
	case "responseFormat": // https://ai.google.dev/gemini-api/docs/structured-output (2026-11)
		err = geminiList(path, v, func(path string, v gjson.Result) *RequestError {
			return geminiFields(path+".", v, func(name, path string, v gjson.Result) *RequestError {
				if name != "text" {
					d.beyond(path)
					return nil
				}
				return geminiFields(path+".", v, func(name, path string, v gjson.Result) *RequestError {
					switch {
					case name == "schema":
						d.json = v
					case name == "mimeType" && strings.EqualFold(v.String(), "APPLICATION_JSON"):
						d.mime = "application/json"
					case name == "mimeType":
						return d.output("responseMimeType", path, v)
					}
					return nil
				})
			})
		})
	case "responseModalities":
		err = geminiList(path, v, func(_ string, v gjson.Result) *RequestError {
			if !strings.EqualFold(v.String(), "TEXT") && v.String() != "1" {
				d.beyond(path)
			}
			return nil
		})
	case "mediaResolution":
		d.detail = geminiResolution(v.String())
	case "audioTimestamp", "enableEnhancedCivicAnswers":
		if v.Bool() {
			d.req.Aside = append(d.req.Aside, path)
		}
	default:
		d.beyond(path)
	}
	return err
}

// geminiResolution gives a media resolution in OpenAI's words for an image's detail.
func geminiResolution(resolution string) string {
	switch strings.TrimPrefix(resolution, "MEDIA_RESOLUTION_") {
	case "LOW", "1":
		return "low"
	case "MEDIUM", "2":
		return "auto"
	case "HIGH", "ULTRA_HIGH", "3":
		return "high"
	}
	return ""
}

func (d *geminiDecoder) thinking(name, path string, v gjson.Result) (err *RequestError) {
	t := d.req.Thought
	switch name {
	case "thinkingBudget":
		t.Budget, err = integer(path, geminiNumber(v), -1, math.MaxInt32)
	case "includeThoughts":
		var show bool
		show, err = boolean(path, v)
		t.Show = &show
	case "thinkingLevel":
		switch level := strings.ToLower(v.String()); level {
		case "minimal", "low", "medium", "high":
			t.Effort = level
		case "thinking_level_unspecified", "":
		default:
			err = &RequestError{path, fmt.Sprintf("%q is none of MINIMAL, LOW, MEDIUM, HIGH", label(v.String()))}
		}
	default:
		d.beyond(path)
	}
	return err
}

// format puts together what was told of the answer's form.
func (d *geminiDecoder) format() {
	switch {
	case d.json.IsObject():
		d.req.Format = &llm.Format{Kind: llm.FormatSchema, Schema: []byte(compact(d.json.Raw))}
	case d.schema.IsObject() && d.mime != "text/x.enum":
		d.req.Format = &llm.Format{Kind: llm.FormatSchema, Schema: []byte(compact(string(fromOpenAPI(d.schema))))}
	case d.mime == "application/json":
		d.req.Format = &llm.Format{Kind: llm.FormatJSON}
	}
}

// geminiFields calls f for each field of an object that has a value, with its
// name in camelCase and its path as it was written.
func geminiFields(path string, o gjson.Result, f func(name, path string, v gjson.Result) *RequestError) *RequestError {
	if !o.IsObject() {
		return wrongType(strings.TrimSuffix(path, "."), o, "an object")
	}
	seen := make(map[string]bool, 8)
	return eachField(o, path, func(name string, v gjson.Result) *RequestError {
		if v.Type == gjson.Null {
			return nil
		}
		camel := camelCase(name)
		if seen[camel] {
			return &RequestError{path + label(name), "is given twice"}
		}
		seen[camel] = true
		return f(camel, path+label(name), v)
	})
}

// geminiList calls f for each element of a list, or for the only one.
func geminiList(path string, v gjson.Result, f func(path string, v gjson.Result) *RequestError) *RequestError {
	if v.IsObject() || v.Type == gjson.String {
		return f(path, v)
	}
	return eachElement(v, path, f)
}

// geminiNumber reads a number that is written as a string.
func geminiNumber(v gjson.Result) gjson.Result {
	if v.Type == gjson.String && gjson.Valid(v.Str) {
		if n := gjson.Parse(v.Str); n.Type == gjson.Number {
			return n
		}
	}
	return v
}

// camelCase gives the camelCase name of a field in snake_case.
func camelCase(name string) string {
	if !strings.Contains(name[min(1, len(name)):], "_") {
		return name
	}
	var b strings.Builder
	up := false
	for i, c := range name {
		switch {
		case c == '_' && i > 0:
			up = true
		case up && 'a' <= c && c <= 'z':
			b.WriteRune(c - 'a' + 'A')
			up = false
		default:
			b.WriteRune(c)
			up = false
		}
	}
	return b.String()
}
