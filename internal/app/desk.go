package app

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"breakwater/internal/alerts"
	"breakwater/internal/record"
	"breakwater/internal/store"
	"breakwater/web"
)

// pastSilences is how far back the page of alerts lists silences that are over.
const pastSilences = 30 * 24 * time.Hour

// incidentDesk is the page's Desk: it reads from the store, and what a person does
// goes through the incidents' manager.
type incidentDesk struct {
	store   *store.Store
	alerts  *alerts.Manager
	changed func(...web.Part)
}

// Incidents has the store find a page of the list.
func (d *incidentDesk) Incidents(ctx context.Context, q web.IncidentQuery, limit int) ([]record.Incident, error) {
	of := store.IncidentQuery{Topic: q.Topic, Provider: q.Provider, Severity: q.Severity, State: q.State, Before: q.Before, Limit: limit}
	if q.State == web.StateNotOver {
		of.State, of.Lasting = "", true
	}
	found, err := d.store.FindIncidents(ctx, of)
	if err != nil {
		return nil, fmt.Errorf("read the incidents: %w", err)
	}
	return found, nil
}

// Incident gives one incident with the notices that went out about it.
func (d *incidentDesk) Incident(ctx context.Context, number int64) (web.IncidentDetail, error) {
	in, err := d.store.Incident(ctx, number)
	if err != nil {
		return web.IncidentDetail{}, deskError(err)
	}
	notices, err := d.store.Notices(ctx, in.ID)
	if err != nil {
		return web.IncidentDetail{}, fmt.Errorf("read the notices: %w", err)
	}
	detail := web.IncidentDetail{Incident: in, Notices: notices}
	if in.WriteUp == "" {
		detail.Draft = alerts.Draft(in, time.Now())
	}
	return detail, nil
}

// Alerts tells how channels and silences stand.
func (d *incidentDesk) Alerts(ctx context.Context) (web.Alerts, error) {
	channels, err := d.alerts.Channels(ctx)
	if err != nil {
		return web.Alerts{}, fmt.Errorf("read the channels: %w", err)
	}
	silences, err := d.store.Silences(ctx, time.Now().Add(-pastSilences))
	if err != nil {
		return web.Alerts{}, fmt.Errorf("read the silences: %w", err)
	}
	found := web.Alerts{Silences: silences, Dropped: d.alerts.Dropped()}
	for _, c := range channels {
		found.Channels = append(found.Channels, web.Channel(c))
	}
	return found, nil
}

func (d *incidentDesk) Acknowledge(ctx context.Context, number int64, by string) error {
	return deskError(d.alerts.Acknowledge(ctx, number, by))
}

func (d *incidentDesk) Comment(ctx context.Context, number int64, by, text string) error {
	return deskError(d.alerts.Comment(ctx, number, by, text))
}

func (d *incidentDesk) ResolveByHand(ctx context.Context, number int64, by, text string) error {
	return deskError(d.alerts.ResolveByHand(ctx, number, by, text))
}

func (d *incidentDesk) WriteUp(ctx context.Context, number int64, text string) error {
	return deskError(d.alerts.WriteUp(ctx, number, text))
}

// Silence and EndSilence move the rows of providers too: maintenance is shown there.
func (d *incidentDesk) Silence(ctx context.Context, s record.Silence) (record.Silence, error) {
	placed, err := d.alerts.Silence(ctx, s)
	if err == nil {
		d.silenced()
	}
	return placed, deskError(err)
}

func (d *incidentDesk) EndSilence(ctx context.Context, id record.ID, by string) error {
	err := d.alerts.EndSilence(ctx, id, by)
	if err == nil {
		d.silenced()
	}
	return deskError(err)
}

func (d *incidentDesk) silenced() { d.changed(web.PartIncidents, web.PartProviders, web.PartVerdict) }

func (d *incidentDesk) Test(ctx context.Context, channel string) error {
	return deskError(d.alerts.Test(ctx, channel))
}

// deskError gives an error of the rooms below in the page's words.
func deskError(err error) error {
	switch {
	case errors.Is(err, store.ErrNotFound):
		return web.ErrNotFound
	case errors.Is(err, alerts.ErrNotLasting):
		return web.ErrOver
	case errors.Is(err, alerts.ErrSilenceOver):
		return web.ErrSilenceOver
	}
	return err
}

// maintenances gives the maintenance windows of whole providers that touch the
// page's daily bars, and those to come.
func maintenances(ctx context.Context, st *store.Store, now time.Time) ([]record.Silence, error) {
	all, err := st.Silences(ctx, now.AddDate(0, 0, -pageDays))
	if err != nil {
		return nil, fmt.Errorf("read the maintenance windows: %w", err)
	}
	return slices.DeleteFunc(all, func(s record.Silence) bool { return !s.Maintenance || s.Topic != "" }), nil
}
