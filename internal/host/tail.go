package host

import (
	"context"
	"strconv"
	"strings"
	"sync"
)

// tailMost is how much of standard error is kept: a command that complains for hours must not fill the memory.
const tailMost = 16 << 10

// tail keeps the end of standard error and finds the number of the process group in it.
type tail struct {
	mark   string
	listen func(string)

	mu    sync.Mutex
	kept  []byte
	line  []byte
	group int
	found chan struct{}
}

func newTail(mark string, listen func(string)) *tail {
	return &tail{mark: mark, listen: listen, found: make(chan struct{})}
}

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, b := range p {
		t.line = append(t.line, b)
		if b == '\n' || len(t.line) >= tailMost {
			t.take()
		}
	}
	return len(p), nil
}

// flush takes a last line without its end.
func (t *tail) flush() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.line) > 0 {
		t.take()
	}
}

func (t *tail) take() {
	text := string(t.line)
	t.line = t.line[:0]
	if rest, ok := strings.CutPrefix(text, "reconcile-run "+t.mark+" "); ok && t.group == 0 {
		t.group, _ = strconv.Atoi(strings.TrimSpace(rest))
		close(t.found)
		return
	}
	if t.listen != nil {
		t.listen(strings.TrimRight(text, "\r\n"))
	}
	t.kept = append(t.kept, text...)
	if over := len(t.kept) - tailMost; over > 0 {
		t.kept = append(t.kept[:0], t.kept[over:]...)
	}
}

func (t *tail) text() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.kept) + string(t.line)
}

// pid is the process group, 0 while it is not known.
func (t *tail) pid() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.group
}

func (t *tail) waitPid(ctx context.Context) int {
	select {
	case <-t.found:
	case <-ctx.Done():
	}
	return t.pid()
}
