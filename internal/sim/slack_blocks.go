package sim

import (
	"encoding/json"
	"fmt"
	"slices"
	"unicode/utf8"
)

// The limits of Block Kit (https://docs.slack.dev/reference/block-kit/blocks).
const (
	slackMaxBlocks         = 50
	slackMaxSection        = 3000
	slackMaxHeader         = 150
	slackMaxFields         = 10
	slackMaxField          = 2000
	slackMaxContext        = 10
	slackMaxActions        = 25
	slackMaxButton         = 75
	slackMaxBlockID        = 255
	slackMaxButtonURL      = 3000
	slackMaxImageAltOrName = 2000
)

// slackObject is a block or an element of one, as far as it is checked.
type slackObject struct {
	Type     string            `json:"type"`
	BlockID  string            `json:"block_id"`
	Text     json.RawMessage   `json:"text"`
	Fields   []json.RawMessage `json:"fields"`
	Elements []json.RawMessage `json:"elements"`
	URL      string            `json:"url"`
	ImageURL string            `json:"image_url"`
	AltText  string            `json:"alt_text"`
}

// blockCheck collects what is wrong with a message's blocks, in Slack's words.
type blockCheck struct{ wrong []string }

func (c *blockCheck) add(at, format string, args ...any) {
	c.wrong = append(c.wrong, fmt.Sprintf(format, args...)+" [json-pointer:"+at+"]")
}

// checkBlocks gives what Slack would refuse blocks for, or nil.
func checkBlocks(blocks []json.RawMessage) []string {
	c := &blockCheck{}
	if len(blocks) > slackMaxBlocks {
		c.add("/blocks", "no more than %d items allowed", slackMaxBlocks)
	}
	for i, raw := range blocks {
		at := fmt.Sprintf("/blocks/%d", i)
		var b slackObject
		if json.Unmarshal(raw, &b) != nil {
			c.add(at, "must be a valid block")
			continue
		}
		if len(b.BlockID) > slackMaxBlockID {
			c.add(at+"/block_id", "must be less than %d characters", slackMaxBlockID+1)
		}
		switch b.Type {
		case "section":
			c.section(at, b)
		case "header":
			c.text(at+"/text", b.Text, slackMaxHeader, "plain_text")
		case "context":
			c.elements(at, b.Elements, slackMaxContext, "mrkdwn", "plain_text", "image")
		case "actions":
			c.elements(at, b.Elements, slackMaxActions, "button")
		case "image":
			c.image(at, b)
		case "divider", "rich_text", "markdown":
		case "":
			c.add(at, "missing required field: type")
		default:
			c.add(at+"/type", "unsupported type: %s", b.Type)
		}
	}
	return c.wrong
}

func (c *blockCheck) section(at string, b slackObject) {
	if len(b.Text) == 0 && len(b.Fields) == 0 {
		c.add(at, "missing required field: text")
	}
	if len(b.Text) > 0 {
		c.text(at+"/text", b.Text, slackMaxSection, "mrkdwn", "plain_text")
	}
	if len(b.Fields) > slackMaxFields {
		c.add(at+"/fields", "no more than %d items allowed", slackMaxFields)
	}
	for i, f := range b.Fields {
		c.text(fmt.Sprintf("%s/fields/%d", at, i), f, slackMaxField, "mrkdwn", "plain_text")
	}
}

func (c *blockCheck) elements(at string, list []json.RawMessage, limit int, allowed ...string) {
	if len(list) == 0 {
		c.add(at+"/elements", "must provide at least 1 items")
	}
	if len(list) > limit {
		c.add(at+"/elements", "no more than %d items allowed", limit)
	}
	for i, raw := range list {
		at := fmt.Sprintf("%s/elements/%d", at, i)
		var e slackObject
		if json.Unmarshal(raw, &e) != nil {
			c.add(at, "must be a valid element")
			continue
		}
		switch {
		case !slices.Contains(allowed, e.Type):
			c.add(at+"/type", "unsupported type: %s", e.Type)
		case e.Type == "image":
			c.image(at, e)
		case e.Type == "button":
			c.text(at+"/text", e.Text, slackMaxButton, "plain_text")
			if len(e.URL) > slackMaxButtonURL {
				c.add(at+"/url", "must be less than %d characters", slackMaxButtonURL+1)
			}
		default:
			c.text(at, raw, slackMaxSection, allowed...)
		}
	}
}

func (c *blockCheck) image(at string, b slackObject) {
	if b.ImageURL == "" {
		c.add(at, "missing required field: image_url")
	}
	if b.AltText == "" {
		c.add(at, "missing required field: alt_text")
	}
	if utf8.RuneCountInString(b.AltText) > slackMaxImageAltOrName {
		c.add(at+"/alt_text", "must be less than %d characters", slackMaxImageAltOrName+1)
	}
}

// text checks a text object: its type, and 1 to limit characters.
func (c *blockCheck) text(at string, raw json.RawMessage, limit int, allowed ...string) {
	var t struct{ Type, Text string }
	if json.Unmarshal(raw, &t) != nil {
		c.add(at, "must be a text object")
		return
	}
	switch n := utf8.RuneCountInString(t.Text); {
	case !slices.Contains(allowed, t.Type):
		c.add(at+"/type", "must be a valid enum value")
	case n == 0:
		c.add(at+"/text", "must be more than 0 characters")
	case n > limit:
		c.add(at+"/text", "must be less than %d characters", limit+1)
	}
}
