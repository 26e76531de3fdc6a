package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"breakwater/internal/app"
	"breakwater/internal/config"
	"breakwater/internal/store"
)

func alertsCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "alerts",
		Short: "See whether the channels that are told of incidents work",
		Args:  only(cobra.NoArgs),
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(alertsTestCommand())
	return cmd
}

func alertsTestCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "test [CHANNEL]",
		Short: "Send a test message to a channel, or to all of them",
		Long: "Send a message that says it is a test to the channel of that name, or to each channel of\n" +
			"the configuration, and tell what came of it.\n\nIt goes the way of every message, with the configuration that is given here, through an\n" +
			"outbox of its own in a temporary file. A Breakwater that runs is not asked: it may have\n" +
			"been started with other settings. The button on its page tests those. Quiet hours and\n" +
			"severities do not hold a test back.\n\nExits 0 when every message arrived, 1 when one did not, and 2 when the configuration or\n" +
			"the command line is wrong, as with a channel that is not configured.",
		Example: "  breakwater alerts test\n  breakwater alerts test ops --config breakwater.yaml",
		Args:    only(cobra.MaximumNArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			cfg, err := load(cmd)
			if err != nil {
				return err
			}
			name := ""
			if len(args) > 0 {
				name = args[0]
			}
			well, err := app.TestChannels(cmd.Context(), cfg, name, cmd.OutOrStdout())
			switch {
			case errors.Is(err, store.ErrNotFound):
				return exitError{exitConfig, fmt.Errorf("breakwater: no channel of the configuration is called %s", name)}
			case errors.Is(err, app.ErrNoChannel):
				return exitError{exitConfig, fmt.Errorf("breakwater: %w", err)}
			case err != nil:
				return err
			case !well:
				return exitError{exitTrouble, errors.New("\na message did not arrive")}
			}
			return nil
		},
	}
	config.AddFlags(cmd.Flags())
	return cmd
}
