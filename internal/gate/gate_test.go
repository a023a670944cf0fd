package gate

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ustclug/pve-reconcile/internal/config"
	"github.com/ustclug/pve-reconcile/internal/source"
	"github.com/ustclug/pve-reconcile/internal/state"
)

// yard is a repository with a gate before it.
type yard struct {
	t        *testing.T
	repo     string
	stateDir string
	source   *source.Source
	verify   *config.Verify
}

func newYard(t *testing.T) *yard {
	t.Helper()
	y := &yard{t: t, repo: filepath.Join(t.TempDir(), "repo"), stateDir: filepath.Join(t.TempDir(), "state")}
	y.git("init", "-q", "-b", "main", y.repo)
	var err error
	if y.source, err = source.Open(config.Source{URL: y.repo}, source.Options{}); err != nil {
		t.Fatal(err)
	}
	return y
}

func (y *yard) git(args ...string) string {
	y.t.Helper()
	cmd := exec.Command("git", args...)
	if args[0] != "init" {
		cmd.Dir = y.repo
	}
	cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_NOSYSTEM=1", "LC_ALL=C",
		"GIT_AUTHOR_NAME=Ann", "GIT_AUTHOR_EMAIL=a@b", "GIT_COMMITTER_NAME=Ann", "GIT_COMMITTER_EMAIL=a@b")
	out, err := cmd.CombinedOutput()
	if err != nil {
		y.t.Fatalf("git %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out))
}

func (y *yard) commit(subject string) string {
	y.t.Helper()
	y.git("commit", "-q", "--allow-empty", "-m", subject)
	return y.git("rev-parse", "HEAD")
}

func (y *yard) gate() Gate {
	return Gate{Source: y.source, StateDir: y.stateDir, MaxShrink: 50, Verify: y.verify, Outside: []string{y.stateDir, y.repo}, Now: time.Now}
}

func (y *yard) ledger() *state.Ledger {
	y.t.Helper()
	l, err := state.Open(y.stateDir)
	if err != nil {
		y.t.Fatal(err)
	}
	return l
}

// pass is what a run does: it looks at the newest revision, and remembers it when it is let through.
func (y *yard) pass(objects int) string {
	y.t.Helper()
	rev, err := y.source.Fetch(context.Background())
	if err != nil {
		y.t.Fatal(err)
	}
	a, err := y.gate().Examine(context.Background(), rev, y.ledger())
	if err != nil {
		return err.Error()
	}
	if a.Finding == nil || !a.Finding.Reason.Blocks() {
		a.Weigh(objects, false)
	}
	if err := a.Record(); err != nil {
		y.t.Fatal(err)
	}
	if a.Finding == nil {
		return strings.Join(append([]string{"passes"}, a.Notes...), "; ")
	}
	return a.Finding.Error()
}

func (y *yard) want(objects int, texts ...string) {
	y.t.Helper()
	have := y.pass(objects)
	for _, text := range texts {
		if !strings.Contains(have, text) {
			y.t.Errorf("have %q, want it to hold %q", have, text)
		}
	}
}

func (y *yard) ack(commit string, objects int) error {
	y.t.Helper()
	tip, err := y.source.Fetch(context.Background())
	if err != nil {
		y.t.Fatal(err)
	}
	rev, err := y.source.Find(context.Background(), tip.Commit, commit)
	if err != nil {
		return err
	}
	a, err := y.gate().Acknowledge(context.Background(), tip.Commit, rev, y.ledger(), func() (int, error) { return objects, nil })
	if err != nil {
		return err
	}
	return a.Accept()
}

func TestHistoryIsFollowed(t *testing.T) {
	y := newYard(t)
	first := y.commit("first")
	y.want(1, "passes; nothing is known to be applied before", first[:10])
	before, err := os.ReadFile(filepath.Join(y.stateDir, "source.json"))
	if err != nil {
		t.Fatal(err)
	}
	if have := y.pass(1); have != "passes" {
		t.Errorf("have %q", have)
	}
	if after, _ := os.ReadFile(filepath.Join(y.stateDir, "source.json")); string(after) != string(before) {
		t.Error("no news was written")
	}
	y.commit("second")
	second := y.commit("third")
	y.want(1, "passes")
	y.git("reset", "-q", "--hard", first)
	y.want(1, "HistoryRewritten", "is now at "+first[:10]+", which does not descend from "+second[:10])
	other := y.commit("another second")
	tip := y.commit("another third")
	y.want(1, "HistoryRewritten", "is now at "+tip[:10])

	if err := y.ack(first, 1); err == nil || !strings.Contains(err.Error(), "was applied before, and the branch went on from there: acknowledge a commit that is new, as "+tip[:10]) {
		t.Errorf("the common ancestor: have %v", err)
	}
	if err := y.ack(other[:8], 1); err != nil {
		t.Fatal(err)
	}
	if have := y.pass(1); have != "passes" {
		t.Errorf("have %q after its ancestor was acknowledged", have)
	}
	if err := y.ack(tip, 1); !errors.Is(err, ErrNothingToAcknowledge) {
		t.Errorf("have %v", err)
	}
	y.git("reset", "-q", "--hard", second)
	y.want(1, "HistoryRewritten")
}

// Without source.json the revisions begun on the objects are what must not be left.
func TestLedgerIsEnough(t *testing.T) {
	y := newYard(t)
	first := y.commit("first")
	y.want(2, "passes")
	second := y.commit("second")
	y.want(2, "passes")
	if err := y.ledger().Begin("ustc/200", "VirtualMachine", "a", second); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(y.stateDir, "source.json")); err != nil {
		t.Fatal(err)
	}
	y.git("reset", "-q", "--hard", first)
	y.want(2, "HistoryRewritten")
	if err := y.ack(first, 2); err != nil {
		t.Fatal(err)
	}
	if have := y.pass(2); have != "passes" { // although the ledger still names the second
		t.Errorf("have %q", have)
	}
}

func TestShrunkTreeIsNotRemembered(t *testing.T) {
	y := newYard(t)
	y.commit("first")
	y.want(4, "passes")
	for range 2 {
		y.commit("fewer")
		y.want(1, "SourceShrunk", "declare 1 of what were 4")
	}
	y.commit("three again")
	y.want(3, "passes")
	tip := y.commit("none")
	y.want(0, "SourceShrunk", "no manifest is left, there were 3")
	if err := y.ack(tip, 0); err != nil {
		t.Fatal(err)
	}
	y.commit("still none")
	if have := y.pass(0); have != "passes" {
		t.Errorf("have %q", have)
	}
}

func TestUnsigned(t *testing.T) {
	y := newYard(t)
	first := y.commit("first")
	file := filepath.Join(t.TempDir(), "allowed_signers")
	key := filepath.Join(t.TempDir(), "key")
	if out, err := exec.Command("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "x", "-f", key).CombinedOutput(); err != nil {
		t.Fatalf("ssh-keygen: %v %s", err, out)
	}
	public, err := os.ReadFile(key + ".pub")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte("ann@example.org "+string(public)), 0o600); err != nil {
		t.Fatal(err)
	}
	y.verify = &config.Verify{AllowedSigners: file}
	y.want(1, "Unverified: 1 of 1 new commits up to "+first[:10])
	sign := func() {
		y.git("-c", "gpg.format=ssh", "-c", "user.signingkey="+key+".pub", "commit", "-q", "--allow-empty", "-S", "-m", "signed")
	}
	sign()
	y.want(1, "passes") // nothing was applied before: the newest commit vouches for what it holds
	y.verify = nil
	y.want(1, "passes")
	y.verify = &config.Verify{AllowedSigners: file}

	bad := y.commit("unsigned")
	sign()
	y.want(1, "Unverified: 1 of 2 new commits")
	if err := y.ack(y.git("rev-parse", "HEAD"), 1); err == nil || !strings.HasPrefix(err.Error(), "Unverified") {
		t.Errorf("acknowledged: %v", err)
	}
	y.git("reset", "-q", "--hard", bad+"~1")
	sign()
	y.want(1, "passes")

	// Whose key leaves the file may not sign any more; what was let through stays.
	if err := os.WriteFile(file, []byte("bob@example.org ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJe2IZbY3sDbKGbxrfzWE4mZ7uRvLa0eo9P4PpbNh4Sh\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if have := y.pass(1); have != "passes" {
		t.Errorf("have %q", have)
	}
	sign()
	y.want(1, "Unverified: 1 of 1 new commits")
}

func TestTrustedFiles(t *testing.T) {
	top := t.TempDir()
	inside := filepath.Join(top, "repo")
	open := filepath.Join(top, "open")
	for _, dir := range []string{inside, open} {
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	put := func(name string, mode os.FileMode) string {
		t.Helper()
		if err := os.WriteFile(name, []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(name, mode); err != nil {
			t.Fatal(err)
		}
		return name
	}
	link := filepath.Join(top, "link")
	if err := os.Symlink(put(filepath.Join(inside, "signers"), 0o644), link); err != nil {
		t.Fatal(err)
	}
	good := put(filepath.Join(top, "good"), 0o664)
	loose := put(filepath.Join(open, "signers"), 0o644)
	if err := os.Chmod(open, 0o777); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		good:                                  "",
		put(filepath.Join(top, "bad"), 0o646): "everybody may change it (mode 0646); run: chmod o-w",
		filepath.Join(inside, "signers"):      "is inside " + inside,
		link:                                  "is inside " + inside,
		loose:                                 "everybody may replace it, since everybody may write to " + open,
		filepath.Join(top, "none"):            "there is no such file; nothing is applied without it",
		inside:                                "this is not a regular file",
	} {
		text, err := readTrusted(name, []string{inside, "/nonexistent"})
		switch {
		case want == "" && (err != nil || string(text) != "x"):
			t.Errorf("%s: have %v", name, err)
		case want != "" && (err == nil || !strings.Contains(err.Error(), want)):
			t.Errorf("%s: have %v, want %s", name, err, want)
		}
	}
}

func TestBadListOfSignersBlocks(t *testing.T) {
	y := newYard(t)
	y.commit("first")
	file := filepath.Join(t.TempDir(), "signers")
	if err := os.WriteFile(file, []byte("nobody\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	y.verify = &config.Verify{AllowedSigners: file, Keyring: file}
	y.want(1, "source.verify.allowedSigners: "+file+":1: has one word only", "source.verify.keyring: "+file+": is no OpenPGP keyring")
}

func TestStateOfANewerFormatIsRefused(t *testing.T) {
	y := newYard(t)
	y.commit("first")
	for text, want := range map[string]string{`{"version":2}`: "has format 2, this program knows 1", `{`: "is damaged", `{}`: "is damaged (it has no version)"} {
		if err := os.MkdirAll(y.stateDir, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(y.stateDir, "source.json"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		y.want(1, want)
	}
}
