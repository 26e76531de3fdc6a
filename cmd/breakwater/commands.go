package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"breakwater/internal/app"
	"breakwater/internal/config"
)

const about = `Breakwater routes LLM requests between Gemini, Claude, OpenAI and a local Ollama
server: it fails over when a provider misbehaves, records every request, watches
for anomalies, tells Slack, and shows all of it on a status page.

Point an OpenAI client at http://127.0.0.1:8080/v1 and ask for the model "auto",
"gemini", "claude", "openai", "local", or any model by its name. Without any key
only the local provider is used. All settings are in docs/configuration.md.`

// root makes the command line. Ending hurry stops serving without waiting for
// requests.
func root(hurry context.Context) *cobra.Command {
	serve := serveCommand(hurry)
	cmd := &cobra.Command{
		Use:           "breakwater",
		Short:         "An observability-first control plane for hybrid LLM traffic",
		Long:          about,
		Example:       "  breakwater                     serve with the settings of the environment\n  breakwater demo                see everything in a minute, without a key\n  breakwater check               is every provider reachable?",
		Args:          only(cobra.NoArgs),
		RunE:          serve.RunE,
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	config.AddFlags(cmd.Flags())
	cmd.SetFlagErrorFunc(wrongLine)
	cmd.AddCommand(serve, demoCommand(), checkCommand(), storeCommand(), alertsCommand(), backtestCommand(), versionCommand())
	return cmd
}

// only refuses other arguments than these as a wrong command line.
func only(these cobra.PositionalArgs) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if err := these(cmd, args); err != nil {
			return wrongLine(cmd, err)
		}
		return nil
	}
}

// wrongLine is the end for a wrong command line; it names the help of the
// command that was meant.
func wrongLine(cmd *cobra.Command, err error) error {
	return exitError{exitConfig, fmt.Errorf("breakwater: %w; see %s --help", err, cmd.CommandPath())}
}

func serveCommand(hurry context.Context) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Serve the API and the status page (the default)",
		Long: "Serve the API and the status page.\n\nSIGTERM or Ctrl-C stops gracefully: no accepted request is cut, and everything is\n" +
			"written. A second one stops at once. SIGHUP reads the providers' keys again.",
		Args: only(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := load(cmd)
			if err != nil {
				return err
			}
			log := logger(cfg, os.Stderr)
			reload := make(chan os.Signal, 1)
			signal.Notify(reload, syscall.SIGHUP) // which Windows never sends
			defer signal.Stop(reload)
			a, err := app.New(cmd.Context(), cfg, app.Options{Version: version(), Log: log, Reload: reload})
			if err != nil {
				return err
			}
			for _, missing := range cfg.Missing() {
				log.Info("not set up", "what", missing)
			}
			if cfg.Insecure {
				log.Warn("listening beyond this machine without a key: whoever reaches the address can spend your money")
			}
			log.Info("serving", "api", a.URL()+"/v1", "page", a.URL(), "db", cfg.DB, "version", version())
			if err := a.Run(cmd.Context(), hurry); err != nil {
				return err
			}
			log.Info("stopped", "written", cfg.DB)
			return nil
		},
	}
	config.AddFlags(cmd.Flags())
	return cmd
}

func demoCommand() *cobra.Command {
	var once bool
	var listen string
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "See everything in a minute, without a key",
		Long: "Start four simulated providers and a fake Slack on this machine, and Breakwater in\n" +
			"front of them on a temporary database; send traffic and play an outage and a slowdown.\n" +
			"It uses none of your settings, keys or databases.",
		Args: only(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return app.Demo(cmd.Context(), app.DemoOptions{
				Version: version(), Out: cmd.OutOrStdout(), Listen: listen, Once: once, Log: slog.New(slog.DiscardHandler),
			})
		},
	}
	cmd.Flags().BoolVar(&once, "once", false, "end when the story is told; exit 1 if a client's request failed")
	cmd.Flags().StringVar(&listen, "listen", "", "the `host:port` to listen on (default "+config.DefaultListen+", or a free port)")
	return cmd
}

func checkCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Validate the configuration and ask every provider whether it answers",
		Long: "Validate the configuration and ask every provider whether it answers, through calls\n" +
			"that cost nothing. Exits 0 when every configured provider answers, 1 when one does\n" +
			"not, and 2 when the configuration is wrong. A provider without a key is reported,\n" +
			"and is not a failure.",
		Args: only(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := load(cmd)
			if err != nil {
				return err
			}
			well, err := app.Check(cmd.Context(), cfg, cmd.OutOrStdout())
			if err != nil {
				return err
			}
			if !well {
				return exitError{exitTrouble, errors.New("\na configured provider does not answer")}
			}
			return nil
		},
	}
	config.AddFlags(cmd.Flags())
	return cmd
}

func versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  only(cobra.NoArgs),
		Run: func(cmd *cobra.Command, _ []string) {
			fmt.Fprintf(cmd.OutOrStdout(), "breakwater %s (%s %s/%s)\n", version(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
		},
	}
}

// load reads the configuration, and tells all that is wrong with it.
func load(cmd *cobra.Command) (*config.Config, error) {
	cfg, err := config.Load(config.Sources{Flags: cmd.Flags()})
	if err != nil {
		return nil, exitError{exitConfig, fmt.Errorf("the configuration is wrong:\n  %s", strings.ReplaceAll(err.Error(), "\n", "\n  "))}
	}
	return cfg, nil
}

func logger(cfg *config.Config, w io.Writer) *slog.Logger {
	options := &slog.HandlerOptions{Level: cfg.Log.Level}
	if cfg.Log.JSON {
		return slog.New(slog.NewJSONHandler(w, options))
	}
	return slog.New(slog.NewTextHandler(w, options))
}

// version is what the build says it is: a tag where there is one, otherwise
// the commit.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	if v := info.Main.Version; v != "" && v != "(devel)" {
		return v
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			return s.Value[:min(len(s.Value), 12)]
		}
	}
	return "dev"
}
