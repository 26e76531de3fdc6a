package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

const (
	callWeather = `call get_weather {"city":"Oslo","days":3}`
	callTime    = `call get_time {"zone":"Europe/Oslo"}`
)

func tools() []tool {
	return []tool{
		{"get_weather", "The weather of some days in a city.", json.RawMessage(`{"type":"object","properties":{"city":{"type":"string"},"days":{"type":"integer"}},"required":["city","days"],"additionalProperties":false}`)},
		{"get_time", "The time in a zone.", json.RawMessage(`{"type":"object","properties":{"zone":{"type":"string"}},"required":["zone"],"additionalProperties":false}`)},
	}
}

// sameCalls compares calls, whose arguments are JSON, and looks at their ids.
func sameCalls(got []call, want ...call) error {
	if len(got) != len(want) {
		return fmt.Errorf("got %d calls %v, want %d", len(got), got, len(want))
	}
	ids := map[string]bool{}
	var errs []error
	for i, c := range got {
		var g, w any
		if err := json.Unmarshal([]byte(c.args), &g); err != nil {
			return fmt.Errorf("the arguments %q are no JSON", c.args)
		}
		if err := json.Unmarshal([]byte(want[i].args), &w); err != nil {
			return err
		}
		errs = append(errs, same("tool", c.name, want[i].name), same("arguments", g, w), must("a call has an id of its own", c.id != "" && !ids[c.id]))
		ids[c.id] = true
	}
	return errors.Join(errs...)
}

func weather() call { return call{name: "get_weather", args: `{"city":"Oslo","days":3}`} }
func hour() call    { return call{name: "get_time", args: `{"zone":"Europe/Oslo"}`} }

func oneTool(ctx context.Context, r run, d door) error {
	s, err := r.ask(ctx, d, ask{turns: prompt(callWeather), tools: tools()})
	if err != nil {
		return err
	}
	return errors.Join(sameCalls(s.calls, weather()), same("finish", s.finish, d.words["calls"]))
}

func forcedTool(ctx context.Context, r run, d door) error {
	s, err := r.ask(ctx, d, ask{turns: prompt("Good morning."), tools: tools(), force: "get_time"})
	if err != nil {
		return err
	}
	return sameCalls(s.calls, call{name: "get_time", args: `{"zone":"text"}`})
}

func parallelTools(ctx context.Context, r run, d door) error {
	a := ask{turns: prompt(callWeather + "\n" + callTime), tools: tools()}
	s, err := r.ask(ctx, d, a)
	if err != nil {
		return err
	}
	errs := []error{sameCalls(s.calls, weather(), hour()), same("finish", s.finish, d.words["calls"])}
	if d.alone && (r.provider == "openai" || r.provider == "claude") {
		a.alone = true
		if s, err = r.ask(ctx, d, a); err != nil {
			return err
		}
		errs = append(errs, sameCalls(s.calls, weather()))
	}
	return errors.Join(errs...)
}

func streamedTools(ctx context.Context, r run, d door) error {
	s, err := r.ask(ctx, d, ask{turns: prompt("Let me look.\n" + callWeather + "\n" + callTime), tools: tools(), stream: true})
	if err != nil {
		return err
	}
	errs := []error{sameCalls(s.calls, weather(), hour()), same("finish", s.finish, d.words["calls"]), same("text", strings.TrimSpace(s.text()), "Let me look.")}
	if d.pieces && (r.provider == "openai" || r.provider == "claude") {
		errs = append(errs, must(fmt.Sprintf("arguments are streamed, not in %d pieces", s.pieces), s.pieces > 4))
	}
	return errors.Join(errs...)
}

// toolLoop goes through a whole conversation with tools: two calls, their
// results, the answer, and a question after it.
func toolLoop(ctx context.Context, r run, d door) error {
	turns := prompt(callWeather + "\n" + callTime)
	s, err := r.ask(ctx, d, ask{turns: turns, tools: tools()})
	if err != nil {
		return err
	}
	if err := sameCalls(s.calls, weather(), hour()); err != nil {
		return err
	}
	turns = append(turns, turn{own: s.own}, turn{results: []toolResult{
		{id: s.calls[0].id, name: "get_weather", text: `{"degrees":4}`}, {id: s.calls[1].id, name: "get_time", text: `{"hour":12}`},
	}})
	s, err = r.ask(ctx, d, ask{turns: turns, tools: tools(), stream: true})
	if err != nil {
		return fmt.Errorf("with the results: %w", err)
	}
	if err := errors.Join(same("text", s.text(), `The tool get_weather said: {"degrees":4} The tool get_time said: {"hour":12}`),
		same("finish", s.finish, d.words["stop"])); err != nil {
		return err
	}
	turns = append(turns, turn{own: s.own}, turn{user: "echo Thanks."})
	if s, err = r.ask(ctx, d, ask{turns: turns, tools: tools()}); err != nil {
		return fmt.Errorf("after the loop: %w", err)
	}
	return same("text", s.text(), "Thanks.")
}

// toolImage sends an image as a tool's result. Where a provider's dialect knows
// no such results it comes beside them, and the test looks for it there.
func toolImage(ctx context.Context, r run, d door) error {
	turns := prompt(callTime)
	s, err := r.ask(ctx, d, ask{turns: turns, tools: tools()})
	if err != nil {
		return err
	}
	turns = append(turns, turn{own: s.own}, turn{results: []toolResult{{id: s.calls[0].id, name: "get_time", text: `{"seen_at":"` + d.name + `"}`, picture: png()}}})
	s, err = r.ask(ctx, d, ask{turns: turns, tools: tools()})
	if err != nil {
		return err
	}
	return errors.Join(must("the result arrives: "+s.text(), strings.Contains(s.text(), "seen_at")),
		must("its image arrives: "+s.text(), r.provider == "openai" || strings.Contains(s.text(), fmt.Sprintf("image/png, %d bytes", len(png())))))
}

func toolError(ctx context.Context, r run, d door) error {
	turns := prompt(callWeather)
	s, err := r.ask(ctx, d, ask{turns: turns, tools: tools()})
	if err != nil {
		return err
	}
	if err := sameCalls(s.calls, weather()); err != nil {
		return err
	}
	turns = append(turns, turn{own: s.own}, turn{results: []toolResult{{id: s.calls[0].id, name: "get_weather", text: "no such city", failed: true}}})
	if s, err = r.ask(ctx, d, ask{turns: turns, tools: tools()}); err != nil {
		return err
	}
	marked := r.provider == "openai" || r.provider == "local" || strings.Contains(s.text(), "get_weather failed")
	return must("the error is known as one: "+s.text(), marked && strings.Contains(s.text(), "no such city"))
}

// thinking looks at reasoning whole and streamed, and carries it through a
// loop of tools, where providers check their signatures.
func thinking(ctx context.Context, r run, d door) error {
	var errs []error
	model := thinker(r.provider)
	for _, streamed := range []bool{false, true} {
		s, err := r.ask(ctx, d, ask{model: model, turns: prompt("think The tide is turning."), think: true, stream: streamed, maxTokens: 8000})
		if err != nil {
			return err
		}
		errs = append(errs, same("text", s.text(), r.speech()))
		if s.usage.reasoning >= 0 && r.provider != "local" { // Ollama does not count it apart
			errs = append(errs, must(fmt.Sprintf("reasoning is counted (stream %t)", streamed), s.usage.reasoning > 0))
		}
		if shows(d.name) && r.provider != "openai" { // chat completions keep theirs back
			errs = append(errs, same(fmt.Sprintf("thinking (stream %t)", streamed), s.thinking, "The tide is turning."))
		}
	}
	if d.cannot["tool"] != "" {
		return errors.Join(errs...)
	}
	for _, streamed := range []bool{false, true} {
		turns := prompt("think I must look.\n" + callWeather)
		s, err := r.ask(ctx, d, ask{model: model, turns: turns, tools: tools(), think: true, stream: streamed, maxTokens: 8000})
		if err != nil {
			return fmt.Errorf("with tools: %w", err)
		}
		if err := sameCalls(s.calls, weather()); err != nil {
			return err
		}
		turns = append(turns, turn{own: s.own}, turn{results: []toolResult{{id: s.calls[0].id, name: "get_weather", text: `{"degrees":4}`}}})
		if s, err = r.ask(ctx, d, ask{model: model, turns: turns, tools: tools(), think: true, stream: streamed, maxTokens: 8000}); err != nil {
			return fmt.Errorf("thought sent back (stream %t): %w", streamed, err)
		}
		errs = append(errs, same("text", s.text(), `The tool get_weather said: {"degrees":4}`))
	}
	return errors.Join(errs...)
}

// thinker gives a provider's model that thinks.
func thinker(provider string) string {
	if provider == "openai" { // whose default model does not
		return "openai/o3"
	}
	return provider
}

// handover goes through a conversation with thinking and tools that another
// provider takes over in the middle of a turn, and hands back in the next.
func handover(ctx context.Context, r run, d door) error {
	for _, other := range []string{"gemini", "claude", "openai", "local"} {
		if other == r.provider {
			continue
		}
		var turns []turn
		for _, step := range []struct{ asked, answers, result string }{{r.provider, other, `{"degrees":4}`}, {other, r.provider, `{"degrees":5}`}} {
			turns = append(turns, turn{user: "think We take turns.\n" + callWeather})
			s, err := r.ask(ctx, d, ask{model: thinker(step.asked), turns: turns, tools: tools(), think: true, maxTokens: 8000})
			if err != nil {
				return fmt.Errorf("%s, with %s in turn, is asked: %w", step.asked, step.answers, err)
			}
			if err := sameCalls(s.calls, weather()); err != nil {
				return fmt.Errorf("%s: %w", step.asked, err)
			}
			turns = append(turns, turn{own: s.own}, turn{results: []toolResult{{id: s.calls[0].id, name: "get_weather", text: step.result}}})
			if s, err = r.ask(ctx, d, ask{model: thinker(step.answers), turns: turns, tools: tools(), think: true, maxTokens: 8000, stream: true}); err != nil {
				return fmt.Errorf("%s goes on after %s: %w", step.answers, step.asked, err)
			}
			if err := same("text of "+step.answers, s.text(), "The tool get_weather said: "+step.result); err != nil {
				return err
			}
			turns = append(turns, turn{own: s.own})
		}
	}
	return nil
}

// shows says whether a dialect shows reasoning in a place of its own.
func shows(door string) bool { return !strings.HasPrefix(door, "openai-c") }
