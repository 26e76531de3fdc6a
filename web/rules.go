package web

import "breakwater/internal/record"

// rule is one reason for which people are told of something, in words.
type rule struct {
	Topic    record.Topic
	When     string // it opens
	Severity string
	Ends     string
}

// rules lists what opens an incident unless the configuration says otherwise:
// a rule for each topic.
func rules() []rule {
	return []rule{
		{record.TopicProvider, "A provider failed and failed its first probe, or a caller felt it; or its errors or times are unlike its own past.", "critical while callers fail, otherwise warning", "when a probe or canaries went well"},
		{record.TopicEverything, "Several providers are in trouble at once: the cause is most likely on your side.", "critical while callers fail, otherwise warning", "when they are well again"},
		{record.TopicKey, "A provider refuses a key, or says that its quota or credit is used up.", "critical where nothing else serves, otherwise warning", "when the key works again, or is taken out"},
		{record.TopicModel, "A provider does not have a model that the configuration names.", "warning", "when the model answers, or is taken out"},
		{record.TopicThrottling, "A provider takes less than it is sent, for longer than a moment.", "warning", "when it takes all again"},
		{record.TopicErrorBudget, "Callers’ failures use up what the objective allows too fast, over a short and a long time alike.", "critical when fast, warning when slow", "when the rate is sustainable again"},
		{record.TopicBudget, "Money is spent faster than a budget allows, or the budget is used up.", "warning", "when the pace fits again, or a new period begins"},
		{record.TopicUsage, "A caller’s tokens or costs are unlike its own past.", "warning", "when they are as usual again"},
		{record.TopicRecord, "What happens cannot be written down, or what happened cannot be read: a full or locked disk, a broken file.", "critical when something is lost, otherwise warning", "when it is written and read again"},
	}
}
