package config

import (
	"net/url"
	"strings"
	"testing"

	"github.com/ollama/ollama/envconfig"
)

func TestOllamaHostMeansWhatItMeansToOllama(t *testing.T) {
	for _, text := range []string{
		"localhost", "127.0.0.1", "example.com", "EXAMPLE.com", "my-box_1.local", "127.0.0.1:1234", "localhost:11434", "host:80", ":1234",
		"http://localhost", "https://localhost", "http://localhost:1234", "https://example.com:8443", "http://example.com/", "https://example.com",
		"https://example.com/ollama", "https://example.com/a/b", "example.com/ollama", "host:80/ollama", "http://127.0.0.1:1234/", "host/", "host:5/",
		"::1", "[::1]", "[::1]:1234", "http://[::1]", "http://[::1]:1234", "2001:db8::1", "[2001:DB8::1]:1", "https://[2001:db8::1]/x", "fe80::1%eth0",
		"0.0.0.0", "0.0.0.0:1234", "http://0.0.0.0", "::", "[::]", "[::]:1234", "http://[::]:1234", "[::]/x", "0:0:0:0:0:0:0:0",
		" localhost ", `"localhost:1"`, "'http://localhost'", "ollama.com", "https://ollama.com", "http://ollama.com", "ollama.com:443", "host:65535", "/", "http://", "https:///x",
		"10.0.0.1:01234", "http://[::1",
	} {
		t.Setenv("OLLAMA_HOST", text)
		want := envconfig.ConnectableHost()
		if want.Hostname() == "" {
			want.Host = "127.0.0.1:" + want.Port() // Go dials a missing host as this machine, too
		}
		u, err := parseBaseURL(want.String())
		if err != nil {
			t.Fatalf("%q: the oracle says %s: %v", text, want, err)
		}
		got, err := ollamaURL(text)
		if err != nil || got.String() != u.String() {
			t.Errorf("%q: got %v, %v, want %s", text, got, err, u)
		}
	}
	for _, text := range []string{
		"host:abc", "host:-1", "host:65536", "host:0", "host:", "http://host:", "ftp://host", "://host", "user:password@host", "http://user@host:1",
		"host?x=1", "host#x", "a b", "host:1:2", "%zz", "\x00",
	} {
		if got, err := ollamaURL(text); err == nil {
			t.Errorf("%q: got %s, want an error", text, got)
		}
	}
}

func TestOwnListenerIsKnownInEveryForm(t *testing.T) {
	for _, tt := range []struct {
		listen string
		own    []string
		others []string
	}{
		{"127.0.0.1:8080",
			[]string{"http://127.0.0.1:8080", "http://localhost:8080/v1", "http://LOCALHOST.:8080", "http://127.9.9.9:8080", "http://[::1]:8080", "http://0.0.0.0:8080", "http://[::]:8080", "https://[::ffff:127.0.0.1]:8080", "http://a.localhost:8080"},
			[]string{"http://127.0.0.1:8081", "http://localhost", "http://10.0.0.1:8080", "http://example.com:8080", "http://notlocalhost:8080"}},
		{":8080", []string{"http://localhost:8080", "http://[::1]:8080"}, []string{"http://example.com:8080"}},
		{"0.0.0.0:80", []string{"http://localhost", "http://127.0.0.1/x"}, []string{"https://localhost"}},
		{"[::]:443", []string{"https://localhost"}, []string{"http://localhost"}},
		{"10.0.0.7:8080", []string{"http://10.0.0.7:8080", "http://[::ffff:10.0.0.7]:8080"}, []string{"http://localhost:8080", "http://10.0.0.8:8080"}},
		{"box.example:8080", []string{"http://BOX.example.:8080"}, []string{"http://other.example:8080"}},
		{"127.0.0.1:0", nil, []string{"http://127.0.0.1", "http://localhost:8080"}},
	} {
		for want, list := range map[bool][]string{true: tt.own, false: tt.others} {
			for _, text := range list {
				u, err := url.Parse(text)
				if err != nil {
					t.Fatal(err)
				}
				if got := isOwn(tt.listen, u); got != want {
					t.Errorf("listening on %s, %s: got %v, want %v", tt.listen, text, got, want)
				}
			}
		}
	}
}

func FuzzOllamaHost(f *testing.F) {
	for _, s := range []string{"localhost", ":1", "[::]:1", "http://x/y", "a@b", "::1%e", "http://[", "%zz"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		u, err := ollamaURL(text)
		if err != nil {
			return
		}
		if u.Hostname() == "" || u.User != nil || u.Scheme != "http" && u.Scheme != "https" {
			t.Errorf("%q: got %s", text, u)
		}
		if again, err := ollamaURL(u.String()); (err != nil || again.Host != u.Host) && !strings.Contains(u.String(), "%") {
			t.Errorf("%q: %s is read as %v, %v", text, u, again, err)
		}
	})
}
