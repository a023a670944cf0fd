package notice

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestBodyHasToBeJSON(t *testing.T) {
	for text, want := range map[string]string{
		DefaultBody: "",
		`{"msgtype": "text", "n": {{len .Messages}}, "all": [{{range $i, $m := .Messages}}{{if $i}}, {{end}}{{json $m.Name}}{{end}}]}`: "",
		`{"text": "{{.Text}}"}`:       "is not JSON",
		`{"text": {{json .Texxt}}}`:   "can't evaluate field Texxt",
		`{"text": {{json .Text}}`:     "is not JSON",
		`{{json .Text`:                "unclosed action",
		`{{range $i := 1}}x{{end}}{}`: "is not JSON",
	} {
		_, err := ParseBody(text)
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}

func TestSubjectIsOneShortLine(t *testing.T) {
	s := NewBatch([]Message{{Text: "a\r\nBcc: b " + strings.Repeat("é", 300)}}, 0).Subject()
	if strings.ContainsAny(s, "\r\n") || len([]rune(s)) > subjectLength {
		t.Errorf("%q", s)
	}
}

func FuzzBody(f *testing.F) {
	f.Add(DefaultBody, "text")
	f.Add(`[{{range .Messages}}{{json .}},{{end}} 0]`, "\"\\\n")
	f.Fuzz(func(t *testing.T, body, text string) {
		if len(body) > 1000 {
			return // a template may nest loops
		}
		b, err := ParseBody(body)
		if err != nil {
			return
		}
		if out, err := b.Render(NewBatch([]Message{{Text: text}}, 0)); err == nil && !json.Valid(out) {
			t.Errorf("%q", out)
		}
	})
}
