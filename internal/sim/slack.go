package sim

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode/utf8"
)

const (
	// slackMaxPost and slackMaxUpdate are the most characters of a message's
	// text (https://docs.slack.dev/reference/methods/chat.postMessage and
	// chat.update, under "msg_too_long").
	slackMaxPost, slackMaxUpdate = 40000, 4000

	slackTeam, slackUser, slackBot = "T0SIM00001", "U0SIM00001", "B0SIM00001"
)

// SlackMessage is a message as a channel shows it now.
type SlackMessage struct {
	Channel  string // its id
	Name     string // its name, without "#"
	TS       string // unique, and higher than that of every message before
	ThreadTS string // of the message that it answers; "" outside a thread
	Text     string
	Blocks   json.RawMessage // nil where it has none
	Edited   bool
	Webhook  bool           // it came through the incoming webhook
	History  []SlackMessage // what it said before each edit, oldest first
}

// Slack is a fake of the parts of Slack that Breakwater uses: auth.test,
// chat.postMessage, chat.update and one incoming webhook, which posts to the
// first channel. It is an http.Handler, safe for concurrent use.
type Slack struct {
	host
	channels []string // names; the id follows from the place

	mu       sync.Mutex
	messages []SlackMessage // in the order of TS
	lastTS   int64          // microseconds
	limited  int            // requests still to be answered with 429
	after    time.Duration
	failing  int // requests still to be answered with 500
	requests int
	changed  chan struct{} // closed and made anew at each change
}

// NewSlack makes a fake Slack with the named channels, "alerts" where none is
// named.
func NewSlack(channels ...string) *Slack {
	if len(channels) == 0 {
		channels = []string{"alerts"}
	}
	s := &Slack{changed: make(chan struct{})}
	for _, name := range channels {
		s.channels = append(s.channels, strings.TrimPrefix(name, "#"))
	}
	s.handler = s
	return s
}

// StartSlack makes a fake Slack and listens on a free port of 127.0.0.1.
func StartSlack(channels ...string) (*Slack, error) {
	s := NewSlack(channels...)
	return s, s.Revive()
}

// APIURL is what slack.OptionAPIURL takes. Any token that begins with "xoxb-"
// or "xoxp-" is valid.
func (s *Slack) APIURL() string { return s.URL() + "/api/" }

// WebhookURL is the address of the incoming webhook.
func (s *Slack) WebhookURL() string {
	return s.URL() + "/services/" + slackTeam + "/" + slackBot + "/simulated"
}

// Messages gives all messages, oldest first.
func (s *Slack) Messages() []SlackMessage {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.messages)
}

// Requests gives the number of requests received, refused ones included.
func (s *Slack) Requests() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.requests
}

// Wait returns once the messages are as wanted, or with ctx.Err().
func (s *Slack) Wait(ctx context.Context, wanted func([]SlackMessage) bool) error {
	for {
		s.mu.Lock()
		messages, changed := slices.Clone(s.messages), s.changed
		s.mu.Unlock()
		if wanted(messages) {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// RateLimit answers the next n requests with 429 and the time to wait, which
// Slack tells in whole seconds.
func (s *Slack) RateLimit(n int, after time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.limited, s.after = n, after
}

// Fail answers the next n requests with 500.
func (s *Slack) Fail(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failing = n
}

// slackRequest holds the arguments of a method, from a form or from JSON.
type slackRequest struct {
	token, channel, ts, thread, text string
	blocks                           json.RawMessage
}

// ServeHTTP answers one request.
func (s *Slack) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
	if err != nil {
		panic(http.ErrAbortHandler) // the client went away in the middle of its request
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests++
	api := strings.HasPrefix(r.URL.Path, "/api/")
	switch {
	case s.limited > 0:
		s.limited--
		withRetryAfter(w.Header(), s.after)
		if api {
			slackJSON(w, 429, map[string]any{"ok": false, "error": "ratelimited"})
		} else {
			slackText(w, 429, "rate_limited")
		}
	case s.failing > 0:
		s.failing--
		slackText(w, 500, "<!DOCTYPE html><html><body>Server Error</body></html>")
	case api:
		slackJSON(w, 200, s.method(strings.TrimPrefix(r.URL.Path, "/api/"), r, body))
	default:
		status, answer := s.webhook(r, body)
		slackText(w, status, answer)
	}
}

func slackJSON(w http.ResponseWriter, status int, body map[string]any) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, quote(body))
}

func slackText(w http.ResponseWriter, status int, body string) {
	w.Header().Set("Content-Type", "text/html")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, body)
}

// method plays one method of the Web API. Its errors come with status 200.
func (s *Slack) method(name string, r *http.Request, body []byte) map[string]any {
	fail := func(code string, details ...string) map[string]any {
		res := map[string]any{"ok": false, "error": code}
		if len(details) > 0 {
			messages := make([]string, len(details))
			for i, d := range details {
				messages[i] = "[ERROR] " + d
			}
			res["errors"] = details
			res["response_metadata"] = map[string]any{"messages": messages}
		}
		return res
	}
	q, code := readSlack(r, body)
	switch {
	case code != "":
		return fail(code)
	case q.token == "":
		return fail("not_authed")
	case !strings.HasPrefix(q.token, "xoxb-") && !strings.HasPrefix(q.token, "xoxp-"):
		return fail("invalid_auth")
	}
	switch name {
	case "auth.test":
		return map[string]any{
			"ok": true, "url": "https://simulated.slack.com/", "team": "Simulated", "user": "breakwater",
			"team_id": slackTeam, "user_id": slackUser, "bot_id": slackBot, "is_enterprise_install": false,
		}
	case "chat.postMessage":
		place := s.channel(q.channel)
		if place < 0 {
			return fail("channel_not_found")
		}
		if code, details := checkMessage(q, slackMaxPost); code != "" {
			return fail(code, details...)
		}
		m := s.post(place, q)
		return map[string]any{"ok": true, "channel": m.Channel, "ts": m.TS, "message": m.wire()}
	case "chat.update":
		// Unlike chat.postMessage this takes a channel's id only.
		place := slices.IndexFunc(s.channels, func(name string) bool { return s.id(name) == q.channel })
		if place < 0 {
			return fail("channel_not_found")
		}
		i := slices.IndexFunc(s.messages, func(m SlackMessage) bool { return m.Channel == q.channel && m.TS == q.ts })
		if i < 0 {
			return fail("message_not_found")
		}
		if s.messages[i].Webhook {
			return fail("cant_update_message")
		}
		if code, details := checkMessage(q, slackMaxUpdate); code != "" {
			return fail(code, details...)
		}
		m := s.update(&s.messages[i], q)
		return map[string]any{"ok": true, "channel": m.Channel, "ts": m.TS, "text": m.Text, "message": m.wire()}
	}
	return fail("unknown_method")
}

// webhook plays an incoming webhook. Its errors are plain text
// (https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks).
func (s *Slack) webhook(r *http.Request, body []byte) (int, string) {
	if r.URL.Path != "/services/"+slackTeam+"/"+slackBot+"/simulated" {
		return 404, "no_service"
	}
	if r.Method != http.MethodPost {
		return 400, "invalid_payload"
	}
	q, code := readSlack(r, body)
	if code != "" {
		return 400, "invalid_payload"
	}
	if code, _ := checkMessage(q, slackMaxPost); code != "" {
		return 400, code
	}
	s.post(0, q)
	m := &s.messages[len(s.messages)-1]
	m.Webhook = true
	return 200, "ok"
}

// readSlack reads the arguments of a method, or gives the code of its error.
func readSlack(r *http.Request, body []byte) (q slackRequest, code string) {
	kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	switch kind {
	case "application/json":
		var j struct {
			Channel, TS, Text string
			ThreadTS          string          `json:"thread_ts"`
			Blocks            json.RawMessage `json:"blocks"`
		}
		if json.Unmarshal(body, &j) != nil {
			return q, "invalid_json"
		}
		q = slackRequest{channel: j.Channel, ts: j.TS, thread: j.ThreadTS, text: j.Text, blocks: j.Blocks}
		var inString string // blocks may come as a string of JSON, too
		if json.Unmarshal(j.Blocks, &inString) == nil {
			q.blocks = json.RawMessage(inString)
		}
	case "application/x-www-form-urlencoded", "":
		form, err := url.ParseQuery(string(body))
		if err != nil {
			return q, "invalid_form_data"
		}
		q = slackRequest{
			token: form.Get("token"), channel: form.Get("channel"), ts: form.Get("ts"), thread: form.Get("thread_ts"),
			text: form.Get("text"), blocks: json.RawMessage(form.Get("blocks")),
		}
	default:
		return q, "invalid_post_type"
	}
	if string(q.blocks) == "null" {
		q.blocks = nil
	}
	if bearer, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer "); ok {
		q.token = bearer
	}
	return q, ""
}

// checkMessage gives the code of the error that a message's content deserves.
func checkMessage(q slackRequest, maxText int) (code string, details []string) {
	var blocks []json.RawMessage
	if len(q.blocks) > 0 && json.Unmarshal(q.blocks, &blocks) != nil {
		return "invalid_blocks_format", nil
	}
	if q.text == "" && len(blocks) == 0 {
		return "no_text", nil
	}
	if utf8.RuneCountInString(q.text) > maxText {
		return "msg_too_long", nil
	}
	if wrong := checkBlocks(blocks); len(wrong) > 0 {
		return "invalid_blocks", wrong
	}
	return "", nil
}

func (s *Slack) id(name string) string {
	return fmt.Sprintf("C0SIM%05d", 1+slices.Index(s.channels, name))
}

// channel finds a channel by id, name or "#name"; -1 where there is none.
func (s *Slack) channel(ref string) int {
	return slices.IndexFunc(s.channels, func(name string) bool {
		return name == strings.TrimPrefix(ref, "#") || s.id(name) == ref
	})
}

func (s *Slack) post(place int, q slackRequest) SlackMessage {
	s.lastTS = max(s.lastTS+1, time.Now().UnixMicro())
	m := SlackMessage{
		Channel: s.id(s.channels[place]), Name: s.channels[place],
		TS:       fmt.Sprintf("%d.%06d", s.lastTS/1e6, s.lastTS%1e6),
		ThreadTS: q.thread, Text: q.text, Blocks: nonEmpty(q.blocks),
	}
	s.messages = append(s.messages, m)
	s.tell()
	return m
}

// update replaces text and blocks: a text alone removes the blocks
// (https://docs.slack.dev/reference/methods/chat.update).
func (s *Slack) update(m *SlackMessage, q slackRequest) SlackMessage {
	before := *m
	before.History = nil
	m.History = append(slices.Clip(m.History), before)
	m.Text, m.Blocks, m.Edited = q.text, nonEmpty(q.blocks), true
	s.tell()
	return *m
}

func (s *Slack) tell() {
	close(s.changed)
	s.changed = make(chan struct{})
}

// nonEmpty gives nil for a list of blocks without any.
func nonEmpty(blocks json.RawMessage) json.RawMessage {
	if len(blocks) == 0 || strings.Join(strings.Fields(string(blocks)), "") == "[]" {
		return nil
	}
	return blocks
}

// wire gives the message as the API returns it.
func (m SlackMessage) wire() map[string]any {
	w := map[string]any{
		"type": "message", "user": slackUser, "bot_id": slackBot, "team": slackTeam, "app_id": "A0SIM00001",
		"ts": m.TS, "text": cmp.Or(m.Text, "This content can't be displayed."),
	}
	if m.Blocks != nil {
		w["blocks"] = m.Blocks
	}
	if m.ThreadTS != "" {
		w["thread_ts"] = m.ThreadTS
	}
	if m.Edited {
		w["edited"] = map[string]any{"user": slackBot, "ts": strconv.FormatInt(time.Now().Unix(), 10) + ".000000"}
	}
	return w
}
