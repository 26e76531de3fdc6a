package router

import (
	"encoding/binary"
	"hash/maphash"
	"sync"
	"time"

	"breakwater/internal/llm"
)

const (
	// bytesPerToken is how many bytes of a request are about one token.
	bytesPerToken = 4
	// leastCacheable is the shortest prompt, in tokens, that OpenAI and most models
	// of Claude cache, see cacheLifetime; Gemini begins later, and the few that begin at
	// 512 would gain little. Shorter ones are not even looked at.
	leastCacheable = 1024
	// hashedText bounds what is read of one text of a prompt, in bytes.
	hashedText = 4 << 10
	// Sessions are kept in sets of 8; the one that expires first makes room. 16,384 of
	// them take 1.4 MiB, whatever callers send.
	sessionSets  = 2048
	sessionWays  = 8
	sessionLocks = 64
)

// sessions remembers where conversations have their prompts cached. It may be
// used by many at once; a lock is shared by one conversation in 64. A nil one
// remembers nothing.
//
// A conversation is known by its caller, the model that was asked for and what
// stays the same over its turns and is the beginning of the prompt that providers
// cache: instructions, tools and the first message of the user. Where the caller
// itself says what belongs together (OpenAI's prompt_cache_key) that is taken instead.
// Only a hash of it is kept, with a seed that is drawn at the start.
type sessions struct {
	seed  maphash.Seed
	locks [sessionLocks]sync.Mutex // of the sets, by their number
	sets  [sessionSets][sessionWays]session
}

// session is where a conversation's prompt is cached.
type session struct {
	id      uint64 // 0 for none
	target  llm.Target
	key     string // the name of the provider's key; "" where it needs none
	expires int64  // in Unix nanoseconds
	seconds uint32 // that it lives after each use
	tokens  uint32 // that are cached
}

func newSessions() *sessions { return &sessions{seed: maphash.MakeSeed()} }

// hint gives where the prompt of a call's conversation is cached; false where it
// is too short or nothing is known.
func (s *sessions) hint(call *Call) (session, bool) {
	id, ok := s.identify(call)
	if !ok {
		return session{}, false
	}
	set, lock := s.set(id)
	lock.Lock()
	defer lock.Unlock()
	now := time.Now().UnixNano()
	for i := range set {
		if set[i].id == id && set[i].expires > now {
			return set[i], true
		}
	}
	return session{}, false
}

// served takes note of a good answer: its target, the key that it was asked
// with, and what it used. An answer that left nothing in a cache changes nothing.
func (s *sessions) served(call *Call, target llm.Target, key string, used llm.Usage, now time.Time) {
	lifetime, tokens := cacheLifetime(target.Provider, used)
	if lifetime == 0 {
		return
	}
	id, ok := s.identify(call)
	if !ok {
		return
	}
	next := session{
		id: id, target: target, key: key,
		seconds: uint32(lifetime / time.Second), tokens: uint32(min(max(tokens, 0), maxTokens)),
	}
	set, lock := s.set(id)
	lock.Lock()
	defer lock.Unlock()
	slot := &set[0]
	for i := range set {
		if set[i].id == id {
			slot = &set[i]
			break
		}
		if set[i].expires < slot.expires {
			slot = &set[i]
		}
	}
	// Who reads what was written for an hour has it for another hour, though the
	// answer no longer tells of that.
	if slot.id == id && slot.target == target && slot.key == key && slot.expires > now.UnixNano() {
		next.seconds = max(next.seconds, slot.seconds)
	}
	next.expires = now.Add(time.Duration(next.seconds) * time.Second).UnixNano()
	*slot = next
}

// set gives where a conversation has its place, and the lock for it.
func (s *sessions) set(id uint64) (*[sessionWays]session, *sync.Mutex) {
	n := id % sessionSets
	return &s.sets[n], &s.locks[n%sessionLocks]
}

// cacheLifetime gives how long a provider keeps the prompt of an answer after
// its last use, and how many tokens of it; 0 where it is not cached. Where a provider
// tells no exact time the longest that it tells is taken: to ask where the prompt is
// no more costs nothing, since all candidates are equals, but to ask elsewhere costs
// the whole prompt. All of it as of 2026-11.
//
// Anthropic caches only what is marked, for 5 minutes or, where the mark says so,
// an hour, refreshed by each use, and tells of each write and read:
// https://platform.claude.com/docs/en/build-with-claude/prompt-caching
//
// OpenAI caches prompts from 1,024 tokens on by itself: from gpt-5.6 on, which tells
// of writes, for at least 30 minutes, before that in memory for 5 to 10 minutes and an
// hour at most, or for up to a day where the organisation's retention allows:
// https://developers.openai.com/api/docs/guides/prompt-caching
// https://learn.microsoft.com/azure/foundry/openai/how-to/prompt-caching
//
// Gemini caches by itself from 2,048 tokens on (2.5) or 4,096 (3), for less than a
// day, mostly much less, and tells of reads; an hour is the default of its explicit caches:
// https://ai.google.dev/gemini-api/docs/caching
// https://docs.cloud.google.com/gemini-enterprise-agent-platform/models/context-cache/context-cache-overview
//
// Ollama keeps the last prompt as long as the model stays loaded, 5 minutes unless
// keep_alive says otherwise: https://github.com/ollama/ollama/blob/main/docs/faq.mdx
func cacheLifetime(p llm.Provider, used llm.Usage) (lifetime time.Duration, tokens int64) {
	told := used.CacheRead + used.CacheWrite
	switch p {
	case llm.Claude:
		switch {
		case used.CacheWrite1h > 0:
			return time.Hour, told
		case told > 0:
			return 5 * time.Minute, told
		}
	case llm.OpenAI:
		switch {
		case used.CacheWrite > 0:
			return 30 * time.Minute, told
		case told > 0 || used.Input >= leastCacheable:
			return time.Hour, used.Input
		}
	case llm.Gemini:
		if told > 0 || used.Input >= 2048 {
			return time.Hour, used.Input
		}
	case llm.Local:
		if told > 0 || used.Input >= leastCacheable {
			return 5 * time.Minute, used.Input
		}
	}
	return 0, 0
}

// identify gives the id of a call's conversation; false where its prompt is too
// short to be cached.
func (s *sessions) identify(call *Call) (uint64, bool) {
	if s == nil || call.Request.Embed != nil || !long(call.Request) {
		return 0, false
	}
	var h fingerprint
	h.SetSeed(s.seed)
	h.text(call.Caller)
	h.text(call.Request.Model)
	if key := call.Request.CacheKey; key != "" {
		h.number(1)
		h.text(key)
	} else {
		h.prefix(call.Request)
	}
	return max(h.Sum64(), 1), true
}

// long says whether a prompt may be worth caching. It looks at the body's length,
// so that a short request costs nothing.
func long(req *llm.Request) bool {
	const least = leastCacheable * bytesPerToken
	if size := len(req.Body); size > 0 {
		return size >= least
	}
	size := 0
	for _, m := range req.Messages {
		for _, p := range m.Parts {
			if size += len(p.Text); size >= least {
				return true
			}
		}
	}
	return false
}

// fingerprint hashes the beginning of a conversation.
type fingerprint struct{ maphash.Hash }

// prefix takes what stays the same over the turns: all up to the first message
// of the user, and the tools. Of long texts it takes the beginning and the length.
func (h *fingerprint) prefix(req *llm.Request) {
	h.number(len(req.Tools))
	for _, t := range req.Tools {
		h.text(t.Name)
		h.number(len(t.Description))
		h.number(len(t.Schema))
	}
	for _, m := range req.Messages {
		h.text(string(m.Role))
		for _, p := range m.Parts {
			h.text(p.Text)
			if p.Media != nil {
				h.text(p.Media.Data)
				h.text(p.Media.URL)
				h.text(p.Media.FileID)
			}
		}
		if m.Role == llm.User {
			return
		}
	}
}

func (h *fingerprint) text(s string) {
	h.number(len(s))
	h.WriteString(s[:min(len(s), hashedText)])
}

func (h *fingerprint) number(n int) {
	var b [8]byte
	binary.LittleEndian.PutUint64(b[:], uint64(n))
	h.Write(b[:])
}
