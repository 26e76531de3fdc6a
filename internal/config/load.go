package config

import (
	"context"
	"errors"
	"os"
	"strings"

	"github.com/spf13/pflag"
)

// Sources is where Load looks.
type Sources struct {
	Flags     *pflag.FlagSet                    // parsed, with the flags of AddFlags; nil for none
	LookupEnv func(string) (string, bool)       // nil for os.LookupEnv; an empty variable counts as unset
	ReadFile  func(path string) ([]byte, error) // nil for os.ReadFile
	// Run gives the output of a command; nil for running it. It is not called
	// again for a secret that was asked for more than once.
	Run func(ctx context.Context, words []string) ([]byte, error)
}

// AddFlags adds a flag for each option that has one.
func AddFlags(fs *pflag.FlagSet) {
	for _, o := range Options() {
		usage := o.Help
		if len(o.Env) > 0 {
			usage += " (" + o.Env[0] + ")"
		}
		switch {
		case o.Flag == "":
		case o.Kind == Switch:
			fs.Bool(o.Flag, false, usage)
		default:
			// All are text, so that their faults are told with all the others.
			fs.String(o.Flag, o.Default, usage)
		}
	}
}

// Load reads and validates the configuration. Its error joins a *Error for
// every fault.
func Load(s Sources) (*Config, error) {
	if s.LookupEnv == nil {
		s.LookupEnv = os.LookupEnv
	}
	if s.ReadFile == nil {
		s.ReadFile = os.ReadFile
	}
	if s.Run == nil {
		s.Run = runCommand
	}
	v, text := s.values(context.Background(), nil)
	c := build(v)
	if len(v.errs) > 0 {
		return nil, errors.Join(v.errs...)
	}
	c.keys = func(ctx context.Context, again bool) ([]Keys, error) {
		before := &text
		if again {
			before = nil
		}
		v, _ := s.values(ctx, before)
		keys := v.readKeys(c)
		if len(v.errs) > 0 {
			return nil, errors.Join(v.errs...)
		}
		return keys, nil
	}
	return c, nil
}

// values reads all sources, and gives the file's text as well. Where the text is
// given, the file is not read. Commands that give secrets end with ctx.
func (s Sources) values(ctx context.Context, text *Secret) (*values, Secret) {
	v := newValues(func(name string) string {
		text, _ := s.LookupEnv(name)
		return strings.TrimSpace(text)
	}, s.ReadFile, func(within context.Context, words []string) ([]byte, error) {
		within, cancel := context.WithCancel(within)
		defer cancel()
		defer context.AfterFunc(ctx, cancel)()
		return s.Run(within, words)
	})
	name, named := v.outside(configPath, s.Flags)
	if text == nil {
		text = &Secret{}
		if named {
			b, err := s.ReadFile(name.text)
			if err != nil {
				v.set[configPath] = name
				v.fail(configPath, "the file %s cannot be read: %s", name.text, cause(err))
			}
			*text = NewSecret(string(b))
		}
	}
	file{v, name.text}.parse([]byte(text.Reveal()))
	for _, o := range v.order {
		if l, ok := v.outside(o.Path, s.Flags); ok {
			v.put(o, l.text, l.source)
		}
	}
	return v, *text
}

// outside gives what flag or environment say of an option. An empty word, as
// of a shell variable that is not set, says nothing.
func (v *values) outside(path string, flags *pflag.FlagSet) (leaf, bool) {
	o := v.options[path]
	if o.Flag != "" && flags != nil && flags.Changed(o.Flag) {
		if text := strings.TrimSpace(flags.Lookup(o.Flag).Value.String()); text != "" {
			return leaf{text: text, source: Source{Origin: FromFlag, Name: o.Flag}}, true
		}
	}
	for _, name := range o.Env {
		if text := v.getenv(name); text != "" {
			return leaf{text: text, source: Source{Origin: FromEnv, Name: name}}, true
		}
	}
	return leaf{}, false
}
