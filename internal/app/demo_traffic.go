package app

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"
)

// demoRate is the demo's traffic in requests a second.
const demoRate = 12

// tally counts the demo's requests as its clients saw them.
type tally struct {
	mu           sync.Mutex
	sent, failed int
	trouble      string
}

func (t *tally) note(err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.sent++
	if err != nil {
		t.failed++
		if t.trouble == "" {
			t.trouble = err.Error()
		}
	}
}

func (t *tally) read() (sent, failed int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.sent, t.failed
}

func (t *tally) first() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.trouble
}

// traffic sends requests through the real HTTP API until ctx ends, and waits
// for those under way.
func (d *demo) traffic(ctx context.Context) {
	client := &http.Client{Timeout: time.Minute}
	defer client.CloseIdleConnections()
	var under sync.WaitGroup
	defer under.Wait()
	tick := time.NewTicker(time.Second / demoRate)
	defer tick.Stop()
	for n := 0; ; n++ {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			under.Go(func() { d.sum.note(d.ask(client, n)) })
		}
	}
}

// ask sends one request and reads its answer.
func (d *demo) ask(client *http.Client, n int) error {
	models := []string{"gemini", "openai", "claude", "gemini", "openai", "local", "gemini", "openai"}
	questions := []string{"What is a breakwater?", "Summarise the tide table for Oslo in one sentence, please.", "Why do waves break?"}
	body := fmt.Sprintf(`{"model":%q,"stream":%t,"messages":[{"role":"system","content":"Be brief."},{"role":"user","content":%q}]}`,
		models[n%len(models)], rand.N(3) > 0, questions[rand.N(len(questions))])
	resp, err := client.Post(d.app.URL()+"/v1/chat/completions", "application/json", bytes.NewReader([]byte(body)))
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK || bytes.Contains(answer, []byte(`"error":`)) {
		return fmt.Errorf("HTTP %d: %.300s", resp.StatusCode, answer)
	}
	return nil
}
