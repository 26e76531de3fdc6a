package config

import (
	"strings"

	"breakwater/internal/provider"
	"breakwater/internal/router"
	"breakwater/internal/traffic"
)

// callerOptions gives the options of those who call, beside api_key.
func callerOptions() []Option {
	return []Option{
		{Path: "callers[].name", Kind: Text, Help: "A caller's name in the record and the log; unique, and not default, which is the holder of api_key."},
		{Path: "callers[].key", Kind: Key, Help: "The key that this caller presents; no two have the same."},
		{Path: "callers[].priority", Kind: Text, Choices: priorities(), Help: "The priority of its requests, and the highest that X-Breakwater-Priority may ask for. Unset, they are normal and may ask for any."},
		{Path: "callers[].requests_per_minute", Kind: Count, Default: "0", Help: "How many requests a minute it may send; 0 for any number."},
		{Path: "callers[].tokens_per_minute", Kind: Count, Default: "0", Help: "How many tokens a minute, input and output; 0 for any number."},
		{Path: "callers[].burst", Kind: Count, Default: "0", Help: "How many requests it may send at once after a pause; 0 for what suits requests_per_minute."},
		{Path: "callers[].concurrent", Kind: Count, Default: "0", Help: "How many of its requests may be under way at once; 0 for any number."},
	}
}

// texts gives words as text.
func texts[W ~string](words []W) []string {
	var texts []string
	for _, w := range words {
		texts = append(texts, string(w))
	}
	return texts
}

// priorities lists the priorities' words.
func priorities() []string {
	var words []string
	for _, p := range traffic.Priorities() {
		words = append(words, p.String())
	}
	return words
}

// keyOrders lists the orders of keys.
func keyOrders() []string {
	return texts([]provider.KeyOrder{provider.InOrder, provider.Weighted, provider.LeastUsed})
}

// routingOptions gives the options of who is tried when, and for how long.
func routingOptions() []Option {
	return []Option{
		{Path: "strategy", Kind: Text, Choices: texts(router.Strategies()), Default: DefaultStrategy, Help: "How candidates that answer the question equally well are ordered: failover as they are written; latency and cost by what is expected of this request; round_robin in turn, by weight; least_busy by the requests under way; quality as they are written, until they are judged. X-Breakwater-Strategy and a route's own are stronger."},
		{Path: "chain", Kind: List, Choices: words(), Default: strings.Join(words(), ","), Help: "The order in which providers are tried after the one that the caller prefers."},
		{Path: "aliases.*", Kind: Text, Help: "A name that callers may use as model, and what it means: a provider, or provider/model."},
		{Path: "routes[].name", Kind: Text, Help: "The route's name, for explanations; unique."},
		{Path: "routes[].match.models", Kind: List, Help: "The models, exactly as callers write them, that take this route."},
		{Path: "routes[].targets", Kind: List, Help: "Where they go instead of the chain, in order: each a provider, or provider/model."},
		{Path: "routes[].strategy", Kind: Text, Choices: texts(router.Strategies()), Fallback: "strategy", Help: "How the targets are ordered."},
		{Path: "routes[].weights", Kind: List, Help: "The targets' shares in round_robin, whole numbers in the order of targets; those left out are 1."},
		{Path: "routes[].hedge", Kind: Switch, Default: "false", Help: "Whether a second target is asked, too, where the first content of a stream is later than usual. Both are paid for."},
		{Path: "hedge.percent", Kind: Count, Default: DefaultHedgePercent, Help: "How many of 100 requests of such routes may be asked twice."},
		{Path: "affinity", Kind: Switch, Default: "true", Help: "Whether a conversation goes first to the target and key where its prompt is cached, for as long as the provider keeps it."},
		{Path: "timeouts.connect", Kind: Duration, Default: DefaultConnect, Help: "For a connection to a provider, TLS included."},
		{Path: "timeouts.headers", Kind: Duration, Help: "For the response headers of a streamed answer; by default as first_token."},
		{Path: "timeouts.first_token", Kind: Duration, Default: DefaultFirstToken, Help: "For the first piece of a streamed answer; a model that shows that it thinks has begun."},
		{Path: "timeouts.adaptive", Kind: Switch, Default: "true", Help: "Whether a stream that is far later than usual of its target is given up before first_token is over, where another target can answer; see Failover in http-api.md."},
		{Path: "timeouts.silence", Kind: Duration, Default: DefaultSilence, Help: "Between two pieces of a streamed answer."},
		{Path: "timeouts.answer", Kind: Duration, Default: DefaultAnswer, Help: "For an answer that comes in one piece, and for the first content of a model that thinks."},
		{Path: "timeouts.slow_percent", Kind: Count, Default: DefaultSlowPercent, Help: "A stream that comes slower than this percentage of the target's usual pace for 10 seconds is cut; 0 for never."},
		{Path: "breaker.failure_threshold", Env: []string{"CIRCUIT_BREAKER_FAILURE_THRESHOLD"}, Kind: Count, Default: DefaultFailureThreshold, Help: "How many failed requests in a row open a breaker."},
		{Path: "breaker.recovery_timeout", Env: []string{"CIRCUIT_BREAKER_RECOVERY_TIMEOUT"}, Kind: Duration, Default: DefaultRecoveryTimeout, Help: "How long an open breaker waits before it lets one probe through."},
		{Path: "breaker.last_resort", Kind: Text, Choices: texts(router.LastResorts()), Default: DefaultLastResort, Help: "Where a target whose breaker is open is tried all the same, one request a second and three more for each that it answers: never; full where those that could answer have no room; always there and where nobody else is left. See Failover in http-api.md."},
		{Path: "retries.max", Kind: Count, Default: DefaultRetries, Help: "How often a target that is overloaded or broken is asked again within a request before the next one is, and one that had no room where nobody had any; 0 for never. A lost connection is tried once more at most."},
		{Path: "retries.backoff", Kind: Duration, Default: DefaultBackoff, Help: "The longest pause before the first retry; it doubles with each, and is drawn at random up to that."},
		{Path: "retries.patience", Kind: Duration, Default: DefaultPatience, Help: "The longest Retry-After that is waited out at the same target; a longer one means the next at once."},
		{Path: "recovery", Kind: Text, Choices: []string{"continue", "buffer", "error"}, Default: DefaultRecovery, Help: "What becomes of a stream that breaks off in the middle: continue has the next candidate go on from the text that was sent; buffer holds every stream until it is whole; error ends it with an error."},
		{Path: "content_filter_failover", Kind: Switch, Default: "false", Help: "Whether the next candidate is asked after a provider's policy refused a request."},
	}
}

// trafficOptions gives the options of how much may go where, and who waits.
func trafficOptions() []Option {
	return []Option{
		{Path: "limits.body_bytes", Kind: Size, Default: DefaultBodyBytes, Help: "The largest request body that is accepted."},
		{Path: "limits.concurrent", Kind: Count, Default: DefaultConcurrent, Help: "How many requests may be under way in all; near it, batch requests are turned away first."},
		{Path: "limits.memory", Kind: Size, Default: DefaultMemory, Help: "How much memory the bodies of requests under way may take."},
		{Path: "limits.models[].model", Kind: Text, Help: "A model, as its provider names it, that has limits of its own at each endpoint."},
		{Path: "limits.models[].requests_per_minute", Kind: Count, Default: "0", Help: "How many requests a minute it may get; 0 for any number."},
		{Path: "limits.models[].tokens_per_minute", Kind: Count, Default: "0", Help: "How many tokens a minute, input and output; 0 for any number."},
		{Path: "limits.models[].burst", Kind: Count, Default: "0", Help: "How many requests may go at once after a pause; 0 for what suits requests_per_minute."},
		{Path: "limits.models[].concurrent", Kind: Count, Default: "0", Help: "How many requests may be under way at once; 0 for any number."},
		{Path: "queue.size", Kind: Count, Default: DefaultQueueSize, Help: "How many requests may wait where every candidate is limited; 0 for none: they are refused at once."},
		{Path: "queue.wait", Kind: Duration, Default: DefaultQueueWait, Help: "How long one may wait."},
		{Path: "queue.aging", Kind: Duration, Default: DefaultQueueAging, Help: "One that waited so long counts as one class more urgent."},
		{Path: "keys.refresh", Kind: Duration, Zero: true, Default: DefaultKeysRefresh, Help: "How often the providers' keys that come from files and commands are read again; 0 for only on SIGHUP."},
		{Path: "keys.overlap", Kind: Duration, Zero: true, Default: DefaultKeysOverlap, Help: "How long a key that is gone after that serves on as a spare, since a provider may take a while to know the new one."},
		{Path: "idempotency.keep", Kind: Duration, Zero: true, Default: DefaultIdempotencyKeep, Help: "How long the answer to a request with an Idempotency-Key is kept in memory for those who ask again; 0 for no meaning of that header."},
		{Path: "idempotency.bytes", Kind: Size, Default: DefaultIdempotencyBytes, Help: "How much memory such answers may take; those that ended first go first."},
	}
}
