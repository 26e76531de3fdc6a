package sim

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"

	ollamaapi "github.com/ollama/ollama/api"
	openaisdk "github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"

	"breakwater/internal/llm"
)

func httpClient() *http.Client {
	return &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
}

func openAIClient(s *Server) openaisdk.Client {
	return openaisdk.NewClient(option.WithBaseURL(s.BaseURL()), option.WithAPIKey("sk-test"),
		option.WithMaxRetries(0), option.WithHTTPClient(httpClient()))
}

func openAIParams() openaisdk.ChatCompletionNewParams {
	return openaisdk.ChatCompletionNewParams{
		Model: "gpt-4o",
		Messages: []openaisdk.ChatCompletionMessageParamUnion{
			openaisdk.SystemMessage("Be brief."), openaisdk.UserMessage("Say it again, please"),
		},
		MaxCompletionTokens: openaisdk.Int(4),
	}
}

func TestOfficialOpenAIClient(t *testing.T) {
	s := start(t, llm.OpenAI, Options{Models: []string{"gpt-4o"}, Reply: echo, Key: "sk-test"})
	client := openAIClient(s)
	ctx := t.Context()

	whole, err := client.Chat.Completions.New(ctx, openAIParams())
	if err != nil {
		t.Fatal(err)
	}
	if c := whole.Choices[0]; c.Message.Content != "Say it again, pl" || c.FinishReason != "length" ||
		whole.Model != "gpt-4o-2024-08-06" || whole.Usage.CompletionTokens != 4 || whole.Usage.PromptTokens != 14 {
		t.Errorf("%s", whole.RawJSON())
	}

	params := openAIParams()
	params.StreamOptions.IncludeUsage = openaisdk.Bool(true)
	stream := client.Chat.Completions.NewStreaming(ctx, params)
	var all openaisdk.ChatCompletionAccumulator
	for stream.Next() {
		if !all.AddChunk(stream.Current()) {
			t.Error("a chunk of another answer")
		}
	}
	if stream.Err() != nil || all.Choices[0].Message.Content != "Say it again, pl" || all.Usage.TotalTokens != 18 ||
		all.Choices[0].FinishReason != "length" || all.Choices[0].Message.Role != "assistant" {
		t.Errorf("%v %+v", stream.Err(), all.ChatCompletion)
	}

	models, err := client.Models.List(ctx)
	if err != nil || len(models.Data) != 1 || models.Data[0].ID != "gpt-4o" {
		t.Errorf("%v %+v", err, models)
	}

	params = openAIParams()
	params.Model = "gpt-9"
	var failure *openaisdk.Error
	if _, err = client.Chat.Completions.New(ctx, params); !errors.As(err, &failure) || failure.StatusCode != 404 || failure.Code != "model_not_found" {
		t.Errorf("%v", err)
	}
}

func TestOfficialOpenAIClientSeesFaults(t *testing.T) {
	s := start(t, llm.OpenAI, Options{})
	client := openAIClient(s)
	for _, f := range []Fault{
		{Kind: Errors, Status: 503}, {Kind: RateLimited}, {Kind: ErrorInStream, After: 2}, {Kind: Cut, After: 2}, {Kind: Refuse},
	} {
		s.Set(f)
		stream := client.Chat.Completions.NewStreaming(t.Context(), openAIParams())
		for stream.Next() {
		}
		if stream.Err() == nil {
			t.Errorf("%s went unnoticed", f.Kind)
		}
	}
}

func TestOfficialOllamaClient(t *testing.T) {
	s := start(t, llm.Local, Options{Models: []string{"llama3"}, Reply: echo})
	base, err := url.Parse(s.BaseURL())
	if err != nil {
		t.Fatal(err)
	}
	client, ctx := ollamaapi.NewClient(base, httpClient()), t.Context()

	if err := client.Heartbeat(ctx); err != nil {
		t.Error(err)
	}
	if version, err := client.Version(ctx); err != nil || version != OllamaVersion {
		t.Errorf("%v %q", err, version)
	}
	if list, err := client.List(ctx); err != nil || len(list.Models) != 1 || list.Models[0].Name != "llama3:latest" ||
		list.Models[0].ModifiedAt.IsZero() || list.Models[0].Details.Family != "llama" {
		t.Errorf("%v %+v", err, list)
	}
	if running, err := client.ListRunning(ctx); err != nil || len(running.Models) != 1 || running.Models[0].SizeVRAM == 0 {
		t.Errorf("%v %+v", err, running)
	}
	if _, err := client.Show(ctx, &ollamaapi.ShowRequest{Model: "llama3"}); err != nil {
		t.Error(err)
	}
	if _, err := client.Show(ctx, &ollamaapi.ShowRequest{Model: "nope"}); err == nil {
		t.Error("showed a model that does not exist")
	}

	chat := func(ctx context.Context, model string, messages ...ollamaapi.Message) (text string, last ollamaapi.ChatResponse, err error) {
		err = client.Chat(ctx, &ollamaapi.ChatRequest{Model: model, Messages: messages}, func(r ollamaapi.ChatResponse) error {
			text += r.Message.Content
			last = r
			return nil
		})
		return text, last, err
	}
	hello := ollamaapi.Message{Role: "user", Content: "Hello, llama"}
	text, last, err := chat(ctx, "llama3", hello)
	if err != nil || text != "Hello, llama" || !last.Done || last.DoneReason != "stop" || last.EvalCount != 3 ||
		last.PromptEvalCount != 6 || last.TotalDuration == 0 || last.Model != "llama3" {
		t.Errorf("%v %q %+v", err, text, last)
	}
	if _, last, err := chat(ctx, "llama3:latest"); err != nil || last.DoneReason != "load" {
		t.Errorf("loading: %v %+v", err, last)
	}
	var status ollamaapi.StatusError
	if _, _, err := chat(ctx, "nope", hello); !errors.As(err, &status) || status.StatusCode != 404 {
		t.Errorf("%v", err)
	}
	s.Set(Fault{Kind: ErrorInStream, After: 1})
	if text, _, err := chat(ctx, "llama3", hello); err == nil || text != "Hell" || !strings.Contains(err.Error(), "while running the model") {
		t.Errorf("%v %q", err, text)
	}
}
