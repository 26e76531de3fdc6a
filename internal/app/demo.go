package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"

	"breakwater/internal/anomaly"
	"breakwater/internal/config"
	"breakwater/internal/llm"
	"breakwater/internal/record"
	"breakwater/internal/sim"
)

// DemoOptions say how the demo is run.
type DemoOptions struct {
	Version string
	Out     io.Writer    // what happens is told here, as it happens
	Listen  string       // default config.DefaultListen, or a free port where that is taken
	Log     *slog.Logger // where Breakwater's own log goes
	Once    bool         // end after the story instead of waiting for the context
}

// demoKey is what the simulated clouds demand; it opens nothing else.
const demoKey = "demo-key-of-the-simulated-providers"

// demo is four simulated providers, a fake Slack, and a Breakwater in front.
type demo struct {
	opts  DemoOptions
	began time.Time
	sims  map[llm.Provider]*sim.Server
	slack *sim.Slack
	app   *App

	held record.ID // the last hold that was told of

	mu  sync.Mutex // guards Out
	sum tally
}

// Demo runs the demo until ctx ends or, with Once, until its story is told. It
// gives an error when a client's request failed.
func Demo(ctx context.Context, o DemoOptions) error {
	d := &demo{opts: o, began: time.Now(), sims: make(map[llm.Provider]*sim.Server)}
	defer d.closeSims()
	if err := d.startSims(); err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "breakwater-demo-")
	if err != nil {
		return fmt.Errorf("a folder for the demo's database: %w", err)
	}
	defer os.RemoveAll(dir)
	cfg, err := d.config(dir)
	if err != nil {
		return err
	}
	now := time.Now().UTC()
	d.app, err = New(ctx, cfg, Options{
		Version: o.Version, Log: o.Log, ProbeInterval: 2 * time.Second, SimulatedUntil: now, Seed: seedHistory(cfg, now),
		WellFor: demoWellFor,
		Anomaly: func(w *anomaly.WatcherConfig) { w.MaxHold, w.NoCanary = 20*time.Second, time.Minute },
	})
	if err != nil {
		return err
	}
	d.introduce()
	return d.run(ctx)
}

// run serves, and plays the story with traffic around it.
func (d *demo) run(ctx context.Context) error {
	serving, stop := context.WithCancel(ctx)
	defer stop()
	d.app.monitor.Listen(d.narrate)
	finished := make(chan error, 1)
	go func() { finished <- d.app.Run(serving, context.Background()) }()
	playing, endTraffic := context.WithCancel(ctx)
	defer endTraffic()
	var side sync.WaitGroup
	side.Go(func() { d.traffic(playing) })
	side.Go(func() { d.watchSlack(playing) })
	told := make(chan error, 1)
	go func() { told <- d.story(playing) }()
	var err error
	select {
	case err = <-finished:
		endTraffic()
		side.Wait()
		return err
	case err = <-told:
		if err == nil && !d.opts.Once && ctx.Err() == nil {
			d.say("The story is told; traffic goes on, so look around. Ctrl-C ends the demo.")
			<-ctx.Done()
		}
	}
	endTraffic()
	side.Wait()
	stop()
	return errors.Join(err, <-finished, d.conclude())
}

func (d *demo) startSims() error {
	for _, p := range llm.Providers() {
		pace := demoPace(p)
		s, err := sim.Start(p, sim.Options{
			Models: []string{demoModel(p)}, FirstToken: pace.first, PerToken: pace.token, Key: demoKeyOf(p), Seed: 1,
		})
		if err != nil {
			return err
		}
		d.sims[p] = s
	}
	var err error
	d.slack, err = sim.StartSlack("#llm-incidents")
	return err
}

func (d *demo) closeSims() {
	for _, s := range d.sims {
		s.Close()
	}
	if d.slack != nil {
		d.slack.Close()
	}
}

// pace is how fast a provider is.
type pace struct{ first, token time.Duration }

// demoPace gives each simulated provider a speed of its own. All are fast, so
// that the demo shows in a minute what takes real providers ten, and yet slow
// enough for a busy machine not to look like a slow provider.
func demoPace(p llm.Provider) pace {
	switch p {
	case llm.Gemini:
		return pace{240 * time.Millisecond, 6 * time.Millisecond}
	case llm.Claude:
		return pace{320 * time.Millisecond, 8 * time.Millisecond}
	case llm.OpenAI:
		return pace{280 * time.Millisecond, 6 * time.Millisecond}
	}
	return pace{480 * time.Millisecond, 12 * time.Millisecond}
}

// demoModel is each provider's default model.
func demoModel(p llm.Provider) string {
	switch p {
	case llm.Gemini:
		return config.DefaultGeminiModel
	case llm.Claude:
		return config.DefaultClaudeModel
	case llm.OpenAI:
		return config.DefaultOpenAIModel
	}
	return config.DefaultLocalModel
}

func demoKeyOf(p llm.Provider) string {
	if p == llm.Local {
		return ""
	}
	return demoKey
}

// demoFile is the demo's configuration: real settings with shortened timers.
const demoFile = `
breaker:
  recovery_timeout: 6s
anomaly:
  hold: 5s
  canary: 250ms
  min_samples: 30
budgets:
  - {period: day, usd: 600}
  - {period: month, usd: 15000}
  - {provider: openai, period: month, usd: 6000}
alerts:
  channels:
    - {name: slack, bot_token: "xoxb-demo", channel: "#llm-incidents"}
`

// config reads the demo's configuration. It looks at nothing in the real
// environment, so that the demo never touches a real key or BREAKWATER_DB.
func (d *demo) config(dir string) (*config.Config, error) {
	listen := d.opts.Listen
	if listen == "" {
		listen = freeListen()
	}
	env := map[string]string{
		"BREAKWATER_CONFIG": "demo.yaml", "BREAKWATER_DB": filepath.Join(dir, "demo.db"), "BREAKWATER_LISTEN": listen,
		"GEMINI_API_KEY": demoKey, "ANTHROPIC_API_KEY": demoKey, "OPENAI_API_KEY": demoKey,
		"GEMINI_BASE_URL": d.sims[llm.Gemini].BaseURL(), "ANTHROPIC_BASE_URL": d.sims[llm.Claude].BaseURL(),
		"OPENAI_BASE_URL": d.sims[llm.OpenAI].BaseURL(), "OLLAMA_HOST": d.sims[llm.Local].BaseURL(),
		"SLACK_API_URL": d.slack.APIURL(), "GEMINI_REQUESTS_PER_MINUTE": "0",
	}
	return config.Load(config.Sources{
		LookupEnv: func(name string) (string, bool) { v, ok := env[name]; return v, ok },
		ReadFile:  func(string) ([]byte, error) { return []byte(demoFile), nil },
	})
}

// freeListen is the usual address, or a free port where that is taken.
func freeListen() string {
	probe, err := net.Listen("tcp", config.DefaultListen)
	if err != nil {
		return "127.0.0.1:0"
	}
	probe.Close()
	return config.DefaultListen
}

// say tells one thing that happened, with the seconds since the start.
func (d *demo) say(format string, args ...any) {
	d.mu.Lock()
	defer d.mu.Unlock()
	fmt.Fprintf(d.opts.Out, "%5.1fs  %s\n", time.Since(d.began).Seconds(), fmt.Sprintf(format, args...))
}

func (d *demo) introduce() {
	fmt.Fprintf(d.opts.Out, `Breakwater demo

  Status page   %[1]s
  Chat API      %[1]s/v1/chat/completions
  Metrics       %[1]s/metrics

Gemini, Claude, OpenAI and Ollama are simulated on this machine, and so is Slack; nothing leaves it and no
key is needed. The 90 days of history on the page are simulated too; all that happens from now on is real
traffic through the real API. Timers are shortened: an open breaker waits 6 s instead of 60 s, a first
hold lasts 5 s instead of 30 s, and a held target gets a canary four times a second instead of every 5 s.

`, d.app.URL())
}
