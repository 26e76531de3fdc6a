package config

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os/exec"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"

	"breakwater/internal/llm"
	"breakwater/internal/provider"
	"breakwater/internal/record"
	"breakwater/internal/traffic"
)

// setting is what a test gives to Load.
type setting struct {
	args []string
	env  map[string]string
	file string            // breakwater.yaml; none where empty
	disk map[string]string // other files
	run  map[string]string // commands and what they print; others fail
}

func load(t testing.TB, s setting) (*Config, error) {
	t.Helper()
	flags := pflag.NewFlagSet("breakwater", pflag.ContinueOnError)
	AddFlags(flags)
	args := s.args
	if s.file != "" {
		args = append([]string{"--config", "breakwater.yaml"}, args...)
	}
	if err := flags.Parse(args); err != nil {
		t.Fatal(err)
	}
	return Load(Sources{
		Flags: flags,
		Run: func(_ context.Context, words []string) ([]byte, error) {
			out, ok := s.run[strings.Join(words, " ")]
			if !ok {
				return nil, &exec.Error{Name: words[0], Err: exec.ErrNotFound}
			}
			return []byte(out), nil
		},
		LookupEnv: func(name string) (string, bool) { text, ok := s.env[name]; return text, ok },
		ReadFile: func(name string) ([]byte, error) {
			if text, ok := s.disk[name]; ok {
				return []byte(text), nil
			}
			if name == "breakwater.yaml" && s.file != "" {
				return []byte(s.file), nil
			}
			return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
		},
	})
}

func mustLoad(t testing.TB, s setting) *Config {
	t.Helper()
	c, err := load(t, s)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// faults lists "source: field" of every error.
func faults(t testing.TB, err error) []string {
	t.Helper()
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		t.Fatalf("not joined: %v", err)
	}
	var list []string
	for _, err := range joined.Unwrap() {
		var e *Error
		if !errors.As(err, &e) || e.Field == "" || e.Message == "" {
			t.Fatalf("not an *Error with all its parts: %#v", err)
		}
		list = append(list, e.Source.String()+": "+e.Field)
	}
	return list
}

func TestWithoutAnythingTheDefaultsHold(t *testing.T) {
	c := mustLoad(t, setting{})
	minute := time.Minute
	common := Timeouts{Connect: 10 * time.Second, FirstToken: minute, Adaptive: true, Silence: minute, Answer: 10 * minute, SlowShare: 0.1}
	local := Timeouts{Connect: 10 * time.Second, FirstToken: 2 * minute, Silence: 2 * minute, Answer: 10 * minute, SlowShare: 0.1}
	pool := provider.Pool{Idle: 256, IdleTime: 90 * time.Second, LifeTime: 10 * minute, Ping: 15 * time.Second}
	none, sixty := traffic.Limits{}, traffic.Limits{Requests: 60}
	want := &Config{
		Listen: "127.0.0.1:8080", DB: "breakwater.db",
		Providers: []Provider{
			{llm.Gemini, true, DefaultGeminiModel, []Endpoint{{BaseURL: DefaultGeminiURL, Missing: "set GEMINI_API_KEY"}}, common, sixty, provider.InOrder, pool},
			{llm.Claude, true, DefaultClaudeModel, []Endpoint{{BaseURL: DefaultClaudeURL, Missing: "set ANTHROPIC_API_KEY"}}, common, none, provider.InOrder, pool},
			{llm.OpenAI, true, "gpt-4o", []Endpoint{{BaseURL: DefaultOpenAIURL, Responses: true, Missing: "set OPENAI_API_KEY"}}, common, none, provider.InOrder, pool},
			{llm.Local, true, "llama3", []Endpoint{{BaseURL: "http://localhost:11434"}}, local, none, "", pool},
		},
		Chain:    llm.Providers(),
		Aliases:  map[string]string{},
		Strategy: "failover", Affinity: true, Hedge: 0.05,
		Breaker:   Breaker{3, minute, "full"},
		Retries:   Retries{2, 250 * time.Millisecond, 3 * time.Second},
		Recovery:  "continue",
		BodyBytes: 32 << 20, Gate: traffic.GateLimits{Requests: 4096, Bytes: 512 << 20},
		Queue:       traffic.QueueLimits{Size: 1000, Wait: 30 * time.Second, Aging: 5 * time.Second},
		Rotation:    Rotation{5 * minute, 10 * minute},
		Idempotency: Kept{10 * minute, 64 << 20},
		Responses:   Kept{Bytes: 64 << 20},
		Anomaly:     Anomaly{true, 30 * time.Second, 5 * time.Second, 30},
		SLO:         SLO{Availability: 0.995, Share: 0.95, Window: 30 * day},
		Probes:      Probes{true, 30 * time.Second, minute, 0},
		StoreQueue:  60_000,
		Retention:   Retention{30 * day, 30 * day, 400 * day, 0, 400 * day, 0, 20 << 30},
		Durability:  "journal",
		missing: []string{
			"gemini: set GEMINI_API_KEY to use it",
			"claude: set ANTHROPIC_API_KEY to use it",
			"openai: set OPENAI_API_KEY to use it",
		},
	}
	want.effective, c.keys = c.effective, nil
	if !reflect.DeepEqual(c, want) {
		t.Errorf("got\n%+v\nwant\n%+v", c, want)
	}
	for _, p := range c.Providers {
		if p.Usable() != (p.Name == llm.Local) {
			t.Errorf("%s: usable %v", p.Name, p.Usable())
		}
	}
}

func TestFlagsBeatEnvironmentBeatsFileBeatsDefault(t *testing.T) {
	s := setting{}
	check := func(listen, source string) {
		t.Helper()
		c := mustLoad(t, s)
		if c.Listen != listen {
			t.Errorf("listens on %s, want %s", c.Listen, listen)
		}
		for _, v := range c.Values() {
			if v.Path == "listen" && (v.Text != listen || v.Source.String() != source) {
				t.Errorf("%s from %s, want %s from %s", v.Text, v.Source, listen, source)
			}
		}
	}
	check("127.0.0.1:8080", "default")
	s.file = "# a comment\nlisten: 127.0.0.1:1\n"
	check("127.0.0.1:1", "breakwater.yaml:2")
	s.env = map[string]string{"BREAKWATER_LISTEN": ""}
	check("127.0.0.1:1", "breakwater.yaml:2")
	s.env = map[string]string{"BREAKWATER_LISTEN": "127.0.0.1:2"}
	check("127.0.0.1:2", "BREAKWATER_LISTEN")
	s.args = []string{"--listen", "127.0.0.1:3"}
	check("127.0.0.1:3", "--listen")
}

func TestEnvironmentReachesEveryOptionThatItNames(t *testing.T) {
	c := mustLoad(t, setting{env: map[string]string{
		"GEMINI_API_KEY": "g", "GOOGLE_API_KEY": "other", "ANTHROPIC_API_KEY": "a", "OPENAI_API_KEY": " o\n",
		"OPENAI_BASE_URL": "http://a/v1/", "ANTHROPIC_BASE_URL": "http://b", "GOOGLE_GEMINI_BASE_URL": "http://c/x",
		"OPENAI_MODEL": "m1", "ANTHROPIC_MODEL": "m2", "GEMINI_MODEL": "m3", "OLLAMA_MODEL": "m4",
		"OLLAMA_HOST": "0.0.0.0:1", "OLLAMA_TIMEOUT": "7",
		"GEMINI_REQUESTS_PER_MINUTE": "1", "ANTHROPIC_REQUESTS_PER_MINUTE": "2", "OPENAI_REQUESTS_PER_MINUTE": "3", "OLLAMA_REQUESTS_PER_MINUTE": "4",
		"CIRCUIT_BREAKER_FAILURE_THRESHOLD": "5", "CIRCUIT_BREAKER_RECOVERY_TIMEOUT": "1m30s",
		"BREAKWATER_LISTEN": ":9", "BREAKWATER_API_KEY": "k", "BREAKWATER_DB": "d", "BREAKWATER_INSTANCE": "1023",
		"BREAKWATER_PUBLIC_URL": "https://X.example/b/", "BREAKWATER_LOG_LEVEL": "debug", "BREAKWATER_LOG_FORMAT": "json",
		"BREAKWATER_ALLOWED_HOSTS": "a.example, B.example:80", "BREAKWATER_ALLOWED_ORIGINS": "https://C.example",
		"BREAKWATER_INSECURE": "true",
		"SLACK_BOT_TOKEN":     "xoxb-1", "SLACK_CHANNEL": "#x", "SLACK_API_URL": "http://127.0.0.1:5/api",
	}})
	for i, want := range []struct{ model, url, key string }{
		{"m3", "http://c/x", "g"}, {"m2", "http://b", "a"}, {"m1", "http://a/v1", "o"}, {"m4", "http://127.0.0.1:1", ""},
	} {
		p := c.Providers[i]
		if p.DefaultModel != want.model || p.Endpoints[0].BaseURL != want.url {
			t.Errorf("%s: %+v, want %+v", p.Name, p, want)
		}
		if p.Limits.Requests != int64(i+1) {
			t.Errorf("%s: limits %+v", p.Name, p.Limits)
		}
		if want.key != "" && p.Endpoints[0].Keys[0].Secret.Reveal() != want.key || !p.Usable() {
			t.Errorf("%s: wrong key, or not usable", p.Name)
		}
	}
	local := c.Provider(llm.Local).Timeouts
	if local.FirstToken != 7*time.Second || local.Silence != 7*time.Second || local.Answer != 10*time.Minute {
		t.Errorf("local timeouts %+v", local)
	}
	if c.Breaker != (Breaker{5, 90 * time.Second, "full"}) || c.Listen != ":9" || c.DB != "d" || c.Instance != 1023 || !c.Insecure ||
		c.APIKey.Reveal() != "k" || c.PublicURL != "https://X.example/b" || c.Log != (Log{slog.LevelDebug, true}) {
		t.Errorf("got %+v", c)
	}
	if want := []string{"a.example", "b.example:80", "x.example"}; !slices.Equal(c.AllowedHosts, want) {
		t.Errorf("hosts %q, want %q", c.AllowedHosts, want)
	}
	if want := []string{"https://c.example", "https://x.example"}; !slices.Equal(c.AllowedOrigins, want) {
		t.Errorf("origins %q, want %q", c.AllowedOrigins, want)
	}
	if ch := c.Channels[0]; ch.Name != "slack" || ch.BotToken.Reveal() != "xoxb-1" || ch.Channel != "#x" || ch.APIURL != "http://127.0.0.1:5/api/" {
		t.Errorf("channel %+v", ch)
	}
	if len(c.Missing()) > 0 {
		t.Errorf("missing: %q", c.Missing())
	}
}

func TestWholeExampleIsUnderstood(t *testing.T) {
	c := mustLoad(t, wholeExample(t))
	claude := c.Provider(llm.Claude)
	if len(claude.Endpoints) != 2 || len(claude.Endpoints[0].Keys) != 1 || claude.Endpoints[0].Keys[0].Name != "main" ||
		claude.Endpoints[1].Keys[0].Secret.Reveal() != "from" || claude.Timeouts.FirstToken != 90*time.Second {
		t.Errorf("claude: %+v", claude)
	}
	if want := []string{"claude, endpoint us: set ANTHROPIC_API_KEY_2 to use that key too"}; !slices.Equal(c.Missing(), want) {
		t.Errorf("missing %q, want %q", c.Missing(), want)
	}
	if want := []Budget{{"", "", Month, 200e9}, {"Gemini today", llm.Gemini, Day, 2_500_000_000}}; !slices.Equal(c.Budgets, want) {
		t.Errorf("budgets %+v, want %+v", c.Budgets, want)
	}
	if want := []Route{{"cheap first", []string{"gpt-4o-mini"}, []string{"local/qwen3:8b", "openai/gpt-4o-mini"}, "round_robin", []int{3, 1}, true}}; !reflect.DeepEqual(c.Routes, want) {
		t.Errorf("routes %+v, want %+v", c.Routes, want)
	}
	if c.Aliases["private"] != "local" || c.Channels[1].WebhookURL.Reveal() != "https://hooks.example/T1" {
		t.Errorf("got %+v", c)
	}
}

func wholeExample(t testing.TB) setting {
	return setting{
		file: example(t.(*testing.T), true),
		env: map[string]string{
			"CALLERS_KEY": "c", "OPERATORS_KEY": "operators-own-key", "GEMINI_API_KEY": "g", "ANTHROPIC_API_KEY": "a",
			"SLACK_BOT_TOKEN": "xoxb-1", "CHAT_KEY": "chat", "PAGERDUTY_ROUTING_KEY": "pd", "ALERT_WEBHOOK_URL": "https://hooks.example/x?token=t",
		},
		disk: map[string]string{
			"/run/secrets/claude-mirror": "from\n", "/run/secrets/nightly": "night", "/run/secrets/management-webhook": "https://hooks.example/T1\n",
			"/run/secrets/smtp-password": "mailpass\n", "/run/secrets/alert-webhook": "whsec_c2VjcmV0\n",
		},
		run: map[string]string{"vault kv get -field=key secret/openai": "from-vault\n"},
	}
}

func TestEnvironmentSetsTheFirstItemOfAListAndKeepsTheRest(t *testing.T) {
	c := mustLoad(t, setting{
		file: `providers: {openai: {endpoints: [
			{name: a, base_url: http://one/v1, keys: [{name: first, env: FIRST}, {name: second, value: two}]},
			{name: b, base_url: http://two/v1, keys: [three]}]}}`,
		env: map[string]string{"OPENAI_API_KEY": "one", "OPENAI_BASE_URL": "http://other/v1", "FIRST": "weaker"},
	})
	got := c.Provider(llm.OpenAI).Endpoints
	want := []Endpoint{
		{Name: "a", BaseURL: "http://other/v1", Keys: []APIKey{{Name: "first", Secret: NewSecret("one"), Weight: 1}, {Name: "second", Secret: NewSecret("two"), Weight: 1}}},
		{Name: "b", BaseURL: "http://two/v1", Keys: []APIKey{{Name: "key 1", Secret: NewSecret("three"), Weight: 1}}},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestOnlyOpenAIsOwnAddressIsTakenToHaveResponses(t *testing.T) {
	for _, test := range []struct {
		url, said string
		want      bool
	}{
		{"", "", true}, {"https://eu.api.openai.com/v1", "", true}, {"http://localhost:8000/v1", "", false},
		{"https://api.openai.com.example/v1", "", false}, {"http://localhost:8000/v1", "true", true}, {"", "false", false},
	} {
		c := mustLoad(t, setting{env: map[string]string{"OPENAI_BASE_URL": test.url, "OPENAI_RESPONSES": test.said, "BREAKWATER_RESPONSES_KEEP": "1h"}})
		if got := c.Provider(llm.OpenAI).Endpoints[0].Responses; got != test.want {
			t.Errorf("%s %s: got %v", test.url, test.said, got)
		}
		if c.Responses.For != time.Hour {
			t.Errorf("kept for %v", c.Responses.For)
		}
	}
}

func TestEveryFaultIsToldAtOnceWithFieldAndPlace(t *testing.T) {
	_, err := load(t, setting{
		args: []string{"--instance", "1024", "--log-level", "loud"},
		env:  map[string]string{"CIRCUIT_BREAKER_FAILURE_THRESHOLD": "0", "OLLAMA_HOST": "ftp://x", "OLLAMA_TIMEOUT": "soon"},
		file: `listen: 0.0.0.0:8080
lissten: x
breaker:
  recovery_timeout: -1s
  recovery_timeout: 2s
budgets:
  - {period: week, usd: 1e3}
  - {}
chain: [gemini, gemini, mistral]
routes:
  - strategy: cheapest
anomaly: yes please
`})
	want := []string{
		"breakwater.yaml:2: lissten",
		"breakwater.yaml:5: breaker.recovery_timeout",
		"breakwater.yaml:12: anomaly",
		"--instance: instance",
		"CIRCUIT_BREAKER_FAILURE_THRESHOLD: breaker.failure_threshold",
		"breakwater.yaml:4: breaker.recovery_timeout",
		"--log-level: log.level",
		"breakwater.yaml:1: listen",
		"OLLAMA_TIMEOUT: providers.local.timeouts.first_token",
		"OLLAMA_TIMEOUT: providers.local.timeouts.silence",
		"OLLAMA_HOST: providers.local.endpoints[0].base_url",
		"breakwater.yaml:9: chain[1]",
		"breakwater.yaml:9: chain[2]",
		"breakwater.yaml:11: routes[0].strategy",
		"breakwater.yaml:11: routes[0].name",
		"breakwater.yaml:11: routes[0].match.models",
		"breakwater.yaml:11: routes[0].targets",
		"breakwater.yaml:7: budgets[0].period",
		"breakwater.yaml:7: budgets[0].usd",
		"breakwater.yaml:8: budgets[1].usd",
		"breakwater.yaml:8: budgets[1].period",
	}
	got := faults(t, err)
	for _, s := range slices.Concat(want, got) {
		if !slices.Contains(got, s) || !slices.Contains(want, s) {
			t.Errorf("%s: told %v, expected %v", s, slices.Contains(got, s), slices.Contains(want, s))
		}
	}
	if !strings.Contains(err.Error(), "breakwater.yaml:2: lissten: unknown key; did you mean listen?") {
		t.Errorf("no suggestion in\n%v", err)
	}
}

func TestFaults(t *testing.T) {
	for name, tt := range map[string]struct {
		s    setting
		want string // part of the one error
	}{
		"file that is not there":      {setting{args: []string{"--config", "no.yaml"}}, "--config: config: the file no.yaml cannot be read: file does not exist"},
		"file named by environment":   {setting{env: map[string]string{"BREAKWATER_CONFIG": "no.yaml"}}, "BREAKWATER_CONFIG: config: the file no.yaml cannot be read"},
		"syntax":                      {setting{file: "listen: [\n"}, "not valid YAML"},
		"not a mapping":               {setting{file: "listen"}, "breakwater.yaml:1: config: must be a mapping"},
		"two documents":               {setting{file: "db: a\n---\ndb: b\n"}, "only one YAML document"},
		"anchor":                      {setting{file: "db: &a x\ninstance: *a\n"}, "instance: anchors are not supported"},
		"tag":                         {setting{file: "api_key: !env KEY\n"}, "api_key: tags (!) are not supported"},
		"list for a value":            {setting{file: "db: [a]\n"}, "db: must be a single value"},
		"value for a list":            {setting{file: "chain: gemini\n"}, "chain: must be a list"},
		"list in a list":              {setting{file: "chain: [[gemini]]\n"}, "chain[0]: must be a single value"},
		"value for a mapping":         {setting{file: "log: debug\n"}, "log: must be a mapping with format, level"},
		"unknown key deep down":       {setting{file: "providers:\n  openai:\n    endpoints:\n      - base-url: x\n"}, "breakwater.yaml:4: providers.openai.endpoints[0].base-url: unknown key; did you mean base_url?"},
		"unknown provider":            {setting{file: "providers: {mistral: {}}\n"}, "providers.mistral: unknown key; there are claude, gemini, local, openai"},
		"key for the local provider":  {setting{file: "providers: {local: {endpoints: [{keys: [x]}]}}\n"}, "providers.local.endpoints[0].keys: unknown key"},
		"bad flag value":              {setting{args: []string{"--instance", "-1"}}, `--instance: instance: must be a whole number from 0 to 1023, not "-1"`},
		"operator's key too short":    {setting{env: map[string]string{"BREAKWATER_OPERATOR_KEY": "fifteen-letters"}}, "BREAKWATER_OPERATOR_KEY: operator_key: must have at least 16 characters, since it can be guessed at: make one with openssl rand -hex 32"},
		"beyond loopback, no key":     {setting{env: map[string]string{"BREAKWATER_LISTEN": "0.0.0.0:8080"}}, "BREAKWATER_LISTEN: listen: others than this machine can reach it"},
		"a name, no key":              {setting{args: []string{"--listen", "myhost:8080"}}, "listen: others than"},
		"all interfaces, no key":      {setting{args: []string{"--listen", ":8080"}}, "listen: others than"},
		"listen without port":         {setting{args: []string{"--listen", "127.0.0.1"}}, "listen: must be host:port"},
		"listen with a bad port":      {setting{args: []string{"--listen", "127.0.0.1:65536"}}, "listen: must be host:port"},
		"own listener":                {setting{env: map[string]string{"OPENAI_BASE_URL": "http://localhost:8080/v1"}}, "OPENAI_BASE_URL: providers.openai.endpoints[0].base_url: is the address that Breakwater itself listens on"},
		"own listener as Ollama":      {setting{env: map[string]string{"OLLAMA_HOST": "0.0.0.0:8080"}}, "is the address that Breakwater itself"},
		"version for Anthropic":       {setting{env: map[string]string{"ANTHROPIC_BASE_URL": "https://api.anthropic.com/v1/"}}, "must not end in the version /v1,"},
		"version for Gemini":          {setting{env: map[string]string{"GEMINI_BASE_URL": "https://x/v1beta"}}, "must not end in the version /v1beta"},
		"no URL":                      {setting{env: map[string]string{"OPENAI_BASE_URL": "api.openai.com"}}, "must be a URL"},
		"strange scheme":              {setting{env: map[string]string{"OPENAI_BASE_URL": "ws://x/v1"}}, "must be a URL"},
		"password in a URL":           {setting{env: map[string]string{"OPENAI_BASE_URL": "http://u:p@x/v1"}}, "must not contain a user or password"},
		"query in a URL":              {setting{env: map[string]string{"OPENAI_BASE_URL": "http://x/v1?key=1"}}, "must not contain ?"},
		"bad port in a URL":           {setting{env: map[string]string{"OPENAI_BASE_URL": "http://x:70000/v1"}}, "must have a port"},
		"no provider at all":          {setting{file: "providers: {gemini: {enabled: false}, claude: {enabled: false}, openai: {enabled: false}, local: {enabled: false}}"}, "at least one provider must be enabled"},
		"several endpoints, no names": {setting{file: "providers: {local: {endpoints: [{name: a}, {base_url: x}]}}"}, "providers.local.endpoints[1].name: is needed"},
		"endpoint twice":              {setting{file: "providers: {local: {endpoints: [{name: a}, {name: a}]}}"}, "endpoints[1].name: another endpoint has this name"},
		"endpoint name with slash":    {setting{file: "providers: {local: {endpoints: [{name: a/b}]}}"}, "must not contain / or @"},
		"key twice":                   {setting{file: "providers: {claude: {endpoints: [{keys: [{name: a, value: x}, {name: a, value: y}]}]}}"}, "keys[1].name: another key"},
		"key without anything":        {setting{file: "providers: {claude: {endpoints: [{keys: [{name: a}]}]}}"}, "keys[0]: needs value, env, file or exec"},
		"key two ways":                {setting{file: "providers: {claude: {endpoints: [{keys: [{env: A, file: b}]}]}}"}, "keys[0]: must have only one of"},
		"key in a lost file":          {setting{file: "providers: {claude: {endpoints: [{keys: [{file: b}]}]}}"}, "the file of this secret cannot be read: file does not exist"},
		"key in an empty file":        {setting{file: "api_key: {file: b}", disk: map[string]string{"b": "\n"}}, "the file of this secret is empty"},
		"key with a space":            {setting{env: map[string]string{"OPENAI_API_KEY": "a b"}}, "OPENAI_API_KEY: providers.openai.endpoints[0].keys[0]: must be printable ASCII"},
		"key in dollars":              {setting{file: "api_key: ${KEY}"}, "variables are not expanded here; write {env: NAME}"},
		"key for env":                 {setting{file: "api_key: {env: sk-abc}"}, "api_key: env must be the name"},
		"callers' key unset":          {setting{file: "listen: :80\napi_key: {env: KEY}"}, "api_key: the environment variable KEY is not set"},
		"model with a space":          {setting{env: map[string]string{"OPENAI_MODEL": "gpt 4o"}}, "OPENAI_MODEL: providers.openai.default_model: must not contain spaces"},
		"model twice":                 {setting{file: "providers: {local: {endpoints: [{models: [a, a]}]}}"}, "models[1]: is in the list twice"},
		"alias to nowhere":            {setting{file: "aliases: {fast: mistral/x}"}, "aliases.fast: must be a provider"},
		"alias of a provider":         {setting{file: "aliases: {gemini: local}"}, "aliases.gemini: the name has a meaning of its own"},
		"alias twice":                 {setting{file: "aliases:\n  a.b: local\n  a.b: claude\n"}, "breakwater.yaml:3: aliases.a.b: is written twice; first in line 2"},
		"route twice":                 {setting{file: "routes: [{name: a, match: {models: [x]}, targets: [local]}, {name: a, match: {models: [y]}, targets: [local]}]"}, "routes[1].name: another route"},
		"model in two routes":         {setting{file: "routes: [{name: a, match: {models: [x]}, targets: [local]}, {name: b, match: {models: [x]}, targets: [local]}]"}, "routes[1].match.models[0]: has a route already: routes[0]"},
		"strategy unknown":            {setting{file: "routes: [{name: a, match: {models: [x]}, targets: [local], strategy: fastest}]"}, `strategy: must be failover, latency, cost, round_robin, least_busy or quality, not "fastest"`},
		"budget twice":                {setting{file: "budgets: [{period: day, usd: 1}, {period: day, provider: all, usd: 2}]"}, "budgets[1]: another budget has this provider and period"},
		"budget of nothing":           {setting{file: "budgets: [{period: day, usd: 0}]"}, "usd: must be more than zero"},
		"budget too fine":             {setting{file: "budgets: [{period: day, usd: 0.0000000001}]"}, "usd: must have at most nine decimals"},
		"channel of another type":     {setting{file: "alerts: {channels: [{type: mail, webhook_url: http://x}]}"}, "type: must be slack, email, webhook or pagerduty"},
		"channel without target":      {setting{env: map[string]string{"SLACK_CHANNEL": "#a"}}, "alerts.channels[0]: needs bot_token and channel, or webhook_url"},
		"token without channel":       {setting{env: map[string]string{"SLACK_BOT_TOKEN": "x"}}, "alerts.channels[0].channel: is needed with bot_token"},
		"channel two ways":            {setting{env: map[string]string{"SLACK_BOT_TOKEN": "x", "SLACK_CHANNEL": "c", "SLACK_WEBHOOK_URL": "http://x"}}, "either bot_token and channel, or webhook_url"},
		"webhook with channel":        {setting{env: map[string]string{"SLACK_CHANNEL": "c", "SLACK_WEBHOOK_URL": "http://x"}}, "SLACK_CHANNEL: alerts.channels[0].channel: goes with bot_token"},
		"webhook that is none":        {setting{env: map[string]string{"SLACK_WEBHOOK_URL": "hooks"}}, "webhook_url: must be a URL"},
		"channel twice":               {setting{file: "alerts: {channels: [{webhook_url: http://x}, {webhook_url: http://y}]}"}, "channels[1].name: another channel"},
		"switch":                      {setting{file: "anomaly: {enabled: yes}"}, `anomaly.enabled: must be true or false, not "yes"`},
		"duration of zero":            {setting{file: "timeouts: {connect: 0}"}, "timeouts.connect: must be a time over zero"},
		"percentage":                  {setting{file: "slo: {availability: 100}"}, "slo.availability: must be a percentage"},
		"size":                        {setting{file: "limits: {body_bytes: 32MB}"}, "limits.body_bytes: must be a size"},
		"host":                        {setting{file: "allowed_hosts: [a, http://b]"}, "allowed_hosts[1]: must be a host"},
		"any host":                    {setting{file: "allowed_hosts: ['*']"}, "allowed_hosts[0]: must be a host"},
		"origin":                      {setting{file: "allowed_origins: [https://a/b]"}, "allowed_origins[0]: must be an origin"},
	} {
		t.Run(name, func(t *testing.T) { mustFail(t, tt.s, tt.want) })
	}
}

// mustFail wants a setting to be refused with one error alone.
func mustFail(t *testing.T, s setting, want string) {
	t.Helper()
	c, err := load(t, s)
	if err == nil || c != nil {
		t.Fatalf("no error, but %v", c)
	}
	// A faulty default or fallback is told for each option that takes it.
	for _, line := range strings.Split(err.Error(), "\n") {
		if !strings.Contains(line, want) && !strings.Contains(line, "timeouts.") {
			t.Errorf("%s\nwant: %s", line, want)
		}
	}
	if !strings.Contains(err.Error(), want) {
		t.Errorf("got %v\nwant: %s", err, want)
	}
}

func TestAccepted(t *testing.T) {
	for name, s := range map[string]setting{
		"empty file":              {file: "\n"},
		"comment alone":           {file: "# nothing\n"},
		"null":                    {file: "~\n"},
		"keys without values":     {file: "listen:\nproviders:\n  openai:\nalerts:\n  channels:\n"},
		"operator's key":          {env: map[string]string{"BREAKWATER_OPERATOR_KEY": "sixteen-letters-"}},
		"loopback by name":        {args: []string{"--listen", "localhost:8080"}},
		"IPv6 loopback":           {args: []string{"--listen", "[::1]:0"}},
		"beyond loopback":         {args: []string{"--listen", ":8080", "--insecure"}},
		"beyond loopback, key":    {args: []string{"--listen", ":8080"}, env: map[string]string{"BREAKWATER_API_KEY": "k"}},
		"other port on this host": {env: map[string]string{"OPENAI_BASE_URL": "http://localhost:8081/v1"}},
		"OpenAI without version":  {env: map[string]string{"OPENAI_BASE_URL": "https://api.deepseek.com"}},
		"version inside a path":   {env: map[string]string{"ANTHROPIC_BASE_URL": "https://gateway.example/v1/acme/anthropic"}},
		"beyond loopback, caller": {args: []string{"--listen", ":8080"}, file: "callers: [{name: a, key: x}]\n"},
		"times of zero":           {file: "keys: {refresh: 0, overlap: 0s}\nidempotency: {keep: 0}\nresponses: {keep: 0m}\n"},
		"fraction of a second":    {file: "timeouts: {connect: 1.5}"},
	} {
		if _, err := load(t, s); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestNothingIsAcceptedAndIgnored changes each value of a complete file and
// looks for a difference.
func TestNothingIsAcceptedAndIgnored(t *testing.T) {
	s := wholeExample(t)
	s.env["ANTHROPIC_API_KEY_2"] = "a2"
	fill := func() *values {
		v := newValues(func(name string) string { return s.env[name] }, func(name string) ([]byte, error) { return []byte(s.disk[name]), nil },
			func(_ context.Context, words []string) ([]byte, error) { return []byte(words[0]), nil })
		file{v, "breakwater.yaml"}.parse([]byte(s.file))
		for _, phase := range []string{"connect", "headers", "first_token", "adaptive", "silence", "answer", "slow_percent"} {
			delete(v.set, "providers.openai.timeouts."+phase) // so that those of all providers count
		}
		return v
	}
	whole := build(fill())
	whole.effective = nil
	for path := range fill().set {
		v := fill()
		l := v.set[path]
		l.text, l.items = "changed", append(l.items, leaf{text: "gpt-changed"})
		switch v.options[pattern(path)].Kind {
		case Count:
			l.text = "77"
		case Duration, USD, Percent:
			l.text = "77"
		case Size:
			l.text = "77KiB"
		}
		v.set[path] = l
		got := build(v)
		got.effective = nil
		if len(v.errs) == 0 && reflect.DeepEqual(got, whole) {
			t.Errorf("%s: a change makes no difference", path)
		}
	}
}

func TestValuesShowSourcesAndNoSecrets(t *testing.T) {
	c := mustLoad(t, setting{
		file: "timeouts: {connect: 5}\nproviders: {openai: {endpoints: [{keys: [{name: main, env: K}]}]}}\naliases: {fast: local}\n",
		env:  map[string]string{"K": "sk-secret", "OLLAMA_TIMEOUT": "60", "GOOGLE_API_KEY": "g"},
	})
	got := map[string]string{}
	for _, v := range c.Values() {
		got[v.Path] = v.Text + " from " + v.Source.String()
		if v.Option.Help == "" || strings.Contains(v.Text, "sk-secret") {
			t.Errorf("%+v", v)
		}
	}
	for path, want := range map[string]string{
		"db":                                         "breakwater.db from default",
		"timeouts.connect":                           "5 from breakwater.yaml:1",
		"providers.gemini.timeouts.connect":          "5 from breakwater.yaml:1",
		"providers.gemini.timeouts.answer":           "10m from default",
		"providers.local.timeouts.silence":           "60 from OLLAMA_TIMEOUT",
		"providers.openai.endpoints[0].keys[0]":      "set from breakwater.yaml:2",
		"providers.openai.endpoints[0].keys[0].name": "main from breakwater.yaml:2",
		"providers.claude.endpoints[0].keys[0]":      "unset from default",
		"providers.gemini.endpoints[0].keys[0]":      "set from GOOGLE_API_KEY",
		"api_key":                                    "unset from default",
		"aliases.fast":                               "local from breakwater.yaml:3",
		"chain":                                      "gemini, claude, openai, local from default",
		"config":                                     "breakwater.yaml from --config",
	} {
		if got[path] != want {
			t.Errorf("%s: got %q, want %q", path, got[path], want)
		}
	}
}

func FuzzFile(f *testing.F) {
	for _, s := range []string{
		"listen: 127.0.0.1:1\nproviders: {local: {endpoints: [{name: a}]}}\nbudgets: [{period: day, usd: 1}]\n", "",
		"a: *b", "&a [*a]", "? [x]: y", "<<: {a: b}", "listen: !!binary aGk=", "- - - x", "a: 1\n---\nb: 2", "{a: {a: {a: ", "\xff\xfe", "routes: [~, ~]",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		c, err := load(t, setting{file: "db: x\n" + string(text)})
		if (c == nil) == (err == nil) {
			t.Fatalf("got %v and %v", c, err)
		}
		if err != nil {
			faults(t, err)
		}
	})
}

func TestInstanceNumbersFitTheIDs(t *testing.T) {
	c := mustLoad(t, setting{args: []string{"--instance", fmt.Sprint(record.MaxInstance)}})
	if c.Instance != record.MaxInstance {
		t.Errorf("got %d", c.Instance)
	}
}

func TestAgesAndAmountsOfTheRecord(t *testing.T) {
	for text, want := range map[string]time.Duration{"49h": 49 * time.Hour, "400d": 400 * day, "0": 0, "48h": 2 * day} {
		c := mustLoad(t, setting{file: "store: {retention: {hours: " + text + "}}"})
		if c.Retention.Hours != want {
			t.Errorf("%s is %v, want %v", text, c.Retention.Hours, want)
		}
	}
	for text, want := range map[string]int64{"16MiB": 16 << 20, "2TiB": 2 << 40, "0": 0, "20000000": 20_000_000} {
		c := mustLoad(t, setting{file: "store: {retention: {bytes: " + text + "}}"})
		if c.Retention.Bytes != want {
			t.Errorf("%s is %d, want %d", text, c.Retention.Bytes, want)
		}
	}
	for _, line := range []string{"hours: -1d", "hours: 1d", "minutes: 1h", "days: 30d", "traces: 1m", "hours: d", "hours: 99999999999d", "hours: 40", "bytes: 1MiB", "bytes: -1", "bytes: 99TiB", "bytes: 9999999TiB"} {
		if _, err := load(t, setting{file: "store: {retention: {" + line + "}}"}); err == nil || !strings.Contains(err.Error(), "store.retention.") {
			t.Errorf("%s: %v", line, err)
		}
	}
}
