package sim

import (
	"maps"
	"math"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// exchange is one request on its way to a response.
type exchange struct {
	w       http.ResponseWriter
	r       *http.Request
	dialect dialect
	call    call
	fault   Fault
	begun   bool // the headers are out
	ended   bool // a fault ended the stream
}

// badGateway is what a CDN in front of a provider says when it cannot reach it.
const badGateway = "<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body>\r\n" +
	"<center><h1>502 Bad Gateway</h1></center>\r\n<hr><center>cloudflare</center>\r\n</body>\r\n</html>\r\n"

// page is what a captive portal or a misconfigured proxy says with a 200.
const page = "<!DOCTYPE html>\n<html><head><title>Welcome</title></head><body><h1>It works!</h1></body></html>\n"

// fail plays a fault that leaves no room for an answer, and says whether it did.
func (x *exchange) fail() bool {
	switch x.fault.Kind {
	case Refuse:
		x.reset()
	case Hang:
		x.hang()
		return false
	case HangAfterHeaders:
		x.start(x.contentType())
		x.hang()
		return false
	case Garbage:
		x.send(response{status: 200, header: contentType("text/html; charset=utf-8"), body: page})
	case Empty:
		x.send(response{status: 200, header: contentType(x.contentType())})
	case Errors:
		res := response{status: 502, header: contentType("text/html"), body: badGateway}
		if x.fault.Status != 502 {
			res = x.dialect.refuse(x.fault, x.call)
		}
		if x.fault.RetryAfter > 0 {
			res.header = withRetryAfter(res.header, x.fault.RetryAfter)
		}
		x.send(res)
	case ContentFilter:
		if x.fault.After > 0 {
			return false
		}
		x.send(x.dialect.refuse(x.fault, x.call))
	case RateLimited, QuotaExhausted, Unauthorized, NoSuchModel, ContextLength, BadRequest:
		x.send(x.dialect.refuse(x.fault, x.call))
	default:
		return false
	}
	return true
}

// answer sends an answer, token by token or whole, as far as the fault lets it.
func (x *exchange) answer(a answer, first, pace time.Duration) {
	a.first, a.pace = first, pace
	if !x.call.stream {
		if pause(x.r.Context(), first+time.Duration(max(a.output()-1, 0))*pace) {
			x.whole(a)
		}
		return
	}
	due := time.Now().Add(first - pace) // of the token before the first
	if !pause(x.r.Context(), first) {
		return
	}
	f := x.dialect.stream(x.call, a)
	if x.fault.Kind == Short {
		x.promise(len(strings.Join(append(append(f.head, f.tokens...), f.tail...), "")) + 1)
	}
	x.start(f.contentType)
	x.write(f.head...)
	for i, token := range f.tokens {
		due = due.Add(pace) // by the clock: what a busy machine is late does not add up
		if i > 0 && !pause(x.r.Context(), time.Until(due)) {
			return
		}
		if i == x.fault.After {
			token = x.strike(f, token)
			due = time.Now()
		}
		if x.ended {
			return
		}
		x.write(token)
	}
	if x.fault.After >= len(f.tokens) {
		x.strike(f, "")
	}
	switch {
	case x.ended:
	case x.fault.Kind == NoMark && len(f.tail) > 0:
		x.write(f.tail[:len(f.tail)-1]...)
	default:
		x.write(f.tail...)
	}
}

// strike plays a fault that comes in the middle of a stream, in place of a
// token, which it gives back if it is to be sent.
func (x *exchange) strike(f frames, token string) string {
	switch x.fault.Kind {
	case Cut:
		panic(http.ErrAbortHandler)
	case Short:
		x.ended = true
	case Stall:
		x.hang()
	case ErrorInStream:
		x.write(f.failure(x.fault.After))
		x.ended = true
	case Malformed:
		return half(token)
	}
	return token
}

// half breaks the JSON of an event and keeps its framing.
func half(event string) string {
	body := strings.TrimRight(event, "\r\n")
	return body[:len(body)-len(body)/3] + event[len(body):]
}

// promise tells the length of the body.
func (x *exchange) promise(length int) {
	x.w.Header().Set("Content-Length", strconv.Itoa(length))
}

func (x *exchange) whole(a answer) {
	res := x.dialect.whole(x.call, a)
	switch x.fault.Kind {
	case ErrorInStream:
		res.body = x.dialect.refuse(Fault{Kind: Errors, Status: 500}, x.call).body
	case Malformed:
		res.body = half(res.body)
	case Cut, Short, Stall:
		maps.Copy(x.w.Header(), res.header)
		x.promise(len(res.body))
		x.w.WriteHeader(res.status)
		x.write(res.body[:len(res.body)/2])
		switch x.fault.Kind {
		case Cut:
			panic(http.ErrAbortHandler)
		case Stall:
			x.hang()
			x.write(res.body[len(res.body)/2:])
		}
		return
	}
	x.send(res)
}

// contentType gives that of a proper answer to the call.
func (x *exchange) contentType() string {
	if x.call.stream {
		return x.dialect.stream(x.call, answer{}).contentType
	}
	// A request for vectors gets one: an answer without any is none.
	return x.dialect.whole(x.call, answer{vectors: make([][]float64, 1)}).header.Get("Content-Type")
}

// send sends a response in one piece.
func (x *exchange) send(res response) {
	if !x.begun {
		maps.Copy(x.w.Header(), res.header)
		x.promise(len(res.body))
		x.w.WriteHeader(res.status)
	}
	x.write(res.body)
}

// start sends the headers of a stream.
func (x *exchange) start(contentType string) {
	if x.begun {
		return
	}
	x.begun = true
	x.w.Header().Set("Content-Type", contentType)
	x.w.WriteHeader(http.StatusOK)
	x.write()
}

// write sends pieces at once, each as a chunk of its own. A client that went
// away is noticed by the request's context, not here.
func (x *exchange) write(pieces ...string) {
	flush := http.NewResponseController(x.w).Flush
	_ = flush()
	for _, piece := range pieces {
		if _, err := x.w.Write([]byte(piece)); err != nil {
			return
		}
		_ = flush()
	}
}

// hang holds the connection, silent, for as long as the fault says. It does not
// return where the client goes away or the server is closed before.
func (x *exchange) hang() {
	if x.fault.For > 0 && pause(x.r.Context(), x.fault.For) {
		return
	}
	<-x.r.Context().Done()
	panic(http.ErrAbortHandler)
}

// reset closes the connection without a byte: on TCP the client sees a reset.
func (x *exchange) reset() {
	conn, _, err := http.NewResponseController(x.w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	breakOff(conn)
}

// breakOff closes a connection with a reset.
func breakOff(conn net.Conn) {
	if wrapped, ok := conn.(*shaken); ok {
		conn = wrapped.Conn
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = conn.Close()
}

func contentType(value string) http.Header { return http.Header{"Content-Type": {value}} }

// withRetryAfter adds Retry-After, in whole seconds, rounded up.
func withRetryAfter(h http.Header, d time.Duration) http.Header {
	h.Set("Retry-After", strconv.Itoa(int(math.Ceil(d.Seconds()))))
	return h
}

// inSeconds writes a duration as the providers do in their messages: "18.642s".
func inSeconds(d time.Duration) string {
	return strconv.FormatFloat(d.Seconds(), 'f', -1, 64) + "s"
}
