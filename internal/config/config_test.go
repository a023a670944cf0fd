package config

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"golang.org/x/tools/txtar"

	"github.com/ustclug/pve-reconcile/internal/strictyaml"
)

var update = flag.Bool("update", false, "rewrite the golden files in testdata")

func load(t testing.TB, text string) (Config, []strictyaml.Problem) {
	t.Helper()
	c, problems, err := Load("in.yaml", func(string) ([]byte, error) { return []byte(text), nil })
	if err != nil {
		t.Fatal(err)
	}
	return c, problems
}

func TestGolden(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatal("no golden files", err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			a, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			_, problems := load(t, string(a.Files[0].Data))
			have := ""
			for _, p := range problems {
				have += p.String() + "\n"
			}
			if strings.Contains(have, "hunter2") {
				t.Errorf("a secret is repeated:\n%s", have)
			}
			if *update {
				a.Files[1].Data = []byte(have)
				if err := os.WriteFile(file, txtar.Format(a), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if want := string(a.Files[1].Data); have != want {
				t.Errorf("have\n%s\nwant\n%s", have, want)
			}
		})
	}
}

// examples are the YAML blocks of the reference.
func examples(t testing.TB) []string {
	t.Helper()
	doc, err := os.ReadFile("../../docs/config.md")
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, m := range regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllStringSubmatch(string(doc), -1) {
		all = append(all, m[1])
	}
	return all
}

func TestExamplesOfTheReference(t *testing.T) {
	all := examples(t)
	if len(all) != 3 {
		t.Fatalf("have %d examples, want 3", len(all))
	}
	for i, text := range all {
		c, problems := load(t, text)
		for _, p := range problems {
			t.Errorf("example %d: %s", i+1, p)
		}
		if c.Owner != "ustclug" || len(c.Clusters) == 0 {
			t.Errorf("example %d: have %+v", i+1, c)
		}
	}
	c, _ := load(t, all[0])
	if pin, err := c.Clusters["lab"].Pin(); err != nil || len(pin) != 32 || pin[0] != 0x9f {
		t.Errorf("have pin %x, %v", pin, err)
	}
}

// The reference names every field there is, and the first example sets all
// that can stand together.
func TestReferenceIsComplete(t *testing.T) {
	doc, err := os.ReadFile("../../docs/config.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range paths(reflect.TypeFor[Config](), "") {
		if !strings.Contains(string(doc), "| `"+path+"` |") {
			t.Errorf("docs/config.md has no row for %s", path)
		}
	}
}

func paths(t reflect.Type, at string) []string {
	var all []string
	for i := range t.NumField() {
		f := t.Field(i)
		if !f.IsExported() {
			continue
		}
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		path := strings.TrimPrefix(at+"."+name, ".")
		all = append(all, path)
		switch f.Type.Kind() {
		case reflect.Pointer:
			if f.Type.Elem().Kind() == reflect.Struct {
				all = append(all, paths(f.Type.Elem(), path)...)
			}
		case reflect.Struct:
			all = append(all, paths(f.Type, path)...)
		case reflect.Map:
			all = append(all[:len(all)-1], path)
			all = append(all, paths(f.Type.Elem(), path+".<name>")...)
		}
	}
	return all
}

func TestDefaults(t *testing.T) {
	c, problems := load(t, examples(t)[1]+"hosts: {m: {address: mirrors2, keyFile: /k, knownHostsFile: /h}}\n")
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	have := fmt.Sprint(c.StateDir, c.Source.Path, c.Source.Username, c.Policies.TaskTimeout, c.Policies.ShutdownTimeout, *c.Policies.MaxDeletions, c.Hosts["m"].User, c.Hosts["m"].Address)
	want := fmt.Sprint("/var/lib/pve-reconcile", ".", "", 10*time.Minute, 3*time.Minute, 5, "root", "mirrors2:22")
	if have != want {
		t.Errorf("have %s, want %s", have, want)
	}
	given, _ := load(t, examples(t)[0])
	five, again := *given.Policies.MaxDeletions, Default(given)
	if !reflect.DeepEqual(given, again) || five != 5 {
		t.Error("Default changes what is given")
	}
	zero, problems := load(t, examples(t)[1]+"policies: {maxDeletions: 0}\n")
	if len(problems) > 0 || *zero.Policies.MaxDeletions != 0 {
		t.Errorf("have %v, %v: 0 is a choice, not an absence", *zero.Policies.MaxDeletions, problems)
	}
}

func TestDefaultLeavesItsInput(t *testing.T) {
	in := Config{Hosts: map[string]Host{"m": {Address: "mirrors2"}}}
	if out := Default(in); in.Hosts["m"].Address != "mirrors2" || out.Hosts["m"].Address != "mirrors2:22" {
		t.Errorf("have %+v from %+v", out.Hosts, in.Hosts)
	}
}

func TestLoadUnreadable(t *testing.T) {
	_, _, err := Load("/etc/x.yaml", func(name string) ([]byte, error) {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	})
	if err == nil || !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "/etc/x.yaml") || !strings.Contains(err.Error(), "--config") {
		t.Errorf("have %v", err)
	}
}

func TestParseLocation(t *testing.T) {
	for text, want := range map[string]Location{
		"/srv/git/infra.git/":               {Transport: Local, Path: "/srv/git/infra.git"},
		"file:///srv/git/in%20fra.git":      {Transport: Local, Path: "/srv/git/in fra.git"},
		"/srv/git/in fra.git":               {Transport: Local, Path: "/srv/git/in fra.git"},
		"file://localhost/srv/git":          {Transport: Local, Path: "/srv/git"},
		"https://Git.Example/a/b.git":       {Transport: HTTPS, Host: "Git.Example", Port: 443, Path: "/a/b.git", url: "https://Git.Example/a/b.git"},
		"HTTPS://git.example:8443/a":        {Transport: HTTPS, Host: "git.example", Port: 8443, Path: "/a", url: "https://git.example:8443/a"},
		"ssh://git@git.example/a.git":       {Transport: SSH, User: "git", Host: "git.example", Port: 22, Path: "/a.git", url: "ssh://git@git.example/a.git"},
		"ssh://git@[2001:db8::1]:2222/a":    {Transport: SSH, User: "git", Host: "2001:db8::1", Port: 2222, Path: "/a", url: "ssh://git@[2001:db8::1]:2222/a"},
		"git@git.example:group/infra.git":   {Transport: SSH, User: "git", Host: "git.example", Port: 22, Path: "group/infra.git", url: "git@git.example:group/infra.git"},
		"git@git.example:/srv/git/infra.gi": {Transport: SSH, User: "git", Host: "git.example", Port: 22, Path: "/srv/git/infra.gi", url: "git@git.example:/srv/git/infra.gi"},
	} {
		have, err := ParseLocation(text)
		if err != nil || have != want {
			t.Errorf("%s: have %+v, %v, want %+v", text, have, err, want)
		}
		if again, err := ParseLocation(have.String()); err != nil || again != have {
			t.Errorf("%s: String does not parse to the same: %+v, %v", text, again, err)
		}
	}
	for text, want := range map[string]string{
		"":                            "required",
		"infra":                       "neither an absolute directory nor a URL",
		"./infra":                     "neither",
		"git.example:infra.git":       "names no user",
		"git@git.example:22/infra":    "may be a port or a directory; write ssh://git@git.example:22/infra",
		"/srv/a\tb":                   "a control character",
		"file://other/srv":            `names the host "other"`,
		"http://h/a":                  "not encrypted",
		"git://h/a":                   "not encrypted",
		"svn://h/a":                   `scheme "svn" is not known`,
		"https://h":                   "names no repository",
		"https:///a":                  "names no host",
		"https://h:0/a":               "port 0",
		"https://h/a?token=hunter2":   "has a query",
		"https://hunter2@h/a":         "carries a user name or a token",
		"https://u:hunter2@h/a":       "carries a password",
		"https://u:hunter2@h:x y/a":   "a space",
		"https://u:hunter2@h:port/a":  "is not a URL",
		"ssh://h/a":                   "names no user",
		"ssh://git:hunter2@h/a":       "carries a password",
		"ssh://git@h/~/a":             "~ in an ssh:// URL",
		"ssh://git@h/a\nProxyCommand": "control character",
	} {
		_, err := ParseLocation(text)
		var bad *LocationError
		if !errors.As(err, &bad) || bad.Hint == "" || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%q: have %v, want %q", text, err, want)
		}
	}
}

func TestSecretIsNeverPrinted(t *testing.T) {
	s := Secret("hunter2")
	holder := struct {
		S  Secret
		P  *Secret
		M  map[string]Secret
		In any
	}{s, &s, map[string]Secret{"k": s}, s}
	text := fmt.Sprintf("%v %+v %#v %s %q %x %d %T", holder, holder, holder, s, s, s, s, s) + fmt.Sprint(s, []Secret{s}, fmt.Errorf("x %v", s))
	j, err := json.Marshal(holder)
	if err != nil {
		t.Fatal(err)
	}
	text += string(j)
	m, err := s.MarshalText()
	if err != nil {
		t.Fatal(err)
	}
	text += string(m)
	for _, bad := range []string{"hunter2", "68756e74657232", "104 117"} {
		if strings.Contains(text, bad) {
			t.Errorf("have %s", text)
		}
	}
	if !strings.Contains(text, Redacted) || s.Reveal() != "hunter2" {
		t.Errorf("have %s", text)
	}
	if have := Redact("a hunter2 b ab", s, "", "ab"); have != "a [redacted] b ab" {
		t.Errorf("have %q", have)
	}
}

func FuzzLoad(f *testing.F) {
	files, _ := filepath.Glob("testdata/*.txtar")
	for _, file := range files {
		a, err := txtar.ParseFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(a.Files[0].Data))
	}
	for _, text := range examples(f) {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		c, problems := load(t, text)
		for _, p := range problems {
			if p.File != "in.yaml" || p.Line < 1 || p.Column < 1 || p.Text == "" || strings.ContainsAny(p.String(), "\n\r\x1b") {
				t.Errorf("bad problem %+v", p)
			}
		}
		if len(problems) > 0 {
			return
		}
		if _, err := ParseLocation(c.Source.URL); err != nil {
			t.Errorf("an accepted url does not parse: %v", err)
		}
		for name, cluster := range c.Clusters {
			if _, err := cluster.Pin(); err != nil {
				t.Errorf("%s: an accepted fingerprint does not parse: %v", name, err)
			}
		}
		if again := Validate(Default(c)); len(again) > 0 {
			t.Errorf("accepted, and then %v", again)
		}
	})
}
