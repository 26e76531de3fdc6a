package alerts

import (
	"encoding/json"
	"strings"
	"testing"

	"breakwater/internal/record"
)

func TestPagerDutyEvents(t *testing.T) {
	for name, m := range map[string]Message{
		"pagerduty-opened.json":   fullMessage(record.NoticeOpened),
		"pagerduty-resolved.json": fullMessage(record.NoticeResolved),
		"pagerduty-taken-on.json": fullMessage(record.NoticeChanged),
	} {
		r := newReceiver(t)
		p := NewPagerDuty(PagerDutyConfig{Name: "pd", RoutingKey: "R0UT1NG", APIURL: r.URL, Client: ownClient(t)})
		receipt, err := p.Send(t.Context(), m)
		if err != nil || receipt != "breakwater-"+m.Incident.ID.String() || r.paths[0] != "/v2/enqueue" {
			t.Fatal(receipt, err, r.paths)
		}
		golden(t, name, indented(t, r.bodies[0]))
	}
}

func TestPagerDutyIsTriggeredAcknowledgedAndResolved(t *testing.T) {
	taken, free := fullMessage(record.NoticeChanged), fullMessage(record.NoticeChanged)
	free.Incident.Acknowledged = record.Incident{}.Acknowledged
	long := fullMessage(record.NoticeOpened)
	long.Incident.Title = strings.Repeat("ü", 2000)
	for _, tt := range []struct {
		m    Message
		want []string
	}{
		{fullMessage(record.NoticeOpened), []string{"trigger"}}, {fullMessage(record.NoticeReopened), []string{"trigger"}},
		{fullMessage(record.NoticeReminder), []string{"trigger"}}, {free, []string{"trigger"}}, {taken, []string{"acknowledge"}},
		{fullMessage(record.NoticeResolved), []string{"resolve"}}, {Message{Kind: record.NoticeTest}, []string{"trigger", "resolve"}}, {long, []string{"trigger"}},
	} {
		r := newReceiver(t)
		p := NewPagerDuty(PagerDutyConfig{Name: "pd", RoutingKey: "R0UT1NG", APIURL: r.URL, Client: ownClient(t)})
		if _, err := p.Send(t.Context(), tt.m); err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, body := range r.bodies {
			var e pagerDutyEvent
			if err := json.Unmarshal(body, &e); err != nil {
				t.Fatal(err)
			}
			got = append(got, e.Action)
			if e.DedupKey != dedupKey(tt.m) || e.RoutingKey != "R0UT1NG" || (e.Payload != nil) != (e.Action == "trigger") {
				t.Errorf("%s: %+v", tt.m.Kind, e)
			}
			if e.Payload != nil && (e.Payload.Summary == "" || len(e.Payload.Summary) > maxPagerDutySummary || e.Payload.Source == "") {
				t.Errorf("%s: %+v", tt.m.Kind, e.Payload)
			}
		}
		want(t, got, tt.want...)
	}
	for s, want := range map[record.Severity]string{record.Critical: "critical", record.Warning: "warning", record.Info: "info", "": "warning"} {
		if got := pagerDutySeverity(s); got != want {
			t.Errorf("%s is %s", s, got)
		}
	}
	if where := NewPagerDuty(PagerDutyConfig{}).Where(); where != "events.pagerduty.com" {
		t.Error(where)
	}
}
