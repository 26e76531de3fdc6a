package web

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"breakwater/internal/llm"
	"breakwater/internal/record"
)

// summary has the shape of Statuspage's summary.json, so that readers of it
// work unchanged: https://confluence.status.atlassian.com/api shows one whole,
// https://www.mongodb.com/docs/api/doc/cloud-status/operation/operation-getstatussummary
// which fields are always there (2026-11). What an update says of tweets and
// subscribers is left out.
type summary struct {
	Page       summaryPage        `json:"page"`
	Status     summaryStatus      `json:"status"`
	Components []summaryComponent `json:"components"`
	Incidents  []summaryIncident  `json:"incidents"` // those that are not over
	// Those that stand or are planned.
	ScheduledMaintenances []summaryMaintenance `json:"scheduled_maintenances"`
}

type summaryPage struct {
	ID        string    `json:"id"`
	Name      string    `json:"name"`
	URL       string    `json:"url"`
	TimeZone  string    `json:"time_zone"`
	UpdatedAt time.Time `json:"updated_at"`
}

type summaryStatus struct {
	// none, minor, major or critical; maintenance where nothing else is the matter:
	// https://github.com/zulip/zulip/blob/main/zerver/webhooks/statuspage/fixtures/component_status_update.json (2026-11).
	Indicator   string `json:"indicator"`
	Description string `json:"description"`
}

type summaryComponent struct {
	ID                 string    `json:"id"`
	Name               string    `json:"name"`
	Status             string    `json:"status"`
	Description        string    `json:"description"`
	Position           int       `json:"position"`
	CreatedAt          time.Time `json:"created_at"` // when this Breakwater began to watch it
	UpdatedAt          time.Time `json:"updated_at"`
	Showcase           bool      `json:"showcase"`
	StartDate          *string   `json:"start_date"`
	GroupID            *string   `json:"group_id"`
	Group              bool      `json:"group"`
	OnlyShowIfDegraded bool      `json:"only_show_if_degraded"`
	PageID             string    `json:"page_id"`
	// Uptime is Breakwater's own addition: the share of attempts that were
	// answered, by window; null without data.
	Uptime map[string]*float64 `json:"uptime"`
}

type summaryIncident struct {
	ID           string             `json:"id"`
	Name         string             `json:"name"`
	Status       string             `json:"status"`
	Impact       string             `json:"impact"`
	Shortlink    string             `json:"shortlink"`
	PageID       string             `json:"page_id"`
	StartedAt    time.Time          `json:"started_at"`
	CreatedAt    time.Time          `json:"created_at"`
	UpdatedAt    time.Time          `json:"updated_at"`
	MonitoringAt *time.Time         `json:"monitoring_at"`
	ResolvedAt   *time.Time         `json:"resolved_at"`
	Updates      []summaryUpdate    `json:"incident_updates"`
	Components   []summaryComponent `json:"components"`
}

// summaryMaintenance is an incident that was planned: its status is scheduled or
// in_progress here, and its impact maintenance.
type summaryMaintenance struct {
	summaryIncident
	ScheduledFor   time.Time `json:"scheduled_for"`
	ScheduledUntil time.Time `json:"scheduled_until"`
}

type summaryUpdate struct {
	ID         string    `json:"id"`
	Status     string    `json:"status"`
	Body       string    `json:"body"`
	IncidentID string    `json:"incident_id"`
	CreatedAt  time.Time `json:"created_at"`
	UpdatedAt  time.Time `json:"updated_at"`
	DisplayAt  time.Time `json:"display_at"`
	// Affected is always null: an update says of no component what it was before.
	Affected *struct{} `json:"affected_components"`
}

const summaryPageID = "breakwater"

func summarise(s Status, base string) summary {
	verdict := Judge(s)
	out := summary{
		Page:                  summaryPage{ID: summaryPageID, Name: "Breakwater", URL: base + "/", TimeZone: "Etc/UTC", UpdatedAt: s.Now.UTC()},
		Status:                summaryStatus{Description: strings.TrimSuffix(verdict.Headline, ".")},
		Components:            []summaryComponent{},
		Incidents:             []summaryIncident{},
		ScheduledMaintenances: []summaryMaintenance{},
	}
	for _, p := range s.Providers {
		if p.State != Off {
			out.Components = append(out.Components, component(p, len(out.Components)+1, s))
		}
	}
	out.Status.Indicator = indicator(verdict.Level, callersAffected(s.Numbers), out.Components)
	for _, in := range s.Incidents {
		if in.State.Lasts() {
			out.Incidents = append(out.Incidents, openIncident(in, base, out.Components))
		}
	}
	for _, m := range s.Maintenances {
		if standing(m, s.Now) || planned(m, s.Now) {
			out.ScheduledMaintenances = append(out.ScheduledMaintenances, scheduled(m, s.Now, base, out.Components))
		}
	}
	return out
}

// indicator says how bad it is in Statuspage's words.
func indicator(l Level, affected bool, components []summaryComponent) string {
	unwell := slices.DeleteFunc(slices.Clone(components), func(c summaryComponent) bool { return c.Status == "operational" })
	other := slices.ContainsFunc(unwell, func(c summaryComponent) bool { return c.Status != "under_maintenance" })
	switch {
	case l == LevelDown:
		return "critical"
	case l == LevelDegraded && affected:
		return "major"
	case len(unwell) > 0 && !other:
		return "maintenance"
	case l == LevelDegraded:
		return "minor"
	}
	return "none"
}

func component(p Provider, position int, s Status) summaryComponent {
	uptime := make(map[string]*float64)
	for _, u := range p.Uptimes {
		uptime[u.Window] = nil
		if u.Share.Known {
			uptime[u.Window] = &u.Share.Value
		}
	}
	return summaryComponent{
		Uptime: uptime,
		ID:     string(p.Name), Name: p.Name.Title(), Status: componentStatus(p), Description: p.Model,
		Position: position, CreatedAt: s.Started.UTC(), UpdatedAt: s.Now.UTC(), Showcase: true, PageID: summaryPageID,
	}
}

// componentStatus says a provider's state in Statuspage's words. A provider of
// which nothing is known yet counts as operational, since they have no word for it.
func componentStatus(p Provider) string {
	if p.Maintenance != nil {
		return "under_maintenance"
	}
	switch p.State {
	case Degraded:
		return "degraded_performance"
	case Down:
		return "major_outage"
	case Held:
		if p.Hold != nil && p.Hold.Source == record.ByOperator {
			return "under_maintenance"
		}
		return "partial_outage"
	}
	return "operational"
}

// incidentStatus says an incident's state in Statuspage's words: it is
// identified once somebody took it on or callers are served elsewhere, and
// monitored while traffic comes back.
func incidentStatus(in record.Incident) string {
	switch {
	case in.State == record.Resolved:
		return "resolved"
	case in.State == record.Recovering:
		return "monitoring"
	case in.State == record.Mitigated || !in.Acknowledged.IsZero():
		return "identified"
	}
	return "investigating"
}

// incidentImpact says a severity in Statuspage's words.
func incidentImpact(s record.Severity) string {
	switch s {
	case record.Critical:
		return "critical"
	case record.Info:
		return "none"
	}
	return "minor"
}

func openIncident(in record.Incident, base string, components []summaryComponent) summaryIncident {
	id := in.ID.String()
	began := in.Began.UTC()
	out := summaryIncident{
		ID: id, Name: in.Title, Status: incidentStatus(in), Impact: incidentImpact(in.Severity), Shortlink: base + incidentLink(in), PageID: summaryPageID,
		StartedAt: began, CreatedAt: began, UpdatedAt: began,
		Updates: []summaryUpdate{}, Components: concerned(components, in.Subject),
	}
	// Statuspage lists the latest update first.
	for i := len(in.Timeline) - 1; i >= 0; i-- {
		event := in.Timeline[i]
		at := event.At.UTC()
		out.Updates = append(out.Updates, summaryUpdate{
			ID: id + "-" + strconv.Itoa(i+1), Status: out.Status, Body: updateText(event), IncidentID: id,
			CreatedAt: at, UpdatedAt: at, DisplayAt: at,
		})
		if at.After(out.UpdatedAt) {
			out.UpdatedAt = at
		}
		if event.Kind == string(record.Recovering) && in.State == record.Recovering && out.MonitoringAt == nil {
			out.MonitoringAt = &at
		}
	}
	return out
}

// updateText is an update as text alone, with who wrote it.
func updateText(e record.Event) string {
	if e.By != "" {
		return e.Text + " (" + e.By + ")"
	}
	return sentence(e.Text)
}

// concerned gives the components that something is about: one, or all.
func concerned(components []summaryComponent, p llm.Provider) []summaryComponent {
	own := []summaryComponent{}
	for _, c := range components {
		if p == "" || c.ID == string(p) {
			own = append(own, c)
		}
	}
	return own
}

// scheduled gives a maintenance window as one of Statuspage's.
func scheduled(m record.Silence, now time.Time, base string, components []summaryComponent) summaryMaintenance {
	id, placed, status := m.ID.String(), m.ID.Time(), "scheduled"
	text := "Maintenance is planned: "
	if standing(m, now) {
		text, status = "Maintenance is under way: ", "in_progress"
	}
	out := summaryMaintenance{
		summaryIncident: summaryIncident{
			ID: id, Name: "Maintenance of " + lowerFirst(covers(m)), Status: status, Impact: "maintenance", Shortlink: base + "/alerts#silences", PageID: summaryPageID,
			StartedAt: m.From.UTC(), CreatedAt: placed, UpdatedAt: placed, Components: concerned(components, m.Provider),
		},
		ScheduledFor: m.From.UTC(), ScheduledUntil: m.Until.UTC(),
	}
	out.Updates = []summaryUpdate{{
		ID: id + "-1", Status: status, Body: text + sentence(m.Reason), IncidentID: id, CreatedAt: placed, UpdatedAt: placed, DisplayAt: placed,
	}}
	return out
}
