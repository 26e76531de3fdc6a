package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"text/tabwriter"

	"breakwater/internal/alerts"
	"breakwater/internal/config"
	"breakwater/internal/record"
	"breakwater/internal/store"
)

// channels makes the channels of the configuration, and what each is told.
func channels(cfg *config.Config, log *slog.Logger) ([]alerts.Channel, map[string]alerts.Route, error) {
	var all []alerts.Channel
	routes := make(map[string]alerts.Route, len(cfg.Channels))
	for _, c := range cfg.Channels {
		made, err := channel(c, log)
		if err != nil {
			return nil, nil, fmt.Errorf("channel %s: %w", c.Name, err)
		}
		all, routes[c.Name] = append(all, made), c.Route
	}
	return all, routes, nil
}

func channel(c config.Channel, log *slog.Logger) (alerts.Channel, error) {
	switch c.Type {
	case "email":
		m := c.Mail
		return alerts.NewMail(alerts.MailConfig{
			Name: c.Name, Host: m.Host, Port: m.Port, TLS: m.TLS, User: m.User, Password: m.Password.Reveal(), From: m.From, To: m.To, Log: log,
		}), nil
	case "webhook":
		return alerts.NewWebhook(alerts.WebhookConfig{Name: c.Name, URL: c.URL.Reveal(), Secret: c.Secret.Reveal(), Format: c.Format})
	case "pagerduty":
		return alerts.NewPagerDuty(alerts.PagerDutyConfig{Name: c.Name, RoutingKey: c.RoutingKey.Reveal(), APIURL: c.APIURL}), nil
	}
	return alerts.NewSlack(alerts.SlackConfig{
		Name: c.Name, Token: c.BotToken.Reveal(), Channel: c.Channel, WebhookURL: c.WebhookURL.Reveal(), APIURL: c.APIURL,
	}), nil
}

// TestChannels sends a test message to the channel of a name, or to each where
// there is none, through an outbox of its own, and prints what came of it. It
// says whether all of them took it. It gives store.ErrNotFound for a name that is
// not configured, and ErrNoChannel where none is.
func TestChannels(ctx context.Context, cfg *config.Config, name string, out io.Writer) (well bool, err error) {
	if len(cfg.Channels) == 0 {
		return false, ErrNoChannel
	}
	if name != "" && !slices.ContainsFunc(cfg.Channels, func(c config.Channel) bool { return c.Name == name }) {
		return false, fmt.Errorf("channel %q: %w", name, store.ErrNotFound)
	}
	// What goes wrong is printed below; the outbox need not say it too.
	told, routes, err := channels(cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		return false, err
	}
	dir, err := os.MkdirTemp("", "breakwater-test-")
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	s, err := store.Open(ctx, store.Options{Path: filepath.Join(dir, "outbox.db"), Durability: store.Unjournaled})
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	m := alerts.NewManager(alerts.Config{
		Store: s, Channels: told, Routes: routes, NextID: record.NewIDs(cfg.Instance, 0).Next, PublicURL: cfg.PublicURL, Log: slog.New(slog.DiscardHandler),
	})
	storing, stopStore := context.WithCancel(context.WithoutCancel(ctx))
	managing, stopManager := context.WithCancel(ctx)
	stored, managed := make(chan error, 1), make(chan error, 1)
	go func() { stored <- s.Run(storing) }()
	go func() { managed <- m.Run(managing) }()
	well, err = testEach(ctx, m, cfg, name, out)
	stopManager()
	err = errors.Join(err, <-managed)
	stopStore()
	return well, errors.Join(err, <-stored)
}

// ErrNoChannel says that nobody would be told of anything.
var ErrNoChannel = errors.New("no channel is configured: see alerts.channels in docs/configuration.md")

func testEach(ctx context.Context, m *alerts.Manager, cfg *config.Config, name string, out io.Writer) (bool, error) {
	states, err := m.Channels(ctx)
	if err != nil {
		return false, err
	}
	well := true
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "CHANNEL\tTYPE\tWHERE\tRESULT")
	for _, c := range states {
		if name != "" && c.Name != name {
			continue
		}
		result := "the message arrived"
		if err := m.Test(ctx, c.Name); err != nil {
			well, result = false, err.Error()
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\n", c.Name, c.Kind, c.Where, result)
	}
	return well, table.Flush()
}
