package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"runtime/pprof"
	"syscall"

	"breakwater/internal/app"
	"breakwater/internal/config"
)

// serve is one of the child processes: it prints its address and serves until
// it is told to stop.
func serve(name string, args []string) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	switch {
	case name == "upstream" && len(args) == 0:
		return listen(ctx, upstream())
	case name == "proxy" && len(args) == 1:
		return listen(ctx, proxy(args[0]))
	case name == "breakwater" && len(args) == 3:
		return breakwater(ctx, args[0], args[1], args[2])
	}
	return fmt.Errorf("no server %q", name)
}

func listen(ctx context.Context, h http.Handler) error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Printf("http://%s\n", l.Addr())
	server := &http.Server{Handler: h}
	context.AfterFunc(ctx, func() { server.Close() })
	if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// proxy is a reverse proxy with nothing else: what any gateway in Go costs at least.
func proxy(to string) http.Handler {
	target, err := url.Parse(to)
	if err != nil {
		panic(err) // this program made the address
	}
	p := &httputil.ReverseProxy{
		Rewrite:       func(r *httputil.ProxyRequest) { r.SetURL(target) },
		Transport:     &http.Transport{MaxIdleConnsPerHost: 4096, DisableCompression: true},
		FlushInterval: -1, // at once, as streams need
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		// Without it an answer that begins at once can overtake the end of the
		// request's body, which then counts as broken.
		if err := http.NewResponseController(w).EnableFullDuplex(); err != nil {
			panic(err) // HTTP/1 always can
		}
		p.ServeHTTP(w, r)
	})
	mux.HandleFunc("/metrics", func(w http.ResponseWriter, _ *http.Request) {
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		fmt.Fprintf(w, "go_memstats_mallocs_total %d\n", m.Mallocs)
	})
	return mux
}

// breakwater is a whole Breakwater with its default settings. profile is a
// folder for its profiles; "" for none.
func breakwater(ctx context.Context, upstream, db, profile string) error {
	env := map[string]string{
		"BREAKWATER_DB": db, "BREAKWATER_LISTEN": "127.0.0.1:0", "OPENAI_API_KEY": "sk-bench", "OPENAI_BASE_URL": upstream + "/v1",
	}
	cfg, err := config.Load(config.Sources{LookupEnv: func(name string) (string, bool) { v, ok := env[name]; return v, ok }})
	if err != nil {
		return err
	}
	// The log is as at home, but for where it goes.
	a, err := app.New(ctx, cfg, app.Options{Version: "bench", Log: slog.New(slog.NewTextHandler(io.Discard, nil))})
	if err != nil {
		return err
	}
	if profile != "" {
		done, err := profiles(profile)
		if err != nil {
			return err
		}
		defer done()
	}
	fmt.Println(a.URL())
	return a.Run(ctx, context.Background())
}

// profiles records the CPU from now on; done writes it and the heap.
func profiles(dir string) (done func(), err error) {
	cpu, err := os.Create(filepath.Join(dir, "cpu.pprof"))
	if err != nil {
		return nil, err
	}
	if err := pprof.StartCPUProfile(cpu); err != nil {
		return nil, err
	}
	return func() {
		pprof.StopCPUProfile()
		heap, err := os.Create(filepath.Join(dir, "heap.pprof"))
		if err == nil {
			err = errors.Join(pprof.Lookup("allocs").WriteTo(heap, 0), heap.Close())
		}
		if err = errors.Join(err, cpu.Close()); err != nil {
			fmt.Fprintln(os.Stderr, "bench: profiles:", err)
		}
	}, nil
}
