package alerts

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"html/template"
	"log/slog"
	"net"
	"net/textproto"
	"slices"
	"strings"

	"github.com/wneessen/go-mail"

	"breakwater/internal/record"
	"breakwater/internal/redact"
)

// MailTLS says how a mail server is spoken to.
type MailTLS string

// The ways of speaking to a mail server.
const (
	MailStartTLS MailTLS = "starttls" // demanded: a server without it gets nothing
	MailOverTLS  MailTLS = "tls"      // from the first byte on
	MailPlain    MailTLS = "none"     // a password goes only by a challenge that does not show it
)

// MailConfig says which server takes mail, and whom it is for.
type MailConfig struct {
	Name           string // the channel's name in the configuration
	Host           string
	Port           int
	TLS            MailTLS // default MailStartTLS
	User, Password string  // "" where the server wants none
	From           string
	To             []string
	TLSConfig      *tls.Config  // default the system's certificates and the host's name
	Log            *slog.Logger // where a recipient that the server refuses is told; default slog.Default
}

// Mail sends each notice as a message of text and HTML, those of one incident
// in one thread.
type Mail struct {
	cfg    MailConfig
	domain string // of the sender, for message IDs
}

// NewMail makes the channel. It does not call the server.
func NewMail(cfg MailConfig) *Mail {
	if cfg.TLS == "" {
		cfg.TLS = MailStartTLS
	}
	if cfg.TLSConfig == nil {
		cfg.TLSConfig = &tls.Config{ServerName: cfg.Host, MinVersion: tls.VersionTLS12}
	}
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	at := strings.LastIndexByte(cfg.From, '@')
	return &Mail{cfg: cfg, domain: strings.Trim(cfg.From[at+1:], "> ")}
}

// Name is the channel's name in the configuration.
func (c *Mail) Name() string { return c.cfg.Name }

// Kind is "email".
func (c *Mail) Kind() string { return "email" }

// Where lists the recipients.
func (c *Mail) Where() string { return strings.Join(c.cfg.To, ", ") }

// Send mails the notice. The receipt is the Message-ID of the incident's first
// mail, which all later ones answer, and its subject, which they keep: mail programs
// take those with another subject for another thread
// (https://workspaceupdates.googleblog.com/2019/03/threading-changes-in-gmail-conversation-view.html,
// 2026-11). What changed is what they begin with.
func (c *Mail) Send(ctx context.Context, m Message) (string, error) {
	root, subject, _ := strings.Cut(m.Receipt, " ")
	l := letter{
		id: fmt.Sprintf("%s.%s@%s", m.ID, m.Incident.ID, c.domain), root: root, subject: cmp.Or(subject, m.subject()),
		text: m.summary() + "\n\n" + m.plain(), urgent: m.urgent(), all: m.Kind == record.NoticeTest,
	}
	var err error
	if l.html, err = render(mailPage, m.mail()); err != nil {
		return "", fmt.Errorf("e-mail: %w", err)
	}
	if err := c.send(ctx, l); err != nil {
		return "", err
	}
	return cmp.Or(root, l.id) + " " + l.subject, nil
}

// subject is that of an incident's first mail. The title of several providers'
// incident tells how many are in trouble now, which is soon no longer so.
func (m Message) subject() string {
	subject := m.Incident.Title
	if m.Incident.Topic == record.TopicEverything {
		subject = "Several providers are in trouble"
	}
	if m.Incident.Number > 0 {
		subject += fmt.Sprintf(" [incident %d]", m.Incident.Number)
	}
	return subject
}

// urgent says whether a mail is marked as important: that it is over is good news.
func (m Message) urgent() bool {
	return m.Incident.Severity == record.Critical && m.Kind != record.NoticeResolved
}

// SendDigest mails several incidents at once.
func (c *Mail) SendDigest(ctx context.Context, d Digest) error {
	html, err := render(digestPage, d.mail())
	if err != nil {
		return fmt.Errorf("e-mail: %w", err)
	}
	return c.send(ctx, letter{
		id: fmt.Sprintf("%s.digest@%s", d.ID, c.domain), subject: "Breakwater: " + d.headline(), text: d.headline() + "\n\n" + d.plain(), html: html,
	})
}

// letter is one mail before it is addressed.
type letter struct {
	id, root, subject, text, html string
	urgent                        bool
	all                           bool // it counts as sent only where every recipient has it
}

// send gives each recipient a mail of their own, so that an address which is no
// more keeps the message from nobody else. It counts as sent where one has it.
func (c *Mail) send(ctx context.Context, l letter) error {
	mails := make([]*mail.Msg, len(c.cfg.To))
	for n, to := range c.cfg.To {
		var err error
		if mails[n], err = c.address(l, to); err != nil {
			return &RefusedError{c.clean(err)}
		}
	}
	// The library does not look at ctx once it is connected, and leaves a
	// connection open that fails before it is of use.
	over, end := context.WithCancel(ctx)
	defer end()
	client, err := mail.NewClient(c.cfg.Host, c.options(func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := c.dial(ctx, network, address)
		if err == nil {
			context.AfterFunc(over, func() { conn.Close() })
		}
		return conn, err
	})...)
	if err != nil {
		return &RefusedError{c.clean(err)}
	}
	session, err := client.DialToSMTPClientWithContext(ctx)
	if err != nil {
		return c.explain(err)
	}
	err = client.SendWithSMTPClient(session, mails...)
	_ = client.CloseWithSMTPClient(session) // what was taken is taken
	return c.outcome(mails, l.all, err)
}

// outcome says what became of a letter.
func (c *Mail) outcome(mails []*mail.Msg, all bool, err error) error {
	taken := 0
	for _, m := range mails {
		if m.IsDelivered() {
			taken++
		}
	}
	switch {
	case taken == len(mails):
		return nil
	case taken == 0:
		return c.explain(err)
	case all:
		return fmt.Errorf("%d of %d recipients got it: %w", taken, len(mails), c.explain(err))
	}
	c.cfg.Log.Warn("not every recipient of a channel got its mail", "channel", c.cfg.Name, "got", taken, "of", len(mails), "error", c.clean(err))
	return nil
}

// address makes a letter into a recipient's mail.
func (c *Mail) address(l letter, to string) (*mail.Msg, error) {
	m := mail.NewMsg()
	if err := errors.Join(m.From(c.cfg.From), m.To(to)); err != nil {
		return nil, err
	}
	m.Subject(redact.Short(l.subject, maxHeader))
	m.SetMessageIDWithValue(l.id)
	if l.root != "" {
		m.Subject("Re: " + redact.Short(l.subject, maxHeader))
		m.SetGenHeader(mail.HeaderInReplyTo, "<"+l.root+">")
		m.SetGenHeader(mail.HeaderReferences, "<"+l.root+">")
	}
	// Nobody's out-of-office note is wanted: https://www.rfc-editor.org/rfc/rfc3834#section-5
	// and https://learn.microsoft.com/openspecs/exchange_server_protocols/ms-oxcmail (2026-11).
	m.SetGenHeader("Auto-Submitted", "auto-generated")
	m.SetGenHeader(mail.HeaderXAutoResponseSuppress, "All")
	if l.urgent {
		m.SetImportance(mail.ImportanceHigh)
	}
	m.SetBodyString(mail.TypeTextPlain, l.text)
	m.AddAlternativeString(mail.TypeTextHTML, l.html)
	return m, nil
}

func (c *Mail) options(dial mail.DialContextFunc) []mail.Option {
	options := []mail.Option{mail.WithPort(c.cfg.Port), mail.WithTimeout(DefaultSendTimeout), mail.WithTLSConfig(c.cfg.TLSConfig), mail.WithDialContextFunc(dial)}
	if c.cfg.TLS == MailStartTLS {
		options = append(options, mail.WithTLSPolicy(mail.TLSMandatory))
	} else {
		options = append(options, mail.WithTLSPolicy(mail.NoTLS))
	}
	if c.cfg.User != "" {
		// PLAIN and LOGIN refuse a connection that is not encrypted.
		options = append(options, mail.WithUsername(c.cfg.User), mail.WithPassword(c.cfg.Password),
			mail.WithOpportunisticSMTPAuth(mail.SMTPAuthSCRAMSHA256, mail.SMTPAuthPlain, mail.SMTPAuthLogin, mail.SMTPAuthCramMD5))
	}
	return options
}

func (c *Mail) dial(ctx context.Context, network, address string) (net.Conn, error) {
	if c.cfg.TLS == MailOverTLS {
		return (&tls.Dialer{Config: c.cfg.TLSConfig}).DialContext(ctx, network, address)
	}
	return (&net.Dialer{}).DialContext(ctx, network, address)
}

// clean takes secrets out of an error, and what the library says of each mail: which
// one it was, and the same of the next.
func (c *Mail) clean(err error) error {
	if err == nil {
		return nil
	}
	var said []string
	for line := range strings.Lines(err.Error()) {
		line, _, _ = strings.Cut(strings.TrimSpace(line), ", affected message ID: ")
		if !slices.Contains(said, line) {
			said = append(said, line)
		}
	}
	return errors.New(redact.Short("e-mail: "+redact.Secrets(strings.Join(said, "; "), c.cfg.Password), maxError))
}

// explain says whether trying again can help: a server that does not know the
// password, the sender or any recipient says so for good
// (https://www.rfc-editor.org/rfc/rfc5321#section-4.2.1: 5yz).
func (c *Mail) explain(err error) error {
	if err == nil {
		return errors.New("e-mail: the server took the message from nobody")
	}
	code := 0
	if said, ok := errors.AsType[*textproto.Error](err); ok {
		code = said.Code
	}
	if failed, ok := errors.AsType[*mail.SendError](err); ok && code == 0 {
		code = failed.ErrorCode()
	}
	if code/100 == 5 {
		return &RefusedError{c.clean(err)}
	}
	return c.clean(err)
}

// mailContent is what the HTML of a mail shows.
type mailContent struct {
	Title, Lead string
	Lines       []mailLine
	Foot, Page  string
	Of          []mailContent // of a digest
}

type mailLine struct {
	Label string
	Text  []string
}

func (m Message) mail() mailContent {
	c := mailContent{Title: m.headline(), Lead: m.summary(), Foot: m.foot(), Page: m.page()}
	if m.Kind == record.NoticeChanged {
		c.Lead = m.change() // the title says of what
	}
	for _, l := range m.rest() {
		c.Lines = append(c.Lines, mailLine{l.label, strings.Split(l.text, "\n")})
	}
	return c
}

func (d Digest) mail() mailContent {
	c := mailContent{Title: d.headline()}
	for _, m := range d.Of {
		c.Of = append(c.Of, mailContent{Lead: m.summary(), Foot: m.foot(), Page: m.page()})
	}
	return c
}

func render(t *template.Template, c mailContent) (string, error) {
	var b bytes.Buffer
	err := t.Execute(&b, c)
	return b.String(), err
}
