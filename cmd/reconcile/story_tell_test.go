package main

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// tellWords are the words of stories about what the daemon tells.
//
//	systemd                listen as systemd does, with a watchdog of 3 s
//	heard PATTERN          until systemd was told something that matches; what was told before the match is forgotten
//	ask CODE URL PATTERN   GET a URL until the status is CODE and the answer matches
//	receiver NAME          serve a place that takes POSTs, and put its URL into $NAME
//	received PATTERN       until one of them got a body that matches; bodies before the match are forgotten
//	mute, unmute           they answer nobody, and again
var tellWords = map[string]func(*testscript.TestScript, bool, []string){
	"systemd": cmdSystemd, "ask": cmdAsk, "receiver": cmdReceiver,
	"heard":    func(ts *testscript.TestScript, _ bool, args []string) { of(ts).systemd.await(ts, args[0]) },
	"received": func(ts *testscript.TestScript, _ bool, args []string) { of(ts).posts.await(ts, args[0]) },
	"mute":     func(ts *testscript.TestScript, _ bool, _ []string) { of(ts).posts.mute.Store(true) },
	"unmute":   func(ts *testscript.TestScript, _ bool, _ []string) { of(ts).posts.mute.Store(false) },
}

// earshot is what was told on a socket.
type earshot struct {
	mu   sync.Mutex
	text string
	mute atomic.Bool
}

func cmdSystemd(ts *testscript.TestScript, _ bool, _ []string) {
	dir, err := os.MkdirTemp("", "notify") // the path of a socket is short
	ts.Check(err)
	ts.Defer(func() { _ = os.RemoveAll(dir) })
	l, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Net: "unixgram", Name: dir + "/n"})
	ts.Check(err)
	ts.Defer(func() { _ = l.Close() })
	ts.Setenv("NOTIFY_SOCKET", dir+"/n")
	ts.Setenv("WATCHDOG_USEC", "3000000")
	e := &earshot{}
	of(ts).systemd = e
	go func() {
		b := make([]byte, 4096)
		for {
			n, err := l.Read(b)
			if err != nil {
				return
			}
			e.hear(string(b[:n]))
		}
	}()
}

func cmdReceiver(ts *testscript.TestScript, _ bool, args []string) {
	e := &of(ts).posts
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, q *http.Request) {
		if e.mute.Load() {
			panic(http.ErrAbortHandler) // the connection breaks without an answer
		}
		body, _ := io.ReadAll(q.Body)
		e.hear(q.URL.Path + " " + string(body))
	}))
	ts.Defer(server.Close)
	ts.Setenv(args[0], server.URL)
}

func (e *earshot) hear(text string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.text += text + "\n"
}

// await waits until something that matches was told.
func (e *earshot) await(ts *testscript.TestScript, pattern string) {
	want := regexp.MustCompile("(?m)" + pattern)
	for began := time.Now(); ; time.Sleep(20 * time.Millisecond) {
		e.mu.Lock()
		at := want.FindStringIndex(e.text)
		if at != nil {
			e.text = e.text[at[1]:]
		}
		text := e.text
		e.mu.Unlock()
		if at != nil {
			return
		}
		if time.Since(began) > patience {
			ts.Fatalf("never told %q, but\n%s", pattern, text)
		}
	}
}

func cmdAsk(ts *testscript.TestScript, _ bool, args []string) {
	want := regexp.MustCompile("(?m)" + args[2])
	for began := time.Now(); ; time.Sleep(50 * time.Millisecond) {
		code, text := get(args[1])
		if strconv.Itoa(code) == args[0] && want.MatchString(text) {
			return
		}
		if time.Since(began) > patience {
			ts.Fatalf("%s answers %d:\n%s", args[1], code, strings.TrimSpace(text))
		}
	}
}

// get asks once; 0 is nobody.
func get(url string) (code int, text string) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	q, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, err.Error()
	}
	res, err := http.DefaultClient.Do(q)
	if err != nil {
		return 0, err.Error()
	}
	defer res.Body.Close()
	body, _ := io.ReadAll(res.Body)
	return res.StatusCode, string(body)
}
