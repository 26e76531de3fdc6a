package wire

import (
	"reflect"
	"strconv"
	"strings"
	"testing"

	"breakwater/internal/llm"

	"pgregory.net/rapid"
)

// streamed are events of which many differ in a string only, with a verb for it.
func streamed() map[llm.Dialect][]string {
	return map[llm.Dialect][]string{
		llm.OpenAIChat: {
			`{"id":"c1","model":"m","choices":[{"index":0,"delta":{"content":%s},"logprobs":null,"finish_reason":null}],"usage":null}`,
			`{"id":"c1","model":"m","choices":[{"index":0,"delta":{"content":%s},"finish_reason":null}],"obfuscation":"x"}`,
			`{"id":"c1","model":"m","choices":[{"index":0,"delta":{"content":%s},"finish_reason":null}],"obfuscation":"xyz"}`,
			` {"choices":[{"delta":{"content":%s},"finish_reason":null,"index":0}],"id":"c1","obfuscation":"x","object":"chat.completion.chunk"}`,
			`{"choices":[{"delta":{"content":%s},"finish_reason":null,"index":0}],"id":"c1","obfuscation":"x","usage":{"prompt_tokens":3}}`,
			`{"id":"c1","choices":[{"index":1,"delta":{"content":%s}}]}`,
			`{"id":"c1","choices":[{"index":0,"delta":{"content":%s},"finish_reason":"stop"}]}`,
			`{"id":"c1","choices":[{"index":0,"delta":{"content":%s}}],"usage":{"prompt_tokens":1}}`,
			`{"id":"c1","choices":[{"index":0,"delta":{"content":%s}},{"index":1,"delta":{"content":"b"}}]}`,
			`{"id":"c1","choices":[{"index":0,"delta":{"reasoning_content":%s}}]}`,
			`{"id":"c1","choices":[{"index":0,"delta":{"content":"a","reasoning_content":%s}}]}`,
			`{"id":"c1","choices":[{"index":0,"delta":{"content":"a"}}],"error":%s}`,
			`{"id":"c1","choices":[{"index":0,"delta":{"content":"a","tool_calls":[{"index":0,"id":"t","function":{"name":"f","arguments":%s}}]}}]}`,
		},
		llm.AnthropicMessages: {
			`{"type":"content_block_start","index":0,"content_block":{"type":"text","text":%s}}`,
			`{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":%s}}`,
			`{"type":"content_block_delta","index":0,"delta":{"text":%s,"type":"text_delta"}}`,
			`{"type":"content_block_delta","index":1,"delta":{"type":"text_delta","text":%s}}`,
			`{"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":%s}}`,
			`{"type":"content_block_delta","index":0,"delta":{"type":"citations_delta","citation":{"url":%s}}}`,
			`{"type":"content_block_stop","index":0}`,
			`{"type":"content_block_stop","index":1}`,
		},
	}
}

func TestEventsThatAreAlikeAreReadAsEachForItself(t *testing.T) {
	text := rapid.SampledFrom([]string{`" waves"`, `"a"`, `"é"`, `""`, `"\n"`, `"\""`, `"a\\"`, `null`, `3`, `{"a":1}`, `"content"`, "\"\x01\"", `"a`, strconv.Quote("a longer piece of text")})
	for d, events := range streamed() {
		rapid.Check(t, func(t *rapid.T) {
			req := &llm.Request{Dialect: rapid.SampledFrom([]llm.Dialect{d, llm.Plain}).Draw(t, "door")}
			knows, forgets := eventsThatForget(d, req)
			for range rapid.IntRange(2, 12).Draw(t, "events") {
				data := strings.Replace(rapid.SampledFrom(events).Draw(t, "event"), "%s", text.Draw(t, "text"), 1)
				got, gotAt, gotFailure := knows(nil, Event{Data: []byte(data)})
				want, wantAt, wantFailure := forgets(nil, Event{Data: []byte(data)})
				if !reflect.DeepEqual(got, want) || gotAt != wantAt || (gotFailure == nil) != (wantFailure == nil) {
					t.Fatalf("%s: got\n%+v, %v, want\n%+v, %v", data, got, gotFailure, want, wantFailure)
				}
			}
		})
	}
}

// eventsThatForget gives a decoder, and one that parses every event.
func eventsThatForget(d llm.Dialect, req *llm.Request) (knows, forgets decoder) {
	own := req.Dialect == d
	if d == llm.OpenAIChat {
		r := &openAIReader{req: req, own: own}
		return openAIEvents(req), func(dst []llm.Chunk, e Event) ([]llm.Chunk, progress, *llm.Failure) {
			r.alike = alike{}
			return r.event(dst, e)
		}
	}
	r := &anthropicReader{own: own, open: make(map[int64]*anthropicOpen)}
	return anthropicEvents(req), func(dst []llm.Chunk, e Event) ([]llm.Chunk, progress, *llm.Failure) {
		r.alike = alike{}
		return r.event(dst, e)
	}
}
