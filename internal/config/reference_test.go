package config

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"breakwater/internal/llm"
	"breakwater/internal/price"
)

var update = flag.Bool("update", false, "write docs/configuration.md anew")

func docs(name string) string { return filepath.Join("..", "..", "docs", name) }

func TestReferencePageIsCurrent(t *testing.T) {
	want := reference()
	if *update {
		if err := os.WriteFile(docs("configuration.md"), []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(docs("configuration.md"))
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Error("docs/configuration.md is not what the table of options says; run: go test ./internal/config -update")
	}
}

const referenceHead = `# Configuration

<!-- Made from the table of options by: go test ./internal/config -update -->

Breakwater starts without any configuration: it then uses a local Ollama server alone, and says what is missing.
To use the cloud providers, set ` + "`GEMINI_API_KEY`, `ANTHROPIC_API_KEY` and `OPENAI_API_KEY`" + `, or some of them. All else has a
default.

**Flags beat environment variables, these beat the file, the file beats the defaults.** There is no file unless ` + "`--config`" + `
or ` + "`BREAKWATER_CONFIG`" + ` names one; [breakwater.example.yaml](breakwater.example.yaml) is a complete one. An empty variable, or a
key without a value, counts as not set. ` + "`breakwater check`" + ` validates the configuration and asks every provider whether it
answers.

All faults are told at once, each with its field and with the variable, the flag or the line of the file. Unknown keys,
keys that are written twice, and values that this version cannot honour are faults: nothing is accepted and ignored.
No message shows a secret.

## How values are written

| type | written as |
|---|---|
| duration | seconds as a plain number (` + "`120`" + `), or such as ` + "`250ms`, `90s`, `1m30s`" + ` |
| size | bytes as a plain number, or such as ` + "`32MiB`" + ` (KiB, MiB, GiB) |
| amount | as a size, TiB too; ` + "`0`" + ` for no bound |
| age | days such as ` + "`30d`, or such as `36h`; `0`" + ` for ever |
| dollars | a plain amount with at most nine decimals (` + "`2.50`" + `), counted exactly |
| switch | ` + "`true` or `false`" + ` |
| list | a YAML list; in a variable, items separated by commas |
| secret | the text itself; or ` + "`{env: NAME}`" + ` for a variable, ` + "`{file: PATH}`" + ` for a file that holds nothing else, relative to the configuration's, ` + "`{exec: COMMAND}`" + ` for the first line that a command prints. As plain text, in a variable too: ` + "`env:NAME`, `file:PATH`, `exec:COMMAND`" + `. Variables are not expanded in any other place. |

## Environment and flags

Where several variables are named, the first that is set holds. A variable for something in a list is for the first item
of the list.

`

const referenceFile = `
## The file

` + "`<provider>` is `gemini`, `claude`, `openai` or `local`; `[]` stands for each item of a list, `*` for a name of your choice." + `

`

const referenceTail = `
## Notes

**Keys.** A provider without a key is not used; Breakwater says so when it starts. The local provider needs none and takes
none. A variable such as ` + "`OPENAI_API_KEY`" + ` takes the place of the first key of the first endpoint; further keys stay. Google's
SDKs read ` + "`GOOGLE_API_KEY` before `GEMINI_API_KEY`" + `; Breakwater the other way round, since a Google key may be one for
something else. A secret that ` + "`{env: NAME}`" + ` names and that is not set is an error, except for a provider's key. While
Breakwater runs, the providers' keys are [read again](operations.md#keys).

**Commands** that give a secret run without a shell: words are split at spaces, and quotes mean nothing; put what needs them into a
script. A command has ten seconds, must end with 0, and what it prints after the first line is ignored. Nothing that it prints is
ever shown.

**Callers.** ` + "`callers`" + ` gives each its own key, name, priority and limits; ` + "`api_key`" + ` is one more, called default. With any of
them a key is demanded. See [who calls](http-api.md#authentication).

**Limits** of a provider, a key, a model and a caller hold at the same time; 0 bounds nothing. Beyond them Breakwater also keeps to
what the providers tell of theirs. See [limits and queue](operations.md#limits-and-the-queue).

**Base URLs** mean what they mean to the official SDKs. OpenAI's contains the version and usually ends in ` + "`/v1`" + `; it may
be that of any server which speaks OpenAI's API. Anthropic's and Gemini's have no version: one that ends in ` + "`/v1`" + `,
` + "`/v1beta` or `/v1alpha`" + ` is refused. So are a user, a password and a query, and the address that Breakwater itself
listens on.

**OLLAMA_HOST** takes what Ollama takes: ` + "`gpu`, `:11434`, `gpu:11434`, `192.168.1.7`, `[::1]`, `[::1]:11434`" + `,
` + "`http://gpu` (port 80), `https://gpu/ollama`" + ` (port 443). An address to listen on (` + "`0.0.0.0`, `[::]`" + `) means this
machine. A port that is none is refused, where Ollama falls back to the default one.

**OLLAMA_TIMEOUT** is the time to the first token and then for silence, never for a streamed answer as a whole.

**Listening.** Loopback needs no key. Everything else demands ` + "`BREAKWATER_API_KEY`, or `--insecure`" + ` from those who know
what they do.
A request whose Host or Origin is neither loopback, nor the address listened on, nor that of public_url, nor listed, is
refused.

**Models.** A name that a caller asks for is looked up in this order: an alias; a provider's word (` + "`gemini`" + `,
` + "`claude`, `openai`, `local`, `auto`" + `); ` + "`provider/model`" + `; a model that is configured or that a provider lists; a family of names
(` + "`gpt-*`, `o*`, `claude-*`, `gemini-*`" + `).

**Channels.** With ` + "`SLACK_BOT_TOKEN` and `SLACK_CHANNEL`" + `, or with ` + "`SLACK_WEBHOOK_URL`" + `, there is a channel without any file.
These variables set the first channel of the file where it is Slack's, and nothing where it is not. ` + "`breakwater alerts test`" + ` sends a
message to each channel. See [channels](alerts.md#channels).

**Budgets** are shown with what is spent; there is at most one for each provider and period. Costs are list prices; the
price of a model that is not in the price table counts as unknown, not as zero.
`

// reference renders docs/configuration.md.
func reference() string {
	var b strings.Builder
	b.WriteString(referenceHead)
	b.WriteString("| variable | flag | in the file | default | |\n|---|---|---|---|---|\n")
	for _, o := range merged(func(o Option) string { return strings.Join(append(o.Env, o.Flag), " ") }) {
		if len(o.Env) == 0 {
			continue
		}
		flagName, where := "", code(o.Path)
		if o.Flag != "" {
			flagName = "`--" + o.Flag + "`"
		}
		if o.Path == configPath {
			where = ""
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s |\n", codes(o.Env), flagName, where, code(o.Default), help(o))
	}
	b.WriteString(referenceFile)
	b.WriteString("| key | type | default | |\n|---|---|---|---|\n")
	for _, o := range merged(generic) {
		if o.Path == configPath {
			continue
		}
		value := code(o.Default)
		if o.Fallback != "" {
			value = "that of " + code(o.Fallback)
			if o.Default != "" {
				value += "; local: " + code(o.Default)
			}
		}
		path, _, _ := strings.Cut(generic(o), ", ") // the same for every provider
		fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", code(path), o.Kind, value, help(o))
	}
	b.WriteString(referenceTail)
	return b.String()
}

// generic is an option's path with the provider left open.
func generic(o Option) string {
	for _, p := range llm.Providers() {
		if rest, ok := strings.CutPrefix(o.Path, "providers."+string(p)+"."); ok {
			return "providers.<provider>." + rest
		}
	}
	return o.Path
}

// merged lists the options, those with the same key as one: with the defaults
// and the paths of all, and the help of all where it differs.
func merged(key func(Option) string) []Option {
	var list []Option
	at := map[string]int{}
	for _, o := range Options() {
		k := key(o)
		i, ok := at[k]
		if !ok || strings.TrimSpace(k) == "" {
			at[k] = len(list)
			list = append(list, o)
			continue
		}
		list[i].Path = once(list[i].Path, o.Path)
		list[i].Default = once(list[i].Default, o.Default)
		if !strings.Contains(list[i].Help, o.Help) {
			list[i].Help += " For " + strings.Split(o.Path, ".")[1] + ": " + strings.ToLower(o.Help[:1]) + o.Help[1:]
		}
	}
	return list
}

func once(list, s string) string {
	if s == "" || slices.Contains(strings.Split(list, ", "), s) {
		return list
	}
	if list == "" {
		return s
	}
	return list + ", " + s
}

func help(o Option) string { return strings.NewReplacer("`", "", "|", "\\|").Replace(o.Help) }

func code(list string) string {
	if list == "" {
		return ""
	}
	return codes(strings.Split(list, ", "))
}

func codes(words []string) string { return "`" + strings.Join(words, "`, `") + "`" }

// example gives docs/breakwater.example.yaml, with its examples switched on
// where all is true.
func example(t *testing.T, all bool) string {
	t.Helper()
	b, err := os.ReadFile(docs("breakwater.example.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(string(b), "\n")
	for i, line := range lines {
		if body, ok := strings.CutPrefix(strings.TrimLeft(line, " "), "#"); all && ok && body != "" && body[0] != ' ' {
			lines[i] = strings.Replace(line, "#", "", 1)
		}
	}
	return strings.Join(lines, "\n")
}

func TestExampleWritesOutTheDefaults(t *testing.T) {
	got, err := load(t, setting{file: example(t, false)})
	if err != nil {
		t.Fatal(err)
	}
	want, err := load(t, setting{})
	if err != nil {
		t.Fatal(err)
	}
	got.File, got.effective, want.effective, got.keys, want.keys = "", nil, nil, nil, nil
	if fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", want) {
		t.Errorf("the example says\n%+v\nthe defaults are\n%+v", got, want)
	}
}

func TestExampleHasEveryOption(t *testing.T) {
	v := newValues(func(string) string { return "x" }, nil, nil)
	file{v, "breakwater.yaml"}.parse([]byte(example(t, true)))
	if len(v.errs) > 0 {
		t.Fatal(v.errs)
	}
	there := map[string]bool{}
	for path := range v.set {
		for _, way := range ways() {
			path = strings.TrimSuffix(path, "."+way)
		}
		there[pattern(path)] = true
	}
	for _, o := range Options() {
		if !there[o.Path] && o.Path != configPath {
			t.Errorf("%s is not in docs/breakwater.example.yaml", o.Path)
		}
	}
}

func TestDefaultModelsHaveAPrice(t *testing.T) {
	c, err := load(t, setting{})
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range c.Providers {
		if target := (llm.Target{Provider: p.Name, Model: p.DefaultModel}); !price.Default().Known(target) {
			t.Errorf("%s has no price", target)
		}
	}
}
