package config

import (
	"context"
	"errors"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
	"unicode/utf8"
)

const (
	// ExecTimeout bounds a command that gives a secret; a password manager that
	// asks a server needs a second or two.
	ExecTimeout = 10 * time.Second
	// maxSecret bounds what is read of its output, in bytes.
	maxSecret = 64 << 10
)

// ways are the forms in which a secret is written, as keys of a mapping and,
// but for value, as words before a colon.
func ways() []string { return []string{"value", "env", "file", "exec"} }

// found is what came of looking a secret up.
type found struct {
	secret Secret
	err    error
}

// lookUp gives a secret, however it is written; and where it is not to be
// had, why, without its text. A command runs once, however often it is asked.
func (v *values) lookUp(path string) (Secret, error) {
	f, ok := v.found[path]
	if !ok {
		f.secret, f.err = v.find(path)
		v.found[path] = f
	}
	return f.secret, f.err
}

func (v *values) find(path string) (Secret, error) {
	var way string
	var at leaf
	for _, w := range ways() {
		l, ok := v.set[path+"."+w]
		if ok && way != "" {
			return Secret{}, errors.New("must have only one of " + oneOf(ways()))
		}
		if ok {
			way, at = w, l
		}
	}
	if way == "value" {
		way, at.text = wayOf(at.text)
	}
	text, err := v.fetch(way, at)
	if err != nil {
		return Secret{}, err
	}
	if strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return Secret{}, errors.New("must be printable ASCII without spaces")
	}
	return NewSecret(text), nil
}

// wayOf takes a secret's text for what it says: "env:NAME", "file:PATH",
// "exec:COMMAND", or the secret itself.
func wayOf(text string) (way, rest string) {
	for _, way := range ways()[1:] {
		if rest, ok := strings.CutPrefix(text, way+":"); ok {
			return way, strings.TrimSpace(rest)
		}
	}
	return "value", text
}

// fetch gives the text that a way leads to.
func (v *values) fetch(way string, at leaf) (string, error) {
	switch way {
	case "env":
		return v.fromEnv(at)
	case "file":
		return v.fromFile(at)
	case "exec":
		return v.fromCommand(at.text)
	}
	if strings.HasPrefix(at.text, "$") {
		return "", errors.New("variables are not expanded here; write {env: NAME}")
	}
	return at.text, nil
}

// fromEnv reads a variable, which may itself name a file or a command.
func (v *values) fromEnv(at leaf) (string, error) {
	if !isVariable(at.text) {
		return "", errors.New("env must be the name of an environment variable, in capitals")
	}
	text := strings.TrimSpace(v.getenv(at.text))
	if text == "" {
		return "", unsetError(at.text)
	}
	way, rest := wayOf(text)
	if way == "env" {
		return "", errors.New("the environment variable " + at.text + " names another variable")
	}
	return v.fetch(way, leaf{text: rest, source: Source{Origin: FromEnv, Name: at.text}})
}

// fromFile reads a file; one that the configuration file names is relative to it.
func (v *values) fromFile(at leaf) (string, error) {
	path := at.text
	if !filepath.IsAbs(path) && at.source.Origin == FromFile {
		path = filepath.Join(filepath.Dir(at.source.Name), path)
	}
	b, err := v.read(path)
	if err != nil {
		return "", errors.New("the file of this secret cannot be read: " + cause(err))
	}
	text := strings.TrimSpace(string(b))
	if text == "" {
		return "", errors.New("the file of this secret is empty")
	}
	return text, nil
}

// fromCommand runs a command, whose words are separated by spaces, and takes
// the first line of what it prints. Neither is ever shown: both may hold the secret.
func (v *values) fromCommand(command string) (string, error) {
	words := strings.Fields(command)
	if len(words) == 0 {
		return "", errors.New("exec must be a command")
	}
	ctx, cancel := context.WithTimeout(context.Background(), ExecTimeout)
	defer cancel()
	out, err := v.run(ctx, words)
	if err != nil {
		var missing *exec.Error
		var exit *exec.ExitError
		switch {
		case ctx.Err() != nil:
			return "", errors.New("the command of this secret took longer than " + ExecTimeout.String())
		case errors.As(err, &missing):
			return "", errors.New("the command of this secret cannot be run: " + missing.Err.Error())
		case errors.As(err, &exit):
			return "", errors.New("the command of this secret failed: " + exit.ProcessState.String())
		}
		return "", errors.New("the command of this secret cannot be run: " + cause(err))
	}
	first, _, _ := strings.Cut(strings.TrimSpace(string(out)), "\n")
	if first = strings.TrimSpace(first); first == "" {
		return "", errors.New("the command of this secret printed nothing")
	}
	return first, nil
}

// runCommand runs a command without a shell and gives the beginning of its output.
func runCommand(ctx context.Context, words []string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, words[0], words[1:]...)
	cmd.WaitDelay = time.Second // a child of the command may hold on to its output
	var out head
	cmd.Stdout = &out
	if err := cmd.Run(); err != nil && !errors.Is(err, exec.ErrWaitDelay) {
		return nil, err
	}
	return out.b, nil
}

// head keeps the first maxSecret bytes that are written to it.
type head struct{ b []byte }

func (h *head) Write(p []byte) (int, error) {
	h.b = append(h.b, p[:min(len(p), maxSecret-len(h.b))]...)
	return len(p), nil
}

// unsetError names the variable that should hold a secret.
type unsetError string

func (e unsetError) Error() string { return "the environment variable " + string(e) + " is not set" }

// isVariable takes capitals alone, so that a key which was written after env
// by mistake is not taken for a name and shown.
func isVariable(s string) bool {
	return s != "" && len(s) <= 64 && strings.Trim(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_") == ""
}

// key gives a secret and notes it as a fault where it is written but not to
// be had.
func (v *values) key(path string) Secret {
	s, err := v.lookUp(path)
	if err != nil {
		v.fail(path, "%s", err)
	}
	return s
}

// operatorKey gives the key of those who act, which anybody who reaches the
// pages may try to guess.
func (v *values) operatorKey() Secret {
	s := v.key("operator_key")
	if s.Set() && utf8.RuneCountInString(s.Reveal()) < LeastOperatorKey {
		v.fail("operator_key", "must have at least %d characters, since it can be guessed at: make one with openssl rand -hex 32", LeastOperatorKey)
		return Secret{}
	}
	return s
}
