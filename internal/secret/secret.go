// Package secret reads tokens and keys from files and environment variables.
// It refuses files that others may read, and never repeats what it has read.
package secret

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/user"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"unicode/utf8"

	"github.com/ustclug/pve-reconcile/internal/config"
)

// limit is more than any token or key needs.
const limit = 64 << 10

// Token reads the API token of a cluster, from its file or its variable.
func Token(c config.Cluster) (config.Token, error) {
	from, read := c.TokenFile, Line
	if c.TokenFile == "" {
		from, read = "environment variable "+c.TokenEnv, func(string) (config.Secret, error) { return Env(c.TokenEnv) }
	}
	s, err := read(c.TokenFile)
	if err != nil {
		return config.Token{}, err
	}
	t, err := config.ParseToken(s)
	if err != nil {
		return config.Token{}, fmt.Errorf("%s: %w", from, err)
	}
	return t, nil
}

// Line reads a secret that is one line: a token or a password. A line break
// at its end is no part of it.
func Line(file string) (config.Secret, error) {
	s, err := read(file)
	if err != nil {
		return "", err
	}
	text, err := oneLine(s)
	if err != nil {
		return "", fmt.Errorf("%s: %w", file, err)
	}
	return config.Secret(text), nil
}

// Key reads a private key file as it is.
func Key(file string) (config.Secret, error) {
	s, err := read(file)
	if err != nil {
		return "", err
	}
	text := string(s)
	switch {
	case strings.HasPrefix(text, "ssh-"), strings.HasPrefix(text, "ecdsa-"):
		return "", fmt.Errorf("%s: this is a public key; name the file without .pub", file)
	case !strings.Contains(text, "-----BEGIN "):
		return "", fmt.Errorf("%s: this is not a private key; it has to contain a line -----BEGIN ... PRIVATE KEY-----", file)
	}
	return config.Secret(text), nil
}

// Env reads a secret that is one line from an environment variable.
func Env(name string) (config.Secret, error) {
	text, ok := os.LookupEnv(name)
	if !ok {
		return "", fmt.Errorf("environment variable %s is not set", name)
	}
	text, err := oneLine([]byte(text))
	if err != nil {
		return "", fmt.Errorf("environment variable %s: %w", name, err)
	}
	return config.Secret(text), nil
}

func oneLine(b []byte) (string, error) {
	text := strings.TrimSuffix(strings.TrimSuffix(string(b), "\n"), "\r")
	switch lines := strings.Count(text, "\n") + 1; {
	case strings.TrimSpace(text) == "":
		return "", errors.New("holds nothing; write the secret there, on one line")
	case lines > 1:
		return "", fmt.Errorf("holds %d lines; one is wanted, without comments and empty lines", lines)
	case strings.HasPrefix(text, "\ufeff"):
		return "", errors.New("begins with a byte order mark; save it as plain UTF-8")
	case strings.TrimSpace(text) != text:
		return "", errors.New("has spaces before or after the secret; remove them")
	case !utf8.ValidString(text), strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r == 0x7f }):
		return "", errors.New("holds bytes that are no text; write the secret as one line of text")
	}
	return text, nil
}

// read opens without waiting (a named pipe would) and checks what it opened,
// so that nobody can exchange the file in between.
func read(name string) ([]byte, error) {
	f, err := os.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("%s: there is no such file; write the secret there, then: chmod 600 %s", name, quote(name))
	case errors.Is(err, fs.ErrPermission):
		return nil, fmt.Errorf("%s: this program runs as %s, which may not read it; give it the file: chown %s %s", name, userName(os.Geteuid()), userName(os.Geteuid()), quote(name))
	case err != nil:
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	switch {
	case info.IsDir():
		return nil, fmt.Errorf("%s: this is a directory; name the file in it", name)
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("%s: this is not a regular file", name)
	}
	if err := private(name, info, os.Geteuid(), os.Getegid()); err != nil {
		return nil, err
	}
	b, err := io.ReadAll(io.LimitReader(f, limit+1))
	switch {
	case err != nil:
		return nil, err
	case len(b) == 0:
		return nil, fmt.Errorf("%s: the file is empty; write the secret there", name)
	case len(b) > limit:
		return nil, fmt.Errorf("%s: the file is larger than %d KiB; this is not a token or a key", name, limit>>10)
	}
	return b, nil
}

// private refuses a file that others than its owner may read or write. One
// case is let through: a file of root that the group of this program, not
// running as root, may read: a service account then uses a secret it cannot
// change. Other groups are refused, because nobody reviews who is in them.
func private(name string, info fs.FileInfo, uid, gid int) error {
	mode := info.Mode().Perm()
	if mode&0o077 == 0 {
		return nil
	}
	owner, group := 0, 0
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		owner, group = int(st.Uid), int(st.Gid)
	}
	if mode&0o037 == 0 && owner == 0 && uid != 0 && group == gid {
		return nil
	}
	who, verb := "everybody", "read"
	switch {
	case mode&0o007 == 0:
		who = "the group " + groupName(group)
		if mode&0o040 == 0 {
			verb = "change"
		}
	case mode&0o004 == 0:
		verb = "change"
	}
	return fmt.Errorf("%s: %s may %s this secret (mode %04o); run: chmod 600 %s", name, who, verb, mode, quote(name))
}

func userName(uid int) string {
	if u, err := user.LookupId(strconv.Itoa(uid)); err == nil {
		return u.Username
	}
	return strconv.Itoa(uid)
}

func groupName(gid int) string {
	if g, err := user.LookupGroupId(strconv.Itoa(gid)); err == nil {
		return g.Name
	}
	return strconv.Itoa(gid)
}

var plain = regexp.MustCompile(`^[A-Za-z0-9_./+:@%-]+$`)

// quote makes a file name safe to paste into a shell.
func quote(name string) string {
	if plain.MatchString(name) {
		return name
	}
	return "'" + strings.ReplaceAll(name, "'", `'\''`) + "'"
}
