// Command breakwater is an observability-first control plane for hybrid LLM
// traffic.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

// Exit codes.
const (
	exitTrouble = 1 // something failed, or check found a provider that does not answer
	exitConfig  = 2 // the configuration or the command line is wrong
)

func main() { os.Exit(run()) }

func run() int {
	// A first signal stops gracefully, a second one at once.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	hurry, hurried := context.WithCancel(context.Background())
	defer hurried()
	go func() {
		<-ctx.Done()
		again := make(chan os.Signal, 1)
		signal.Notify(again, os.Interrupt, syscall.SIGTERM)
		<-again
		hurried()
	}()
	err := root(hurry).ExecuteContext(ctx)
	var code exitError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &code):
		if code.err != nil {
			fmt.Fprintln(os.Stderr, code.err)
		}
		return code.code
	}
	fmt.Fprintln(os.Stderr, "breakwater:", err)
	return exitTrouble
}

// exitError ends the program with a code of its own.
type exitError struct {
	code int
	err  error // nil where all is said already
}

func (e exitError) Error() string { return fmt.Sprint(e.err) }
