package router

import (
	"context"
	"errors"
	"io"
	"testing"

	"breakwater/internal/llm"
	"breakwater/internal/provider"
	"breakwater/internal/record"
)

// instant is an upstream that costs nothing itself.
type instant struct {
	leave  provider.Leave
	pieces int // of the text; one where it is 0
}

var content = []llm.Chunk{{Text: "hello"}, {Finish: llm.FinishStop, Usage: &llm.Usage{Input: 10, Output: 5}}}

func (u *instant) Admit(provider.Ask) (*provider.Leave, *provider.Busy) { return &u.leave, nil }
func (u *instant) Send(context.Context, *provider.Leave, llm.Target, *llm.Request) (*llm.Reply, error) {
	return &llm.Reply{Stream: &instantStream{more: u.pieces - 1}, Dialect: llm.OpenAIChat}, nil
}
func (u *instant) Lacks(string, *llm.Request) []string           { return nil }
func (u *instant) Streams(req *llm.Request) bool                 { return req.Stream }
func (u *instant) Ping(context.Context) (provider.Status, error) { return provider.Status{}, nil }

type instantStream struct{ at, more int }

func (s *instantStream) Next() (llm.Chunk, error) {
	if s.at == len(content) {
		return llm.Chunk{}, io.EOF
	}
	if s.at == 0 && s.more > 0 {
		s.more--
		return content[0], nil
	}
	s.at++
	return content[s.at-1], nil
}
func (s *instantStream) Close() error { return nil }

// forgetful keeps no trace.
type forgetful struct{}

func (forgetful) Trace(*record.Trace)          {}
func (forgetful) Failed(*record.Trace)         {}
func (forgetful) Transition(record.Transition) {}
func (forgetful) Hold(record.Hold)             {}

// What the router itself costs a request whose first choice answers at once.
func BenchmarkDo(b *testing.B) {
	for _, stream := range []bool{false, true} {
		name := "whole"
		if stream {
			name = "stream"
		}
		h := newHouse(b, func(c *Config) {
			for i := range c.Endpoints {
				c.Endpoints[i].Upstream = &instant{}
			}
			c.Recorder = forgetful{}
		})
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				req := chat("gemini", stream)
				for pb.Next() {
					serve(b, h, req)
				}
			})
		})
	}
}

func serve(b *testing.B, h *house, req *llm.Request) {
	answer, err := h.Do(b.Context(), h.NewCall(req, "tester"))
	if err != nil {
		b.Error(err)
		return
	}
	defer answer.Close()
	for {
		if _, err := answer.Next(); err != nil {
			if !errors.Is(err, io.EOF) {
				b.Error(err)
			}
			return
		}
	}
}

// What each further chunk of a stream costs in the router.
func BenchmarkNext(b *testing.B) {
	h := newHouse(b, func(c *Config) {
		for i := range c.Endpoints {
			c.Endpoints[i].Upstream = &instant{pieces: b.N}
		}
		c.Recorder, c.Recovery = forgetful{}, RecoverContinue
	})
	b.ReportAllocs()
	serve(b, h, chat("gemini", true))
}
