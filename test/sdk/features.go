package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"
)

// feature is something that must work at every door whose dialect has it.
type feature struct {
	name  string
	check func(ctx context.Context, r run, d door) error
}

func features() []feature {
	return []feature{
		{"chat", chat}, {"stream", stream}, {"system", system}, {"multi_turn", multiTurn},
		{"tool", oneTool}, {"forced_tool", forcedTool}, {"parallel_tools", parallelTools}, {"streamed_tools", streamedTools}, {"tool_loop", toolLoop}, {"tool_error", toolError}, {"tool_image", toolImage},
		{"thinking", thinking}, {"handover", handover}, {"json_schema", jsonSchema}, {"json_mode", jsonMode},
		{"image", image}, {"image_url", imageAtAddress}, {"document", document}, {"audio", audio},
		{"stop", stop}, {"length", length}, {"n", several}, {"logprobs", logprobs}, {"usage", usageTold},
		{"error_400", malformed}, {"error_401", wrongKey}, {"error_404", unknownModel}, {"abort", abort},
		{"models", models}, {"count", counted}, {"embeddings", embedOne}, {"embeddings_batch", embedMany},
	}
}

// same tells of a difference.
func same(what string, got, want any) error {
	if reflect.DeepEqual(got, want) {
		return nil
	}
	return fmt.Errorf("%s: got %.300q, want %.300q", what, fmt.Sprint(got), fmt.Sprint(want))
}

// must tells of what is not so.
func must(what string, holds bool) error {
	if holds {
		return nil
	}
	return errors.New("it does not hold that " + what)
}

// speech is what a simulated provider says when it is not told what to say.
func (r run) speech() string {
	name := map[string]string{"gemini": "Gemini", "claude": "Claude", "openai": "OpenAI", "local": "Ollama"}[r.provider]
	return "This is the simulated " + name + " speaking. A breakwater takes the force out of the waves, " +
		"so that the harbour behind it stays calm. Whatever was asked, this is the whole answer."
}

// ask fills in the model.
func (r run) ask(ctx context.Context, d door, a ask) (said, error) {
	if a.model == "" {
		a.model = r.provider
	}
	return d.chat(ctx, r.key, a)
}

func prompt(text string) []turn { return []turn{{user: text}} }

func chat(ctx context.Context, r run, d door) error {
	s, err := r.ask(ctx, d, ask{turns: prompt("Say something.")})
	if err != nil {
		return err
	}
	return errors.Join(same("text", s.text(), r.speech()), same("finish", s.finish, d.words["stop"]),
		must("the answer names its model", s.model != ""), must("usage is told", s.usage.input > 0 && s.usage.output > 0))
}

func stream(ctx context.Context, r run, d door) error {
	s, err := r.ask(ctx, d, ask{turns: prompt("Say something."), stream: true})
	if err != nil {
		return err
	}
	return errors.Join(same("text", s.text(), r.speech()), same("finish", s.finish, d.words["stop"]),
		must(fmt.Sprintf("the answer comes in many events, not %d", s.events), s.events > 10))
}

func system(ctx context.Context, r run, d door) error {
	s, err := r.ask(ctx, d, ask{system: "You are the harbour master at " + d.name + ".", turns: prompt("echo Aye.")})
	if err != nil {
		return err
	}
	return same("text", s.text(), "Aye.")
}

func multiTurn(ctx context.Context, r run, d door) error {
	s, err := r.ask(ctx, d, ask{turns: []turn{
		{user: "echo one"}, {assistant: "The first answer at " + d.name + "."}, {user: "echo two ½ ✓ 港"},
	}})
	if err != nil {
		return err
	}
	return same("text", s.text(), "two ½ ✓ 港")
}

// sameJSON compares a text with JSON.
func sameJSON(text, want string) error {
	var g, w any
	if err := json.Unmarshal([]byte(text), &g); err != nil {
		return fmt.Errorf("%.200q is no JSON", text)
	}
	if err := json.Unmarshal([]byte(want), &w); err != nil {
		return err
	}
	return same("JSON", g, w)
}

func jsonSchema(ctx context.Context, r run, d door) error {
	schema := json.RawMessage(`{"type":"object","properties":{"city":{"type":"string"},"days":{"type":"integer"},"sea":{"type":"string","enum":["calm","rough"]},"warm":{"type":"boolean"}},"required":["city","days","sea","warm"],"additionalProperties":false}`)
	var errs []error
	for _, streamed := range []bool{false, true} {
		s, err := r.ask(ctx, d, ask{turns: prompt("Describe the harbour in JSON."), schema: schema, stream: streamed})
		if err != nil {
			return err
		}
		errs = append(errs, sameJSON(s.text(), `{"city":"text","days":1,"sea":"calm","warm":true}`))
	}
	return errors.Join(errs...)
}

func jsonMode(ctx context.Context, r run, d door) error {
	s, err := r.ask(ctx, d, ask{turns: prompt("Answer in JSON."), jsonMode: true})
	if err != nil {
		return err
	}
	return sameJSON(s.text(), `{"answer":"text"}`)
}

func image(ctx context.Context, r run, d door) error {
	s, err := r.ask(ctx, d, ask{turns: []turn{{user: "echo What is it?", media: []media{{mime: "image/png", data: png()}}}}})
	if err != nil {
		return err
	}
	return same("text", s.text(), fmt.Sprintf("I see image/png, %d bytes. What is it?", len(png())))
}

func imageAtAddress(ctx context.Context, r run, d door) error {
	const address = "https://example.com/harbour.png"
	s, err := r.ask(ctx, d, ask{turns: []turn{{user: "echo And this?", media: []media{{mime: "image/png", url: address}}}}})
	if err != nil {
		return err
	}
	return same("text", s.text(), "I see an image at "+address+". And this?")
}

func document(ctx context.Context, r run, d door) error {
	s, err := r.ask(ctx, d, ask{turns: []turn{{user: "echo Read it.", media: []media{{mime: "application/pdf", data: pdf()}}}}})
	if err != nil {
		return err
	}
	return same("text", s.text(), fmt.Sprintf("I read application/pdf, %d bytes. Read it.", len(pdf())))
}

func audio(ctx context.Context, r run, d door) error {
	a := ask{turns: []turn{{user: "echo Listen.", media: []media{{mime: "audio/wav", data: wav()}}}}}
	if r.provider == "openai" { // whose ordinary models hear nothing
		a.model = "openai/gpt-audio"
	}
	s, err := r.ask(ctx, d, a)
	if err != nil {
		return err
	}
	return same("text", s.text(), fmt.Sprintf("I hear audio/wav, %d bytes. Listen.", len(wav())))
}

func stop(ctx context.Context, r run, d door) error {
	var errs []error
	for _, streamed := range []bool{false, true} {
		s, err := r.ask(ctx, d, ask{turns: prompt("echo one, two, HALT, three"), stop: "HALT", stream: streamed})
		if err != nil {
			return err
		}
		word := d.words["stop"]
		if r.provider == "claude" { // only Claude tells of the sequence
			word = d.words["sequence"]
		}
		errs = append(errs, same("text", s.text(), "one, two, "), same("finish", s.finish, word))
	}
	return errors.Join(errs...)
}

func length(ctx context.Context, r run, d door) error {
	var errs []error
	for _, streamed := range []bool{false, true} {
		s, err := r.ask(ctx, d, ask{turns: prompt("Say something."), maxTokens: 16, stream: streamed})
		if err != nil {
			return err
		}
		errs = append(errs, must(fmt.Sprintf("%q is the beginning of the answer", s.text()), s.text() != "" && s.text() != r.speech() && strings.HasPrefix(r.speech(), s.text())),
			same("finish", s.finish, d.words["length"]))
	}
	return errors.Join(errs...)
}

func several(ctx context.Context, r run, d door) error {
	var errs []error
	for _, streamed := range []bool{false, true} {
		s, err := r.ask(ctx, d, ask{turns: prompt("echo Twice."), n: 2, stream: streamed})
		if err != nil {
			return err
		}
		errs = append(errs, same("texts", s.texts, []string{"Twice.", "Twice."}))
	}
	return errors.Join(errs...)
}

func logprobs(ctx context.Context, r run, d door) error {
	s, err := r.ask(ctx, d, ask{turns: prompt("echo How likely is this?"), logprobs: true})
	if err != nil {
		return err
	}
	return errors.Join(same("text", s.text(), "How likely is this?"), must(fmt.Sprintf("tokens have log probabilities: %d", s.logprobs), s.logprobs > 1))
}

// usageTold compares the usage of a whole answer and of a stream.
func usageTold(ctx context.Context, r run, d door) error {
	whole, err := r.ask(ctx, d, ask{turns: prompt("echo Count these words.")})
	if err != nil {
		return err
	}
	streamed, err := r.ask(ctx, d, ask{turns: prompt("echo Count these words."), stream: true})
	if err != nil {
		return err
	}
	blind, err := r.ask(ctx, d, ask{turns: prompt("echo Count these words."), stream: true, blindUsage: true})
	if err != nil {
		return err
	}
	errs := []error{
		must("input and output are counted", whole.usage.input > 0 && whole.usage.output > 0),
		same("usage of a stream", streamed.usage, whole.usage), same("text", blind.text(), "Count these words."),
		must("each answer has an id of its own", d.client == "ollama-go" || whole.id != "" && streamed.id != "" && whole.id != streamed.id),
	}
	if whole.usage.total >= 0 {
		errs = append(errs, same("total", whole.usage.total, whole.usage.input+whole.usage.output+thoughtBeside(d, whole.usage)))
	}
	if strings.HasPrefix(d.name, "openai-c") { // there a stream tells its usage when it is asked
		errs = append(errs, same("usage that was not asked for", blind.usage.input, int64(0)))
	}
	return errors.Join(errs...)
}

// thoughtBeside is reasoning that a dialect does not count as output.
func thoughtBeside(d door, u usage) int64 {
	if d.name == "gemini-generate" {
		return max(u.reasoning, 0)
	}
	return 0
}

// fails looks at an error of the SDK's own type.
func fails(d door, err error, status int) error {
	p, typed := d.problem(err)
	if !typed {
		return fmt.Errorf("want the SDK's own error, got %T %v", err, err)
	}
	return errors.Join(same("status", p.status, status), same("kind of error", p.kind, d.kinds[status]), must("the error says something", p.message != "" || d.client == "ollama-go" && status == 401))
}

func malformed(ctx context.Context, _ run, d door) error { return fails(d, d.malformed(ctx), 400) }

func wrongKey(ctx context.Context, r run, d door) error {
	_, err := d.chat(ctx, "wrong-key", ask{model: r.provider, turns: prompt("Say something.")})
	return fails(d, err, 401)
}

func unknownModel(ctx context.Context, r run, d door) error {
	_, whole := r.ask(ctx, d, ask{model: "no-such-model", turns: prompt("Say something.")})
	_, streamed := r.ask(ctx, d, ask{model: "no-such-model", turns: prompt("Say something."), stream: true})
	return errors.Join(fails(d, whole, 404), fails(d, streamed, 404))
}

func limited(ctx context.Context, r run, d door) error {
	_, whole := r.ask(ctx, d, ask{turns: prompt("Say something.")})
	_, streamed := r.ask(ctx, d, ask{turns: prompt("Say something."), stream: true})
	return errors.Join(fails(d, whole, 429), fails(d, streamed, 429))
}

// abort cancels a stream of some seconds after its first event.
func abort(ctx context.Context, r run, d door) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	events := 0
	a := ask{turns: prompt("echo abort at " + d.name + strings.Repeat(" and on", 2000)), stream: true, onEvent: func() {
		if events++; events == 3 {
			cancel()
		}
	}}
	_, err := r.ask(ctx, d, a)
	if ctx.Err() == nil {
		return fmt.Errorf("the stream ended after %d events: %v", events, err)
	}
	// Where the stream is cut within a line, Google's SDK takes the part for a whole one.
	cut := d.client == "genai-go" && err != nil && strings.Contains(err.Error(), "error unmarshalling data")
	return errors.Join(must(fmt.Sprintf("the call ends as cancelled, not with %v", err), errors.Is(err, context.Canceled) || cut),
		must(fmt.Sprintf("it ends at once, not after %d events", events), events < 1000))
}

func models(ctx context.Context, r run, d door) error {
	names, err := d.models(ctx)
	if err != nil {
		return err
	}
	return errors.Join(must(fmt.Sprintf("auto is in %v", names), slices.Contains(names, "auto")),
		must(fmt.Sprintf("%s is in %v", r.provider, names), slices.Contains(names, r.provider)))
}

func counted(ctx context.Context, _ run, d door) error {
	few, err := d.count(ctx, "Count these words.")
	if err != nil {
		return err
	}
	many, err := d.count(ctx, strings.Repeat("Count these words. ", 20))
	if err != nil {
		return err
	}
	return must(fmt.Sprintf("0 < %d < %d", few, many), 0 < few && few < many)
}

func embedOne(ctx context.Context, r run, d door) error {
	model := r.provider + "/embed-" + r.provider
	v, err := d.embed(ctx, model, []string{"The sea is calm."}, 0)
	if err != nil {
		return err
	}
	again, err := d.embed(ctx, model, []string{"The sea is calm."}, 0)
	if err != nil {
		return err
	}
	small, err := d.embed(ctx, model, []string{"The sea is calm."}, 4)
	if err != nil {
		return err
	}
	return errors.Join(units(v, 1, 8), same("the same vector", again.list, v.list), units(small, 1, 4),
		must(fmt.Sprintf("tokens are counted: %d", v.usage), v.usage != 0 || r.provider == "gemini")) // which tells none
}

func embedMany(ctx context.Context, r run, d door) error {
	model := r.provider + "/embed-" + r.provider
	one, err := d.embed(ctx, model, []string{"second"}, 0)
	if err != nil {
		return err
	}
	all, err := d.embed(ctx, model, []string{"first", "second", "third"}, 0)
	if err != nil {
		return err
	}
	if err := errors.Join(units(all, 3, 8), units(one, 1, 8)); err != nil {
		return err
	}
	return errors.Join(same("the second vector", all.list[1], one.list[0]), must("vectors differ", !reflect.DeepEqual(all.list[0], all.list[1])))
}

// units looks at number, dimensions and length of vectors.
func units(v vectors, number, dimensions int) error {
	if len(v.list) != number {
		return fmt.Errorf("got %d vectors, want %d", len(v.list), number)
	}
	for _, x := range v.list {
		sum := 0.0
		for _, c := range x {
			sum += c * c
		}
		if len(x) != dimensions || math.Abs(sum-1) > 1e-3 {
			return fmt.Errorf("got %d dimensions of length %f, want %d of length 1", len(x), math.Sqrt(sum), dimensions)
		}
	}
	return nil
}
