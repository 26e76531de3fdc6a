package wire

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/tidwall/gjson"
	"pgregory.net/rapid"
)

func TestDeepJSONIsToldFromBrokenJSON(t *testing.T) {
	for _, c := range []struct {
		in   string
		want checked
	}{
		{strings.Repeat("[", maxDepth) + strings.Repeat("]", maxDepth), validValue},
		{strings.Repeat("[", maxDepth+1) + strings.Repeat("]", maxDepth+1), tooDeep},
		{strings.Repeat(`{"a":`, maxDepth+1), tooDeep},
		{strings.Repeat("[", maxDepth), notJSON},
		{`"` + strings.Repeat("[", maxDepth+1) + `"`, validValue},
	} {
		if got := checkJSON([]byte(c.in)); got != c.want {
			t.Errorf("%.20s: got %d, want %d", c.in, got, c.want)
		}
	}
}

func TestFieldsGivenTwiceAreFoundAmongMany(t *testing.T) {
	var body strings.Builder
	for i := range 40 {
		body.WriteString(`"` + strings.Repeat("x", i) + `":1,`)
	}
	for i := range 40 {
		o := gjson.Parse("{" + body.String() + `"` + strings.Repeat("x", i) + `":2}`)
		if err := eachField(o, "", func(string, gjson.Result) *RequestError { return nil }); err == nil || err.Message != "is given twice" {
			t.Errorf("field %d: got %v", i, err)
		}
	}
}

// jsonText draws JSON, and what is nearly JSON.
func jsonText() *rapid.Generator[string] {
	piece := rapid.SampledFrom([]string{
		"{", "}", "[", "]", ",", ":", " ", "\n", `"a"`, `"b":`, `"\u00e9\n"`, `"\\"`, `"\""`, `"\x"`, `"\u12"`, "\"\x01\"", `"é and a longer text, of more than eight bytes"`,
		"0", "-1", "1.5e-3", "01", "1.", "-", "true", "false", "null", "nul", `"`, `\`, "{}", "[]", `{"a":[1,{"b":"}"}]}`, "\xff", "\"\xff\"",
	})
	return rapid.Custom(func(t *rapid.T) string {
		return strings.Join(rapid.SliceOfN(piece, 0, 12).Draw(t, "pieces"), "")
	})
}

func TestJSONIsValidAsTheStandardLibrarySaysIt(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := jsonText().Draw(t, "in")
		if got, want := validJSON([]byte(in)), json.Valid([]byte(in)); got != want {
			t.Fatalf("%q: got %v, want %v", in, got, want)
		}
	})
}

func TestEachSeesWhatGJSONSees(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		checkEach(t, "["+jsonText().Draw(t, "list")+"]")
		checkEach(t, `{"first":`+jsonText().Draw(t, "object")+"}")
	})
}

// FuzzEach holds what is written here for speed to what it replaces.
func FuzzEach(f *testing.F) {
	f.Add([]byte(`{"model":"m","messages":[{"role":"user","content":"say \"\\\" \u00e9"}],"n":[1,-2.5e3,true,null,{}]}`))
	f.Fuzz(func(t *testing.T, in []byte) {
		if checkJSON(in) != tooDeep && validJSON(in) != json.Valid(in) {
			t.Fatalf("valid: %v", validJSON(in))
		}
		checkEach(t, string(in))
	})
}

func checkEach(t interface{ Fatalf(string, ...any) }, in string) {
	if !validJSON([]byte(in)) {
		return
	}
	type pair struct {
		name string
		v    gjson.Result
	}
	var got, want []pair
	o := gjson.Parse(in)
	each(o, func(name string, v gjson.Result) bool {
		got = append(got, pair{name, v})
		return true
	})
	if o.Type == gjson.JSON {
		o.ForEach(func(key, v gjson.Result) bool {
			want = append(want, pair{key.Str, v})
			return true
		})
	}
	if len(got) != len(want) {
		t.Fatalf("%q: got %d values, want %d", in, len(got), len(want))
	}
	for i := range got {
		g, w := got[i], want[i]
		if g.name != w.name || g.v.Raw != w.v.Raw || g.v.Str != w.v.Str || g.v.Type != w.v.Type || g.v.Num != w.v.Num || g.v.Index != w.v.Index {
			t.Fatalf("%q: got %+v, want %+v", in, g, w)
		}
	}
}
