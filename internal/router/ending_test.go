package router

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"breakwater/internal/bubble"
	"breakwater/internal/llm"
	"breakwater/internal/sim"
)

// told gives an ending that heard a text in pieces of some length.
func told(text string, length int) *ending {
	e := &ending{}
	for len(text) > length {
		e.add(text[:length])
		text = text[length:]
	}
	e.add(text)
	return e
}

func TestAnAnswerThatRepeatsItselfForEverGoesInCircles(t *testing.T) {
	for name, piece := range map[string]string{
		"one character": "!", "one token": "word ", "line ends": "\n", "a sentence": "I'm sorry, but I can't help with that. ",
		"CJK": "好的，我明白了。", "a line of code": "\tif err != nil {\n\t\treturn err\n\t}\n", "a longest paragraph": strings.Repeat("x", loopLongest-1) + ".",
	} {
		text := "Here is what you asked for: " + strings.Repeat(piece, 1+2*endingKept/len(piece))
		for _, cut := range []int{0, 1, len(piece) / 2} {
			for _, length := range []int{3, 100, endingKept + 1, len(text)} {
				if !told(text[:len(text)-cut], length).loops() {
					t.Errorf("%s, told %d bytes at a time, cut off by %d: not noticed", name, length, cut)
				}
			}
		}
	}
}

func TestAnAnswerThatRepeatsItselfAndGoesOnDoesNot(t *testing.T) {
	row := strings.Repeat("|---", 300) + "|\n"
	for name, text := range map[string]string{
		"nothing":          "",
		"a few zeros":      strings.Repeat("0, ", loopLeast/3),
		"a wide table":     row + strings.Repeat("| 1 ", 300) + "|\n" + row,
		"an end":           strings.Repeat("na ", 2000) + "batman!",
		"a long paragraph": strings.Repeat(strings.Repeat("x", loopLongest)+".", 20),
		"too few times":    strings.Repeat(strings.Repeat("y", 500)+".", loopTimes-1),
	} {
		if told(text, 5).loops() {
			t.Errorf("%s: called a loop", name)
		}
	}
}

// ordinary gives texts as models write them, and as people do: those of this
// repository.
func ordinary(t *testing.T) map[string]string {
	t.Helper()
	var table, list, rows, japanese, zeros strings.Builder
	for i := range 300 {
		fmt.Fprintf(&table, "| %d | yes | no | yes |\n|---|---|---|---|\n", i)
		fmt.Fprintf(&list, `{"id": %d, "ok": true, "tags": [], "note": null},`+"\n", i)
		fmt.Fprintf(&rows, "2026-11-%02d,0,0,0,0,0,0,%d\n", i%28+1, i*i)
		fmt.Fprintf(&japanese, "第%d項 本契約は、東京都の法律に従うものとする。\n", i)
		zeros.WriteString(strings.Repeat("0 ", i%20) + "1 " + strings.Repeat("0 ", 20-i%20) + "\n") // a matrix
	}
	texts := map[string]string{
		"table": table.String(), "json": "[" + list.String() + "]", "csv": rows.String(), "japanese": japanese.String(), "matrix": zeros.String(),
	}
	for _, p := range llm.Providers() {
		texts["speech of "+string(p)] = strings.Repeat(sim.Speech(p)("hello")+" ", 2)
	}
	for _, dir := range []string{"../../docs", "../wire", ".", "../../migrations", "../../web"} {
		err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() || path == "ending_test.go" {
				return err
			}
			switch filepath.Ext(path) {
			case ".md", ".go", ".golden", ".templ", ".css", ".js", ".sql":
				text, err := os.ReadFile(path)
				texts[path] = string(text)
				return err
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return texts
}

func TestOrdinaryTextDoesNotGoInCircles(t *testing.T) {
	texts := ordinary(t)
	if len(texts) < 200 {
		t.Fatalf("only %d texts", len(texts))
	}
	for name, text := range texts {
		e := &ending{}
		for line := range strings.Lines(text) {
			e.add(line)
			if e.loops() {
				t.Errorf("%s: called a loop at %q", name, e.last[e.n-40:e.n])
				break
			}
		}
	}
}

func TestEndingKnowsTheEndHoweverItCame(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var all []byte
		e := &ending{}
		for range rapid.IntRange(1, 30).Draw(t, "pieces") {
			piece := rapid.StringN(0, 30, -1).Draw(t, "piece")
			text := strings.Repeat(piece, rapid.SampledFrom([]int{1, 1, 3, 40, 400}).Draw(t, "times"))
			e.add(text)
			all = append(all, text...)
		}
		kept := e.last[max(0, e.n-endingKept):e.n]
		if want := all[max(0, len(all)-endingKept):]; !bytes.Equal(kept, want) {
			t.Fatalf("kept %d bytes that are not the last %d", len(kept), len(want))
		}
		want := false
		for p := 1; p <= loopLongest && !want; p++ {
			n := 0 // bytes from the end that are the same so far back
			for n+p < len(kept) && kept[len(kept)-1-n] == kept[len(kept)-1-n-p] {
				n++
			}
			want = n+p >= max(loopLeast, loopTimes*p)
		}
		if got := e.loops(); got != want {
			t.Fatalf("loops %v, want %v", got, want)
		}
	})
}

// repeated gives chunks that say the same again and again.
func repeated(c llm.Chunk, times int) []llm.Chunk {
	all := make([]llm.Chunk, times)
	for i := range all {
		all[i] = c
	}
	return all
}

func TestAnswerInCirclesIsMarkedAndPassedOnUnchanged(t *testing.T) {
	piece := llm.Chunk{Text: "so it goes ", Raw: []byte("data: so it goes \n\n")}
	for name, c := range map[string]struct {
		says []llm.Chunk
		want bool
	}{
		"text":            {repeated(piece, 1000), true},
		"in one piece":    {[]llm.Chunk{{Text: strings.Repeat("so it goes ", 1000)}}, true},
		"reasoning":       {repeated(llm.Chunk{Thinking: "wait, no. "}, 1000), true},
		"arguments":       {repeated(llm.Chunk{Call: &llm.CallDelta{Args: "\n"}}, 3000), true},
		"a short one":     {repeated(piece, 100), false},
		"an ordinary one": {nil, false},
		"another choice":  {append([]llm.Chunk{{Text: "hello"}}, repeated(llm.Chunk{Choice: 1, Text: "so it goes "}, 1000)...), false},
	} {
		for _, stream := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, stream %v", name, stream), func(t *testing.T) {
				h := newHouse(t)
				h.openai.set(&act{says: c.says})
				text, err := h.ask(t.Context(), chat("gpt-4o", stream))
				var want string
				for _, chunk := range c.says {
					want += chunk.Text
				}
				if c.says == nil {
					want = "hello from openai"
				}
				mustSay(t, text, err, want)
				a := h.log.last(t).Attempts
				if len(a) != 1 || a[0].Looping != c.want || a[0].Class != "" {
					t.Errorf("attempts %+v; want one that served, in circles %v", a, c.want)
				}
				if h.failures(llm.OpenAI) != 0 {
					t.Error("its breaker has counted a failure")
				}
			})
		}
	}
}

func TestLoopOfWhichItsCallerHadEnoughIsMarked(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		h := newHouse(t)
		h.openai.set(&act{endless: true})
		ctx, leave := context.WithCancel(t.Context())
		answer, err := h.Do(ctx, h.NewCall(chat("gpt-4o", true), "tester"))
		for range 1000 {
			if err == nil {
				_, err = answer.Next()
			}
		}
		if err != nil {
			t.Fatal(err)
		}
		leave()
		answer.Close()
		if a := h.log.last(t).Attempts[0]; a.Class != llm.Cancelled || !a.Looping {
			t.Errorf("class %q, in circles %v; want it cancelled and marked", a.Class, a.Looping)
		}
	})
}

func TestWhoGoesOnAnswersForItsOwnWordsAlone(t *testing.T) {
	h := newHouse(t, func(c *Config) { c.Recovery = RecoverContinue })
	h.openai.set(&act{says: repeated(llm.Chunk{Text: "so it goes "}, 1000), cutAt: 2})
	text, err := h.ask(t.Context(), chat("gpt-4o", true))
	if err != nil || !strings.Contains(text, "hello") {
		t.Fatalf("got %.40q, %v; want somebody else's end", text, err)
	}
	a := h.log.last(t).Attempts
	if len(a) != 2 || a[0].Looping || a[1].Looping {
		t.Errorf("attempts %+v", a)
	}
}

// What noticing loops costs: each piece of a stream, and each answer.
func BenchmarkEnding(b *testing.B) {
	prose, err := os.ReadFile("../../docs/architecture.md")
	if err != nil || len(prose) < endingKept {
		b.Fatal(errors.Join(err, errors.New("the text is too short")))
	}
	b.Run("piece", func(b *testing.B) {
		a := &attempt{ending: &ending{}}
		c := &llm.Chunk{Text: " harbour"}
		b.ReportAllocs()
		for b.Loop() {
			a.hears(c)
		}
	})
	for name, text := range map[string]string{
		"prose": string(prose[:endingKept]), "loop": strings.Repeat("so it goes ", 1000),
		"worst": strings.Repeat("a", endingKept-loopLeast+1) + "b" + strings.Repeat("a", loopLeast-2),
	} {
		b.Run(name, func(b *testing.B) {
			e := told(text, 100)
			b.ReportAllocs()
			for b.Loop() {
				e.loops()
			}
		})
	}
}
