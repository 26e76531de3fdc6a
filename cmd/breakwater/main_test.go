package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"breakwater/internal/llm"
	"breakwater/internal/record"
	"breakwater/internal/sim"
	"breakwater/internal/store"
)

// program is the built command.
var program string

func TestMain(m *testing.M) { os.Exit(build(m)) }

func build(m *testing.M) int {
	dir, err := os.MkdirTemp("", "breakwater-cmd-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	program = filepath.Join(dir, "breakwater")
	if out, err := exec.Command("go", "build", "-o", program, ".").CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "go build: %v\n%s", err, out)
		return 1
	}
	return m.Run()
}

// run runs the program to its end with nothing but env in its environment.
func runProgram(t *testing.T, env []string, args ...string) (code int, out, errs string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), program, args...)
	cmd.Dir = t.TempDir()
	cmd.Env = append([]string{"HOME=" + cmd.Dir, "TMPDIR=" + cmd.Dir}, env...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()
}

// providers starts simulated providers and gives the environment that points
// at them.
func providers(t *testing.T, perToken time.Duration) (map[llm.Provider]*sim.Server, []string) {
	t.Helper()
	sims := map[llm.Provider]*sim.Server{}
	for p, model := range map[llm.Provider]string{llm.OpenAI: "gpt-4o", llm.Local: "llama3"} {
		s, err := sim.Start(p, sim.Options{Models: []string{model}, PerToken: perToken})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(s.Close)
		sims[p] = s
	}
	return sims, []string{
		"OPENAI_API_KEY=sk-test", "OPENAI_BASE_URL=" + sims[llm.OpenAI].BaseURL(), "OLLAMA_HOST=" + sims[llm.Local].BaseURL(),
	}
}

func TestCheckExitsByWhatItFound(t *testing.T) {
	sims, env := providers(t, 0)
	code, out, _ := runProgram(t, env, "check")
	if code != 0 || !regexp.MustCompile(`(?m)^openai .*answers`).MatchString(out) || !strings.Contains(out, "set GEMINI_API_KEY to use it") {
		t.Errorf("all well: exit %d\n%s", code, out)
	}
	sims[llm.OpenAI].Set(sim.Fault{Kind: sim.Unauthorized})
	code, out, errs := runProgram(t, env, "check")
	if code != 1 || !regexp.MustCompile(`(?m)^openai .*fails.*look at the key`).MatchString(out) || errs == "" {
		t.Errorf("a wrong key: exit %d\n%s%s", code, out, errs)
	}
	sims[llm.Local].Kill()
	if code, out, _ = runProgram(t, env, "check"); code != 1 || !strings.Contains(out, "ollama serve") {
		t.Errorf("no Ollama: exit %d\n%s", code, out)
	}
	code, _, errs = runProgram(t, append(env, "OLLAMA_TIMEOUT=soon", "BREAKWATER_LISTEN=0.0.0.0:80"), "check")
	if code != 2 || !strings.Contains(errs, "OLLAMA_TIMEOUT") || !strings.Contains(errs, "BREAKWATER_API_KEY") {
		t.Errorf("two faults: exit %d\n%s", code, errs)
	}
}

func TestTheCommandLineExplainsItself(t *testing.T) {
	code, out, _ := runProgram(t, nil, "--help")
	for _, want := range []string{"serve", "demo", "check", "version", "--config", "--insecure", "BREAKWATER_LISTEN", "docs/configuration.md"} {
		if !strings.Contains(out, want) {
			t.Errorf("--help (exit %d) lacks %q:\n%s", code, want, out)
		}
	}
	if code, out, _ = runProgram(t, nil, "version"); code != 0 || !strings.HasPrefix(out, "breakwater ") {
		t.Errorf("version: exit %d, %q", code, out)
	}
	for _, args := range [][]string{{"--no-such-flag"}, {"check", "--instance", "many"}, {"no-such-command"}, {"serve", "extra"}} {
		if code, _, errs := runProgram(t, nil, args...); code != 2 || errs == "" {
			t.Errorf("%v: exit %d, %q", args, code, errs)
		}
	}
}

// server is a running program.
type server struct {
	cmd  *exec.Cmd
	url  string
	log  *bytes.Buffer
	done chan error
}

var serving = regexp.MustCompile(`page=(http://\S+)`)

// serve starts the program and waits until it serves.
func serve(t *testing.T, env []string, db string) *server {
	t.Helper()
	s := &server{cmd: exec.Command(program), log: &bytes.Buffer{}, done: make(chan error, 1)}
	s.cmd.Dir = t.TempDir()
	s.cmd.Env = append([]string{"BREAKWATER_LISTEN=127.0.0.1:0", "BREAKWATER_DB=" + db}, env...)
	stderr, err := s.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.cmd.Process.Kill() })
	address := make(chan string, 1)
	go func() {
		lines := bufio.NewScanner(stderr)
		for lines.Scan() {
			s.log.WriteString(lines.Text() + "\n")
			if m := serving.FindStringSubmatch(lines.Text()); m != nil {
				address <- m[1]
			}
		}
		s.done <- s.cmd.Wait()
	}()
	select {
	case s.url = <-address:
	case err := <-s.done:
		t.Fatalf("it ended with %v\n%s", err, s.log)
	case <-time.After(5 * time.Minute):
		t.Fatal("it does not serve")
	}
	return s
}

// ask sends one request. begun, where there is one, is told when the answer begins.
func (s *server) ask(ctx context.Context, stream bool, begun func()) (id string, err error) {
	body := fmt.Sprintf(`{"model":"openai","stream":%t,"messages":[{"role":"user","content":"hi"}]}`, stream)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url+"/v1/chat/completions", strings.NewReader(body))
	if err != nil {
		return "", err
	}
	resp, err := http.DefaultClient.Do(req)
	if begun != nil {
		begun()
	}
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err == nil && (resp.StatusCode != 200 || stream && !bytes.HasSuffix(answer, []byte("data: [DONE]\n\n"))) {
		err = fmt.Errorf("HTTP %d: %s", resp.StatusCode, answer)
	}
	return resp.Header.Get("X-Breakwater-Request-Id"), err
}

func TestSIGTERMCutsNoAcceptedRequestAndWritesEverything(t *testing.T) {
	_, env := providers(t, 10*time.Millisecond) // an answer takes half a second
	db := filepath.Join(t.TempDir(), "term.db")
	s := serve(t, env, db)
	var ids []string
	var mu sync.Mutex
	var begun, under sync.WaitGroup
	begun.Add(20)
	for range 20 {
		under.Go(func() {
			id, err := s.ask(t.Context(), true, begun.Done)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				t.Error(err)
			}
			ids = append(ids, id)
		})
	}
	begun.Wait()
	s.cmd.Process.Signal(syscall.SIGTERM)
	under.Wait()
	if err := <-s.done; err != nil {
		t.Errorf("it ended with %v\n%s", err, s.log)
	}
	mustHold(t, db, ids)
}

func TestSIGHUPReadsTheKeysAgainAndStopsNothing(t *testing.T) {
	_, env := providers(t, 0)
	s := serve(t, env, filepath.Join(t.TempDir(), "hup.db"))
	s.cmd.Process.Signal(syscall.SIGHUP)
	for range 20 {
		if _, err := s.ask(t.Context(), false, nil); err != nil {
			t.Error(err)
		}
	}
	s.cmd.Process.Signal(syscall.SIGTERM)
	if err := <-s.done; err != nil {
		t.Errorf("it ended with %v", err)
	}
	if !strings.Contains(s.log.String(), "the keys were read again") {
		t.Errorf("it did not hear the signal:\n%s", s.log)
	}
}

// Every request that was answered more than a second before a kill -9 is in
// the database afterwards, and the database opens again by itself.
func TestAKillLosesNothingThatWasAnswered(t *testing.T) {
	_, env := providers(t, 0)
	db := filepath.Join(t.TempDir(), "kill.db")
	s := serve(t, env, db)
	var ids []string
	var mu sync.Mutex
	ctx, cancel := context.WithCancel(t.Context())
	var callers sync.WaitGroup
	for range 8 {
		callers.Go(func() {
			for ctx.Err() == nil {
				if id, err := s.ask(ctx, false, nil); err == nil {
					mu.Lock()
					ids = append(ids, id)
					mu.Unlock()
				}
			}
		})
	}
	// Time for the database to get some and the journal the others, and on a
	// slow machine for answers enough.
	answers := func() int {
		mu.Lock()
		defer mu.Unlock()
		return len(ids)
	}
	for began := time.Now(); time.Since(began) < 2500*time.Millisecond || answers() < 50 && time.Since(began) < 5*time.Minute; {
		time.Sleep(10 * time.Millisecond)
	}
	s.cmd.Process.Kill()
	<-s.done
	cancel()
	callers.Wait()
	if len(ids) < 50 {
		t.Fatalf("only %d answers", len(ids))
	}
	// One copy is rebuilt, of which the journal must be written first; the
	// other is started.
	copied := filepath.Join(t.TempDir(), "copy.db")
	if err := os.CopyFS(filepath.Dir(copied), os.DirFS(filepath.Dir(db))); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"", "-wal", "-shm", ".lock", ".journal"} {
		if err := os.Rename(filepath.Join(filepath.Dir(copied), "kill.db"+name), copied+name); err != nil {
			t.Fatal(err)
		}
	}
	of := append(env, "BREAKWATER_DB="+copied)
	if code, out, errs := runProgram(t, of, "store", "rebuild"); code != 0 || !strings.Contains(out, "every figure was") {
		t.Errorf("rebuild after the kill: exit %d, %s%s", code, out, errs)
	}
	if code, out, errs := runProgram(t, of, "store", "check"); code != 0 {
		t.Errorf("check after the kill: exit %d, %s%s", code, out, errs)
	}
	mustHold(t, copied, ids)
	again := serve(t, env, db)
	again.cmd.Process.Signal(syscall.SIGTERM)
	if err := <-again.done; err != nil {
		t.Errorf("after the kill it ended with %v\n%s", err, again.log)
	}
	mustHold(t, db, ids)
}

// mustHold checks that a database holds a served trace for each public id.
func mustHold(t *testing.T, db string, ids []string) {
	t.Helper()
	st, err := store.Open(t.Context(), store.Options{Path: db})
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	for _, public := range ids {
		id, err := record.ParseID(public)
		if err != nil {
			t.Fatal(err)
		}
		trace, err := st.Trace(t.Context(), id)
		if err != nil || trace.Outcome != record.Served {
			t.Errorf("%s: %v, %s", public, err, trace.Outcome)
		}
	}
}

func TestTheDemoTellsItsStoryAndFailsNoClient(t *testing.T) {
	code, out, errs := runProgram(t, []string{"BREAKWATER_DB=/nowhere/never-touched.db", "OPENAI_API_KEY=never-used"}, "demo", "--once", "--listen", "127.0.0.1:0")
	story := []string{
		"STORY  Gemini goes down", "Gemini: closed -> open (3 failures in a row", "Gemini has been failing",
		"STORY  Gemini is back", "half-open -> closed", "Resolved: Gemini was failing",
		"STORY  OpenAI turns slow", "hold     OpenAI until", "OpenAI has been slow",
	}
	// Where the machine is so busy that others look slow, too, that is one incident
	// of several, which ends when the machine has time: later than the demo waits, maybe.
	busy := strings.Contains(out, "More than one provider has been slow")
	late := busy && strings.Contains(errs, "the demo waited")
	switch {
	case code != 0 && !late:
		t.Fatalf("exit %d\n%s%s", code, out, errs)
	case !busy:
		story = append(story, "OpenAI is as fast as before", "hold     OpenAI released", "Resolved: OpenAI was slow", "All is well again")
	case !late:
		story = append(story, "OpenAI is as fast as before", "All is well again")
	}
	at := 0
	for _, want := range append(story, ", 0 failed.") {
		next := strings.Index(out[at:], want)
		if next < 0 {
			t.Fatalf("after byte %d the story lacks %q:\n%s", at, want, out)
		}
		at += next
	}
}
