package sim

import (
	"fmt"
	"strings"
)

func openAIFinish(f finish) string {
	switch f {
	case finishStop, finishSequence:
		return `"stop"`
	case finishLength:
		return `"length"`
	case finishFilter:
		return `"content_filter"`
	case finishCalls:
		return `"tool_calls"`
	}
	return "null"
}

func openAIUsage(c call, a answer) string {
	out := a.output() * max(c.n, 1)
	return fmt.Sprintf(`{"prompt_tokens":%d,"completion_tokens":%d,"total_tokens":%d,`+
		`"prompt_tokens_details":{"cached_tokens":0,"audio_tokens":0},`+
		`"completion_tokens_details":{"reasoning_tokens":%d,"audio_tokens":0,"accepted_prediction_tokens":0,"rejected_prediction_tokens":0}}`,
		c.input, out, c.input+out, len(a.thinking)*max(c.n, 1))
}

func openAIID(a answer) string { return "chatcmpl-" + a.id[:min(29, len(a.id))] }

func openAICallID(s spoken, choice int) string {
	return fmt.Sprintf("call_%s%d", s.id[:min(22, len(s.id))], choice)
}

// likelihoods gives the logprobs of some tokens, with as many alternatives as
// were asked for; the most likely is the token itself.
func likelihoods(tokens []string, alternatives int) string {
	one := func(token string, logprob float64) string {
		codes := make([]string, len(token))
		for i, b := range []byte(token) {
			codes[i] = fmt.Sprint(b)
		}
		return fmt.Sprintf(`"token":%s,"logprob":%g,"bytes":[%s]`, quote(token), logprob, strings.Join(codes, ","))
	}
	list := make([]string, len(tokens))
	for i, token := range tokens {
		others := make([]string, alternatives)
		for j := range others {
			word := token
			if j > 0 {
				word = fmt.Sprintf("alt%d", j)
			}
			others[j] = "{" + one(word, -0.125-float64(j)) + "}"
		}
		list[i] = fmt.Sprintf(`{%s,"top_logprobs":[%s]}`, one(token, -0.125), strings.Join(others, ","))
	}
	return "[" + strings.Join(list, ",") + "]"
}

func openAILogprobs(c call, tokens ...string) string {
	if !c.logprobs {
		return "null"
	}
	return fmt.Sprintf(`{"content":%s,"refusal":null}`, likelihoods(tokens, c.likely))
}

func (openAI) whole(c call, a answer) response {
	if c.embed != nil {
		return openAIVectors(c, a)
	}
	choices := make([]string, max(c.n, 1))
	for i := range choices {
		content, calls := quote(a.text()), ""
		if len(a.calls) > 0 {
			list := make([]string, len(a.calls))
			for j, s := range a.calls {
				list[j] = fmt.Sprintf(`{"id":%q,"type":"function","function":{"name":%s,"arguments":%s}}`,
					openAICallID(s, i), quote(s.name), quote(s.args))
			}
			calls = `"tool_calls":[` + strings.Join(list, ",") + `],`
			if len(a.tokens) == 0 {
				content = "null"
			}
		}
		choices[i] = fmt.Sprintf(`{"index":%d,"message":{"role":"assistant","content":%s,%s"refusal":null,"annotations":[]},`+
			`"logprobs":%s,"finish_reason":%s}`, i, content, calls, openAILogprobs(c, a.tokens...), openAIFinish(a.finish))
	}
	return response{status: 200, header: contentType("application/json"), body: indent(fmt.Sprintf(
		`{"id":%s,"object":"chat.completion","created":%d,"model":%s,"choices":[%s],`+
			`"usage":%s,"service_tier":"default","system_fingerprint":%q}`,
		quote(openAIID(a)), a.made.Unix(), quote(a.model), strings.Join(choices, ","), openAIUsage(c, a), openAIFingerprint))}
}

// openAIChunks writes the chunks of one stream.
type openAIChunks struct {
	c call
	a answer
}

func (k openAIChunks) frame(choices, usage string) string {
	if !k.c.usage {
		usage = ""
	} else {
		usage = `,"usage":` + usage
	}
	return fmt.Sprintf(`data: {"id":%s,"object":"chat.completion.chunk","created":%d,"model":%s,"service_tier":"default",`+
		`"system_fingerprint":%q,"choices":[%s]%s,"obfuscation":"%0*d"}`+"\n\n",
		quote(openAIID(k.a)), k.a.made.Unix(), quote(k.a.model), openAIFingerprint, choices, usage, 1+len(choices)%11, 0)
}

// delta gives one chunk for each choice.
func (k openAIChunks) delta(delta func(choice int) string, logprobs, finish string) (all string) {
	for i := range max(k.c.n, 1) {
		all += k.frame(fmt.Sprintf(`{"index":%d,"delta":%s,"logprobs":%s,"finish_reason":%s}`, i, delta(i), logprobs, finish), "null")
	}
	return all
}

func (openAI) stream(c call, a answer) frames {
	k := openAIChunks{c, a}
	same := func(delta string) func(int) string { return func(int) string { return delta } }
	opening := `{"role":"assistant","content":"","refusal":null}`
	if len(a.tokens) == 0 && len(a.calls) > 0 {
		opening = `{"role":"assistant","content":null}`
	}
	f := frames{
		contentType: "text/event-stream; charset=utf-8",
		head:        []string{k.delta(same(opening), "null", "null")},
		failure: func(int) string {
			return `data: {"error": {"message": "` + openAIServerError + `", "type": "server_error", "param": null, "code": null}}` + "\n\n"
		},
	}
	for _, token := range a.tokens {
		f.token(k.delta(same(`{"content":`+quote(token)+`}`), openAILogprobs(c, token), "null"))
	}
	for j, s := range a.calls {
		f.along(k.delta(func(i int) string {
			return fmt.Sprintf(`{"tool_calls":[{"index":%d,"id":%q,"type":"function","function":{"name":%s,"arguments":""}}]}`,
				j, openAICallID(s, i), quote(s.name))
		}, "null", "null"))
		for _, piece := range s.pieces {
			f.token(k.delta(same(fmt.Sprintf(`{"tool_calls":[{"index":%d,"function":{"arguments":%s}}]}`, j, quote(piece))), "null", "null"))
		}
	}
	if a.finish == unfinished {
		return f
	}
	f.tail = []string{k.delta(same("{}"), "null", openAIFinish(a.finish))}
	if c.usage {
		f.tail = append(f.tail, k.frame("", openAIUsage(c, a)))
	}
	f.tail = append(f.tail, "data: [DONE]\n\n")
	return f
}
