package sim

import (
	"maps"
	"math"
	"net"
	"net/http"
	"strconv"
	"time"
)

// exchange is one request on its way to a response.
type exchange struct {
	w       http.ResponseWriter
	r       *http.Request
	dialect dialect
	call    call
	fault   Fault
}

// badGateway is what a CDN in front of a provider says when it cannot reach it.
const badGateway = "<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body>\r\n" +
	"<center><h1>502 Bad Gateway</h1></center>\r\n<hr><center>cloudflare</center>\r\n</body>\r\n</html>\r\n"

// page is what a captive portal or a misconfigured proxy says with a 200.
const page = "<!DOCTYPE html>\n<html><head><title>Welcome</title></head><body><h1>It works!</h1></body></html>\n"

// fail plays a fault that leaves no room for an answer, and says whether it did.
func (x exchange) fail() bool {
	switch x.fault.Kind {
	case Refuse:
		x.reset()
	case Hang:
		x.hang()
	case HangAfterHeaders:
		x.start(x.contentType())
		x.hang()
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
func (x exchange) answer(a answer, first, pace time.Duration) {
	a.first, a.pace = first, pace
	if !x.call.stream {
		if pause(x.r.Context(), first+time.Duration(max(a.output()-1, 0))*pace) {
			x.whole(a)
		}
		return
	}
	if !pause(x.r.Context(), first) {
		return
	}
	f := x.dialect.stream(x.call, a)
	x.start(f.contentType)
	tokens, cut := f.tokens, false
	switch x.fault.Kind {
	case Cut, Stall, ErrorInStream:
		tokens, cut = tokens[:min(x.fault.After, len(tokens))], true
	}
	x.write(f.head...)
	for i, token := range tokens {
		if i > 0 && !pause(x.r.Context(), pace) {
			return
		}
		x.write(token)
	}
	switch {
	case !cut:
		x.write(f.tail...)
	case x.fault.Kind == Cut:
		panic(http.ErrAbortHandler)
	case x.fault.Kind == Stall:
		x.hang()
	default:
		x.write(f.failure(len(tokens)))
	}
}

func (x exchange) whole(a answer) {
	res := x.dialect.whole(x.call, a)
	switch x.fault.Kind {
	case ErrorInStream:
		res.body = x.dialect.refuse(Fault{Kind: Errors, Status: 500}, x.call).body
	case Cut, Stall:
		maps.Copy(x.w.Header(), res.header)
		x.w.Header().Set("Content-Length", strconv.Itoa(len(res.body)))
		x.w.WriteHeader(res.status)
		x.write(res.body[:len(res.body)/2])
		if x.fault.Kind == Cut {
			panic(http.ErrAbortHandler)
		}
		x.hang()
	}
	x.send(res)
}

// contentType gives that of a proper answer to the call.
func (x exchange) contentType() string {
	if x.call.stream {
		return x.dialect.stream(x.call, answer{}).contentType
	}
	// A request for vectors gets one: an answer without any is none.
	return x.dialect.whole(x.call, answer{vectors: make([][]float64, 1)}).header.Get("Content-Type")
}

// send sends a response in one piece.
func (x exchange) send(res response) {
	maps.Copy(x.w.Header(), res.header)
	x.w.Header().Set("Content-Length", strconv.Itoa(len(res.body)))
	x.w.WriteHeader(res.status)
	x.write(res.body)
}

// start sends the headers of a stream.
func (x exchange) start(contentType string) {
	x.w.Header().Set("Content-Type", contentType)
	x.w.WriteHeader(http.StatusOK)
	x.write()
}

// write sends pieces at once, each as a chunk of its own. A client that went
// away is noticed by the request's context, not here.
func (x exchange) write(pieces ...string) {
	flush := http.NewResponseController(x.w).Flush
	_ = flush()
	for _, piece := range pieces {
		if _, err := x.w.Write([]byte(piece)); err != nil {
			return
		}
		_ = flush()
	}
}

// hang holds the connection, silent, until the client goes away or the server
// is closed.
func (x exchange) hang() {
	<-x.r.Context().Done()
	panic(http.ErrAbortHandler)
}

// reset closes the connection without a byte: on TCP the client sees a reset.
func (x exchange) reset() {
	conn, _, err := http.NewResponseController(x.w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
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
