package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"breakwater/internal/config"
	"breakwater/internal/store"
)

// tellEvery is how often a command tells how far it has come.
const tellEvery = 2 * time.Second

func storeCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "store",
		Short: "Back up, check, export and rebuild the record",
		Long: "Look after the database that --db or BREAKWATER_DB names.\n\nAll of these exit with 0 when all is well, 1 when something is wrong or could not be\n" +
			"done, and 2 when the configuration or the command line is wrong. How far they have\ncome is told on standard error.",
		Args: only(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(backupCommand(), storeCheckCommand(), exportCommand(), rebuildCommand())
	return cmd
}

func backupCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "backup FILE",
		Short: "Copy the database, also while Breakwater runs",
		Long: "Copy the database to FILE, as it is at one instant, while Breakwater runs or not. FILE\n" +
			"must not exist, and has its name only when it is complete.",
		Args: only(func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return errors.New("name one FILE to write the copy to")
			}
			return nil
		}),
		RunE: func(cmd *cobra.Command, args []string) error {
			cfg, err := load(cmd)
			if err != nil {
				return err
			}
			if err := present(cfg.DB); err != nil {
				return err
			}
			tell := teller(cmd.ErrOrStderr())
			err = store.Backup(cmd.Context(), cfg.DB, args[0], func(done, about int64) {
				tell("%d of about %d MiB", done>>20, about>>20)
			})
			if err != nil {
				return brokenOff(cmd.Context(), err, "there is no copy")
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s is a copy of %s\n", args[0], cfg.DB)
			return nil
		},
	}
	config.AddFlags(cmd.Flags())
	return cmd
}

func storeCheckCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "check [FILE]",
		Short: "Look whether the database, or a backup of it, is sound",
		Long: "Look whether the file is sound, whether what its rows refer to is there, and whether\n" +
			"the figures by minute, hour and day are what the single requests come to, as far back\n" +
			"as these are kept, and whether the journal beside it is whole. Nothing is changed. It\n" +
			"may run beside Breakwater, but the write-ahead log grows meanwhile: of a large\n" +
			"database, better check a backup.",
		Args: only(cobra.MaximumNArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			cfg, err := load(cmd)
			if err != nil {
				return err
			}
			path := cfg.DB
			if len(args) > 0 {
				path = args[0]
			}
			if err := present(path); err != nil {
				return err
			}
			tell := teller(cmd.ErrOrStderr())
			found, err := store.Check(cmd.Context(), path, func(step string) { tell("%s", step) })
			if err != nil {
				return brokenOff(cmd.Context(), err, "not all was looked at")
			}
			for _, fault := range found.Faults {
				fmt.Fprintln(cmd.OutOrStdout(), fault)
			}
			tellDrifts(cmd.OutOrStdout(), found.Drifts)
			if n := found.Journal.Waiting; n > 0 {
				fmt.Fprintf(cmd.OutOrStdout(), "%d rows wait in the journal: a running Breakwater writes them within a second, or the next start does\n", n)
			}
			if !found.Sound() {
				return exitError{exitTrouble, fmt.Errorf("\n%s is not sound", path)}
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s is sound\n", path)
			return nil
		},
	}
	config.AddFlags(cmd.Flags())
	return cmd
}

// tellDrifts prints which figures are not what the raw rows come to, and says
// whether there are any.
func tellDrifts(out io.Writer, drifts []store.Drift) (any bool) {
	for _, d := range drifts {
		if d.Rows == 0 {
			continue
		}
		of := ""
		if d.Keys {
			of = " of keys"
		}
		fmt.Fprintf(out, "%d figures%s by %s were not what the requests come to, the first of %s\n",
			d.Rows, of, d.Span, d.First.Format(time.RFC3339))
		any = true
	}
	return any
}

func exportCommand() *cobra.Command {
	var format, from, to string
	cmd := &cobra.Command{
		Use:   "export",
		Short: "Write the single requests to standard output, as NDJSON, CSV or Parquet",
		Long: "Write the single requests to standard output, the oldest first, also while Breakwater\n" +
			"runs. NDJSON has everything, one JSON object a line; CSV one line for each request,\n" +
			"without its attempts and candidates; Parquet a row for each, with its attempts, for\n" +
			"DuckDB, Spark and pandas. What ends in _us is in microseconds.",
		Example: "  breakwater store export --from 2026-11-01 --to 2026-12-01 > november.ndjson\n" +
			"  breakwater store export --format parquet > all.parquet",
		Args: only(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := load(cmd)
			if err != nil {
				return err
			}
			begin, err := instant(from, time.Time{})
			if err != nil {
				return wrongLine(cmd, fmt.Errorf("--from %w", err))
			}
			end, err := instant(to, time.Now().Add(24*time.Hour))
			if err != nil {
				return wrongLine(cmd, fmt.Errorf("--to %w", err))
			}
			if !slices.Contains(store.Formats(), store.Format(format)) {
				return wrongLine(cmd, errors.New("--format must be ndjson, csv or parquet"))
			}
			if out, ok := cmd.OutOrStdout().(*os.File); ok && isTerminal(out) && store.Format(format) == store.Parquet {
				return wrongLine(cmd, errors.New("--format parquet is no text, and this is a terminal: write it to a file with > all.parquet"))
			}
			if err := present(cfg.DB); err != nil {
				return err
			}
			tell := teller(cmd.ErrOrStderr())
			err = store.Export(cmd.Context(), cfg.DB, store.Format(format), begin, end, cmd.OutOrStdout(), func(n int64, at time.Time) {
				tell("%d requests, up to %s", n, at.Format(time.RFC3339))
			})
			return brokenOff(cmd.Context(), err, "what was written is not all")
		},
	}
	cmd.Flags().StringVar(&format, "format", string(store.NDJSON), "the `form`: ndjson, csv or parquet")
	cmd.Flags().StringVar(&from, "from", "", "the first `day` (2026-11-01) or instant (2026-11-01T12:00:00Z), in UTC")
	cmd.Flags().StringVar(&to, "to", "", "the `day` or instant before which to end")
	config.AddFlags(cmd.Flags())
	return cmd
}

// instant reads a day or an instant.
func instant(text string, otherwise time.Time) (time.Time, error) {
	if text == "" {
		return otherwise, nil
	}
	for _, layout := range []string{time.DateOnly, time.RFC3339} {
		if t, err := time.Parse(layout, text); err == nil {
			return t, nil
		}
	}
	return otherwise, fmt.Errorf("must be a day such as 2026-11-01 or an instant such as 2026-11-01T12:00:00Z, not %q", text)
}

func rebuildCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "rebuild",
		Short: "Work the figures by minute, hour and day out anew, while Breakwater is stopped",
		Long: "Work the figures by minute, hour and day out from the single requests, as far back as\n" +
			"these are kept, and put them in the place of those that are there. Breakwater must be\n" +
			"stopped; what a kill left in its journal is written first. It may be broken off at any\n" +
			"time: then no figure is changed.",
		Args: only(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := load(cmd)
			if err != nil {
				return err
			}
			if err := present(cfg.DB); err != nil {
				return err
			}
			err = rebuild(cmd.Context(), cfg.DB, cmd.OutOrStdout(), cmd.ErrOrStderr())
			return brokenOff(cmd.Context(), err, "no figure was changed")
		},
	}
	config.AddFlags(cmd.Flags())
	return cmd
}

func rebuild(ctx context.Context, path string, out, errs io.Writer) error {
	// What a journal holds is written in any case; none is begun.
	s, err := store.Open(ctx, store.Options{Path: path, Durability: store.Unjournaled})
	if err != nil {
		return err
	}
	if r := s.Stats().Replay; r != (store.Replay{}) {
		fmt.Fprintf(errs, "the journal of the last run was taken up: %d rows, %d missing, %d bytes skipped, %d segments unread\n",
			r.Entries, r.Missing, r.Skipped, r.Unread)
	}
	tell := teller(errs)
	drifts, err := s.Rebuild(ctx, func(n int64, at time.Time) { tell("%d requests, up to %s", n, at.Format(time.RFC3339)) })
	if err = errors.Join(err, s.Close()); err != nil {
		return err
	}
	if !tellDrifts(out, drifts) {
		fmt.Fprintln(out, "every figure was what the requests come to")
		return nil
	}
	fmt.Fprintln(out, "they are now")
	return nil
}

// present says of a database that is not there where it was looked for, and how
// to name another.
func present(path string) error {
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if whole, err := filepath.Abs(path); err == nil {
		path = whole
	}
	return fmt.Errorf("there is no database at %s; --db or BREAKWATER_DB names another", path)
}

// brokenOff gives the error of a command that a signal ended, which is told what
// has come of it; any other error stays as it is.
func brokenOff(ctx context.Context, err error, left string) error {
	if err == nil || ctx.Err() == nil {
		return err
	}
	return errors.New("broken off: " + left)
}

// teller gives what tells how far a command has come, now and then.
func teller(out io.Writer) func(format string, args ...any) {
	last := time.Now()
	return func(format string, args ...any) {
		if now := time.Now(); now.Sub(last) >= tellEvery {
			last = now
			fmt.Fprintf(out, format+"\n", args...)
		}
	}
}
