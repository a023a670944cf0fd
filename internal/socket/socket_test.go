package socket

import (
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "socket")
	client := Client(path)
	if _, err := client.Get("http://daemon/"); !errors.Is(err, ErrNobody) {
		t.Errorf("before: %v", err)
	}
	l, err := Listen(path, "")
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "here") }))
	}()
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("who may use it: %v, %v", info.Mode(), err)
	}
	res, err := client.Get("http://daemon/")
	if err != nil {
		t.Fatal(err)
	}
	text, _ := io.ReadAll(res.Body)
	res.Body.Close()
	if string(text) != "here" {
		t.Errorf("%s", text)
	}
	if _, err := Listen(path, ""); err == nil || !strings.Contains(err.Error(), "another daemon answers") {
		t.Errorf("taken away from one that answers: %v", err)
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("left behind: %v", err)
	}
}

// What a dead daemon left is replaced, a file that is no socket is not.
func TestLeftBehind(t *testing.T) {
	path := filepath.Join(t.TempDir(), "socket")
	l, err := Listen(path, "")
	if err != nil {
		t.Fatal(err)
	}
	if err := l.(*listener).UnixListener.Close(); err != nil { // as a crash does: the file stays
		t.Fatal(err)
	}
	if _, err := Client(path).Get("http://daemon/"); !errors.Is(err, ErrNobody) {
		t.Errorf("dead: %v", err)
	}
	again, err := Listen(path, "")
	if err != nil {
		t.Fatal(err)
	}
	again.Close()
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Listen(path, ""); err == nil || !strings.Contains(err.Error(), "is no socket") {
		t.Errorf("a file: %v", err)
	}
	if _, err := Listen(path+"2", "no such group"); err == nil || !strings.Contains(err.Error(), "socket.group") {
		t.Errorf("a group: %v", err)
	}
}
