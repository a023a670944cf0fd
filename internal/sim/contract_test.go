package sim

import (
	"cmp"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
	"testing"
)

// uncovered are recordings that the simulator does not answer as the real server did, and why.
var uncovered = map[string]string{}

// unlike are single exchanges that the simulator answers differently on purpose, by recording and number.
var unlike = map[string]map[int]string{
	"11-node-list":          {4: "the recorded host had no timedatectl"},
	"59-monitor-and-others": {5: "load history of a real machine"},
}

// recording is one file of conversations with a real server.
type recording struct {
	name      string
	exchanges []exchange
}

type exchange struct {
	Request struct {
		Method     string            `json:"method"`
		Path       string            `json:"path"`
		Headers    map[string]string `json:"headers"`
		Body       json.RawMessage   `json:"body"`
		BodyAsSent string            `json:"body_as_sent"`
	} `json:"request"`
	Response struct {
		Status  int             `json:"status"`
		Reason  string          `json:"reason"`
		Body    json.RawMessage `json:"body"`
		Seconds float64         `json:"seconds"`
	} `json:"response"`
}

// apiDir is the folder of the recordings, or "" where it is absent.
func apiDir(t testing.TB) string {
	t.Helper()
	dir := os.Getenv("PVE_API_DIR")
	if dir == "" {
		dir = "../../../shared/pve-api"
	}
	if _, err := os.Stat(dir); err != nil {
		t.Skipf("no recordings: %v (PVE_API_DIR names their folder)", err)
	}
	return dir
}

func recordings(t testing.TB) []recording {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(apiDir(t), "transcripts", "*.json"))
	if err != nil {
		t.Fatal(err)
	}
	var all []recording
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var first struct {
			exchange
			Then []exchange `json:"then"`
		}
		if err := json.Unmarshal(raw, &first); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		all = append(all, recording{
			name:      strings.TrimSuffix(filepath.Base(file), ".json"),
			exchanges: append([]exchange{first.exchange}, first.Then...),
		})
	}
	sort.Slice(all, func(i, j int) bool { return leadingNumber(all[i].name) < leadingNumber(all[j].name) })
	return all
}

// recordedVersion is the PVE version that a folder of recordings is of, as a world file says it; "" if none tells.
func recordedVersion(all []recording) string {
	for _, rec := range all {
		for _, e := range rec.exchanges {
			var body struct {
				Data struct{ Version, RepoID string }
			}
			if e.Request.Path == "/api2/json/version" && json.Unmarshal(e.Response.Body, &body) == nil && body.Data.Version != "" {
				return body.Data.Version + "/" + body.Data.RepoID
			}
		}
	}
	return ""
}

func leadingNumber(name string) int {
	digits, _, _ := strings.Cut(name, "-")
	n, err := strconv.Atoi(digits)
	if err != nil {
		return 0
	}
	return n
}

// TestContract replays every recording against its starting world and compares what comes back.
func TestContract(t *testing.T) {
	matched, total := 0, 0
	var before *replay
	var report strings.Builder
	list := recordings(t)
	version := recordedVersion(list)
	for _, rec := range list {
		if why, ok := uncovered[rec.name]; ok {
			fmt.Fprintf(&report, "%-36s not covered: %s\n", rec.name, why)
			total += len(rec.exchanges)
			continue
		}
		p, good := (*replay)(nil), 0
		if _, err := os.Stat(worldFile(rec.name)); err == nil {
			w := readWorld(t, worldFile(rec.name))
			w.Version = cmp.Or(version, w.Version) // the same recordings exist of 8.4
			p = replayOf(t, rec, w)
		} else {
			fmt.Fprintf(&report, "%-36s has no world file (%s): its start is guessed\n", rec.name, worldFile(rec.name))
			p = replayOf(t, rec, guessWorld(t, rec, before))
		}
		for i := range rec.exchanges {
			if diff := p.step(i); diff != "" && unlike[rec.name][i+1] != "" {
				fmt.Fprintf(&report, "%-36s exchange %d: %s\n", rec.name, i+1, unlike[rec.name][i+1])
			} else if diff != "" {
				t.Errorf("%s, exchange %d: %s", rec.name, i+1, diff)
			} else {
				good++
			}
		}
		fmt.Fprintf(&report, "%-36s %d of %d\n", rec.name, good, len(rec.exchanges))
		before = p
		matched, total = matched+good, total+len(rec.exchanges)
	}
	fmt.Printf("%s%d of %d exchanges match\n", report.String(), matched, total)
}
