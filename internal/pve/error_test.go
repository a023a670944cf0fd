package pve

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"

	"github.com/ustclug/pve-reconcile/reconciler/step"
)

var update = flag.Bool("update", false, "rewrite the texts in testdata")

// kindOf names what an error is for the reconciler.
func kindOf(err error) string {
	var kinds []string
	for _, k := range []struct {
		name string
		err  error
	}{
		{"ErrBusy", step.ErrBusy},
		{"ErrStale", step.ErrStale},
		{"ErrUnreachable", step.ErrUnreachable},
		{"ErrForbidden", step.ErrForbidden},
		{"ErrUnfinished", step.ErrUnfinished},
	} {
		if errors.Is(err, k.err) {
			kinds = append(kinds, k.name)
		}
	}
	if len(kinds) == 0 {
		return "other"
	}
	return strings.Join(kinds, " ")
}

// Each section of testdata/errors.txtar is the request, the answer (status line, then body), and what becomes of it.
func TestErrorTexts(t *testing.T) {
	const file = "testdata/errors.txtar"
	archive, err := txtar.ParseFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for i, f := range archive.Files {
		t.Run(f.Name, func(t *testing.T) {
			given, want, _ := strings.Cut(string(f.Data), "=>")
			lines := strings.SplitN(strings.TrimSpace(given), "\n", 3)
			call, out := lines[0], reply{}
			if lines[1] != "close" {
				out.status = lines[1]
			}
			if len(lines) > 2 {
				out.body = lines[2]
			}
			s := serve(t, map[string][]reply{call: {out}})
			err := provoke(t, s.cluster(t), call)
			if err == nil {
				t.Fatal("no error")
			}
			have := fmt.Sprintf(" %s, %d requests\n%v\n", kindOf(err), len(s.requests()), err)
			if *update {
				archive.Files[i].Data = []byte(given + "=>" + have)
			} else if have != want {
				t.Errorf("have%swant%s", have, want)
			}
		})
	}
	if *update {
		if err := os.WriteFile(file, txtar.Format(archive), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// provoke makes the call that a section names.
func provoke(t *testing.T, c *Cluster, call string) error {
	method, path, _ := strings.Cut(call, " ")
	ctx := t.Context()
	var err error
	switch {
	case method == "GET":
		_, err = c.Get(ctx, path, nil)
	case method == "PUT" && strings.HasSuffix(path, "/config"):
		_, err = c.Do(ctx, step.SetConfig{ID: docker2, Set: map[string]string{"memory": "512", "cipassword": "hunter2"}, Digest: "abc"})
	case method == "PUT" && strings.HasSuffix(path, "/resize"):
		_, err = c.Do(ctx, step.ResizeDisk{ID: docker2, Disk: "scsi0"})
	case method == "POST" && strings.HasSuffix(path, "/qemu"):
		_, err = c.Do(ctx, step.CreateVM{ID: docker2})
	case method == "POST" && strings.HasSuffix(path, "/start"):
		_, err = c.Do(ctx, step.StartVM{ID: docker2})
	case method == "DELETE":
		_, err = c.Do(ctx, step.DeleteVM{ID: docker2})
	default:
		t.Fatalf("no way to make the call %q", call)
	}
	return err
}
