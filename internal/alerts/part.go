package alerts

import (
	"strings"

	"breakwater/internal/llm"
	"breakwater/internal/record"
	"breakwater/internal/redact"
)

// The ends of the title of an incident about a key or model.
const (
	refusedTitle = " is refused"
	quotaTitle   = " is out of quota"
	missingTitle = " is missing"
)

// The kinds of event that only such an incident has: what the provider said,
// and who serves instead.
const (
	keyEvent     = "key"
	modelEvent   = "model"
	servingEvent = "serving"
)

// subject is what one incident is about: a provider, a key or model of it, or
// another thing of its topic.
type subject struct {
	topic                      record.Topic
	provider                   llm.Provider
	endpoint, key, model, name string
}

func about(i *record.Incident) subject {
	return subject{topic: i.Topic, provider: i.Subject, endpoint: i.Endpoint, key: i.Key, model: i.Model, name: i.Name}
}

// whole is a provider as a whole.
func whole(p llm.Provider) subject { return subject{topic: record.TopicProvider, provider: p} }

// applyPart takes a signal about a key or model. Losing one is certain at the
// first word of the provider's, so nothing is pending.
func (s *story) applyPart(g Signal) step {
	switch g.Kind {
	case KeyLost, ModelMissing:
		return s.lost(g)
	case KeyBack:
		return s.wellAgain(g.At, "The key works again.")
	case TargetServed:
		if g.Asked.Before(s.lostAt) {
			return nothing
		}
		if s.Key != "" {
			return s.wellAgain(g.At, "The key works again.")
		}
		return s.wellAgain(g.At, "The model answers.")
	case Removed:
		return s.resolve(record.Event{At: g.At, Text: "It is no longer in the configuration."})
	}
	return nothing
}

// lost notes what the provider said and who serves instead. Said again it
// changes nothing, unless it is something else, such as of the key's next secret.
func (s *story) lost(g Signal) step {
	title := s.partTitle(g)
	told, back := s.State.Lasts(), s.State == record.Recovering
	s.next, s.lostAt = g.Next, g.At
	s.returns(g.At)
	switch {
	case told && back && s.Title == title:
		return changed
	case told && s.Title == title:
		return nothing
	}
	s.Title = title
	kind := modelEvent
	if s.Key != "" {
		kind = keyEvent
	}
	s.add(record.Event{At: g.At, Kind: kind, Text: redact.Short(redact.Secrets(g.Text), maxText)})
	s.add(record.Event{At: g.At, Kind: servingEvent, Text: g.Serving})
	if told {
		return changed
	}
	s.State, s.Opened, s.figures = record.Ongoing, g.At, true
	s.onset(g.At)
	return opened
}

// partTitle says which key or model it is, and what is the matter with it.
func (s *story) partTitle(g Signal) string {
	at, model, end := "", "", refusedTitle
	if s.Endpoint != "" {
		at = " at " + s.Endpoint
	}
	if s.Key == "" {
		return s.Subject.Title() + "'s model " + s.Model + at + missingTitle
	}
	if s.Model != "" {
		model = " for " + s.Model
	}
	if g.State == record.KeyExhausted {
		end = quotaTitle
	}
	return s.Subject.Title() + "'s " + record.KeyNamed(s.Key, g.Last4) + at + model + end
}

// partCallers says who serves instead, and what callers noticed where that is
// known.
func (m Message) partCallers() string {
	text := ""
	for _, e := range m.Incident.Timeline {
		if e.Kind == servingEvent {
			text = e.Text
		}
	}
	if m.Impact != nil && m.Impact.Rerouted+m.Impact.Failed > 0 {
		text += " " + soFar(meant(*m.Impact))
	}
	return text
}

// doingWithout says what Breakwater does about the key or model.
func (m Message) doingWithout() string {
	i := m.Incident
	switch {
	case i.Key == "":
		return "Asks the next candidate instead. The provider's other models are used as before."
	case strings.HasSuffix(i.Title, refusedTitle):
		return "Sends nothing with the key any more, and looks from time to time whether it works again."
	case m.Next.IsZero():
		return "Sends nothing with the key until its quota resets."
	}
	return "Sends nothing with the key until " + clock(m.Next) + "."
}

// partAdvice says where the matter is mended. The places are those of
// https://ai.google.dev/gemini-api/docs/api-key,
// https://platform.claude.com/docs/en/get-api-key and
// https://developers.openai.com/api/docs/guides/error-codes (2026-11).
func partAdvice(i record.Incident) string {
	console := map[llm.Provider]string{
		llm.Gemini: "aistudio.google.com (API keys)", llm.Claude: "platform.claude.com (Settings, API keys)",
		llm.OpenAI: "platform.openai.com (Settings, API keys)",
	}[i.Subject]
	account := map[llm.Provider]string{
		llm.Gemini: "aistudio.google.com (Usage and Billing)", llm.Claude: "platform.claude.com (Settings, Billing)",
		llm.OpenAI: "platform.openai.com (Settings, Billing and Limits)",
	}[i.Subject]
	if console == "" {
		console, account = "the server", "the server"
	}
	switch {
	case i.Key == "" && i.Subject == llm.Local:
		return "Fetch it on the Ollama server (ollama pull " + i.Model + "), or take another model in Breakwater's configuration."
	case i.Key == "":
		return "Look whether it was renamed or retired, or is not open to this account: GET /v1/models lists what there is. Then take another model in Breakwater's configuration."
	case strings.HasSuffix(i.Title, quotaTitle):
		return "Nothing, if it can wait for the quota to reset. Otherwise add credit or raise the limit at " + account + ", or give Breakwater one more key."
	}
	return "Look whether it was revoked on purpose. If not, make a new key at " + console + ", and put it where Breakwater reads the old one from. A file or a command is read again every few minutes (keys.refresh) and at a SIGHUP; the environment, at a restart."
}
