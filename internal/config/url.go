package config

import (
	"errors"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"breakwater/internal/llm"
)

// A URL may hold a password, so that none of these errors quotes one.
var (
	errURL      = errors.New("must be a URL such as https://api.example.com")
	errUserInfo = errors.New("must not contain a user or password: keys have a place of their own")
	errQuery    = errors.New("must not contain ? or #")
	errPort     = errors.New("must have a port from 1 to 65535")
)

// parseBaseURL reads an absolute http or https URL without user and query,
// and gives it without a slash at the end.
func parseBaseURL(text string) (*url.URL, error) {
	if strings.Contains(text, "@") {
		return nil, errUserInfo
	}
	if strings.ContainsAny(text, "?#") {
		return nil, errQuery
	}
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || !isName(text) {
		return nil, errURL
	}
	if strings.HasSuffix(u.Host, ":") || u.Port() != "" && !isPort(u.Port(), 1) {
		return nil, errPort
	}
	u.Path, u.RawPath = strings.TrimRight(u.Path, "/"), strings.TrimRight(u.RawPath, "/")
	return u, nil
}

func isPort(s string, least int) bool {
	n, err := strconv.Atoi(s)
	return err == nil && n >= least && n <= 65535 && s[0] != '+' && s[0] != '-'
}

// upstreamURL reads a provider's base URL, which means what it means to the
// provider's official SDK: OpenAI's has the version in it, the others' SDKs
// add it.
func upstreamURL(p llm.Provider, text string) (*url.URL, error) {
	if p == llm.Local {
		return ollamaURL(text)
	}
	u, err := parseBaseURL(text)
	if err != nil || p == llm.OpenAI {
		return u, err
	}
	last := u.Path[strings.LastIndex(u.Path, "/")+1:]
	if slices.Contains([]string{"v1", "v1beta", "v1alpha"}, last) {
		return nil, errors.New("must not end in the version /" + last + ", which Breakwater adds as the official SDKs do")
	}
	return u, nil
}

// ollamaURL reads OLLAMA_HOST as Ollama's own client does: host, :port,
// host:port, [IPv6]:port or a URL, where http means port 80, https 443, and no
// scheme 11434. An address to listen on, such as 0.0.0.0, means loopback.
// Unlike Ollama it takes no faulty port for the default one.
// (https://github.com/ollama/ollama/blob/main/envconfig/config.go)
func ollamaURL(text string) (*url.URL, error) {
	text = strings.TrimSpace(strings.Trim(text, `"'`))
	if text == "ollama.com" {
		text = "https://ollama.com"
	}
	if !isName(text) {
		return nil, errURL
	}
	scheme, rest, ok := strings.Cut(text, "://")
	port := map[string]string{"http": "80", "https": "443"}[scheme]
	if !ok {
		scheme, rest, port = "http", text, "11434"
	}
	authority, path, _ := strings.Cut(rest, "/")
	host, given, err := net.SplitHostPort(authority)
	switch {
	case err == nil:
		if port = given; !isPort(port, 1) {
			return nil, errPort
		}
	case isIP(strings.Trim(authority, "[]")):
		host = strings.Trim(authority, "[]")
	default:
		host = authority
	}
	if !isIP(host) && strings.ContainsAny(host, "%[]:<>\"^`{|}\\") {
		return nil, errURL
	}
	if host == "" {
		host = "127.0.0.1"
	}
	if ip, err := netip.ParseAddr(host); err == nil && ip.IsUnspecified() {
		host = "127.0.0.1"
		if ip.Is6() {
			host = "::1"
		}
	}
	u := url.URL{Scheme: scheme, Host: net.JoinHostPort(host, port), Path: "/" + path}
	return parseBaseURL(u.String())
}

func isIP(s string) bool {
	_, err := netip.ParseAddr(s)
	return err == nil
}

// isOwn says whether a URL leads to the address that Breakwater listens on.
func isOwn(listen string, u *url.URL) bool {
	host, port, err := net.SplitHostPort(listen)
	if err != nil || port == "0" {
		return false
	}
	theirs := u.Port()
	if theirs == "" {
		theirs = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	if theirs != port {
		return false
	}
	a, b := hostname(host), hostname(u.Hostname())
	if isHere(a) {
		return isHere(b)
	}
	return a == b
}

// hostname gives a host in one form.
func hostname(host string) string {
	host = strings.TrimSuffix(strings.ToLower(host), ".")
	if ip, err := netip.ParseAddr(host); err == nil {
		return ip.Unmap().WithZone("").String()
	}
	return host
}

// isHere says whether connecting to a host, in the form of hostname, leads to
// this machine's loopback, or listening on it includes that.
func isHere(host string) bool {
	ip, err := netip.ParseAddr(host)
	return isLoopback(host) || host == "" || err == nil && ip.IsUnspecified()
}

// isLoopback says whether only this machine reaches a host, in the form of
// hostname.
func isLoopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.IsLoopback() || host == "localhost" || strings.HasSuffix(host, ".localhost")
}

// parseListen reads host:port and says whether only this machine reaches it.
func parseListen(text string) (loopback bool, err error) {
	host, port, err := net.SplitHostPort(text)
	if err != nil || !isPort(port, 0) || !isName(host) {
		return false, errors.New("must be host:port, such as 127.0.0.1:8080 or :8080")
	}
	return isLoopback(hostname(host)), nil
}

// parseHost reads what a Host header holds: a name, and perhaps a port.
func parseHost(text string) (string, error) {
	u, err := url.Parse("//" + text)
	if err != nil || u.Host != text || u.Hostname() == "" || strings.Contains(text, "*") || u.Port() != "" && !isPort(u.Port(), 1) {
		return "", errors.New("must be a host such as llm.example.com or 10.0.0.7:8080")
	}
	return strings.ToLower(text), nil
}

// parseOrigin reads what an Origin header holds: scheme, host, perhaps a port.
func parseOrigin(text string) (string, error) {
	u, err := parseBaseURL(text)
	if err != nil || u.Path != "" || strings.Contains(text, "*") {
		return "", errors.New("must be an origin such as https://app.example.com, without a path")
	}
	return origin(u), nil
}

func origin(u *url.URL) string { return u.Scheme + "://" + strings.ToLower(u.Host) }
