package config

import (
	"context"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"breakwater/internal/bubble"
	"breakwater/internal/llm"
	"breakwater/internal/traffic"
)

func TestSecretsAreFoundInEveryForm(t *testing.T) {
	for name, s := range map[string]setting{
		"text":                    {file: "api_key: sesame"},
		"mapping to a variable":   {file: "api_key: {env: K}", env: map[string]string{"K": " sesame\n"}},
		"mapping to a file":       {file: "api_key: {file: k}", disk: map[string]string{"k": "sesame\n"}},
		"mapping to a command":    {file: "api_key: {exec: pass  show api}", run: map[string]string{"pass show api": "sesame\nsecond line\n"}},
		"text of a variable":      {file: "api_key: env:K", env: map[string]string{"K": "sesame"}},
		"text of a file":          {file: "api_key: 'file: k'", disk: map[string]string{"k": "sesame"}},
		"text of a command":       {file: "api_key: exec:pass show", run: map[string]string{"pass show": "\n sesame \n"}},
		"variable with a file":    {env: map[string]string{"BREAKWATER_API_KEY": "file:/k"}, disk: map[string]string{"/k": "sesame"}},
		"variable with a command": {env: map[string]string{"BREAKWATER_API_KEY": "exec:pass"}, run: map[string]string{"pass": "sesame"}},
		"variable of a variable":  {file: "api_key: {env: K}", env: map[string]string{"K": "exec:pass"}, run: map[string]string{"pass": "sesame"}},
	} {
		if got := mustLoad(t, s).APIKey.Reveal(); got != "sesame" {
			t.Errorf("%s: got %q", name, got)
		}
	}
}

// only gives an environment with one variable.
func only(variable, text string) func(string) (string, bool) {
	return func(name string) (string, bool) {
		if name != variable {
			return "", false
		}
		return text, true
	}
}

func TestACommandRunsOnce(t *testing.T) {
	runs := 0
	_, err := Load(Sources{
		LookupEnv: only("OPENAI_API_KEY", "exec:pass"),
		Run:       func(context.Context, []string) ([]byte, error) { runs++; return []byte("k"), nil },
	})
	if err != nil || runs != 1 {
		t.Errorf("ran %d times: %v", runs, err)
	}
}

func TestACommandIsBoundedAndKeptSecret(t *testing.T) {
	script := filepath.Join(t.TempDir(), "secret.sh")
	if err := os.WriteFile(script, []byte("#!/bin/sh\necho \"$1\"\necho noise >&2\nexit $2\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	out, err := runCommand(t.Context(), []string{script, "a;b$HOME", "0"})
	if err != nil || string(out) != "a;b$HOME\n" {
		t.Errorf("no shell reads the words: got %q, %v", out, err)
	}
	_, err = Load(Sources{LookupEnv: only("OPENAI_API_KEY", "exec:"+script+" sk-very-secret 3")})
	if err == nil || !strings.Contains(err.Error(), "OPENAI_API_KEY: providers.openai.endpoints[0].keys[0]: the command of this secret failed: exit status 3") {
		t.Errorf("got %v", err)
	}
	if strings.Contains(err.Error(), "sk-very-secret") {
		t.Errorf("a secret is in: %v", err)
	}
	if out, err = runCommand(t.Context(), []string{"head", "-c", "1000000", "/dev/zero"}); err != nil || len(out) != maxSecret {
		t.Errorf("%d bytes were kept: %v", len(out), err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	began := time.Now()
	if _, err = runCommand(ctx, []string{"sleep", "600"}); err == nil || time.Since(began) > 5*time.Minute {
		t.Errorf("a command that hangs took %s: %v", time.Since(began), err)
	}
}

func TestKeysAreReadAgain(t *testing.T) {
	s := setting{
		file: `providers: {claude: {endpoints: [{name: a, keys: [{name: main, file: /k, weight: 2, requests_per_minute: 9}]}, {name: b}]}}`,
		env:  map[string]string{"OPENAI_API_KEY": "exec:pass"},
		disk: map[string]string{"/k": "one"},
		run:  map[string]string{"pass": "first"},
	}
	s.disk["breakwater.yaml"] = s.file
	c := mustLoad(t, s)
	want := func(claude, openai string) []Keys {
		return []Keys{
			{llm.Claude, "a", []APIKey{{"main", NewSecret(claude), 2, traffic.Limits{Requests: 9}}}},
			{llm.OpenAI, "", []APIKey{{Name: "key 1", Secret: NewSecret(openai), Weight: 1}}},
		}
	}
	check := func(file bool, claude, openai string) {
		t.Helper()
		got, err := c.ReadKeys(t.Context(), file)
		if err != nil || !reflect.DeepEqual(got, want(claude, openai)) {
			t.Errorf("got %+v, %v", got, err)
		}
	}
	check(false, "one", "first")
	s.disk["/k"], s.run["pass"] = "two", "second"
	check(false, "two", "second")
	s.disk["breakwater.yaml"] = strings.Replace(s.file, "/k", "/new", 1)
	s.disk["/new"] = "three"
	check(false, "two", "second") // the file itself only when told
	check(true, "three", "second")

	for name, fault := range map[string]func(){
		"a lost file":        func() { delete(s.disk, "/new") },
		"a failing command":  func() { delete(s.run, "pass") },
		"broken YAML":        func() { s.disk["breakwater.yaml"] = "providers: [" },
		"an endpoint gone":   func() { s.disk["breakwater.yaml"] = strings.Replace(s.file, "name: a", "name: c", 1) },
		"a variable emptied": func() { s.env["OPENAI_API_KEY"] = "" },
	} {
		s.disk["breakwater.yaml"], s.disk["/new"], s.run["pass"] = strings.Replace(s.file, "/k", "/new", 1), "three", "second"
		s.env["OPENAI_API_KEY"] = "exec:pass"
		fault()
		got, err := c.ReadKeys(t.Context(), true)
		if err == nil || got != nil {
			t.Errorf("%s: got %+v", name, got)
			continue
		}
		faults(t, err)
	}
}

func TestCallersHaveNamesKeysAndLimits(t *testing.T) {
	c := mustLoad(t, wholeExample(t))
	want := []Caller{
		{"chat", NewSecret("chat"), traffic.Urgent, true, traffic.Limits{Requests: 600, Tokens: 1_000_000, Burst: 50, Concurrent: 100}},
		{"nightly", NewSecret("night"), traffic.Batch, true, traffic.Limits{Concurrent: 4}},
	}
	if !reflect.DeepEqual(c.Callers, want) {
		t.Errorf("got %+v", c.Callers)
	}
	if got := mustLoad(t, setting{file: "callers: [{name: a, key: x}]"}).Callers[0]; got.Capped || got.Priority != traffic.Normal {
		t.Errorf("without a priority: %+v", got)
	}
	if got := c.Models["gpt-4o"]; got != (traffic.Limits{Requests: 500, Tokens: 30000, Burst: 20, Concurrent: 32}) {
		t.Errorf("limits of a model: %+v", got)
	}
}

func TestFaultsOfKeysCallersAndLimits(t *testing.T) {
	for name, tt := range map[string]struct {
		s    setting
		want string // part of the one error
	}{
		"key of no command":        {setting{env: map[string]string{"OPENAI_API_KEY": "exec: "}}, "keys[0]: exec must be a command"},
		"key of a lost command":    {setting{file: "api_key: {exec: no-such-command a}"}, "api_key: the command of this secret cannot be run: executable file not found"},
		"key of a silent command":  {setting{file: "api_key: {exec: quiet}", run: map[string]string{"quiet": " \n"}}, "api_key: the command of this secret printed nothing"},
		"key of a variable's":      {setting{env: map[string]string{"OPENAI_API_KEY": "env:A", "A": "env:B", "B": "x"}}, "keys[0]: the environment variable A names another variable"},
		"caller without a name":    {setting{file: "callers: [{key: x}]"}, "callers[0].name: is needed"},
		"caller without a key":     {setting{file: "callers: [{name: a}]"}, "callers[0].key: is needed"},
		"caller named default":     {setting{file: "callers: [{name: default, key: x}]"}, "callers[0].name: another caller has this name"},
		"two callers with one key": {setting{file: "api_key: x\ncallers: [{name: a, key: x}]"}, "callers[0].key: another caller has this key"},
		"caller's priority":        {setting{file: "callers: [{name: a, key: x, priority: high}]"}, `callers[0].priority: must be urgent, normal or batch, not "high"`},
		"limit below zero":         {setting{file: "providers: {gemini: {limits: {requests_per_minute: -1}}}"}, "providers.gemini.limits.requests_per_minute: must be a whole number from 0"},
		"limit of no model":        {setting{file: "limits: {models: [{concurrent: 1}]}"}, "limits.models[0].model: is needed"},
		"model limited twice":      {setting{file: "limits: {models: [{model: a}, {model: a}]}"}, "limits.models[1].model: is in the list twice"},
		"memory for no body":       {setting{file: "limits: {memory: 1MiB}"}, "limits.memory: must hold a body of limits.body_bytes"},
		"weight without a target":  {setting{file: "routes: [{name: a, match: {models: [x]}, targets: [local], weights: [1, 2]}]"}, "routes[0].weights[1]: has no target"},
		"weight that is none":      {setting{file: "routes: [{name: a, match: {models: [x]}, targets: [local], weights: [half]}]"}, "routes[0].weights[0]: must be a whole number"},
		"hedging everything":       {setting{file: "hedge: {percent: 100}"}, "hedge.percent: must be a whole number from 1 to 50"},
		"time below zero":          {setting{file: "keys: {refresh: -1s}"}, "keys.refresh: must be a time of zero or more"},
	} {
		t.Run(name, func(t *testing.T) { mustFail(t, tt.s, tt.want) })
	}
}

func TestReadingKeysAgainEndsWithItsContext(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		var hangs bool
		c, err := Load(Sources{
			LookupEnv: only("OPENAI_API_KEY", "exec:pass"),
			Run: func(ctx context.Context, _ []string) ([]byte, error) {
				if hangs {
					<-ctx.Done()
				}
				return []byte("k"), ctx.Err()
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		hangs = true
		began := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if keys, err := c.ReadKeys(ctx, false); err == nil || time.Since(began) != time.Second {
			t.Errorf("after %s: %+v, %v", time.Since(began), keys, err)
		}
	})
}
