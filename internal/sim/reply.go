package sim

import (
	"bytes"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
)

// reply is an HTTP answer: status, reason phrase and body.
type reply struct {
	status int
	reason string
	body   []byte
	plain  bool // the body is no JSON
	drop   bool // close the connection without an answer
}

// listing is data with more keys beside it (total, changes).
type listing struct {
	data  any
	extra map[string]any
}

// failure is an error of the API with its status.
type failure struct {
	status int
	text   string // the message, without the last newline
	errors map[string]string
}

func (f *failure) Error() string {
	if len(f.errors) > 0 {
		var b strings.Builder
		b.WriteString(f.text)
		for _, key := range sortedKeys(f.errors) {
			fmt.Fprintf(&b, "\n%s: %s", key, strings.TrimSpace(f.errors[key]))
		}
		return b.String()
	}
	return f.text
}

// dief is what "die" is in PVE: status 500 with the text.
func dief(format string, args ...any) error {
	return &failure{status: 500, text: fmt.Sprintf(format, args...)}
}

// notCovered is the answer to what is not simulated.
func notCovered(format string, args ...any) error {
	return &failure{status: 501, text: "simulator: " + fmt.Sprintf(format, args...) + " is not covered"}
}

// badParam is a parameter error: status 400 with errors by parameter.
func badParam(name, format string, args ...any) error {
	return badParams(map[string]string{name: fmt.Sprintf(format, args...)})
}

func badParams(errors map[string]string) error {
	return &failure{status: 400, text: "Parameter verification failed.", errors: errors}
}

// denied is a 403 naming what is missing.
func denied(path string, privileges ...string) error {
	return deniedText(path + ", " + strings.Join(privileges, "|"))
}

func deniedText(what string) error {
	if what == "" {
		return &failure{status: 403, text: "Permission check failed"}
	}
	return &failure{status: 403, text: "Permission check failed (" + what + ")"}
}

func notImplemented(method, path string) reply {
	text := fmt.Sprintf("Method '%s %s' not implemented", method, path)
	return jsonReply(501, text, map[string]any{"data": nil, "message": text})
}

// taskText is the text an error has as the end of a task.
func taskText(err error) string {
	text := err.Error()
	if f, ok := err.(*failure); ok && len(f.errors) > 0 {
		text = fmt.Sprintf("%d %s", f.status, text)
	}
	return strings.ReplaceAll(strings.TrimRight(text, "\n"), "\n", " ")
}

var notInReason = regexp.MustCompile(`[^\x20-\x7e]`)

func errorReply(err error) reply {
	f, ok := err.(*failure)
	if !ok {
		f = &failure{status: 500, text: err.Error()}
	}
	content := map[string]any{"data": nil, "message": f.text + "\n"}
	if len(f.errors) > 0 {
		content["errors"] = f.errors
	}
	reason, _, _ := strings.Cut(strings.TrimSpace(f.text), "\n")
	return jsonReply(f.status, reason, content)
}

// emptyReply has a status and a reason only.
func emptyReply(status int, reason string) reply {
	return reply{status: status, reason: reason, plain: true}
}

func plainReply(status int, reason string) reply {
	return reply{status: status, reason: reason, plain: true, body: []byte(reason)}
}

func okReply(data any) reply {
	content := map[string]any{"data": data}
	if l, ok := data.(listing); ok {
		content["data"] = l.data
		for key, value := range l.extra {
			content[key] = value
		}
	}
	return jsonReply(200, "OK", content)
}

func jsonReply(status int, reason string, content any) reply {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(content); err != nil {
		return plainReply(500, "simulator: "+err.Error())
	}
	return reply{status: status, reason: notInReason.ReplaceAllString(reason, ""), body: bytes.TrimRight(b.Bytes(), "\n")}
}
