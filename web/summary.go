package web

import (
	"strconv"
	"strings"
	"time"

	"breakwater/internal/llm"
	"breakwater/internal/record"
)

// summary has the shape of Statuspage's summary.json, so that readers of it
// work unchanged: https://metastatuspage.com/api.
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
	Indicator   string `json:"indicator"` // none, minor, major, critical
	Description string `json:"description"`
}

type summaryComponent struct {
	ID                 string    `json:"id"`
	Name               string    `json:"name"`
	Status             string    `json:"status"`
	Description        string    `json:"description"`
	Position           int       `json:"position"`
	UpdatedAt          time.Time `json:"updated_at"`
	Showcase           bool      `json:"showcase"`
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

// summaryMaintenance is an incident that was planned.
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
}

const summaryPageID = "breakwater"

func summarise(s Status, base string) summary {
	verdict := Judge(s)
	indicator := map[Level]string{LevelOperational: "none", LevelUnknown: "none", LevelDegraded: "minor", LevelDown: "critical"}[verdict.Level]
	if verdict.Level == LevelDegraded && callersAffected(s.Numbers) {
		indicator = "major"
	}
	out := summary{
		Page:                  summaryPage{ID: summaryPageID, Name: "Breakwater", URL: base + "/", TimeZone: "Etc/UTC", UpdatedAt: s.Now.UTC()},
		Status:                summaryStatus{Indicator: indicator, Description: strings.TrimSuffix(verdict.Headline, ".")},
		Components:            []summaryComponent{},
		Incidents:             []summaryIncident{},
		ScheduledMaintenances: []summaryMaintenance{},
	}
	for _, p := range s.Providers {
		if p.State != Off {
			out.Components = append(out.Components, component(p, len(out.Components)+1, s.Now))
		}
	}
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

func component(p Provider, position int, now time.Time) summaryComponent {
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
		Position: position, UpdatedAt: now.UTC(), Showcase: true, PageID: summaryPageID,
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
