// Command sdk drives a Breakwater through every door with the official Go SDK
// of the door's dialect, and prints what came as one JSON object a line.
//
//	go run . URL PROVIDER [limited]
//
// URL is Breakwater's address; PROVIDER (gemini, claude, openai or local) is
// the model that is asked for, so that this provider serves. Behind Breakwater
// stand simulated providers, whose answers are known word by word. With
// "limited" they are all at their rate limit, and only that error is looked at.
// BREAKWATER_API_KEY is Breakwater's own key.
package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"strings"
	"sync"
	"time"
)

// result is what came of one feature at one door. A feature is passed (ok),
// refused as it must be (ok, with the refusal's words) or such that the
// dialect has no way to ask for it (skip says why).
type result struct {
	Client  string `json:"client"`
	Door    string `json:"door"`
	Feature string `json:"feature"`
	OK      bool   `json:"ok"`
	Detail  string `json:"detail"`
	Refused string `json:"refused,omitempty"`
	Skip    string `json:"skip,omitempty"`
}

// patience bounds one feature: each takes a fraction of a second, so what
// takes longer hangs.
const patience = 20 * time.Second

// atOnce is how many features of a door are tried at the same time: callers
// come together in practice, too, and the paced answers of the simulated
// providers are waited for side by side.
const atOnce = 8

func main() {
	if len(os.Args) < 3 {
		fmt.Fprintln(os.Stderr, "usage: sdk URL PROVIDER [limited]")
		os.Exit(2)
	}
	r := run{
		url: strings.TrimSuffix(os.Args[1], "/"), provider: os.Args[2],
		key: cmp.Or(os.Getenv("BREAKWATER_API_KEY"), "any"), limited: len(os.Args) > 3 && os.Args[3] == "limited",
	}
	doors, err := r.doors()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	out := json.NewEncoder(os.Stdout)
	for _, d := range doors {
		for _, res := range r.drive(d) {
			if err := out.Encode(res); err != nil {
				fmt.Fprintln(os.Stderr, err)
				os.Exit(1)
			}
		}
	}
}

// run is what all doors are told.
type run struct {
	url, provider, key string
	limited            bool
}

func (r run) doors() ([]door, error) {
	gemini, err := geminiDoor(r)
	if err != nil {
		return nil, err
	}
	ollama, err := ollamaDoors(r)
	if err != nil {
		return nil, err
	}
	return append([]door{openAIChatDoor(r), openAIResponsesDoor(r), openAICompletionsDoor(r), anthropicDoor(r), gemini}, ollama...), nil
}

// drive tries every feature at a door.
func (r run) drive(d door) []result {
	checks := features()
	if r.limited {
		checks = []feature{{"error_429", limited}}
	}
	results := make([]result, len(checks))
	var wg sync.WaitGroup
	places := make(chan struct{}, atOnce)
	for i, f := range checks {
		wg.Go(func() {
			places <- struct{}{}
			defer func() { <-places }()
			results[i] = r.try(d, f)
		})
	}
	wg.Wait()
	return results
}

func (r run) try(d door, f feature) result {
	res := result{Client: d.client, Door: d.name, Feature: f.name}
	if why := d.cannot[f.name]; why != "" {
		res.Skip = why
		return res
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	err := f.check(ctx, r, d)
	field := refusal(r.provider, f.name)
	if field == "" {
		res.OK = err == nil
		if err != nil {
			res.Detail = short(err.Error())
		}
		return res
	}
	p, typed := d.problem(err)
	switch {
	case err == nil:
		res.Detail = "must be refused, but was served"
	case !typed || p.status != 400 || !regexp.MustCompile(`\b`+field+`\b`).MatchString(p.message):
		res.Detail = short(fmt.Sprintf("must be refused with a 400 that names %s, got %v", field, err))
	default:
		res.OK, res.Refused = true, short(p.message)
	}
	return res
}

// refusal names the field for which a provider cannot do a feature; "" where
// it can.
func refusal(provider, feature string) string {
	return map[string]string{
		"claude n": "n", "claude logprobs": "logprobs", "claude json_mode": "response_format", "claude audio": "audio",
		"claude embeddings": "embed.*", "claude embeddings_batch": "embed.*",
		"local n": "n", "local forced_tool": "tool_choice", "local image_url": "image", "local document": "document", "local audio": "audio",
	}[provider+" "+feature]
}

// short keeps a line a line.
func short(s string) string {
	s = strings.Join(strings.Fields(s), " ")
	if len(s) > 400 {
		s = s[:400] + "…"
	}
	return s
}
