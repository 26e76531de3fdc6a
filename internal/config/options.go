package config

import (
	"strings"

	"breakwater/internal/llm"
)

// Kind says what text an option takes.
type Kind string

// The kinds.
const (
	Text     Kind = "text"
	List     Kind = "list"     // of text; separated by commas in the environment
	Switch   Kind = "switch"   // true or false
	Count    Kind = "number"   // whole
	Duration Kind = "duration" // seconds as a plain number, or such as 1m30s
	Size     Kind = "size"     // bytes as a plain number, or such as 32MiB
	Bytes    Kind = "amount"   // bytes on disk, such as 20GiB; 0 means any amount
	Age      Kind = "age"      // such as 30d or 36h; 0 means for ever
	USD      Kind = "dollars"  // exact, at most nine decimals
	Percent  Kind = "percent"  // such as 99.5: over 0 and under 100
	URL      Kind = "URL"
	Key      Kind = "secret" // text, {env: NAME}, {file: PATH} or {exec: COMMAND}; shown as set or unset
)

// Option is one setting. The table of options is all there is: it drives
// flags, environment, file, the page of effective values and the reference.
type Option struct {
	// Path is where the option stands in the file: log.level. [] stands for
	// each item of a list, * for any key.
	Path string
	// Env lists the variables that set it, strongest first. Within a list
	// they set the first item.
	Env      []string
	Flag     string // "" where there is none
	Kind     Kind
	Choices  []string // where only these will do
	Default  string   // "" where there is none
	Fallback string   // path of the option whose value holds where this one is unset
	Zero     bool     // of a duration: it may be 0, which switches something off
	Help     string   // one sentence
}

// configPath names the option that is not in the file, but names it.
const configPath = "config"

// Options lists every option, in the order of the reference page.
func Options() []Option {
	options := []Option{
		{Path: configPath, Env: []string{"BREAKWATER_CONFIG"}, Flag: "config", Kind: Text, Help: "The YAML `file` to read; there need not be one."},
		{Path: "listen", Env: []string{"BREAKWATER_LISTEN"}, Flag: "listen", Kind: Text, Default: DefaultListen, Help: "The `host:port` to listen on. Anything but loopback demands api_key or insecure; port 0 takes a free one."},
		{Path: "public_url", Env: []string{"BREAKWATER_PUBLIC_URL"}, Flag: "public-url", Kind: URL, Help: "The `URL` under which people reach Breakwater, for links in messages; by default http:// and the listen address. Its host and origin are allowed."},
		{Path: "db", Env: []string{"BREAKWATER_DB"}, Flag: "db", Kind: Text, Default: DefaultDB, Help: "The SQLite database `file`; relative to the working directory."},
		{Path: "instance", Env: []string{"BREAKWATER_INSTANCE"}, Flag: "instance", Kind: Count, Default: DefaultInstance, Help: "The `number` of this Breakwater, 0 to 1023, so that several never give the same request id."},
		{Path: "api_key", Env: []string{"BREAKWATER_API_KEY"}, Kind: Key, Help: "The key that callers must present."},
		{Path: "operator_key", Env: []string{"BREAKWATER_OPERATOR_KEY"}, Kind: Key, Help: "The key that people sign in with to acknowledge and silence incidents, write about them and test channels; it opens the pages too. At least 16 characters: make one with openssl rand -hex 32. Without it only a browser on Breakwater's own machine may act."},
		{Path: "insecure", Env: []string{"BREAKWATER_INSECURE"}, Flag: "insecure", Kind: Switch, Default: "false", Help: "Listen beyond loopback without a key: everyone who reaches the address may spend your money."},
		{Path: "allowed_hosts", Env: []string{"BREAKWATER_ALLOWED_HOSTS"}, Kind: List, Help: "Further names, with or without a port, that callers may use for Breakwater in the Host header."},
		{Path: "allowed_origins", Env: []string{"BREAKWATER_ALLOWED_ORIGINS"}, Kind: List, Help: "Further origins, such as https://app.example.com, from which browsers may call."},
		{Path: "log.level", Env: []string{"BREAKWATER_LOG_LEVEL"}, Flag: "log-level", Kind: Text, Choices: []string{"debug", "info", "warn", "error"}, Default: DefaultLogLevel, Help: "The least severe `level` that is logged: debug, info, warn or error."},
		{Path: "log.format", Env: []string{"BREAKWATER_LOG_FORMAT"}, Flag: "log-format", Kind: Text, Choices: []string{"text", "json"}, Default: DefaultLogFormat, Help: "The `form` of log lines: text or json."},
	}
	options = append(options, callerOptions()...)
	for _, p := range llm.Providers() {
		options = append(options, providerOptions(p)...)
	}
	options = append(options, routingOptions()...)
	options = append(options, trafficOptions()...)
	options = append(options, probeOptions()...)
	options = append(options, []Option{
		{Path: "budgets[].name", Kind: Text, Help: "The budget's name on the page; by default the provider's."},
		{Path: "budgets[].provider", Kind: Text, Choices: append(words(), "all"), Default: "all", Help: "Whose spending counts: a provider, or all."},
		{Path: "budgets[].period", Kind: Text, Choices: []string{"day", "month"}, Help: "The span in UTC that the amount is for: day or month."},
		{Path: "budgets[].usd", Kind: USD, Help: "The amount in US dollars."},
	}...)
	options = append(options, alertOptions()...)
	return append(options, []Option{
		{Path: "responses.keep", Env: []string{"BREAKWATER_RESPONSES_KEEP"}, Kind: Duration, Zero: true, Default: DefaultResponsesKeep, Help: "How long answers of /v1/responses and what they answer are kept in memory after they were last used, so that previous_response_id works with every provider; 0 keeps nothing."},
		{Path: "responses.keep_bytes", Kind: Size, Default: DefaultResponsesBytes, Help: "How much memory they may take; what was not used for the longest time goes first."},
		{Path: "anomaly.enabled", Kind: Switch, Default: "true", Help: "Whether latency and errors are compared with their own past, and a target that is unlike itself is held."},
		{Path: "anomaly.hold", Kind: Duration, Default: DefaultHold, Help: "How long a first hold keeps traffic away; each that follows soon lasts twice as long."},
		{Path: "anomaly.canary", Kind: Duration, Default: DefaultCanary, Help: "How often one request is let through to a held target, to see whether it is well again."},
		{Path: "anomaly.min_samples", Kind: Count, Default: DefaultMinSamples, Help: "How many requests a target needs before anything is compared."},
		{Path: "slo.availability", Env: []string{"BREAKWATER_SLO_AVAILABILITY"}, Kind: Percent, Default: DefaultSLOAvailability, Help: "How many percent of callers' requests shall get a whole answer. What may fail is the error budget; alerts tell when it is used up too fast."},
		{Path: "slo.latency", Env: []string{"BREAKWATER_SLO_LATENCY"}, Kind: Duration, Zero: true, Default: DefaultSLOLatency, Help: "How long a request may take, a streamed one to its first content, so that it counts as fast; 0 for no objective of latency."},
		{Path: "slo.latency_share", Kind: Percent, Default: DefaultSLOLatencyShare, Help: "How many percent of the answers shall be as fast as slo.latency."},
		{Path: "slo.window", Kind: Age, Default: DefaultSLOWindow, Help: "The span that the error budget is for, 7d at least; 0 for no alerts of error budgets."},
		{Path: "store.queue", Kind: Count, Default: DefaultQueue, Help: "How many traces may wait in memory to be written; beyond it they are dropped, counted and shown."},
		{Path: "store.retention.traces", Env: []string{"BREAKWATER_RETENTION_TRACES"}, Kind: Age, Default: DefaultKeepTraces, Help: "How long single requests are kept, with their attempts."},
		{Path: "store.retention.minutes", Kind: Age, Default: DefaultKeepMinutes, Help: "How long the figures of each minute are kept, 2h at least: the page shows an hour."},
		{Path: "store.retention.hours", Kind: Age, Default: DefaultKeepHours, Help: "How long the figures of each hour are kept, 2d at least: a budget counts today's."},
		{Path: "store.retention.days", Kind: Age, Default: DefaultKeepDays, Help: "How long the figures of each day are kept, 92d at least: the page shows 90."},
		{Path: "store.retention.changes", Kind: Age, Default: DefaultKeepChanges, Help: "How long transitions of breakers, holds and changes of keys are kept."},
		{Path: "store.retention.incidents", Kind: Age, Default: DefaultKeepIncidents, Help: "How long incidents are kept after their end."},
		{Path: "store.retention.bytes", Env: []string{"BREAKWATER_RETENTION_BYTES"}, Kind: Bytes, Default: DefaultKeepBytes, Help: "How much the record may take on disk; beyond it the oldest requests go first, then minutes, then hours."},
		{Path: "store.durability", Kind: Text, Choices: []string{"journal", "durable", "off"}, Default: DefaultDurability, Help: "What of the record outlives which end: journal loses no answered request to a kill and at most 25 ms to a power cut, for about a microsecond a request; durable loses nothing, and each request waits until the disk has its trace, a few milliseconds; off keeps what waits in memory only, so that a kill loses 50 ms or more."},
	}...)
}

// providerOptions gives the options of one provider.
func providerOptions(p llm.Provider) []Option {
	b := builtIn(p)
	at := "providers." + string(p) + "."
	options := []Option{
		{Path: at + "enabled", Kind: Switch, Default: "true", Help: "Whether requests may go there."},
		{Path: at + "default_model", Env: []string{b.modelEnv}, Kind: Text, Default: b.model, Help: "The model for callers who name only the provider, and for failover."},
		{Path: at + "endpoints[].name", Kind: Text, Help: "The endpoint's name; needed and unique where there are several."},
		{Path: at + "endpoints[].base_url", Env: b.urlEnv, Kind: URL, Default: b.url, Help: b.urlHelp},
		{Path: at + "endpoints[].region", Kind: Text, Help: "Where it stands, in the provider's word or yours; for people."},
		{Path: at + "endpoints[].models", Kind: List, Help: "Models that it serves beside the default one. Others are tried when a caller names them with the provider."},
	}
	requests := "0"
	if p == llm.Gemini {
		requests = DefaultGeminiRequests
	}
	options = append(options,
		Option{Path: at + "limits.requests_per_minute", Env: []string{strings.TrimSuffix(b.modelEnv, "MODEL") + "REQUESTS_PER_MINUTE"}, Kind: Count, Default: requests, Help: "How many requests a minute may go there, over all its endpoints and keys; 0 for any number."},
		Option{Path: at + "limits.tokens_per_minute", Kind: Count, Default: "0", Help: "How many tokens a minute, input and output; 0 for any number."},
		Option{Path: at + "limits.burst", Kind: Count, Default: "0", Help: "How many requests may go at once after a pause; 0 for what suits requests_per_minute."},
		Option{Path: at + "limits.concurrent", Kind: Count, Default: "0", Help: "How many requests may be under way at once; 0 for any number."},
		Option{Path: at + "pool.idle", Kind: Count, Default: DefaultPoolIdle, Help: "How many unused connections an endpoint keeps for later."},
		Option{Path: at + "pool.connections", Kind: Count, Default: "0", Help: "How many connections an endpoint may have where it speaks HTTP/1; 0 for any number."},
		Option{Path: at + "pool.idle_time", Kind: Duration, Default: DefaultPoolIdleTime, Help: "How long an unused connection is kept."},
		Option{Path: at + "pool.life_time", Kind: Duration, Default: DefaultPoolLifeTime, Help: "How long any connection serves, so that changes of DNS are seen."},
		Option{Path: at + "pool.http2", Kind: Switch, Default: "true", Help: "Whether HTTP/2 is spoken where the provider does."},
		Option{Path: at + "pool.ping", Kind: Duration, Default: DefaultPoolPing, Help: "How often a silent HTTP/2 connection is checked."})
	if p == llm.OpenAI {
		options = append(options, Option{Path: at + "endpoints[].responses", Env: []string{"OPENAI_RESPONSES"}, Kind: Switch,
			Help: "Whether it has /responses, so that callers of /v1/responses are passed on as they are; otherwise they are translated. By default true at OpenAI's own address, and false elsewhere."})
	}
	if p != llm.Local {
		options = append(options,
			Option{Path: at + "key_order", Kind: Text, Choices: keyOrders(), Default: DefaultKeyOrder, Help: "Which of an endpoint's usable keys is taken: in_order takes the first, the others are spares; weighted in proportion to their weights; least_used the one with the fewest requests."},
			Option{Path: at + "endpoints[].keys[].name", Kind: Text, Help: "The key's name; by default key and its number. Unique within the endpoint."},
			Option{Path: at + "endpoints[].keys[].weight", Kind: Count, Default: "1", Help: "The key's share in the order weighted."},
			Option{Path: at + "endpoints[].keys[].requests_per_minute", Kind: Count, Default: "0", Help: "How many requests a minute may go with this key; 0 for any number."},
			Option{Path: at + "endpoints[].keys[].tokens_per_minute", Kind: Count, Default: "0", Help: "How many tokens a minute; 0 for any number."},
			Option{Path: at + "endpoints[].keys[].concurrent", Kind: Count, Default: "0", Help: "How many requests at once; 0 for any number."},
			Option{Path: at + "endpoints[].keys[]", Env: b.keyEnv, Kind: Key, Help: "A key of the provider's. Without one the provider is not used."})
	}
	if p != llm.Local {
		options = append(options, Option{Path: at + "timeouts.adaptive", Kind: Switch, Fallback: "timeouts.adaptive", Help: "The same for this provider."})
	}
	options = append(options,
		Option{Path: at + "timeouts.headers", Kind: Duration, Fallback: "timeouts.headers", Help: "The same for this provider."},
		Option{Path: at + "timeouts.slow_percent", Kind: Count, Fallback: "timeouts.slow_percent", Help: "The same for this provider."})
	for _, name := range []string{"connect", "first_token", "silence", "answer"} {
		o := Option{Path: at + "timeouts." + name, Kind: Duration, Fallback: "timeouts." + name, Help: "The same for this provider."}
		if p == llm.Local && (name == "first_token" || name == "silence") {
			o.Env, o.Fallback, o.Default = []string{"OLLAMA_TIMEOUT"}, "", DefaultOllamaTimeout
			o.Help = "Time for the first content, and then between two pieces; the model may have to be loaded first."
		}
		options = append(options, o)
	}
	return options
}

// facts are what differs from provider to provider.
type facts struct {
	modelEnv, model string
	urlEnv          []string
	url, urlHelp    string
	keyEnv          []string
}

// builtIn gives the facts of one provider. The variables are those that the
// official SDKs read. Google's SDKs read GOOGLE_API_KEY before
// GEMINI_API_KEY; here the name that says Gemini wins, since a Google key may
// well be one for maps (https://ai.google.dev/gemini-api/docs/api-key).
func builtIn(p llm.Provider) facts {
	const bare = "Where the API is, without a version, which Breakwater adds."
	switch p {
	case llm.Gemini:
		return facts{"GEMINI_MODEL", DefaultGeminiModel, []string{"GEMINI_BASE_URL", "GOOGLE_GEMINI_BASE_URL"}, DefaultGeminiURL, bare, []string{"GEMINI_API_KEY", "GOOGLE_API_KEY"}}
	case llm.Claude:
		return facts{"ANTHROPIC_MODEL", DefaultClaudeModel, []string{"ANTHROPIC_BASE_URL"}, DefaultClaudeURL, bare, []string{"ANTHROPIC_API_KEY"}}
	case llm.OpenAI:
		return facts{"OPENAI_MODEL", DefaultOpenAIModel, []string{"OPENAI_BASE_URL"}, DefaultOpenAIURL, "Where the API is, its version included: it usually ends in /v1.", []string{"OPENAI_API_KEY"}}
	}
	return facts{"OLLAMA_MODEL", DefaultLocalModel, []string{"OLLAMA_HOST"}, DefaultLocalURL, "Where Ollama is, in any form that Ollama itself takes: host, :port, host:port or a URL.", nil}
}

// words lists the providers' words.
func words() []string { return texts(llm.Providers()) }
