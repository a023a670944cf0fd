// Package notice is what a notification says: its words, the template of a webhook's body, and which verdicts are worth one.
// It sends nothing and knows no clock.
package notice

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/template"
	"time"
)

// Message is one piece of news.
type Message struct {
	Time    time.Time `json:"time"`
	Host    string    `json:"host"`           // of the daemon
	Kind    string    `json:"kind"`           // VirtualMachine, Node, Migration, Source
	Name    string    `json:"name,omitempty"` // of the object
	Cluster string    `json:"cluster,omitempty"`
	Verdict string    `json:"verdict"`
	Was     string    `json:"was,omitempty"` // what was told before
	Over    bool      `json:"over"`          // what was told before is over
	Reason  string    `json:"reason,omitempty"`
	Text    string    `json:"text"` // one line for people
	// Revision is the commit that is followed, Author who made it.
	Revision string `json:"revision,omitempty"`
	Author   string `json:"author,omitempty"`
}

// Batch is what is delivered at a time: one message or more, the oldest first.
type Batch struct {
	Text     string    `json:"text"` // all of them for people, a line each
	Messages []Message `json:"messages"`
	Dropped  int       `json:"dropped"` // messages before these that were given up
}

// NewBatch puts messages together.
func NewBatch(messages []Message, dropped int) Batch {
	b := Batch{Messages: messages, Dropped: dropped}
	var lines []string
	for _, m := range messages {
		lines = append(lines, m.Text)
	}
	if dropped > 0 {
		lines = append(lines, fmt.Sprintf("(%d earlier messages could not be delivered in time and were given up)", dropped))
	}
	b.Text = strings.Join(lines, "\n")
	return b
}

// Subject is the batch in a few words.
func (b Batch) Subject() string {
	switch len(b.Messages) {
	case 0:
		return ""
	case 1:
		return short(b.Messages[0].Text)
	}
	return short(fmt.Sprintf("%d messages: %s", len(b.Messages), b.Messages[0].Text))
}

// subjectLength is what mail programs show of a subject.
const subjectLength = 120

func short(s string) string {
	s = strings.Join(strings.Fields(s), " ")
	if r := []rune(s); len(r) > subjectLength {
		return string(r[:subjectLength-1]) + "…"
	}
	return s
}

// DefaultBody is what most chats understand.
const DefaultBody = `{"text": {{json .Text}}}`

// Body is the template of a webhook's body: Go's text/template over a Batch, with the function json.
type Body struct{ template *template.Template }

// most is what a body may have. A template can loop.
const most = 1 << 20

// ParseBody reads a template, and tries it: what it makes has to be JSON.
func ParseBody(text string) (Body, error) {
	t, err := template.New("body").Option("missingkey=error").Funcs(template.FuncMap{"json": quote}).Parse(text)
	if err != nil {
		return Body{}, errors.New(strings.TrimPrefix(err.Error(), "template: "))
	}
	b := Body{t}
	m := Message{Host: "pve-5", Kind: "VirtualMachine", Name: "web", Verdict: "Blocked", Reason: "Locked", Text: "VirtualMachine/web: \"Blocked\"\n\\"}
	for _, messages := range [][]Message{{m}, {m, m}} {
		if _, err := b.Render(NewBatch(messages, 1)); err != nil {
			return Body{}, err
		}
	}
	return b, nil
}

// Render makes the body of a request.
func (b Body) Render(batch Batch) ([]byte, error) {
	var out bounded
	if err := b.template.Execute(&out, batch); err != nil {
		return nil, errors.New(strings.TrimPrefix(err.Error(), "template: "))
	}
	if !json.Valid(out.Bytes()) {
		return nil, errors.New("what the template makes is not JSON: put texts in with {{json .Text}}, without quotes around it")
	}
	return out.Bytes(), nil
}

func quote(v any) (string, error) {
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	err := enc.Encode(v)
	return strings.TrimSuffix(out.String(), "\n"), err
}

// bounded refuses more than most.
type bounded struct{ bytes.Buffer }

func (b *bounded) Write(p []byte) (int, error) {
	if b.Len()+len(p) > most {
		return 0, io.ErrShortWrite
	}
	return b.Buffer.Write(p)
}

// KindSource is the kind of messages about the source of the manifests.
const KindSource = "Source"

// Kinds are what messages are about.
func Kinds() []string { return []string{"VirtualMachine", "Node", "Migration", KindSource} }

// Verdicts are those that can be told; NotFollowed is the source's.
func Verdicts() []string {
	return append(Bad(), "Changes", "Waiting", "Busy", "Suspended", "Migrating", "Orphaned")
}

// Bad are those that are told when nobody says which: a person has to do something, or nobody knows.
func Bad() []string {
	return []string{"Blocked", "Failed", "Refused", "Unknown", "RestartNeeded", "Drifted", NotFollowed}
}

// NotFollowed is the verdict on a source that cannot be read, or whose newest revision is not followed.
const NotFollowed = "NotFollowed"

// Standing is what is said of a commit at a forge.
type Standing struct {
	Commit string `json:"commit"`
	State  string `json:"state"` // pending, success, failure
	Text   string `json:"text"`
}
