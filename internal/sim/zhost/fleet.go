package zhost

import (
	"context"
	"encoding/pem"
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"

	"golang.org/x/crypto/ssh"
)

// Fleet is the simulated hosts of one world. It notes what must never happen to their guests.
type Fleet struct {
	hosts map[string]*Host

	mu    sync.Mutex
	wrong []violation
}

// violation is what must never happen, and whose start it was.
type violation struct {
	text  string
	guest *Guest
}

// NewFleet makes hosts of their texts, by name.
func NewFleet(texts map[string]string, o Options) (*Fleet, error) {
	f := &Fleet{hosts: map[string]*Host{}}
	for _, name := range slices.Sorted(maps.Keys(texts)) {
		each := o
		if o.Dir != "" {
			each.Dir = filepath.Join(o.Dir, name)
		}
		h, err := New(name, texts[name], each)
		if err != nil {
			return nil, errors.Join(err, f.Close())
		}
		f.hosts[name] = h
		h.mu.Lock()
		h.booted = f.booted
		h.mu.Unlock()
	}
	return f, nil
}

// Host finds a host by its name, or nil.
func (f *Fleet) Host(name string) *Host { return f.hosts[name] }

// Names lists the hosts.
func (f *Fleet) Names() []string { return slices.Sorted(maps.Keys(f.hosts)) }

// Close ends all hosts.
func (f *Fleet) Close() error {
	var all error
	for _, h := range f.hosts {
		all = errors.Join(all, h.Close())
	}
	return all
}

// Violations are the events that must never happen, as they happened: a guest that runs twice, and one that booted on bytes
// that are not the last state of the guest of the same name elsewhere.
func (f *Fleet) Violations() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var out []string
	for _, v := range f.wrong {
		out = append(out, v.text)
	}
	return out
}

func (f *Fleet) violated(g *Guest, format string, args ...any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.wrong = append(f.wrong, violation{fmt.Sprintf(format, args...), g})
}

// ByHand takes back the violations that a person's start of a guest has made, and tells how many they were. The guest's next
// start counts as its first: what it has written by then is to be gone.
func (f *Fleet) ByHand(guest *Guest) int {
	guest.host.mu.Lock()
	guest.starts = 0
	guest.host.mu.Unlock()
	f.mu.Lock()
	defer f.mu.Unlock()
	all := len(f.wrong)
	f.wrong = slices.DeleteFunc(f.wrong, func(v violation) bool { return v.guest == guest })
	return all - len(f.wrong)
}

// booted looks at a guest that has just started. Its host is locked, the others are not.
func (f *Fleet) booted(g *Guest, files []string) {
	for _, h := range f.hosts {
		if h == g.host {
			continue
		}
		for _, other := range h.guests {
			if other.Name != g.Name {
				continue
			}
			if other.up.Load() {
				f.violated(g, "guest %s started on %s while it runs on %s", g.Name, g.host.Name, h.Name)
			}
			last := other.last.Load()
			if g.starts > 1 || last == nil {
				continue // it has a state of its own, or the other one never had any
			}
			for i, file := range files {
				if i >= len(*last) {
					break
				}
				if same, err := samePrefix((*last)[i], file); err != nil || !same {
					f.violated(g, "guest %s booted on %s from bytes that are not the last state of %s on %s (%v)", g.Name, g.host.Name, g.Disks[i], h.Name, err)
				}
			}
		}
	}
}

// ServeSSH serves all hosts over SSH on loopback ports, and writes into a directory what a client needs: id_ed25519,
// known_hosts, and hosts.yaml with the hosts: section of a config file.
func (f *Fleet) ServeSSH(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	signer, private, err := newSigner()
	if err != nil {
		return err
	}
	block, err := ssh.MarshalPrivateKey(private, "simulated")
	if err != nil {
		return err
	}
	keyFile, err := filepath.Abs(filepath.Join(dir, "id_ed25519"))
	if err != nil {
		return err
	}
	if err := os.WriteFile(keyFile, pem.EncodeToMemory(block), 0o600); err != nil {
		return err
	}
	for _, name := range f.Names() {
		if _, err := f.hosts[name].ListenSSH("127.0.0.1:0", signer.PublicKey()); err != nil {
			return err
		}
	}
	return f.writeKnown(dir, keyFile)
}

func (f *Fleet) writeKnown(dir, keyFile string) error {
	known := filepath.Join(filepath.Dir(keyFile), "known_hosts")
	var keys, config strings.Builder
	config.WriteString("hosts:\n")
	for _, name := range f.Names() {
		h := f.hosts[name]
		host, port, err := net.SplitHostPort(h.door.addr)
		if err != nil {
			return err
		}
		fmt.Fprintf(&keys, "[%s]:%s %s", host, port, ssh.MarshalAuthorizedKey(h.HostKey()))
		fmt.Fprintf(&config, "  %s: {address: %q, user: root, keyFile: %s, knownHostsFile: %s}\n", name, h.door.addr, keyFile, known)
	}
	if err := os.WriteFile(known, []byte(keys.String()), 0o600); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "hosts.yaml"), []byte(config.String()), 0o600)
}

// watching is how the API simulator asks whether a guest runs.
var watching = regexp.MustCompile(`^if (.*) >/dev/null; then echo running; else echo stopped; fi$`)

// Shell runs a command line on the host and returns its standard output; the error's text is what it wrote to standard
// error. A line of nothing but the host's own commands needs no shell.
func (h *Host) Shell(line string) (string, error) {
	h.mu.Lock()
	off := h.off
	h.mu.Unlock()
	if off {
		return "", errOff
	}
	if m := watching.FindStringSubmatch(line); m != nil {
		if _, err := h.Shell(m[1]); errors.Is(err, errOff) {
			return "", err
		} else if err != nil {
			return "stopped\n", nil
		}
		return "running\n", nil
	}
	var all [][]string
	for part := range strings.SplitSeq(line, " && ") {
		words, ok := plainWords(part)
		if !ok || len(words) == 0 || programs[words[0]] == nil {
			return h.outcome(h.Run(context.Background(), line, strings.NewReader("")))
		}
		all = append(all, words)
	}
	var out strings.Builder
	for _, words := range all {
		var errs strings.Builder
		if code := h.command(context.Background(), words, strings.NewReader(""), &out, &errs); code != 0 {
			return h.outcome(out.String(), errs.String(), code)
		}
	}
	return out.String(), nil
}

func (h *Host) outcome(out, errs string, code int) (string, error) {
	if code == 0 {
		return out, nil
	}
	if text := strings.TrimSpace(errs); text != "" {
		return out, errors.New(text)
	}
	return out, fmt.Errorf("exit code %d", code)
}

// plainWords splits a command of words without meaning to a shell, and words in single quotes.
func plainWords(line string) (words []string, ok bool) {
	word, inside, any := "", false, false
	for _, r := range line {
		switch {
		case r == '\'':
			inside, any = !inside, true
		case inside:
			word += string(r)
		case r == ' ':
			if any || word != "" {
				words = append(words, word)
			}
			word, any = "", false
		case strings.ContainsRune("|&;<>()$`\\\"*?[]#~{}!\n\t", r):
			return nil, false
		default:
			word += string(r)
		}
	}
	if any || word != "" {
		words = append(words, word)
	}
	return words, !inside
}
