package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/ustclug/pve-reconcile/internal/config"
	"github.com/ustclug/pve-reconcile/internal/socket"
	"github.com/ustclug/pve-reconcile/internal/state"
	"github.com/ustclug/pve-reconcile/reconciler"
)

// serve answers on the socket until the returned function is called.
func (d *daemon) serve(ctx context.Context) (stop func(), err error) {
	l, err := socket.Listen(d.config.Socket.Path, d.config.Socket.Group)
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /status", func(w http.ResponseWriter, _ *http.Request) { reply(w, d.status(), nil) })
	mux.HandleFunc("GET /events", func(w http.ResponseWriter, r *http.Request) { d.events.stream(ctx, w, r) })
	mux.HandleFunc("POST /trigger", func(w http.ResponseWriter, r *http.Request) { answer(w, r, d.trigger) })
	mux.HandleFunc("POST /suspend", func(w http.ResponseWriter, r *http.Request) { answer(w, r, d.suspend) })
	mux.HandleFunc("POST /resume", func(w http.ResponseWriter, r *http.Request) { answer(w, r, d.resume) })
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second, ErrorLog: zap.NewStdLog(d.log)}
	go func() {
		if err := server.Serve(l); err != nil && !errors.Is(err, http.ErrServerClosed) {
			d.log.Error("nobody can ask the daemon any more", zap.Error(err))
		}
	}()
	return func() { _ = server.Close() }, nil
}

// reply writes an answer, or an error that the one who asked prints.
func reply(w http.ResponseWriter, out any, err error) {
	w.Header().Set("Content-Type", "application/json")
	if err != nil {
		w.WriteHeader(http.StatusBadRequest)
		out = map[string]string{"error": err.Error()}
	}
	_ = encode(w, out) // who asked is gone
}

// answer reads a request of the socket and carries it out.
func answer[In, Out any](w http.ResponseWriter, r *http.Request, do func(In) (Out, error)) {
	var in In
	if err := json.NewDecoder(io.LimitReader(r.Body, 1<<20)).Decode(&in); err != nil {
		reply(w, nil, fmt.Errorf("the request is not what this daemon reads (another version?): %w", err))
		return
	}
	out, err := do(in)
	reply(w, out, err)
}

// askDaemon sends a request to the daemon. Without a daemon the error wraps socket.ErrNobody.
func askDaemon(ctx context.Context, conf config.Config, method, path string, in, out any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://daemon"+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	res, err := socket.Client(conf.Socket.Path).Do(req)
	if errors.Is(err, socket.ErrNobody) {
		return socket.ErrNobody
	}
	if err != nil {
		return fmt.Errorf("the daemon on %s: %w", conf.Socket.Path, err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		var e struct{ Error string }
		if err := json.NewDecoder(res.Body).Decode(&e); err != nil || e.Error == "" {
			return fmt.Errorf("the daemon answers %s: is it another version?", res.Status)
		}
		return errors.New(e.Error)
	}
	if err := json.NewDecoder(res.Body).Decode(out); err != nil {
		return fmt.Errorf("the daemon's answer: %w", err)
	}
	return nil
}

// feed hands events to those who follow them. One who is too slow misses some and is told so.
type feed struct {
	mu      sync.Mutex
	readers map[chan reconciler.Event]bool
}

func newFeed() *feed { return &feed{readers: map[chan reconciler.Event]bool{}} }

func (f *feed) publish(e reconciler.Event) {
	if e.Type == reconciler.EventRound {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for c := range f.readers {
		select {
		case c <- e:
		default: // cut off below: a hole is worse than an end
			delete(f.readers, c)
			close(c)
		}
	}
}

// stream sends events as they happen, one JSON object a line.
func (f *feed) stream(ctx context.Context, w http.ResponseWriter, r *http.Request) {
	c := make(chan reconciler.Event, 256)
	f.mu.Lock()
	f.readers[c] = true
	f.mu.Unlock()
	defer func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		delete(f.readers, c)
	}()
	out := http.NewResponseController(w)
	w.Header().Set("Content-Type", "application/x-ndjson")
	_ = out.Flush() // the headers: who asked knows that it is followed from now on
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	for {
		select {
		case e, ok := <-c:
			if !ok || enc.Encode(e) != nil || out.Flush() != nil {
				return
			}
		case <-r.Context().Done():
			return
		case <-ctx.Done():
			return
		}
	}
}

// objectsJSON names objects in a request; none means everything.
type objectsJSON struct {
	Objects []string   `json:"objects"`
	Reason  string     `json:"reason,omitempty"`
	By      string     `json:"by,omitempty"`
	Until   *time.Time `json:"until,omitempty"`
}

func (d *daemon) trigger(in objectsJSON) (objectsJSON, error) {
	if len(in.Objects) == 0 {
		d.current().Trigger()
		return in, nil
	}
	if unknown := d.current().Look(in.Objects); len(unknown) > 0 {
		return in, d.unknown(unknown)
	}
	return in, nil
}

// keys are what names mean: objects of the manifests, or everything.
func (d *daemon) keys(names []string) ([]string, error) {
	if len(names) == 0 {
		return []string{state.Everything}, nil
	}
	var keys, unknown []string
	for _, n := range names {
		found := d.current().Declares(n)
		if len(found) == 0 {
			unknown = append(unknown, n)
		}
		for _, k := range found {
			keys = append(keys, k.String())
		}
	}
	if len(unknown) > 0 {
		return nil, d.unknown(unknown)
	}
	return keys, nil
}

func (d *daemon) suspend(in objectsJSON) (objectsJSON, error) {
	keys, err := d.keys(in.Objects)
	if err != nil {
		return in, err
	}
	return in, d.suspendAll(keys, in, func(key string, x state.Suspension) {
		d.current().Emit(eventOf(reconciler.EventSuspend, key, x.String()))
		d.again(key)
	})
}

func (d *daemon) resume(in objectsJSON) (objectsJSON, error) {
	keys, err := d.keys(in.Objects)
	if err != nil {
		return in, err
	}
	return in, d.resumeAll(keys, func(key string) {
		d.current().Emit(eventOf(reconciler.EventResume, key, ""))
		d.again(key)
	})
}

// again looks at what a suspension was about.
func (d *daemon) again(key string) {
	if key == state.Everything {
		d.current().Look(nil)
		return
	}
	d.current().Look([]string{key})
}
