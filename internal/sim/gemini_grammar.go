package sim

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"unicode"
)

// geminiGrammar is the body of a request, in the spelling of JSON
// (https://ai.google.dev/api/generate-content and https://ai.google.dev/api/caching#Schema, 2026-11).
// What Google's other platform alone takes is not in it: labels, routing,
// timestamps of audio, arguments in parts (google.golang.org/genai v1.77, models.go).
func geminiGrammar() grammar {
	return grammar{
		"generate": "cachedContent contents:content generationConfig:config model safetySettings:safety serviceTier store " +
			"systemInstruction:content toolConfig:toolConfig tools:tool",
		"count":   "contents:content generateContentRequest:generate",
		"embed":   "model content:content taskType title outputDimensionality embedContentConfig",
		"batch":   "requests:embed",
		"content": "role parts:part",
		"part": "text thought thoughtSignature inlineData:blob fileData:file functionCall:call functionResponse:response " +
			"executableCode codeExecutionResult videoMetadata partMetadata mediaResolution mediaProcessing speechMetadata audioTranscription " +
			"toolCall toolResponse",
		"blob":         "mimeType data displayName",
		"file":         "mimeType fileUri displayName",
		"call":         "id name args:object",
		"response":     "id name response:object parts:responsePart willContinue scheduling",
		"responsePart": "inlineData:blob fileData:file mediaProcessing",
		"safety":       "category threshold",
		"config": "_responseJsonSchema candidateCount enableEnhancedCivicAnswers frequencyPenalty " +
			"imageConfig logprobs maxOutputTokens mediaResolution presencePenalty responseFormat responseJsonSchema responseLogprobs " +
			"responseMimeType responseModalities responseSchema:schema seed speechConfig stopSequences temperature " +
			"thinkingConfig:thinking topK topP",
		"thinking": "includeThoughts thinkingBudget thinkingLevel",
		"tool": "functionDeclarations:function googleSearch googleSearchRetrieval codeExecution urlContext computerUse fileSearch " +
			"googleMaps mcpServers",
		"function":   "name description parameters:schema parametersJsonSchema response:schema responseJsonSchema behavior",
		"toolConfig": "functionCallingConfig:calling retrievalConfig includeServerSideToolInvocations",
		"calling":    "mode allowedFunctionNames",
		"schema": "type format title description nullable enum maxItems minItems properties:schemas required minProperties maxProperties " +
			"minLength maxLength pattern example anyOf:schema propertyOrdering default items:schema minimum maximum",
		"schemas": "*:schema",
	}
}

// geminiTree rewrites the names of the fields that the grammar knows to the
// spelling of JSON, as Google takes both, and finds the first problem with the
// body's shape: a field that does not exist, or a value that does not fit.
// What is the caller's own, arguments and the names of properties, stays, and
// so does the order of all fields.
func geminiTree(raw json.RawMessage, kind, at string) (renamed, problem string) {
	fields := geminiGrammar().fields(kind, nil)
	var out []string
	switch {
	case raw[0] == '[' && kind != "":
		var list []json.RawMessage
		_ = json.Unmarshal(raw, &list) // it is JSON, and a list
		for i, item := range list {
			one, problem := geminiTree(item, kind, fmt.Sprintf("%s[%d]", at, i))
			if problem != "" {
				return "", problem
			}
			out = append(out, one)
		}
		return "[" + strings.Join(out, ",") + "]", ""
	case raw[0] == '{' && fields != nil:
		for i, f := range inOrder(raw) {
			one, problem := geminiField(f, i, fields, kind, at)
			if problem != "" {
				return "", problem
			}
			out = append(out, one)
		}
		return "{" + strings.Join(out, ",") + "}", ""
	case kind == "object" && raw[0] != '{' && string(raw) != "null":
		return "", fmt.Sprintf("Invalid value at '%s' (type.googleapis.com/google.protobuf.Struct), %s", at, raw)
	}
	return string(raw), ""
}

// geminiField rewrites one field, the i-th of an object that has the given
// fields.
func geminiField(f field, i int, fields map[string]string, kind, at string) (renamed, problem string) {
	camel, step := camelCase(f.name), ""
	child, known := fields[camel]
	switch mapped, all := fields["*"]; {
	case all:
		camel, child, step = f.name, mapped, fmt.Sprintf("[%d].value", i)
	case !known:
		return "", fmt.Sprintf("Invalid JSON payload received. Unknown name %q%s: Cannot find field.", f.name, geminiAt(at))
	case at != "":
		step = "." + snakeCase(camel)
	default:
		step = snakeCase(camel)
	}
	if problem = geminiValue(kind, camel, f.value, at, at+step); problem != "" {
		return "", problem
	}
	if slices.Contains([]string{"contents", "parts", "tools", "functionDeclarations"}, camel) && f.value[0] == '{' {
		f.value = json.RawMessage("[" + string(f.value) + "]") // Google takes one for a list of one
	}
	value, problem := geminiTree(f.value, child, at+step)
	return quote(camel) + ":" + value, problem
}

func geminiAt(path string) string {
	if path == "" {
		return ""
	}
	return " at '" + path + "'"
}

// geminiValue gives the problem of a value in a schema that has the wrong type.
func geminiValue(kind, name string, raw json.RawMessage, parent, at string) string {
	if kind != "schema" {
		return ""
	}
	switch name {
	case "required", "anyOf", "propertyOrdering", "example", "default":
		return ""
	case "enum":
		var values []json.RawMessage
		_ = json.Unmarshal(raw, &values) // null is none
		for i, v := range values {
			if v[0] != '"' {
				return fmt.Sprintf("Invalid value at '%s[%d]' (TYPE_STRING), %s", at, i, v)
			}
		}
		return ""
	}
	var word string
	types := []string{"STRING", "NUMBER", "INTEGER", "BOOLEAN", "ARRAY", "OBJECT", "NULL", "TYPE_UNSPECIFIED"}
	switch {
	case raw[0] == '[':
		return fmt.Sprintf("Invalid JSON payload received. Unknown name %q%s: Proto field is not repeating, cannot start list.", name, geminiAt(parent))
	case name == "type" && (json.Unmarshal(raw, &word) != nil || !slices.Contains(types, strings.ToUpper(word))):
		return fmt.Sprintf("Invalid value at '%s' (type.googleapis.com/google.ai.generativelanguage.v1beta.Type), %s", at, raw)
	}
	return ""
}

// camelCase rewrites a name from snake_case.
func camelCase(name string) string {
	head, tail := name[:min(1, len(name))], name[min(1, len(name)):]
	words := strings.Split(tail, "_")
	for i, w := range words[1:] {
		if w != "" {
			words[i+1] = string(unicode.ToUpper(rune(w[0]))) + w[1:]
		}
	}
	return head + strings.Join(words, "")
}

// snakeCase rewrites a name from camelCase.
func snakeCase(name string) string {
	var b strings.Builder
	for _, r := range name {
		if unicode.IsUpper(r) {
			b.WriteByte('_')
		}
		b.WriteRune(unicode.ToLower(r))
	}
	return b.String()
}
