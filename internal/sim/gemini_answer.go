package sim

import (
	"fmt"
	"strings"

	"breakwater/internal/llm"
)

// geminiParts are the parts of an answer: one string for each token of the
// thinking and the text, and for each call.
type geminiParts struct {
	parts   []string
	tokens  []int // of each part
	thought int   // how many parts are thoughts, which may be hidden
}

func geminiPartsOf(c call, a answer, whole bool) (g geminiParts) {
	add := func(part string, tokens int) {
		g.parts, g.tokens = append(g.parts, part), append(g.tokens, tokens)
	}
	pieces := func(tokens []string) [][]string {
		if whole && len(tokens) > 0 {
			return [][]string{tokens}
		}
		list := make([][]string, len(tokens))
		for i, t := range tokens {
			list[i] = []string{t}
		}
		return list
	}
	if !c.hides {
		for _, p := range pieces(a.thinking) {
			add(fmt.Sprintf(`{"text":%s,"thought":true}`, quote(strings.Join(p, ""))), 0)
			g.thought++
		}
	}
	signature := ""
	if len(a.thinking) > 0 || isGemini3(c.model) && len(a.calls) > 0 {
		signature = sign(llm.Gemini, a.thought()+a.id)
	}
	texts := pieces(a.tokens)
	for i, p := range texts {
		signed := ""
		if signature != "" && len(a.calls) == 0 && i == len(texts)-1 {
			signed = fmt.Sprintf(`,"thoughtSignature":%q`, signature)
		}
		add(fmt.Sprintf(`{"text":%s%s}`, quote(strings.Join(p, "")), signed), len(p))
	}
	for i, s := range a.calls {
		if s.cut {
			continue
		}
		id, signed := "", ""
		if isGemini3(c.model) {
			id = fmt.Sprintf(`,"id":%q`, strings.ToLower(s.id[:8]))
		}
		if signature != "" && i == 0 {
			signed = fmt.Sprintf(`,"thoughtSignature":%q`, signature)
		}
		add(fmt.Sprintf(`{"functionCall":{"name":%s,"args":%s%s}%s}`, quote(s.name), s.args, id, signed), len(s.pieces))
	}
	return g
}

// geminiFinish gives the fields with which a candidate ends.
func geminiFinish(f finish) string {
	switch f {
	case finishStop, finishSequence:
		return `"finishReason":"STOP",`
	case finishCalls:
		return `"finishReason":"STOP","finishMessage":"Model generated function call(s).",`
	case finishLength:
		return `"finishReason":"MAX_TOKENS",`
	case finishFilter:
		return `"finishReason":"SAFETY",`
	}
	return ""
}

// geminiChunk is one GenerateContentResponse: some parts in each candidate,
// the finish reason if it is the last, and the tokens so far.
func geminiChunk(c call, a answer, parts []string, finish finish, output int, logprobs string) string {
	content := `"content":{"role":"model"},`
	if len(parts) > 0 {
		content = `"content":{"parts":[` + strings.Join(parts, ",") + `],"role":"model"},`
	}
	candidates := make([]string, max(c.n, 1))
	for i := range candidates {
		candidates[i] = fmt.Sprintf(`{%s%s%s"index":%d}`, content, geminiFinish(finish), logprobs, i)
	}
	output *= len(candidates)
	produced, thoughts := "", ""
	if output > 0 {
		produced = fmt.Sprintf(`"candidatesTokenCount":%d,`, output)
	}
	if n := len(a.thinking) * len(candidates); n > 0 {
		thoughts = fmt.Sprintf(`,"thoughtsTokenCount":%d`, n)
		output += n
	}
	return fmt.Sprintf(`{"candidates":[%s],"usageMetadata":{"promptTokenCount":%d,%s"totalTokenCount":%d,`+
		`"promptTokensDetails":[{"modality":"TEXT","tokenCount":%d}]%s},"modelVersion":%s,"responseId":%s}`,
		strings.Join(candidates, ","), c.input, produced, c.input+output, c.input, thoughts, quote(a.model), quote(a.id[:min(23, len(a.id))]))
}

// geminiLogprobs gives the probabilities of tokens, with as many alternatives
// as were asked for (https://ai.google.dev/api/generate-content#LogprobsResult, 2026-11).
func geminiLogprobs(c call, tokens []string) string {
	if !c.logprobs || len(tokens) == 0 {
		return ""
	}
	one := func(token string, id int, logprob float64) string {
		return fmt.Sprintf(`{"token":%s,"tokenId":%d,"logProbability":%g}`, quote(token), id, logprob)
	}
	var chosen, top []string
	for i, token := range tokens {
		others := make([]string, c.likely)
		for j := range others {
			word := token
			if j > 0 {
				word = fmt.Sprintf("alt%d", j)
			}
			others[j] = one(word, 1000+i+j, -0.125-float64(j))
		}
		chosen = append(chosen, one(token, 1000+i, -0.125))
		top = append(top, `{"candidates":[`+strings.Join(others, ",")+`]}`)
	}
	return fmt.Sprintf(`"avgLogprobs":-0.125,"logprobsResult":{"topCandidates":[%s],"chosenCandidates":[%s]},`,
		strings.Join(top, ","), strings.Join(chosen, ","))
}

func (gemini) whole(c call, a answer) response {
	if c.embed != nil {
		return geminiVectors(c, a)
	}
	g := geminiPartsOf(c, a, true)
	return response{
		status: 200,
		header: contentType(geminiJSON),
		body:   indent(geminiChunk(c, a, g.parts, a.finish, a.spent(), geminiLogprobs(c, a.tokens))),
	}
}

// stream puts the finish reason into the last chunk with content, as the API
// does most of the time; an answer without any ends in a chunk without a part.
func (gemini) stream(c call, a answer) frames {
	frame := func(i int, chunk string) string {
		switch {
		case !c.array:
			return "data: " + chunk + "\r\n\r\n"
		case i == 0:
			return "[" + chunk
		}
		return "\n,\r\n" + chunk
	}
	f, end := frames{contentType: "text/event-stream"}, ""
	if c.array {
		f.contentType, end = geminiJSON, "\n]\n"
	}
	f.failure = func(sent int) string {
		return frame(sent, `{"error":{"code":503,"message":"The model is overloaded. Please try again later.","status":"UNAVAILABLE"}}`) + end
	}
	g := geminiPartsOf(c, a, false)
	if len(g.parts) == 0 && a.finish != unfinished {
		f.token(frame(0, geminiChunk(c, a, nil, a.finish, 0, "")))
	}
	sum := 0
	for i, part := range g.parts {
		ends, logprobs := unfinished, ""
		if i == len(g.parts)-1 {
			ends = a.finish
		}
		if text := i - g.thought; text >= 0 && text < len(a.tokens) {
			logprobs = geminiLogprobs(c, a.tokens[text:text+1])
		}
		sum += g.tokens[i]
		f.token(frame(i, geminiChunk(c, a, []string{part}, ends, sum, logprobs)))
	}
	if a.finish != unfinished {
		f.tail = []string{end}
	}
	return f
}
