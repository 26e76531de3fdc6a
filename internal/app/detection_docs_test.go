package app

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"breakwater/internal/anomaly"
	"breakwater/internal/llm"
	"breakwater/internal/record"
)

// detectionConstants are those that docs/detection.md lists.
func detectionConstants() map[string]any {
	return map[string]any{
		"anomaly.DefaultMinSamples": anomaly.DefaultMinSamples, "anomaly.DefaultMaxSeries": anomaly.DefaultMaxSeries,
		"anomaly.DefaultMaxUses": anomaly.DefaultMaxUses, "anomaly.DefaultSettle": anomaly.DefaultSettle,
		"anomaly.DefaultForget": anomaly.DefaultForget, "anomaly.DefaultRepeat": anomaly.DefaultRepeat,
		"anomaly.DefaultHold": anomaly.DefaultHold, "anomaly.DefaultMaxHold": anomaly.DefaultMaxHold,
		"anomaly.DefaultCanary": anomaly.DefaultCanary, "anomaly.DefaultMaxRest": anomaly.DefaultMaxRest, "anomaly.RestRequests": anomaly.RestRequests,
		"anomaly.DefaultNoCanary": anomaly.DefaultNoCanary, "anomaly.DefaultLongest": anomaly.DefaultLongest,
		"anomaly.DefaultCalm": anomaly.DefaultCalm, "anomaly.DefaultTogether": anomaly.DefaultTogether,
		"anomaly.RampShares": anomaly.RampShares(), "anomaly.RampStage": anomaly.RampStage,
		"anomaly.RampRequests": anomaly.RampRequests, "anomaly.RampEvidence": anomaly.RampEvidence,
		"anomaly.UsageSpan": anomaly.UsageSpan, "anomaly.UsageTimes": anomaly.UsageTimes,
		"anomaly.UsageUnlikely": anomaly.UsageUnlikely, "anomaly.UsageSpans": anomaly.UsageSpans,
		"anomaly.UsageCooldown": anomaly.UsageCooldown, "anomaly.UsageLearn": anomaly.UsageLearn,
		"anomaly.UsageLeastTokens": anomaly.UsageLeastTokens, "anomaly.UsageLeastDollars": anomaly.UsageLeastDollars,
		"app.BurnMinFailures": BurnMinFailures, "app.BurnMinRecent": BurnMinRecent, "app.BurnCalm": BurnCalm, "app.BurnLook": BurnLook,
		"app.PaceLook": PaceLook, "app.PaceHalf": PaceHalf, "app.PaceMost": PaceMost, "app.PaceMargin": PaceMargin,
		"app.StuckAfter": StuckAfter, "app.StateEvery": StateEvery,
	}
}

func TestThePageOfDetectionStatesTheConstantsAsTheyAre(t *testing.T) {
	text, err := os.ReadFile("../../docs/detection.md")
	if err != nil {
		t.Fatal(err)
	}
	want := detectionConstants()
	for _, row := range regexp.MustCompile("(?m)^\\| `(\\w+\\.\\w+)` \\| (.+) \\|$").FindAllStringSubmatch(string(text), -1) {
		v, ok := want[row[1]]
		if !ok || fmt.Sprint(v) != row[2] {
			t.Errorf("%s is %v, the page says %s", row[1], v, row[2])
		}
		delete(want, row[1])
	}
	for name, v := range want {
		t.Errorf("the page lacks | `%s` | %v |", name, v)
	}
}

func TestThePageOfDetectionExplainsEverySignalMeasureAndRule(t *testing.T) {
	b, err := os.ReadFile("../../docs/detection.md")
	if err != nil {
		t.Fatal(err)
	}
	text := string(b)
	for _, s := range anomaly.Signals() {
		if !strings.Contains(text, "[`"+string(s)+"`](#") {
			t.Errorf("the signal %s is not in the table", s)
		}
	}
	for _, topic := range append(conditionTopics(), record.TopicProvider) {
		if topic != record.TopicUsage && !strings.Contains(text, "`"+string(topic)+"`](#") {
			t.Errorf("the topic %s is not in the table", topic)
		}
	}
	for _, s := range everyScore() {
		if row := fmt.Sprintf("| %s | `%s` | %s |", s.Measure, s.Label, s.Unit); !strings.Contains(text, row) {
			t.Errorf("the page lacks %s", row)
		}
	}
	for _, r := range BurnRules() {
		if !strings.Contains(text, fmt.Sprintf("| %.3g %% | %.3g | %s |", 100*r.Share, r.rate(30*24*time.Hour), r.Severity)) {
			t.Errorf("the page lacks the rule %+v", r)
		}
	}
}

// everyScore gives scores of all measures that there are.
func everyScore() []anomaly.Score {
	d := anomaly.NewDetector(anomaly.Config{})
	at := burnStart
	for n := range 3 * 24 * 12 {
		d.Tick(at)
		d.Observe(anomaly.Sample{
			Target: llm.Target{Provider: llm.OpenAI, Model: "gpt"}, At: at, TTFT: time.Second, Took: 3 * time.Second, Stream: n%2 == 0,
			InputTokens: 100, OutputTokens: 100, Tokens: 200, Cost: 1000, Caller: "app", Asked: "auto",
		})
		d.Tick(at.Add(4 * time.Minute))
		at = at.Add(anomaly.UsageSpan)
	}
	return d.Scores()
}
