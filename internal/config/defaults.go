package config

// Defaults, as one would write them in the file.
const (
	// DefaultListen reaches nobody but this machine, so that it needs no key.
	DefaultListen = "127.0.0.1:8080"
	// DefaultDB stands in the working directory, where a newcomer finds it.
	DefaultDB = "breakwater.db"
	// DefaultInstance is right wherever there is only one Breakwater.
	DefaultInstance = "0"
	// DefaultLogLevel tells of every failover and of nothing per request.
	DefaultLogLevel = "info"
	// DefaultLogFormat is for people; collectors want json.
	DefaultLogFormat = "text"

	// DefaultGeminiModel is the newest generally available Gemini Flash that
	// the price table knows (https://ai.google.dev/gemini-api/docs/models).
	DefaultGeminiModel = "gemini-3.6-flash"
	// DefaultClaudeModel is the newest Claude Sonnet, Anthropic's model for
	// everyday work, that the price table knows
	// (https://docs.claude.com/en/docs/about-claude/models/overview).
	DefaultClaudeModel = "claude-sonnet-5"
	// DefaultOpenAIModel answers fast, does not reason first, and is known to
	// every account.
	DefaultOpenAIModel = "gpt-4o"
	// DefaultLocalModel is the model that Ollama's own introduction pulls.
	DefaultLocalModel = "llama3"

	// The base URLs are those of the official SDKs.
	DefaultGeminiURL = "https://generativelanguage.googleapis.com"
	DefaultClaudeURL = "https://api.anthropic.com"
	DefaultOpenAIURL = "https://api.openai.com/v1"
	// DefaultLocalURL is where Ollama listens unless told otherwise.
	DefaultLocalURL = "http://localhost:11434"

	// LeastOperatorKey is how many characters an operator's key has at least: as
	// many letters and digits at random are beyond any guessing.
	LeastOperatorKey = 16

	// DefaultConnect is many times a handshake around the world.
	DefaultConnect = "10s"
	// DefaultFirstToken is exceeded only by reasoning over long prompts.
	DefaultFirstToken = "60s"
	// DefaultSilence allows the longest pauses within healthy streams.
	DefaultSilence = "60s"
	// DefaultAnswer is the patience of the official SDKs.
	DefaultAnswer = "10m"
	// DefaultOllamaTimeout lets a local server load a model from disk first.
	DefaultOllamaTimeout = "120s"

	// DefaultFailureThreshold opens a breaker after three failures in a row:
	// one is an accident, two a coincidence.
	DefaultFailureThreshold = "3"
	// DefaultRecoveryTimeout is long enough for a restart, and short enough
	// that nobody waits for a person.
	DefaultRecoveryTimeout = "60s"

	// DefaultLastResort gives a target whose breaker is open what would have to wait, and
	// tells callers at once where nobody is left.
	DefaultLastResort = "full"

	// DefaultResponsesKeep stores no prompts and answers unless the operator wants it.
	DefaultResponsesKeep = "0"
	// DefaultResponsesBytes holds about a thousand long conversations of an agent.
	DefaultResponsesBytes = "64MiB"

	// DefaultRetries is what the official SDKs do.
	DefaultRetries = "2"
	// DefaultBackoff is half of theirs: somebody else could answer meanwhile.
	DefaultBackoff = "250ms"
	// DefaultPatience is how long the model that was asked for is worth waiting for.
	DefaultPatience = "3s"

	// DefaultRecovery spares callers what they would do themselves: ask again.
	DefaultRecovery = "continue"

	// DefaultBodyBytes holds a long conversation with a few images in base64;
	// Anthropic accepts as much (https://docs.claude.com/en/api/overview).
	DefaultBodyBytes = "32MiB"

	// DefaultStrategy is what the order in the file says.
	DefaultStrategy = "failover"
	// DefaultHedgePercent is as many as are later than 95 of 100.
	DefaultHedgePercent = "5"
	// DefaultSlowPercent is slow beyond what load explains: people read faster.
	DefaultSlowPercent = "10"

	// DefaultGeminiRequests is what Breakwater allows Gemini without being told more;
	// the provider's own limits depend on tier and model
	// (https://ai.google.dev/gemini-api/docs/rate-limits).
	DefaultGeminiRequests = "60"
	// DefaultKeyOrder keeps the first key's prompt cache warm.
	DefaultKeyOrder = "in_order"
	// DefaultKeysRefresh sees a rotation within its overlap.
	DefaultKeysRefresh = "5m"
	// DefaultKeysOverlap is twice that.
	DefaultKeysOverlap = "10m"

	// The pool's defaults are those of the room that keeps it.
	DefaultPoolIdle     = "256"
	DefaultPoolIdleTime = "90s"
	DefaultPoolLifeTime = "10m"
	DefaultPoolPing     = "15s"

	// DefaultConcurrent is about half a gigabyte of streams under way.
	DefaultConcurrent = "4096"
	// DefaultMemory holds 16 of the largest bodies, or thousands of long prompts.
	DefaultMemory = "512MiB"
	// DefaultQueueSize is more than come free within DefaultQueueWait as a rule.
	DefaultQueueSize = "1000"
	// DefaultQueueWait is as long as a person waits for an answer to begin.
	DefaultQueueWait = "30s"
	// DefaultQueueAging brings a batch request to the front in two steps, before
	// DefaultQueueWait is over.
	DefaultQueueAging = "5s"

	// DefaultIdempotencyKeep outlasts the retries of every SDK, whose requests may
	// take ten minutes each.
	DefaultIdempotencyKeep = "10m"
	// DefaultIdempotencyBytes holds thousands of answers; a chat's has a few KB.
	DefaultIdempotencyBytes = "64MiB"

	// DefaultHold is Envoy's base ejection time: long enough for a blip to pass.
	DefaultHold = "30s"
	// DefaultCanary judges a held target by 18 requests in a minute and a half.
	DefaultCanary = "5s"
	// DefaultMinSamples is enough to know a spread to within about 13 %.
	DefaultMinSamples = "30"

	// DefaultSLOAvailability is what one good provider gives by itself in a month;
	// with a second one behind it Breakwater is well above.
	DefaultSLOAvailability = "99.5"
	// DefaultSLOLatency sets no objective: how fast is fast depends on the models.
	DefaultSLOLatency = "0"
	// DefaultSLOLatencyShare leaves one in twenty to long prompts.
	DefaultSLOLatencyShare = "95"
	// DefaultSLOWindow is a month wherever it begins.
	DefaultSLOWindow = "30d"

	// DefaultQueue holds a minute of 1,000 requests a second while the
	// database cannot be written.
	DefaultQueue = "60000"
	// DefaultDurability loses no answered request to a kill, and costs about a
	// microsecond.
	DefaultDurability = "journal"

	// DefaultKeepTraces is as far back as one looks for a single request.
	DefaultKeepTraces = "30d"
	// DefaultKeepMinutes is as long as the requests they are made of.
	DefaultKeepMinutes = "30d"
	// DefaultKeepHours lets a month be compared with that of a year ago.
	DefaultKeepHours = "400d"
	// DefaultKeepDays keeps days for ever, since they take next to nothing.
	DefaultKeepDays = "0"
	// DefaultKeepChanges is as long as hours.
	DefaultKeepChanges = "400d"
	// DefaultKeepIncidents keeps incidents for ever: they are few.
	DefaultKeepIncidents = "0"
	// DefaultKeepBytes holds a month of 70 requests a second.
	DefaultKeepBytes = "20GiB"

	// DefaultSlackURL is Slack's Web API.
	DefaultSlackURL = "https://slack.com/api/"
	// DefaultRepeat and DefaultRate are those of the room that sends.
	DefaultRepeat = "4h"
	DefaultRate   = "10"
)
