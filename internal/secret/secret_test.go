package secret

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ustclug/pve-reconcile/internal/config"
)

const (
	uuid  = "12345678-abcd-ef01-2345-6789abcdef01"
	token = "reconcile@pve!gitops=" + uuid
)

func file(t *testing.T, mode fs.FileMode, content string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(name, mode); err != nil {
		t.Fatal(err)
	}
	return name
}

func TestLine(t *testing.T) {
	for content, want := range map[string]string{
		"hunter2":     "hunter2",
		"hunter2\n":   "hunter2",
		"hunter2\r\n": "hunter2",
		"hun ter2\n":  "hun ter2",
	} {
		have, err := Line(file(t, 0o600, content))
		if err != nil || have.Reveal() != want {
			t.Errorf("%q: have %q, %v, want %q", content, have.Reveal(), err, want)
		}
	}
	for content, want := range map[string]string{
		"":                            "the file is empty",
		"\n":                          "holds nothing",
		" \n":                         "holds nothing",
		"hunter2\n\n":                 "holds 2 lines",
		"# token\nhunter2\n":          "holds 2 lines",
		" hunter2\n":                  "spaces before or after",
		"hunter2 \n":                  "spaces before or after",
		"\ufeffhunter2\n":             "byte order mark",
		"hunter2\x00":                 "no text",
		"hunter2\xff":                 "no text",
		strings.Repeat("x", limit+10): "larger than 64 KiB",
	} {
		name := file(t, 0o600, content)
		_, err := Line(name)
		wantError(t, err, name, want)
	}
}

// wantError also checks that nothing of the secret is in the text.
func wantError(t *testing.T, err error, texts ...string) {
	t.Helper()
	if err == nil {
		t.Fatalf("have no error, want %q", texts)
	}
	for _, text := range texts {
		if !strings.Contains(err.Error(), text) {
			t.Errorf("have %q, want it to hold %q", err, text)
		}
	}
	for _, part := range []string{"hunter2", uuid, "6789abcdef01", "xxxx"} {
		if strings.Contains(err.Error(), part) {
			t.Errorf("the secret is in %q", err)
		}
	}
}

func TestFilesThatAreNone(t *testing.T) {
	dir := t.TempDir()
	_, err := Line(dir)
	wantError(t, err, dir, "this is a directory")
	_, err = Line(filepath.Join(dir, "no such"))
	wantError(t, err, "there is no such file", "chmod 600 '"+dir+"/no such'")
	pipe := filepath.Join(dir, "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err = Line(pipe) // must not wait for a writer
	wantError(t, err, pipe, "not a regular file")
}

func TestModes(t *testing.T) {
	for _, mode := range []fs.FileMode{0o600, 0o400, 0o700} {
		if _, err := Line(file(t, mode, "hunter2\n")); err != nil {
			t.Errorf("%04o: %v", mode, err)
		}
	}
	for mode, want := range map[fs.FileMode]string{
		0o644: "everybody may read this secret (mode 0644)",
		0o604: "everybody may read this secret (mode 0604)",
		0o602: "everybody may change this secret (mode 0602)",
		0o601: "(mode 0601)",
		0o620: "may change this secret (mode 0620)",
		0o660: "may read this secret (mode 0660)",
	} {
		name := file(t, mode, "hunter2\n")
		_, err := Line(name)
		wantError(t, err, name+": ", want, "run: chmod 600 "+name)
		if err := os.Chmod(name, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Line(name); err != nil {
			t.Errorf("after the chmod that the text says: %v", err)
		}
	}
}

// fileInfo is a file as stat would describe it.
type fileInfo struct {
	mode     fs.FileMode
	uid, gid uint32
}

func (i fileInfo) Name() string       { return "token" }
func (i fileInfo) Size() int64        { return 1 }
func (i fileInfo) Mode() fs.FileMode  { return i.mode }
func (i fileInfo) ModTime() time.Time { return time.Time{} }
func (i fileInfo) IsDir() bool        { return false }
func (i fileInfo) Sys() any           { return &syscall.Stat_t{Uid: i.uid, Gid: i.gid} }

func TestGroups(t *testing.T) {
	for _, test := range []struct {
		info     fileInfo
		uid, gid int
		want     bool
	}{
		{fileInfo{0o640, 0, 990}, 990, 990, true},  // root's, for the service account
		{fileInfo{0o440, 0, 990}, 990, 990, true},  //
		{fileInfo{0o660, 0, 990}, 990, 990, false}, // it could change it
		{fileInfo{0o650, 0, 990}, 990, 990, false}, //
		{fileInfo{0o644, 0, 990}, 990, 990, false}, // and everybody
		{fileInfo{0o640, 0, 33}, 990, 990, false},  // another group
		{fileInfo{0o640, 990, 990}, 990, 990, false},
		{fileInfo{0o640, 0, 0}, 0, 0, false},
		{fileInfo{0o600, 1000, 1000}, 0, 0, true},
	} {
		err := private("token", test.info, test.uid, test.gid)
		if (err == nil) != test.want {
			t.Errorf("%+v: have %v", test, err)
		}
	}
}

func TestKey(t *testing.T) {
	const key = "-----BEGIN OPENSSH PRIVATE KEY-----\nhunter2\n-----END OPENSSH PRIVATE KEY-----\n"
	have, err := Key(file(t, 0o600, key))
	if err != nil || have.Reveal() != key {
		t.Errorf("have %v", err)
	}
	_, err = Key(file(t, 0o600, "ssh-ed25519 AAAA hunter2\n"))
	wantError(t, err, "this is a public key", ".pub")
	_, err = Key(file(t, 0o600, "hunter2\n"))
	wantError(t, err, "not a private key")
	_, err = Key(file(t, 0o644, key))
	wantError(t, err, "chmod 600")
}

func TestToken(t *testing.T) {
	want := config.Token{ID: "reconcile@pve!gitops", Value: uuid}
	have, err := Token(config.Cluster{TokenFile: file(t, 0o600, token+"\n")})
	if err != nil || have != want {
		t.Errorf("have %+v, %v", have, err)
	}
	t.Setenv("TEST_TOKEN", token)
	have, err = Token(config.Cluster{TokenEnv: "TEST_TOKEN"})
	if err != nil || have != want {
		t.Errorf("have %+v, %v", have, err)
	}
	t.Setenv("TEST_TOKEN", "ann@example.org@ldap!ci="+uuid)
	have, err = Token(config.Cluster{TokenEnv: "TEST_TOKEN"})
	if err != nil || have.ID != "ann@example.org@ldap!ci" {
		t.Errorf("have %+v, %v", have, err)
	}
	_, err = Token(config.Cluster{TokenEnv: "TEST_TOKEN_UNSET"})
	wantError(t, err, "environment variable TEST_TOKEN_UNSET is not set")
	t.Setenv("TEST_TOKEN", "")
	_, err = Token(config.Cluster{TokenEnv: "TEST_TOKEN"})
	wantError(t, err, "environment variable TEST_TOKEN: holds nothing")
	for content, want := range map[string]string{
		uuid:                                 "user@realm!name= is missing",
		"PVEAPIToken=" + token:               "name of a header",
		`"` + token + `"`:                    "in quotes",
		"reconcile@pve!gitops " + uuid:       "no =",
		"reconcile!gitops=" + uuid:           "no @realm",
		"root@pam=hunter2":                   "no !name",
		"reconcile@pve!git ops=" + uuid:      "not user@realm!name",
		"reconcile@pve!gitops=hunter2":       "not a UUID",
		"reconcile@pve!gitops=" + uuid + "x": "not a UUID",
	} {
		name := file(t, 0o600, content+"\n")
		_, err := Token(config.Cluster{TokenFile: name})
		wantError(t, err, name, want)
	}
}
