package main

import (
	"context"
	"encoding/json"
)

// door is one door through the eyes of its SDK. Functions that are nil have a
// reason in cannot.
type door struct {
	client, name string
	// cannot says why the dialect has no way to ask for a feature.
	cannot map[string]string
	// words are the dialect's finish reasons for stop, sequence (a stop
	// sequence), length and calls, and its kinds of error by HTTP status.
	words map[string]string
	kinds map[int]string
	// alone says that the dialect can switch parallel calls off, pieces that it
	// streams arguments piece by piece.
	alone, pieces bool

	// chat asks once. key is the caller's key.
	chat func(ctx context.Context, key string, a ask) (said, error)
	// malformed sends a request with a fault that the SDK lets through.
	malformed func(ctx context.Context) error
	// problem reads an error of the SDK's own type.
	problem func(err error) (problem, bool)
	// models lists the models, and reads about one.
	models func(ctx context.Context) ([]string, error)
	// count counts the tokens of a text.
	count func(ctx context.Context, text string) (int64, error)
	// embed gives the vectors of texts; dimensions may be 0.
	embed func(ctx context.Context, model string, texts []string, dimensions int) (vectors, error)
}

// ask is a request in words that the doors share.
type ask struct {
	model      string
	system     string
	turns      []turn
	tools      []tool
	force      string // a tool that must be called
	alone      bool   // one call at a time
	schema     json.RawMessage
	jsonMode   bool
	stop       string
	maxTokens  int64
	n          int64
	logprobs   bool
	think      bool
	stream     bool
	blindUsage bool   // of a stream: no usage is asked for
	onEvent    func() // is told each event of a stream
}

// turn is one message.
type turn struct {
	user, assistant string
	media           []media
	own             any // an answer as the SDK gave it
	results         []toolResult
}

type media struct {
	mime string
	data []byte
	url  string
}

func (m media) kind() string {
	switch m.mime {
	case "application/pdf":
		return "document"
	case "audio/wav":
		return "audio"
	}
	return "image"
}

type tool struct {
	name, description string
	schema            json.RawMessage
}

type toolResult struct {
	id, name, text string
	failed         bool
	picture        []byte // a PNG
}

// said is an answer in words that the doors share.
type said struct {
	id, model string
	texts     []string // of each choice
	thinking  string
	calls     []call
	finish    string // the dialect's own word
	usage     usage
	logprobs  int // tokens with a log probability
	events    int // of a stream
	pieces    int // of arguments
	own       any // to be sent back
}

func (s said) text() string {
	if len(s.texts) == 0 {
		return ""
	}
	return s.texts[0]
}

type call struct {
	id, name string
	args     string
}

type usage struct{ input, output, reasoning, total int64 }

type vectors struct {
	list  [][]float64
	usage int64 // -1 where the dialect tells none
}

type problem struct {
	status  int
	kind    string // the dialect's own word
	message string
}
