package sim

import (
	"fmt"
	"strings"
)

// geminiMaxInputs is how many texts one batch may hold: the API says so in its
// refusal of more.
const geminiMaxInputs = 100

type geminiEmbedRequest struct {
	Model                string
	Content              geminiContent
	OutputDimensionality int
}

// readGeminiEmbedding reads a request for one vector, or for a batch
// (https://ai.google.dev/api/embeddings, 2026-11).
func readGeminiEmbedding(body []byte, c *call) *response {
	var one geminiEmbedRequest
	var all struct{ Requests []geminiEmbedRequest }
	c.embed = &embedding{batch: c.method == "batchEmbedContents"}
	refusal := (*response)(nil)
	if c.embed.batch {
		refusal = geminiBody(body, "batch", &all)
	} else {
		refusal = geminiBody(body, "embed", &one)
		all.Requests = []geminiEmbedRequest{one}
	}
	switch {
	case refusal != nil:
		return refusal
	case !embeds(c.model):
		res := geminiNoModel(c.model, "embedContent")
		return &res
	case len(all.Requests) == 0:
		return geminiBad("* BatchEmbedContentsRequest.requests: requests is not specified\n")
	case len(all.Requests) > geminiMaxInputs:
		return geminiBad("* BatchEmbedContentsRequest.requests: at most %d requests can be in one batch\n", geminiMaxInputs)
	}
	for i, q := range all.Requests {
		at := "* EmbedContentRequest."
		if c.embed.batch {
			at = fmt.Sprintf("* BatchEmbedContentsRequest.requests[%d].", i)
		}
		switch {
		case c.embed.batch && q.Model != "models/"+c.model:
			return geminiBad("%smodel: model must be %q, as in the path\n", at, "models/"+c.model)
		case len(q.Content.Parts) == 0:
			return geminiBad("%scontent: contents is not specified\n", at)
		case q.Content.said() == "":
			return geminiBad("%scontent: empty text is not allowed\n", at)
		case q.OutputDimensionality < 0:
			return geminiBad("%soutput_dimensionality: output_dimensionality must be positive\n", at)
		}
		c.embed.texts = append(c.embed.texts, q.Content.said())
		c.embed.dimensions = q.OutputDimensionality
	}
	return nil
}

func geminiVectors(c call, a answer) response {
	list := make([]string, len(a.vectors))
	for i, v := range a.vectors {
		list[i] = `{"values":` + quote(v) + `}`
	}
	body := `{"embeddings":[` + strings.Join(list, ",") + `]}`
	if !c.embed.batch {
		body = `{"embedding":` + list[0] + `}`
	}
	return response{status: 200, header: contentType(geminiJSON), body: indent(body)}
}
