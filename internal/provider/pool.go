package provider

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// shakesKept bounds the handshakes whose times are kept, and shakesFor says
	// for how long they speak of now.
	shakesKept = 64
	shakesFor  = 10 * time.Minute
)

// pool keeps the connections to an upstream. Those of one generation serve for
// its life time; then the next request begins a new generation, which looks the
// upstream's name up again. An answer under way is never cut for that: its
// connection is closed when the answer ends.
type pool struct {
	Pool
	connect time.Duration
	target  string // the upstream's host and port
	proxy   func(*http.Request) (*url.URL, error)
	tls     *tls.Config
	now     atomic.Pointer[generation]

	open, opened atomic.Int64 // connections
	under, sent  atomic.Int64 // requests

	mu     sync.Mutex
	shakes []shake // the latest, in a ring
	shaken int
}

// generation is the connections that were made in one life time.
type generation struct {
	*http.Transport
	born    time.Time
	retired atomic.Bool
	asking  atomic.Int64 // requests that have no connection yet, or no answer
}

// shake is how long a connection took to be made.
type shake struct {
	at   time.Time
	took time.Duration
}

// newPool makes a pool. It bounds connecting only: how long an answer may take
// is the caller's business.
func newPool(base *url.URL, conf Pool, connect time.Duration) *pool {
	orDefault := func(d *time.Duration, def time.Duration) {
		if *d == 0 {
			*d = def
		}
	}
	orDefault(&connect, DefaultConnectTimeout)
	orDefault(&conf.IdleTime, DefaultIdleTime)
	orDefault(&conf.LifeTime, DefaultLifeTime)
	orDefault(&conf.Ping, DefaultPing)
	if conf.Idle == 0 {
		conf.Idle = MaxIdlePerHost
	}
	port := base.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[base.Scheme]
	}
	p := &pool{
		Pool: conf, connect: connect, target: net.JoinHostPort(base.Hostname(), port),
		proxy: http.ProxyFromEnvironment, tls: &tls.Config{NextProtos: []string{"h2", "http/1.1"}},
	}
	if conf.NoHTTP2 {
		p.tls.NextProtos = []string{"http/1.1"}
	}
	p.now.Store(p.generation())
	return p
}

func (p *pool) generation() *generation {
	t := &http.Transport{
		Proxy:               p.proxy,
		DialContext:         p.dial,
		DialTLSContext:      p.dialTLS,
		TLSClientConfig:     p.tls.Clone(), // behind a proxy
		TLSHandshakeTimeout: p.connect,
		MaxIdleConnsPerHost: p.Idle,
		MaxConnsPerHost:     p.Connections,
		IdleConnTimeout:     p.IdleTime,
		ForceAttemptHTTP2:   !p.NoHTTP2,
		HTTP2:               &http.HTTP2Config{SendPingTimeout: p.Ping, PingTimeout: p.Ping},
		DisableCompression:  true, // bytes pass through as they are, and events at once
	}
	if p.NoHTTP2 {
		t.TLSNextProto = map[string]func(string, *tls.Conn) http.RoundTripper{}
	}
	return &generation{Transport: t, born: time.Now()}
}

// dial opens a connection and counts it.
func (p *pool) dial(ctx context.Context, network, address string) (net.Conn, error) {
	began := time.Now()
	conn, err := p.counted(ctx, network, address)
	if err == nil {
		p.shook(time.Since(began))
	}
	return conn, err
}

func (p *pool) counted(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := (&net.Dialer{Timeout: p.connect, KeepAlive: p.Ping}).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	p.open.Add(1)
	p.opened.Add(1)
	return &countedConn{Conn: conn, pool: p}, nil
}

// dialTLS opens a connection to an upstream or a proxy that speaks TLS. The
// transport needs the *tls.Conn itself to see whether it speaks HTTP/2.
func (p *pool) dialTLS(ctx context.Context, network, address string) (net.Conn, error) {
	began := time.Now()
	conn, err := p.counted(ctx, network, address)
	if err != nil {
		return nil, err
	}
	conf := p.tls.Clone()
	if conf.ServerName, _, err = net.SplitHostPort(address); err != nil {
		conn.Close()
		return nil, err
	}
	if address != p.target { // a proxy, which is asked in HTTP/1
		conf.NextProtos = nil
	}
	ctx, cancel := context.WithTimeout(ctx, p.connect)
	defer cancel()
	secured := tls.Client(conn, conf)
	if err := secured.HandshakeContext(ctx); err != nil {
		conn.Close()
		return nil, err
	}
	p.shook(time.Since(began))
	return secured, nil
}

func (p *pool) shook(took time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := shake{time.Now(), took}
	if len(p.shakes) < shakesKept {
		p.shakes = append(p.shakes, s)
	} else {
		p.shakes[p.shaken%shakesKept] = s
	}
	p.shaken++
}

// RoundTrip makes a call. The answer's body must be closed.
func (p *pool) RoundTrip(r *http.Request) (*http.Response, error) {
	g := p.ask()
	p.sent.Add(1)
	p.under.Add(1)
	resp, err := g.Transport.RoundTrip(r)
	g.asking.Add(-1)
	if err != nil {
		p.ended(g)
		return nil, err
	}
	resp.Body = &body{ReadCloser: resp.Body, pool: p, generation: g}
	return resp, nil
}

// ask gives the generation that a request goes to. A request that is counted in
// asking before its generation retires is seen by whoever retires it, and no
// other begins there.
func (p *pool) ask() *generation {
	if g := p.now.Load(); time.Since(g.born) >= p.LifeTime {
		p.renew(g)
	}
	for {
		g := p.now.Load()
		g.asking.Add(1)
		if !g.retired.Load() {
			return g
		}
		g.asking.Add(-1)
	}
}

// renew begins a new generation after g, unless somebody has.
func (p *pool) renew(g *generation) {
	if p.now.CompareAndSwap(g, p.generation()) {
		g.retired.Store(true)
		g.sweep()
	}
}

// sweep closes what a retired generation has left over. While a request looks
// for a connection none is closed, since it might be the one; that request's end
// sweeps again.
func (g *generation) sweep() {
	if g.retired.Load() && g.asking.Load() == 0 {
		g.CloseIdleConnections()
	}
}

func (p *pool) ended(g *generation) {
	p.under.Add(-1)
	g.sweep()
}

// close closes idle connections at once and the others as they come free.
func (p *pool) close() { p.renew(p.now.Load()) }

// body is an answer's body, whose end is noted.
type body struct {
	io.ReadCloser
	pool       *pool
	generation *generation
	closed     atomic.Bool
}

func (b *body) Close() error {
	err := b.ReadCloser.Close()
	if !b.closed.Swap(true) {
		b.pool.ended(b.generation)
	}
	return err
}

// countedConn is a connection whose end is noted.
type countedConn struct {
	net.Conn
	pool   *pool
	closed atomic.Bool
}

func (c *countedConn) Close() error {
	if !c.closed.Swap(true) {
		c.pool.open.Add(-1)
	}
	return c.Conn.Close()
}

// PoolUse gives how the pool of connections stands. With HTTP/2, where requests
// share connections, as many count as in use as requests are under way, and at
// most all.
func (c *Client) PoolUse() PoolUse {
	p := c.pool
	open, opened := p.open.Load(), p.opened.Load()
	use := PoolUse{Opened: opened, Reused: max(0, p.sent.Load()-opened)}
	use.InUse = min(open, p.under.Load())
	use.Idle = open - use.InUse
	p.mu.Lock()
	defer p.mu.Unlock()
	var took []time.Duration
	for _, s := range p.shakes {
		if time.Since(s.at) <= shakesFor {
			took = append(took, s.took)
		}
	}
	if len(took) > 0 {
		slices.Sort(took)
		use.Handshake = took[len(took)/2]
	}
	return use
}
