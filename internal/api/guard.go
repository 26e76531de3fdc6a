package api

import (
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/gin-gonic/gin"

	"breakwater/internal/provider"
	"breakwater/internal/router"
)

// Hosts says under which names Breakwater may be asked and from which web
// pages. A page of somebody else's must not be able to use a browser on this
// machine, or a name it makes point here, to reach it.
type Hosts struct {
	Listen  string   // the listener's host: an IP address, a name, or "" for all interfaces
	Public  string   // host of the public URL; "" where there is none
	Allowed []string // further host names
	Origins []string // web origins that may call, such as "https://chat.example.com"
}

// host says whether a Host header's name is one of ours.
func (h Hosts) host(name string) bool {
	if host, _, err := net.SplitHostPort(name); err == nil {
		name = host
	}
	name = strings.ToLower(strings.Trim(name, "[]"))
	ip := net.ParseIP(name)
	if name == "localhost" || ip != nil && ip.IsLoopback() {
		return true
	}
	listen := net.ParseIP(h.Listen)
	if ip != nil && (h.Listen == "" || listen != nil && listen.IsUnspecified()) {
		return true // an address cannot be made to point elsewhere
	}
	return name != "" && (strings.EqualFold(name, h.Listen) || strings.EqualFold(name, h.Public) ||
		slices.ContainsFunc(h.Allowed, func(a string) bool { return strings.EqualFold(a, name) }))
}

// origin says whether a page of this origin may call: our own pages, and those listed.
func (h Hosts) origin(origin, host string) (listed, ok bool) {
	if slices.ContainsFunc(h.Origins, func(o string) bool { return strings.EqualFold(o, origin) }) {
		return true, true
	}
	u, err := url.Parse(origin)
	return false, err == nil && u.Host != "" && strings.EqualFold(u.Host, host)
}

// checkHost refuses foreign Host and Origin headers, and answers the
// preflight of listed origins.
func (s *Server) checkHost(c *gin.Context) {
	if path := c.Request.URL.Path; path == "/healthz" || path == "/readyz" {
		return // a supervisor may know no name, and there is nothing to learn
	}
	if !s.Hosts.host(c.Request.Host) {
		refuse(c, http.StatusForbidden, "foreign_host", "this Breakwater does not answer to that Host; "+
			"add the name to allowed_hosts, or set public_url")
		return
	}
	origin := c.GetHeader("Origin")
	if origin == "" {
		return
	}
	listed, ok := s.Hosts.origin(origin, c.Request.Host)
	if !ok {
		refuse(c, http.StatusForbidden, "foreign_origin", "pages of that Origin may not call this Breakwater; add it to allowed_origins")
		return
	}
	if !listed {
		return
	}
	h := c.Writer.Header()
	h.Set("Access-Control-Allow-Origin", origin)
	h.Add("Vary", "Origin")
	h.Set("Access-Control-Expose-Headers", strings.Join([]string{HeaderRequestID, HeaderProvider, HeaderModel, HeaderAttempts, HeaderReason, HeaderAdjusted, HeaderEstimate, HeaderReplayed}, ", "))
	if c.Request.Method == http.MethodOptions && c.GetHeader("Access-Control-Request-Method") != "" {
		h.Set("Access-Control-Allow-Methods", "GET, POST, DELETE")
		h.Set("Access-Control-Allow-Headers", headerSafe(c.GetHeader("Access-Control-Request-Headers")))
		h.Set("Access-Control-Max-Age", "600")
		c.AbortWithStatus(http.StatusNoContent)
	}
}

// hops gives the Breakwaters that a request came through, and refuses one
// that has been here before.
func (s *Server) hops(c *gin.Context) ([]string, *router.Error) {
	var via []string
	for _, v := range c.Request.Header.Values(provider.HopHeader) {
		for hop := range strings.SplitSeq(v, ",") {
			if hop = strings.TrimSpace(hop); hop != "" {
				via = append(via, hop)
			}
		}
	}
	if slices.Contains(via, s.Hop) {
		return nil, &router.Error{Status: http.StatusLoopDetected, Type: "invalid_request_error", Code: "loop_detected",
			Message: "this request came back to the Breakwater it had passed: a provider's base URL leads here"}
	}
	return via, nil
}

func refuse(c *gin.Context, status int, code, message string) {
	sendError(c, &router.Error{Status: status, Type: "invalid_request_error", Code: code, Message: message})
	c.Abort()
}
