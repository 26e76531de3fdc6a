package alerts

import (
	"breakwater/internal/llm"
	"breakwater/internal/record"
)

// noticed says whether callers can notice an incident of a topic at all.
func noticed(t record.Topic) bool {
	return t != record.TopicBudget && t != record.TopicUsage && t != record.TopicRecord
}

// unmeasured says what a lasting incident means for callers where there are no
// figures.
func unmeasured(t record.Topic) string {
	switch t {
	case record.TopicEverything:
		return "Each request is still tried along its chain; those that find nobody fail."
	case record.TopicThrottling:
		return "Requests wait for their turn or go to the next provider of the chain; those that find no room fail."
	case record.TopicErrorBudget:
		return "More requests fail than the objective allows."
	}
	return "Requests go to the next provider of the chain; those that find none fail."
}

// doing says what Breakwater does by itself while the incident lasts.
func (m Message) doing() string {
	switch m.Incident.Topic {
	case record.TopicKey, record.TopicModel:
		return m.doingWithout()
	case record.TopicEverything:
		return m.tryingEach()
	case record.TopicThrottling:
		return "Sends " + m.Incident.Subject.Title() + " only as much as it takes, and the rest to the next provider of the chain."
	case record.TopicErrorBudget:
		return "Fails over as it does for every request. What still fails has no provider left that can serve it."
	case record.TopicBudget:
		return "Holds nothing back: a budget is watched, not enforced."
	case record.TopicUsage:
		return "Holds nothing back: the caller's limits are as before."
	case record.TopicRecord:
		return "Goes on serving. What cannot be written waits in memory while there is room, is counted when it is lost, and recording resumes by itself."
	}
	return m.movingTraffic()
}

// tryingEach says where the traffic is while several providers are in trouble.
func (m Message) tryingEach() string {
	text := "Tries each request along its chain, so that whoever is well serves it"
	if m.Incident.State == record.Mitigated && !m.Incident.Mitigated.IsZero() {
		text = "Has had callers served by those that are well since " + m.Incident.Mitigated.UTC().Format("15:04 UTC")
	}
	return text + ", and tries the others again from time to time. It holds none of them on suspicion: when several fail at once, the cause is most likely not theirs."
}

// movingTraffic says where the traffic of a provider in trouble is.
func (m Message) movingTraffic() string {
	i := m.Incident
	if i.State == record.Recovering {
		return "Lets traffic come back to " + i.Subject.Title() + " step by step. It is not over yet."
	}
	text := "Sends its traffic to the next provider of the chain"
	if i.State == record.Mitigated && !i.Mitigated.IsZero() {
		text = "Has served its callers elsewhere since " + i.Mitigated.UTC().Format("15:04 UTC")
	}
	text += " and tries " + i.Subject.Title() + " again from time to time"
	if m.Next.IsZero() {
		return text + "."
	}
	return text + ", next at " + m.Next.UTC().Format("15:04:05 UTC") + "." // the message may be read long after
}

// advice says what a person can look at.
func (m Message) advice() string {
	switch m.Incident.Topic {
	case record.TopicKey, record.TopicModel:
		return partAdvice(m.Incident)
	case record.TopicEverything:
		return "Look at your own side first: network, DNS, proxy, firewall, this machine's clock and certificates. The providers' status pages say whether it is theirs after all."
	case record.TopicThrottling:
		return "Nothing, if it passes. Otherwise ask the provider for higher limits, give Breakwater one more key, or set requests_per_minute to what the provider takes."
	case record.TopicErrorBudget:
		return "Look at the requests that failed: which model, which provider, which error. Then add a provider to their chain, or mend what they have in common."
	case record.TopicBudget:
		return "Look who spends: the status page shows the cost of each provider, /requests the requests of each caller. Then set limits for the caller or a cheaper model, or raise the budget in the configuration."
	case record.TopicUsage:
		return "Ask the caller's owner whether this is meant. A loop or a key in wrong hands looks like this: then set limits for the caller, or change its key."
	case record.TopicRecord:
		return "Look at the disk of the database: is it full (df), is it writable, does it answer? When it does, breakwater store check says whether the file is sound."
	}
	if m.hurts() {
		return "See at " + m.at("/requests?outcome=failed") + " why no other provider served them: where a model's chain has this provider alone, add another. " + elsewhere(m.Incident.Subject)
	}
	return providerAdvice(m.Incident.Subject)
}

// hurts says whether callers' requests fail.
func (m Message) hurts() bool {
	i := m.Incident
	return i.Severity == record.Critical && i.State == record.Ongoing
}

// afterwards says what is left to do when it is over.
func (m Message) afterwards() string {
	i := m.Incident
	if m.part() {
		return "Look at the incident of several providers, which tells of " + i.Subject.Title() + " from now on."
	}
	switch i.Topic {
	case record.TopicKey, record.TopicModel:
		if n := len(i.Timeline); n > 0 {
			return "Nothing. " + i.Timeline[n-1].Text
		}
		return "Nothing."
	case record.TopicEverything:
		return "Nothing at once. Find out by day what the providers had in common."
	case record.TopicThrottling:
		return "Nothing. " + i.Subject.Title() + " takes its traffic again. If it comes back often, ask for higher limits."
	case record.TopicErrorBudget:
		return "Nothing at once. What was used of the error budget stays used: the requests that failed show what to mend."
	case record.TopicBudget:
		return "Nothing."
	case record.TopicUsage:
		return "Nothing, if the caller's owner knows why."
	case record.TopicRecord:
		return "Nothing. If rows were lost, the metric breakwater_store_dropped_total says how many."
	}
	return "Nothing. " + i.Subject.Title() + " gets its traffic again."
}

// providerAdvice says where a provider's own trouble is told.
func providerAdvice(p llm.Provider) string {
	if p == llm.Local {
		return elsewhere(p)
	}
	return "Nothing, if it recovers by itself. Otherwise look at " + places(p) + "."
}

// elsewhere says what to look at outside Breakwater.
func elsewhere(p llm.Provider) string {
	if p == llm.Local {
		return "Look at the Ollama server: does it run (ollama ps), is its memory full, is the model there (ollama list)?"
	}
	return "Look at " + places(p) + "."
}

// places are where a provider tells of its trouble, and of what it allows.
func places(p llm.Provider) string {
	switch p {
	case llm.Gemini:
		return "status.cloud.google.com and at the project's quota"
	case llm.Claude:
		return "status.claude.com and at the organisation's limits"
	case llm.OpenAI:
		return "status.openai.com and at the project's limits"
	}
	return "its status page"
}
