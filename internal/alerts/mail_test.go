package alerts

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net"
	"net/mail"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"breakwater/internal/record"
)

const mailPassword = "mail-Pass-word-1"

// post office is a small SMTP server.
type postOffice struct {
	net.Listener
	pool   *x509.CertPool
	config *tls.Config
	// What it offers, and how it answers: the beginning of a command to its answer.
	startTLS, auth bool
	answers        map[string]string

	mu     sync.Mutex
	mails  []string // each with its envelope in front
	logins []string
	clear  bool // a login came over a connection that is not encrypted
}

// openPostOffice starts one, over TLS from the first byte on where tlsFirst is set.
func openPostOffice(t *testing.T, o *postOffice, tlsFirst bool) *postOffice {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	made := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, made, made, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	o.pool = x509.NewCertPool()
	o.pool.AddCert(cert)
	o.config = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
	if o.Listener, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	if tlsFirst {
		o.Listener = tls.NewListener(o.Listener, o.config)
	}
	var served sync.WaitGroup
	served.Go(func() {
		for {
			conn, err := o.Accept()
			if err != nil {
				return
			}
			served.Go(func() { o.serve(conn, tlsFirst) })
		}
	})
	t.Cleanup(func() { o.Close(); served.Wait() })
	return o
}

func (o *postOffice) serve(conn net.Conn, encrypted bool) {
	defer func() { conn.Close() }()
	in, envelope := bufio.NewReader(conn), ""
	say := func(text string) { fmt.Fprintf(conn, "%s\r\n", text) }
	say("220 test")
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return
		}
		line = strings.TrimSpace(line)
		if answer := o.answer(line); answer != "" {
			say(answer)
			continue
		}
		switch command, rest, _ := strings.Cut(line, " "); strings.ToUpper(command) {
		case "EHLO":
			say("250-test")
			if o.startTLS && !encrypted {
				say("250-STARTTLS")
			}
			if o.auth {
				say("250-AUTH PLAIN LOGIN")
			}
			say("250 8BITMIME")
		case "STARTTLS":
			say("220 go on")
			conn = tls.Server(conn, o.config)
			in, encrypted = bufio.NewReader(conn), true
		case "AUTH":
			o.mu.Lock()
			o.logins, o.clear = append(o.logins, rest), o.clear || !encrypted
			o.mu.Unlock()
			say("235 welcome")
		case "DATA":
			say("354 go on")
			var b strings.Builder
			for {
				line, err := in.ReadString('\n')
				if err != nil {
					return
				}
				if line == ".\r\n" {
					break
				}
				b.WriteString(strings.TrimPrefix(line, "."))
			}
			o.mu.Lock()
			o.mails = append(o.mails, envelope+"\n"+b.String())
			o.mu.Unlock()
			say("250 taken")
		case "QUIT":
			say("221 bye")
			return
		case "RCPT":
			envelope = rest
			say("250 ok")
		default:
			say("250 ok")
		}
	}
}

func (o *postOffice) answer(line string) string {
	for begins, answer := range o.answers {
		if strings.HasPrefix(strings.ToUpper(line), begins) {
			return answer
		}
	}
	return ""
}

// to makes a channel that posts there.
func (o *postOffice) to(cfg MailConfig) *Mail {
	cfg.Name, cfg.Host, cfg.Port = "mail", "127.0.0.1", o.Addr().(*net.TCPAddr).Port
	cfg.From = "Breakwater <breakwater@example.com>"
	if cfg.To == nil {
		cfg.To = []string{"ops@example.com"}
	}
	if cfg.TLSConfig == nil {
		cfg.TLSConfig = &tls.Config{RootCAs: o.pool, ServerName: "127.0.0.1"}
	}
	return NewMail(cfg)
}

// read opens a mail: its header, its text and its HTML.
func read(t *testing.T, raw string) (h mail.Header, text, html string) {
	t.Helper()
	_, raw, _ = strings.Cut(raw, "\n")
	m, err := mail.ReadMessage(strings.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	kind, params, err := mime.ParseMediaType(m.Header.Get("Content-Type"))
	if err != nil || kind != "multipart/alternative" {
		t.Fatal(kind, err)
	}
	var parts []string
	for r := multipart.NewReader(m.Body, params["boundary"]); ; {
		p, err := r.NextRawPart()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(quotedprintable.NewReader(p))
		if err != nil {
			t.Fatal(err)
		}
		parts = append(parts, strings.ReplaceAll(string(b), "\r\n", "\n"))
	}
	if len(parts) != 2 {
		t.Fatalf("%d parts", len(parts))
	}
	return m.Header, parts[0], parts[1]
}

func TestMailGoesOverSTARTTLSAndIsOneThread(t *testing.T) {
	o := openPostOffice(t, &postOffice{startTLS: true, auth: true}, false)
	c := o.to(MailConfig{User: "breakwater", Password: mailPassword, To: []string{"ops@example.com", "anna@example.com"}})
	opened := fullMessage(record.NoticeOpened)
	receipt, err := c.Send(t.Context(), opened)
	if err != nil {
		t.Fatal(err)
	}
	over := fullMessage(record.NoticeResolved)
	over.ID, over.Receipt = opened.ID+1, receipt
	if again, err := c.Send(t.Context(), over); err != nil || again != receipt {
		t.Fatal(again, err)
	}
	if len(o.mails) != 4 || o.clear || len(o.logins) != 2 || !strings.HasPrefix(o.logins[0], "PLAIN ") {
		t.Fatalf("%d mails, logins %q, in the clear %v", len(o.mails), o.logins, o.clear)
	}
	if !strings.HasPrefix(o.mails[0], "TO:<ops@example.com>") || !strings.HasPrefix(o.mails[1], "TO:<anna@example.com>") {
		t.Errorf("envelopes %.40q %.40q", o.mails[0], o.mails[1])
	}
	first, text, html := read(t, o.mails[0])
	golden(t, "mail-opened.txt", []byte(text))
	golden(t, "mail-opened.html", []byte(html))
	answer, text, _ := read(t, o.mails[2])
	golden(t, "mail-resolved.txt", []byte(text))
	id, _, _ := strings.Cut(receipt, " ")
	for name, want := range map[string]string{
		"Subject": "Gemini is failing [incident 12]", "From": `"Breakwater" <breakwater@example.com>`, "To": "<ops@example.com>",
		"Auto-Submitted": "auto-generated", "Message-Id": "<" + id + ">", "Importance": "high", "In-Reply-To": "",
	} {
		if got := first.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	for name, want := range map[string]string{
		"Subject": "Re: Gemini is failing [incident 12]", "In-Reply-To": "<" + id + ">", "References": "<" + id + ">", "Importance": "",
	} {
		if got := answer.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	if id := answer.Get("Message-Id"); id == first.Get("Message-Id") || !strings.HasSuffix(id, "@example.com>") {
		t.Errorf("message id %q", id)
	}
}

// TestMailsOfAnIncidentKeepItsFirstSubject whatever its title becomes: another
// one breaks the thread in mail programs.
func TestMailsOfAnIncidentKeepItsFirstSubject(t *testing.T) {
	for _, c := range []struct {
		topic  record.Topic
		titles []string
		want   string
	}{
		{record.TopicProvider, []string{"Gemini is slow", "Gemini is failing"}, "Gemini is slow [incident 12]"},
		{record.TopicKey, []string{"Gemini's key main is refused", "Gemini's key main is out of quota"}, "Gemini's key main is refused [incident 12]"},
		{record.TopicEverything, []string{"Every provider is failing", "2 of 4 providers are failing"}, "Several providers are in trouble [incident 12]"},
	} {
		o := openPostOffice(t, &postOffice{}, false)
		channel := o.to(MailConfig{TLS: MailPlain})
		m := fullMessage(record.NoticeOpened)
		m.Incident.Topic = c.topic
		for _, m.Incident.Title = range append(c.titles, "Ollama is failing") {
			m.ID++
			var err error
			if m.Receipt, err = channel.Send(t.Context(), m); err != nil {
				t.Fatal(err)
			}
			m.Kind, m.Incident.Topic = record.NoticeChanged, record.TopicProvider // several providers' may go on as one's
		}
		for i, re := range []string{"", "Re: ", "Re: "} {
			if head, _, _ := read(t, o.mails[i]); head.Get("Subject") != re+c.want {
				t.Errorf("mail %d: %q, want %q", i, head.Get("Subject"), re+c.want)
			}
		}
	}
}

func TestAMailBeginsWithWhatChangedAndSaysItOnce(t *testing.T) {
	o := openPostOffice(t, &postOffice{}, false)
	m := fullMessage(record.NoticeChanged)
	m.Text = "Callers are served elsewhere; none fails."
	if _, err := o.to(MailConfig{TLS: MailPlain}).Send(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	_, text, html := read(t, o.mails[0])
	for _, body := range []string{text, html} {
		if at := strings.Index(body, m.Text); at < 0 || at > strings.Index(body, "What") || strings.Count(body, m.Text) != 1 {
			t.Errorf("what changed is not said first and once:\n%s", body)
		}
	}
}

func TestMailTriedAgainHasTheSameID(t *testing.T) {
	o := openPostOffice(t, &postOffice{startTLS: true}, false)
	c := o.to(MailConfig{})
	for range 2 {
		if _, err := c.Send(t.Context(), fullMessage(record.NoticeOpened)); err != nil {
			t.Fatal(err)
		}
	}
	a, _, _ := read(t, o.mails[0])
	b, _, _ := read(t, o.mails[1])
	if a.Get("Message-Id") == "" || a.Get("Message-Id") != b.Get("Message-Id") {
		t.Errorf("%q and %q", a.Get("Message-Id"), b.Get("Message-Id"))
	}
}

func TestMailOverTLSAndInTheClear(t *testing.T) {
	secure := openPostOffice(t, &postOffice{auth: true}, true)
	if _, err := secure.to(MailConfig{TLS: MailOverTLS, User: "u", Password: mailPassword}).Send(t.Context(), openedMessage); err != nil || len(secure.logins) != 1 {
		t.Errorf("TLS: %v, logins %q", err, secure.logins)
	}
	open := openPostOffice(t, &postOffice{}, false)
	if _, err := open.to(MailConfig{TLS: MailPlain}).Send(t.Context(), openedMessage); err != nil || len(open.mails) != 1 {
		t.Errorf("in the clear: %v", err)
	}
}

func TestAServerWithoutSTARTTLSOrWithAWrongCertificateGetsNothing(t *testing.T) {
	bare := openPostOffice(t, &postOffice{auth: true}, false)
	foreign := openPostOffice(t, &postOffice{startTLS: true, auth: true}, false)
	for name, c := range map[string]*Mail{
		"bare":    bare.to(MailConfig{User: "u", Password: mailPassword}),
		"foreign": foreign.to(MailConfig{User: "u", Password: mailPassword, TLSConfig: &tls.Config{RootCAs: x509.NewCertPool(), ServerName: "127.0.0.1"}}),
	} {
		if _, err := c.Send(t.Context(), openedMessage); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if n := len(bare.mails) + len(bare.logins) + len(foreign.mails) + len(foreign.logins); n > 0 {
		t.Error("they got something")
	}
}

func TestErrorsOfMailSayWhetherToTryAgain(t *testing.T) {
	password := base64.StdEncoding.EncodeToString([]byte(mailPassword))
	for name, tt := range map[string]struct {
		answers map[string]string
		refused bool
		says    string
	}{
		"wrong password":    {map[string]string{"AUTH": "535 5.7.8 no: " + mailPassword}, true, "535"},
		"wrong sender":      {map[string]string{"MAIL": "550 5.7.1 not you"}, true, "550"},
		"unknown recipient": {map[string]string{"RCPT": "550 5.1.1 who"}, true, "550"},
		"grey list":         {map[string]string{"RCPT": "451 4.7.1 later"}, false, "451"},
		"full":              {map[string]string{"DATA": "452 4.2.2 full"}, false, "452"},
		"spam":              {map[string]string{"DATA": "554 5.7.1 spam"}, true, "554"},
		"busy":              {map[string]string{"EHLO": "421 busy", "HELO": "421 busy"}, false, "421"},
	} {
		o := openPostOffice(t, &postOffice{startTLS: true, auth: true, answers: tt.answers}, false)
		_, err := o.to(MailConfig{User: "u", Password: mailPassword}).Send(t.Context(), openedMessage)
		_, refused := errors.AsType[*RefusedError](err)
		if err == nil || refused != tt.refused || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%s: refused %v: %v", name, refused, err)
		} else if strings.Contains(err.Error(), mailPassword) || strings.Contains(err.Error(), password) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAnErrorOfMailIsSaidOnceForAllRecipients(t *testing.T) {
	o := openPostOffice(t, &postOffice{startTLS: true, answers: map[string]string{"MAIL": "451 4.3.0 later"}}, false)
	_, err := o.to(MailConfig{To: []string{"ops@example.com", "anna@example.com"}}).Send(t.Context(), openedMessage)
	if err == nil || strings.Count(err.Error(), "451") != 1 || strings.Contains(err.Error(), "message ID") {
		t.Errorf("it says %v", err)
	}
}

func TestARecipientThatIsGoneKeepsMailFromNobodyElse(t *testing.T) {
	o := openPostOffice(t, &postOffice{startTLS: true, answers: map[string]string{"RCPT TO:<GONE@": "550 5.1.1 gone"}}, false)
	c := o.to(MailConfig{To: []string{"gone@example.com", "ops@example.com"}, Log: slog.New(slog.DiscardHandler)})
	if _, err := c.Send(t.Context(), fullMessage(record.NoticeOpened)); err != nil || len(o.mails) != 1 {
		t.Errorf("%v, %d mails", err, len(o.mails))
	}
	test := Message{Kind: record.NoticeTest, Incident: record.Incident{Title: "Test"}}
	if _, err := c.Send(t.Context(), test); err == nil || !strings.Contains(err.Error(), "gone@example.com") || !strings.HasPrefix(err.Error(), "1 of 2 recipients got it") {
		t.Errorf("a test says %v", err)
	}
}

func TestMailGivesUpWithItsContext(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	o := &postOffice{Listener: silent}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := o.to(MailConfig{}).Send(ctx, openedMessage); err == nil {
		t.Error("no error")
	}
}

func TestMailTakesWhateverAProviderSays(t *testing.T) {
	o := openPostOffice(t, &postOffice{startTLS: true}, false)
	m := Message{Kind: record.NoticeOpened, Incident: hostile(), URL: "https://breakwater.example"}
	m.Incident.Title = "Gemini\r\nBcc: all@example.com\r\n\r\n is <b>failing</b>"
	if _, err := o.to(MailConfig{}).Send(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	h, _, html := read(t, o.mails[0])
	if h.Get("Bcc") != "" || !strings.Contains(h.Get("Subject"), "Bcc") {
		t.Errorf("header %v", h)
	}
	for _, bad := range []string{"<b>failing", "<https", "<!channel"} {
		if strings.Contains(html, bad) {
			t.Errorf("%q in %s", bad, html)
		}
	}
}

func TestADigestIsOneMail(t *testing.T) {
	o := openPostOffice(t, &postOffice{startTLS: true}, false)
	d := Digest{ID: 7, Of: []Message{fullMessage(record.NoticeResolved), fullMessage(record.NoticeOpened)}, URL: "https://breakwater.example"}
	if err := o.to(MailConfig{}).SendDigest(t.Context(), d); err != nil {
		t.Fatal(err)
	}
	h, text, html := read(t, o.mails[0])
	golden(t, "mail-digest.txt", []byte(text))
	golden(t, "mail-digest.html", []byte(html))
	if got := h.Get("Subject"); got != "Breakwater: Held back until now: 2 incidents, 1 of them not over" {
		t.Error(got)
	}
	if !slices.Equal(o.to(MailConfig{}).cfg.To, []string{"ops@example.com"}) || o.to(MailConfig{}).Where() != "ops@example.com" {
		t.Error("where")
	}
}
