package router

import (
	"testing"
	"time"

	"breakwater/internal/bubble"
	"breakwater/internal/llm"
	"breakwater/internal/record"
)

func TestATargetThatComesBackGetsItsShareEvenly(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		target := llm.Target{Provider: llm.Gemini, Model: "gemini-2.5-flash"}
		for _, share := range []int{5, 25, 50} {
			h := newHolds(DefaultCanaryInterval)
			hold := record.Hold{Target: target, Source: record.ByAnomaly, Share: share, Expires: time.Now().Add(time.Hour)}
			h.place(hold, time.Now())
			let, longest, pause := 0, 0, 0
			for n := range 1000 {
				if n == 500 { // an extension goes on where it was
					h.place(hold, time.Now())
				}
				pause++
				if h.takeCanary(target, time.Now()) {
					let, longest, pause = let+1, max(longest, pause), 0
				}
			}
			if let != 10*share || longest > 100/share {
				t.Errorf("%d %%: %d of 1000 went there, up to %d requests apart", share, let, longest)
			}
		}
	})
}

func TestAShareThatCouldNotBeSentIsGivenToTheNext(t *testing.T) {
	target := llm.Target{Provider: llm.Gemini, Model: "gemini-2.5-flash"}
	h := newHolds(DefaultCanaryInterval)
	h.place(record.Hold{Target: target, Source: record.ByAnomaly, Share: 50, Expires: time.Now().Add(time.Hour)}, time.Now())
	now := time.Now()
	for !h.takeCanary(target, now) {
	}
	h.giveBack(target, now)
	if !h.takeCanary(target, now) {
		t.Error("the next request did not go there")
	}
}

func TestRequestsThatAskTheSameAreKnownWithoutTheirWords(t *testing.T) {
	h := newHouse(t)
	first, again := h.NewCall(chat("gemini", true), "a"), h.NewCall(chat("gemini", true), "b")
	other := h.NewCall(chat("gemini", true), "a")
	other.Request.Messages[0].Parts[0].Text = "something else"
	prompt := func(c *Call) uint64 { return h.newTrace(c).Prompt }
	if prompt(first) == 0 || prompt(first) != prompt(again) || prompt(first) == prompt(other) {
		t.Errorf("prompts %d, %d and %d", prompt(first), prompt(again), prompt(other))
	}
	if elsewhere := newHouse(t); elsewhere.newTrace(first).Prompt == prompt(first) {
		t.Error("another process gives the same number")
	}
}
