package wire

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"breakwater/internal/llm"
)

// geminiExchanges gives the recordings of generateContent and streamGenerateContent.
func geminiExchanges(t testing.TB) []exchange {
	return slices.DeleteFunc(corpus(t), func(x exchange) bool {
		return x.Provider != "gemini" || !strings.Contains(x.Request.Path, "enerateContent")
	})
}

// model gives the model that an exchange's path names.
func (x exchange) model() string {
	_, model, _ := strings.Cut(x.Request.Path, "/models/")
	model, _, _ = strings.Cut(model, ":")
	return model
}

// geminiMeaning is what of a decoded request must survive another coding: JSON
// without its white space, and no field that names the first coding.
func geminiMeaning(r *llm.Request) *llm.Request {
	m := *r
	m.Body, m.Dialect, m.Aside = nil, "", nil
	if m.N != nil && *m.N == 1 {
		m.N = nil
	}
	m.Messages = slices.Clone(r.Messages)
	m.Tools = slices.Clone(r.Tools)
	for i := range m.Tools {
		m.Tools[i].Schema = sortedSchema(m.Tools[i].Schema)
	}
	if m.Format != nil {
		f := *m.Format
		f.Schema = sortedSchema(f.Schema)
		m.Format = &f
	}
	for i := range m.Messages {
		m.Messages[i].Parts = slices.Clone(m.Messages[i].Parts)
		for j, p := range m.Messages[i].Parts {
			if p.Call != nil {
				c := *p.Call
				c.Args = json.RawMessage(compact(string(c.Args)))
				m.Messages[i].Parts[j].Call = &c
			}
		}
	}
	return &m
}

// sortedSchema gives what Gemini follows of a schema, its fields sorted.
func sortedSchema(schema json.RawMessage) json.RawMessage {
	if schema == nil {
		return nil
	}
	reduced, _ := geminiSchema(schema, false)
	var v any
	if err := json.Unmarshal(reduced, &v); err != nil {
		panic(err)
	}
	return marshal(v)
}

// difference shows where two texts part.
func difference(got, want []byte) string {
	i := 0
	for i < min(len(got), len(want)) && got[i] == want[i] {
		i++
	}
	cut := func(b []byte) string { return string(b[max(0, i-60):min(len(b), i+120)]) }
	return "got  ..." + cut(got) + "\nwant ..." + cut(want)
}

func TestRecordedGeminiRequestsKeepTheirMeaning(t *testing.T) {
	for _, x := range geminiExchanges(t) {
		if bytes.Contains(x.Request.Body, []byte(`"role": "system"`)) || bytes.Contains(x.Request.Body, []byte(`"role":"system"`)) {
			if _, err := DecodeGemini(x.Request.Body); err == nil {
				t.Errorf("%s: a role that Gemini refuses was taken", x.Name)
			}
			continue
		}
		r, err := DecodeGemini(x.Request.Body)
		if err != nil {
			if x.Response.Status == 200 {
				t.Errorf("%s: %v", x.Name, err)
			}
			continue
		}
		c, _ := CodecFor(llm.GeminiGenerate)
		same, err := c.Encode(x.model(), r)
		if err != nil || !bytes.Equal(same.Body, x.Request.Body) {
			t.Errorf("%s: the body was changed to %s, %v", x.Name, same.Body, err)
		}
		if x.Response.Status != 200 {
			continue
		}
		other := *r
		other.Dialect, other.Beyond = llm.Plain, nil
		e, err := c.Encode(x.model(), &other)
		if err != nil {
			t.Logf("%s: refused: %v, beyond %q", x.Name, err, r.Beyond)
			continue
		}
		again, err := DecodeGemini(e.Body)
		if err != nil {
			t.Fatalf("%s: %v in %s", x.Name, err, e.Body)
		}
		got, want := geminiMeaning(again), geminiMeaning(&other)
		if len(e.Adjusted) > 0 {
			t.Logf("%s: adjusted %q", x.Name, e.Adjusted)
			got.Thought, want.Thought = nil, nil
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s:\n%s", x.Name, difference(marshal(got), marshal(want)))
		}
	}
}

func TestRecordedGeminiRequests(t *testing.T) {
	var out bytes.Buffer
	for _, x := range geminiExchanges(t) {
		r, err := DecodeGemini(x.Request.Body)
		if err != nil {
			fmt.Fprintf(&out, "%s\n\trefused: %v\n", x.Name, err)
			continue
		}
		body := r.Body
		r.Body = nil
		fmt.Fprintf(&out, "%s\n", x.Name)
		for _, m := range r.Messages {
			fmt.Fprintf(&out, "\t%s", m.Role)
			for _, p := range m.Parts {
				out.WriteString(" " + partLine(p))
			}
			out.WriteByte('\n')
		}
		for _, tool := range r.Tools {
			fmt.Fprintf(&out, "\ttool %s %s\n", tool.Name, tool.Schema)
		}
		r.Messages, r.Tools = nil, nil
		if r.Format != nil {
			fmt.Fprintf(&out, "\tformat %s %s\n", r.Format.Kind, r.Format.Schema)
			r.Format = nil
		}
		fmt.Fprintf(&out, "\t%s\n", settings(r))
		r.Body = body
	}
	golden(t, "gemini_requests.golden", out.Bytes())
}

// settings writes what is set of a request.
func settings(r *llm.Request) string {
	var b strings.Builder
	v := reflect.ValueOf(*r)
	for i := range v.NumField() {
		if f := v.Field(i); !f.IsZero() {
			fmt.Fprintf(&b, "%s=%s ", v.Type().Field(i).Name, marshal(f.Interface()))
		}
	}
	return strings.TrimSpace(b.String())
}

// partLine writes a part in a few words.
func partLine(p llm.Part) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s(", p.Kind)
	switch {
	case p.Call != nil:
		fmt.Fprintf(&b, "%s %s %s", p.Call.ID, p.Call.Name, label(compact(string(p.Call.Args))))
	case p.Result != nil:
		fmt.Fprintf(&b, "%s %s error=%v", p.Result.CallID, p.Result.Name, p.Result.Error)
		for _, p := range p.Result.Parts {
			b.WriteString(" " + partLine(p))
		}
	case p.Media != nil:
		fmt.Fprintf(&b, "%s %d bytes %s", p.Media.MIME, len(p.Media.Data), p.Media.URL)
	default:
		fmt.Fprintf(&b, "%q", label(p.Text))
	}
	if p.Signature != "" {
		fmt.Fprintf(&b, " signed by %s %d", p.SignedBy, len(p.Signature))
	}
	return b.String() + ")"
}

func TestRecordedGeminiAnswersInFull(t *testing.T) {
	var out bytes.Buffer
	for _, x := range geminiExchanges(t) {
		if x.Response.Status != 200 {
			continue
		}
		a, _, err := replay(t, x, llm.Plain, bytes.NewReader(x.body()))
		fmt.Fprintf(&out, "%s\n", x.Name)
		if err != nil {
			fmt.Fprintf(&out, "\t%v\n", err)
		}
		for i, c := range a.Choices {
			for _, p := range c.Parts {
				fmt.Fprintf(&out, "\t%d %s\n", i, partLine(p))
			}
			for _, cite := range c.Citations {
				fmt.Fprintf(&out, "\t%d cites %+v\n", i, cite)
			}
			fmt.Fprintf(&out, "\t%d %s %s\n", i, c.Finish, c.FinishDetail)
		}
		fmt.Fprintf(&out, "\t%s %s tier %q usage %s\n", a.ID, a.Model, a.ServiceTier, marshal(a.Usage))
	}
	golden(t, "gemini_answers.golden", out.Bytes())
}

// chunksOf reads a recording's answer into chunks.
func chunksOf(t testing.TB, x exchange) []llm.Chunk {
	c, _ := CodecFor(llm.GeminiGenerate)
	req := &llm.Request{Dialect: llm.Plain}
	if x.Response.Lines == nil {
		chunks, err := c.Whole(x.body(), req)
		if err != nil {
			return nil
		}
		return chunks
	}
	var chunks []llm.Chunk
	s := c.Stream(bytes.NewReader(x.body()), req)
	for {
		c, err := s.Next()
		if err == io.EOF {
			return chunks
		}
		if err != nil {
			return nil
		}
		chunks = append(chunks, c)
	}
}

func TestGeminiDoorSaysWhatWasRead(t *testing.T) {
	show := &llm.Request{Dialect: llm.GeminiGenerate, Thought: &llm.Thought{Show: ptr(true)}}
	c, _ := CodecFor(llm.GeminiGenerate)
	for _, x := range geminiExchanges(t) {
		if x.Response.Status != 200 {
			continue
		}
		chunks := chunksOf(t, x)
		if chunks == nil {
			continue
		}
		want, _ := Gather(&listed{chunks: slices.Clone(chunks)})
		meta := Meta{RequestID: want.ID, Model: want.Model, Created: time.Unix(0, 0), Request: show}
		want.Raw = nil
		check := func(how string, got Answer, err error) {
			got.Raw = nil
			if err != nil || !reflect.DeepEqual(unsigned(got), unsigned(want)) {
				t.Errorf("%s %s: %v\n%s", x.Name, how, err, difference(marshal(got), marshal(want)))
			}
		}
		read, err := c.Whole(GeminiDoor().Answer(meta, want), &llm.Request{Dialect: llm.Plain})
		got, _ := Gather(&listed{chunks: read})
		check("whole", got, err)
		for how, door := range map[string]Door{"events": GeminiDoor(), "array": GeminiArrayDoor()} {
			w := door.Stream(meta)
			var body []byte
			for _, c := range chunks {
				body = w.Chunk(body, c)
			}
			body = w.End(body)
			got, err := gather(llm.GeminiGenerate, string(body), &llm.Request{Dialect: llm.Plain})
			check(how, got, err)
			if how == "array" && !json.Valid(body) {
				t.Errorf("%s: not an array: %s", x.Name, body)
			}
		}
	}
}

// unsigned gives an answer without the values that stand for no signature, and
// usage that counts nothing.
func unsigned(a Answer) Answer {
	a.Choices = slices.Clone(a.Choices)
	for i := range a.Choices {
		a.Choices[i].Parts = slices.Clone(a.Choices[i].Parts)
		for j, p := range a.Choices[i].Parts {
			if geminiSkips(p.Signature) {
				a.Choices[i].Parts[j].Signature, a.Choices[i].Parts[j].SignedBy = "", ""
			}
		}
	}
	return a
}
