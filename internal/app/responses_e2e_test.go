package app

import (
	"errors"
	"strings"
	"testing"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"
	"github.com/openai/openai-go/v3/responses"
	"github.com/tidwall/gjson"

	"breakwater/internal/llm"
	"breakwater/internal/sim"
)

// converse asks with the official SDK, streamed, as its users do, and gives the
// answer's id and text.
func converse(t *testing.T, client openai.Client, model, previous, said string) (id, text string, err error) {
	t.Helper()
	params := responses.ResponseNewParams{Model: model, Input: responses.ResponseNewParamsInputUnion{OfString: openai.String(said)}}
	if previous != "" {
		params.PreviousResponseID = openai.String(previous)
	}
	stream := client.Responses.NewStreaming(t.Context(), params)
	defer stream.Close()
	for stream.Next() {
		event := stream.Current()
		text += gjson.Get(event.RawJSON(), `delta`).String()
		if event.Type == "response.completed" {
			id = event.Response.ID
			if event.Response.OutputText() != text || event.Response.Usage.OutputTokens == 0 {
				t.Errorf("the events say %q, the answer %s", text, event.Response.RawJSON())
			}
		}
	}
	return id, text, stream.Err()
}

func TestAConversationOfResponsesOutlivesItsProvider(t *testing.T) {
	for _, keep := range []string{"0", "1h"} {
		h := startHouse(t, houseOptions{env: map[string]string{"OPENAI_RESPONSES": "true", "BREAKWATER_RESPONSES_KEEP": keep}})
		client := openai.NewClient(option.WithBaseURL(h.URL()+"/v1"), option.WithAPIKey("x"), option.WithMaxRetries(0))
		first, text, err := converse(t, client, "openai", "", "echo one")
		if err != nil || text != "one" || strings.HasPrefix(first, "resp_bwk_") {
			t.Fatalf("%s %q %v", first, text, err)
		}
		second, text, err := converse(t, client, "openai", first, "echo two")
		if err != nil || text != "two" || strings.HasPrefix(second, "resp_bwk_") {
			t.Fatalf("%s %q %v", second, text, err)
		}
		h.sims[llm.OpenAI].Set(sim.Fault{Kind: sim.Refuse})
		third, text, err := converse(t, client, "openai", second, "echo three")
		if keep == "0" {
			var refused *openai.Error
			if !errors.As(err, &refused) || !strings.Contains(refused.Message, "responses.keep") {
				t.Errorf("%q %v", text, err)
			}
			continue
		}
		if err != nil || text != "three" || !strings.HasPrefix(third, "resp_bwk_") {
			t.Fatalf("%s %q %v\n%s", third, text, err, h.log.tail())
		}
		if items, err := client.Responses.InputItems.List(t.Context(), third, responses.InputItemListParams{}); err != nil || len(items.Data) != 5 {
			t.Errorf("%v", err)
		}
		h.sims[llm.OpenAI].Set(sim.Fault{})
		for _, model := range []string{"openai", "claude", "local"} {
			if _, text, err := converse(t, client, model, third, "echo four"); err != nil || text != "four" {
				t.Errorf("%s: %q %v", model, text, err)
			}
		}
	}
}
