package web

import (
	"strings"
	"time"

	"breakwater/internal/record"
)

// summary has the shape of Statuspage's summary.json, so that readers of it
// work unchanged: https://metastatuspage.com/api.
type summary struct {
	Page       summaryPage        `json:"page"`
	Status     summaryStatus      `json:"status"`
	Components []summaryComponent `json:"components"`
	Incidents  []summaryIncident  `json:"incidents"` // open ones
	// Breakwater plans no maintenance, so the list is always empty.
	ScheduledMaintenances []struct{} `json:"scheduled_maintenances"`
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
		ScheduledMaintenances: []struct{}{},
	}
	for _, p := range s.Providers {
		if p.State != Off {
			out.Components = append(out.Components, component(p, len(out.Components)+1, s.Now))
		}
	}
	for _, in := range s.Incidents {
		if in.State.Lasts() {
			out.Incidents = append(out.Incidents, openIncident(in, base, indicator, out.Components))
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

// incidentStatus says an open incident's state in Statuspage's words.
func incidentStatus(s record.IncidentState) string {
	switch s {
	case record.Mitigated:
		return "identified"
	case record.Recovering:
		return "monitoring"
	}
	return "investigating"
}

func openIncident(in record.Incident, base, impact string, components []summaryComponent) summaryIncident {
	id := in.ID.String()
	if impact == "none" {
		impact = "minor"
	}
	began := in.Began.UTC()
	out := summaryIncident{
		ID: id, Name: in.Title, Status: incidentStatus(in.State), Impact: impact, Shortlink: base + "/" + anchor(in), PageID: summaryPageID,
		StartedAt: began, CreatedAt: began, UpdatedAt: began,
		Updates: []summaryUpdate{}, Components: []summaryComponent{},
	}
	for _, c := range components {
		if c.ID == string(in.Subject) {
			out.Components = append(out.Components, c)
		}
	}
	// Statuspage lists the latest update first.
	for i := len(in.Timeline) - 1; i >= 0; i-- {
		event := in.Timeline[i]
		at := event.At.UTC()
		out.Updates = append(out.Updates, summaryUpdate{
			ID: id + "-" + thousands(int64(i+1)), Status: out.Status, Body: sentence(event.Text), IncidentID: id,
			CreatedAt: at, UpdatedAt: at, DisplayAt: at,
		})
		if at.After(out.UpdatedAt) {
			out.UpdatedAt = at
		}
	}
	return out
}
