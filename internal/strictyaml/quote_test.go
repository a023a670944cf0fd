package strictyaml

import (
	"testing"

	"pgregory.net/rapid"
)

// odds are texts that YAML reads as something else, in pieces that rapid puts together.
var odds = rapid.SampledFrom([]string{
	"", " ", "a", "0", "00:50:56:09:00:22", "12:30", "1_000", "0x1f", "1e3", "1.5", ".5", "yes", "No", "~", "null", "true", "-", "--- ", "...", "?", ":", ": ", " #", "#",
	"[", "]", "{", "}", ",", "&a", "*a", "!", "!!str", "|", ">", "'", "\"", "\\", "%", "@", "`", "<<", "=", "\n", "\r", "\t", "\x00", "\x1b", "\x7f", "\u0085", "\u00a0",
	"\u00ad", "\u2028", "\u2029", "\u200d", "\u202e", "\ufeff", "\ufffe", "\uffff", "\U0001f600", "\U000e0001", "ü", "2021-12-30", "bc:24:11:00:00:01", "=x", "<x", "-x", "?x", ":x",
	"x:", "x: y", "x#y", "x #y", "lsi*", "*", ".inf", "-.inf", ".nan", "+1", "host", "$6$salt$hash", "\ue000",
})

func TestQuote(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.OneOf(rapid.String(), odds, rapid.Custom(func(t *rapid.T) string {
			return odds.Draw(t, "a") + odds.Draw(t, "b") + odds.Draw(t, "c")
		})).Draw(t, "text")
		var into struct {
			Block string            `json:"block"`
			Flow  []string          `json:"flow"`
			Map   map[string]string `json:"map"`
			Keys  map[string]string `json:"keys"`
		}
		yaml := "block: " + Quote(text, false) + "\nflow: [" + Quote(text, true) + ", " + Quote(text, true) + "]\nmap: {a: " + Quote(text, true) +
			", " + Quote("k"+text, true) + ": b}\nkeys:\n  " + Quote("k"+text, false) + ": c\n"
		docs, problems := Documents("x", []byte(yaml))
		if len(docs) == 1 {
			problems = append(problems, docs[0].Decode(&into)...)
		}
		if len(problems) > 0 || into.Block != text || len(into.Flow) != 2 || into.Flow[0] != text || into.Map["a"] != text || into.Map["k"+text] != "b" || into.Keys["k"+text] != "c" {
			t.Fatalf("%s\n%v\n%+v", yaml, problems, into)
		}
	})
}

// TestComment: whatever a comment says, the file around it is read.
func TestComment(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.OneOf(rapid.String(), odds).Draw(t, "text")
		var into struct {
			A string `json:"a"`
		}
		docs, problems := Documents("x", []byte("# "+Comment(text)+"\na: b # "+Comment(text)+"\n"))
		if len(docs) == 1 {
			problems = append(problems, docs[0].Decode(&into)...)
		}
		if len(problems) > 0 || into.A != "b" {
			t.Fatalf("%q: %v %+v", text, problems, into)
		}
	})
}

// TestQuoteOnlyWhereNeeded: files are read by people.
func TestQuoteOnlyWhereNeeded(t *testing.T) {
	for text, want := range map[string]string{
		"docker": "docker", "local-zfs:vm-200-disk-0": "local-zfs:vm-200-disk-0", "host": "host", "16Gi": "16Gi", "10.0.0.2/24": "10.0.0.2/24",
		"00:50:56:9f:00:22": "00:50:56:9f:00:22", "00:50:56:09:00:22": `"00:50:56:09:00:22"`, "200": `"200"`, "yes": `"yes"`, "": `""`,
		"+aes": "+aes", "-pcid": "-pcid", `say "hi": now`: `'say "hi": now'`, "a\nb": `"a\nb"`, "Web server of the group": "Web server of the group",
		"none": "none", "2001:db8::2/64": "2001:db8::2/64", "::1": `"::1"`, "$6$a$b": "$6$a$b",
	} {
		if have := Quote(text, true); have != want {
			t.Errorf("%q: %s, want %s", text, have, want)
		}
	}
}
