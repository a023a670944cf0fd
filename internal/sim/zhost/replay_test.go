package zhost

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// recorded is one command of a transcript and what it answered.
type recorded struct {
	host, line     string
	stdout, stderr string
	code           int
	before         []string // notes ahead of it
}

// transcriptDir is the folder of the recordings, or the test is skipped.
func transcriptDir(t *testing.T) string {
	t.Helper()
	dir := os.Getenv("LAB_DIR_TRANSCRIPTS")
	if dir == "" {
		dir = "../../../../shared/lab/transcripts"
	}
	if _, err := os.Stat(dir); err != nil {
		t.Skipf("no transcripts of real ZFS: %v (LAB_DIR_TRANSCRIPTS names their folder)", err)
	}
	return dir
}

var commandLine = regexp.MustCompile(`^(mirrors2|pve-5)# (.*)$`)

func readTranscript(t *testing.T, file string) []recorded {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var all []recorded
	var notes []string
	var into *string
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		line := lines.Text()
		m := commandLine.FindStringSubmatch(line)
		switch {
		case m != nil:
			all = append(all, recorded{host: m[1], line: m[2], before: notes})
			notes, into = nil, nil
		case line == "--- stdout":
			into = &all[len(all)-1].stdout
		case line == "--- stderr":
			into = &all[len(all)-1].stderr
		case strings.HasPrefix(line, "--- exit "):
			all[len(all)-1].code, _ = strconv.Atoi(strings.TrimPrefix(line, "--- exit "))
			into = nil
		case into != nil:
			*into += line + "\n"
		case strings.HasPrefix(line, "# "):
			notes = append(notes, line[2:])
		}
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	return all
}

// preparations are what the recording did before a transcript begins, and does not show.
func volume(name, size string, mib int) string {
	return fmt.Sprintf(`zfs create pool0/t; zfs create -s -V %[2]s -o volblocksize=8k pool0/t/%[1]s
head -c %[3]dM /dev/urandom | dd of=/dev/zvol/pool0/t/%[1]s bs=1M iflag=fullblock conv=fsync; zfs snapshot pool0/t/%[1]s@a
head -c 4M /dev/urandom | dd of=/dev/zvol/pool0/t/%[1]s bs=1M iflag=fullblock conv=fsync seek=2; zfs snapshot pool0/t/%[1]s@b; ssh pve-5 zfs create rpool/t`, name, size, mib)
}

// played are the transcripts that are replayed, and how their stage is set.
var played = map[string]string{
	"properties": "", "amplification": "",
	"send-size": volume("vol", "64M", 16), "holds": volume("vol", "32M", 2), "user-properties": volume("vol", "32M", 2),
	"pipeline-status": volume("vol", "64M", 24), "recv-overrides": volume("vol", "32M", 4), "resume": volume("vol", "64M", 24),
	"incremental-errors": volume("vol", "64M", 12) + "; zfs create -s -V 64M pool0/t/stranger; zfs snapshot pool0/t/stranger@a; zfs snapshot pool0/t/stranger@b",
	"destroy-busy":       volume("vol", "64M", 4) + "; zfs create -s -V 64M pool0/t/free",
	"encrypted-raw":      "ssh pve-5 zfs create rpool/t", "out-of-space": volume("vol", "256M", 160), "zvol-links": volume("vol", "64M", 4),
}

// notPlayed are the other transcripts, and why.
var notPlayed = map[string]string{
	"migration-256M": "needs a file system inside of the zvol",
	"lvm-thin":       "LVM is not simulated",
	"power-cut":      "is about processes and minutes of waiting; TestPowerCut does the same with the simulator's own means",
	"recv-sigkill":   "is about processes; TestKilledReceive does the same with the simulator's own means",
	"send-progress":  "is about seconds of wall time",
}

// pause is what the recording waited; nothing here is so slow.
var pause = regexp.MustCompile(`\bsleep [1-9][0-9]*(;|$)`)

// beyond are commands that the simulator's hosts cannot do.
var beyond = regexp.MustCompile(`\b(mkfs|mount|umount|findmnt|lsblk|sfdisk|zvol_id|setpriv|dmesg|scp|cmp|fstrim|zpool create|zpool export|dmesg|dumpe2fs|/vm|of=/small/thin|of=/dev/zvol/small/thin|of=/small/fill)\b`)

func TestTranscripts(t *testing.T) {
	dir := transcriptDir(t)
	bash, err := exec.LookPath("bash")
	if err != nil {
		t.Skip("the transcripts were made with bash, which is not here")
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.txt"))
	if err != nil || len(files) == 0 {
		t.Fatalf("%s: no transcripts: %v", dir, err)
	}
	same, total := 0, 0
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".txt")
		all := readTranscript(t, file)
		prepare, ok := played[name]
		if !ok {
			if notPlayed[name] == "" {
				t.Errorf("%s is neither played nor is there a reason why not", name)
			}
			fmt.Printf("%-20s not played: %s\n", name, notPlayed[name])
			total += len(all)
			continue
		}
		good := replay(t, name, all, bash, prepare)
		fmt.Printf("%-20s %d of %d\n", name, good, len(all))
		same, total = same+good, total+len(all)
	}
	fmt.Printf("%d of %d recorded commands answer alike\n", same, total)
}

// replay plays one transcript and counts what matches.
func replay(t *testing.T, name string, all []recorded, bash, prepare string) int {
	t.Helper()
	hosts := map[string]*Host{"mirrors2": newHost(t, "mirrors2", mirrorsText), "pve-5": newHost(t, "pve-5", pveText)}
	for _, h := range hosts {
		h.shell = bash
	}
	meet(hosts)
	hosts["mirrors2"].Run(context.Background(), prepare, nil)
	if name == "zvol-links" {
		for _, h := range hosts {
			h.devices.late, h.devices.left = 150*time.Millisecond, -1
		}
	}
	c := &comparison{tokens: map[string]string{}}
	good := 0
	for i, r := range all {
		for _, note := range r.before {
			if strings.HasPrefix(note, "(rpool/t/vol made anew") {
				hosts["mirrors2"].Run(context.Background(), "ssh pve-5 zfs destroy -r rpool/t/vol; zfs send pool0/t/vol@a | ssh pve-5 zfs recv -u rpool/t/vol", nil)
			}
			if strings.Contains(note, "pool0/t/vol made anew, with @a and @b") {
				hosts["mirrors2"].killAll()
				hosts["mirrors2"].Run(context.Background(), "zfs destroy -r pool0/t/vol; "+volume("vol", "64M", 4), nil)
			}
		}
		if beyond.MatchString(r.line) {
			continue
		}
		line := r.line
		if !strings.Contains(line, "exec 3") {
			line = pause.ReplaceAllString(line, "sleep 0.3$1")
		}
		for was, is := range c.tokens {
			line = strings.ReplaceAll(line, was, is)
		}
		out, errs, code := hosts[r.host].Run(context.Background(), line, strings.NewReader(""))
		out, errs = c.outside(hosts, out), c.outside(hosts, errs)
		diff := ""
		if code != r.code {
			diff = fmt.Sprintf("exit %d, recorded %d\n", code, r.code)
		}
		diff += c.compare("stdout", r.stdout, out) + c.compare("stderr", r.stderr, errs)
		switch {
		case diff == "":
			good++
		case unlike[name][i+1] == "":
			t.Errorf("%s, command %d: %s# %.200s\n%s", name, i+1, r.host, r.line, diff)
		}
	}
	return good
}

// unlike are single commands that answer differently on purpose, by transcript and number.
var unlike = map[string]map[int]string{
	"destroy-busy": {2: "fuser -v shows no more than fuser", 15: "real zfs names the clone twice", 21: "the file behind a zvol can be written beyond its end; the next look cuts it"},
	"out-of-space": {
		8: "a real pool frees what a failed receive brought only later", 9: "the same", 11: "because of 9", 17: "other names of disks",
		18: "because of 9, and nothing was written to small/thin", 19: "because of 9",
	},
	"zvol-links":      {11: "the numbers of devices are given in the order of names"},
	"properties":      {32: "the list of all properties is left out", 34: "the list of all commands is left out"},
	"recv-overrides":  {14: "refreservation=auto is ignored"},
	"resume":          {19: "the real one took longer than a second", 30: "%recv is shown as its dataset"},
	"send-size":       {10: "zfs send -R is not covered"},
	"user-properties": {9: "user properties are sorted"},
}

// comparison remembers which made-up words of ours stand for which recorded ones.
type comparison struct{ tokens map[string]string }

// outside prints paths as they are on a real host.
func (c *comparison) outside(hosts map[string]*Host, text string) string {
	for _, h := range hosts {
		text = strings.ReplaceAll(text, h.Dir(), "")
	}
	return text
}

// unsteady is what depends on how fast a machine is.
var unsteady = regexp.MustCompile(`copied, .*$|in \d+ seconds.*$|after \d+ ms$`)

var (
	hashWord  = regexp.MustCompile(`^[0-9a-f]{64}$`)
	tokenWord = regexp.MustCompile(`^1-[0-9a-f]+-[0-9a-f]+-[0-9a-f]+$`)
	dateWord  = regexp.MustCompile(`^(Mon|Tue|Wed|Thu|Fri|Sat|Sun|Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec|\d\d:\d\d(:\d\d)?|20\d\d|\d{1,2})$`)
	splitter  = regexp.MustCompile(`[ \t]+`)
)

func (c *comparison) compare(stream, want, have string) string {
	wants, haves := strings.Split(strings.TrimRight(want, "\n"), "\n"), strings.Split(strings.TrimRight(have, "\n"), "\n")
	if len(wants) != len(haves) {
		return fmt.Sprintf("%s has %d lines, recorded %d\n  ours:     %q\n  recorded: %q\n", stream, len(haves), len(wants), have, want)
	}
	for i := range wants {
		if !c.sameLine(wants[i], haves[i]) {
			return fmt.Sprintf("%s, line %d\n  ours:     %q\n  recorded: %q\n", stream, i+1, haves[i], wants[i])
		}
	}
	return ""
}

func (c *comparison) sameLine(want, have string) bool {
	if strings.HasPrefix(want, "bash: line 1:") {
		want, have = strings.TrimPrefix(want, "bash: line 1:"), have[strings.LastIndex(have, ": line 1:")+9:]
	}
	want, have = unsteady.ReplaceAllString(want, ""), unsteady.ReplaceAllString(have, "")
	if strings.HasPrefix(want, "PIPESTATUS") { // whether the sender had more to write when nobody listened any more
		want, have = strings.ReplaceAll(want, "141", "0"), strings.ReplaceAll(have, "141", "0")
	}
	ws, hs := splitter.Split(strings.TrimSpace(want), -1), splitter.Split(strings.TrimSpace(have), -1)
	if len(ws) != len(hs) {
		return false
	}
	for i := range ws {
		if !c.sameWord(strings.Trim(ws[i], "()"), strings.Trim(hs[i], "()")) {
			return false
		}
	}
	return true
}

// sameWord lets words differ that are made up (guids, tokens, times), and sizes by a little.
func (c *comparison) sameWord(want, have string) bool {
	switch {
	case want == have:
		return true
	case tokenWord.MatchString(want) && tokenWord.MatchString(have):
		c.tokens[want] = have
		return true
	case hashWord.MatchString(want) && hashWord.MatchString(have):
		if c.tokens[want] == "" {
			c.tokens[want] = have
		}
		return c.tokens[want] == have
	case dateWord.MatchString(want) && dateWord.MatchString(have):
		return true
	case strings.HasPrefix(want, "0x") && strings.HasPrefix(have, "0x"):
		return len(want) >= 10 || closeTo(want, have, 0)
	}
	return closeTo(want, have, 10)
}

var numberWord = regexp.MustCompile(`^([0-9.]+)([KMG]?)(/sec)?$`)

// closeTo compares numbers: long ones are guids, the rest may differ by 2 % and a few metadata blocks.
func closeTo(want, have string, base int) bool {
	if base == 0 {
		a, aerr := strconv.ParseUint(want, 0, 64)
		b, berr := strconv.ParseUint(have, 0, 64)
		return aerr == nil && berr == nil && near(float64(a), float64(b))
	}
	a, b := numberWord.FindStringSubmatch(want), numberWord.FindStringSubmatch(have)
	if a == nil || b == nil || a[2] != b[2] {
		return false
	}
	if len(want) >= 17 && len(have) >= 17 {
		return true
	}
	x, xerr := strconv.ParseFloat(a[1], 64)
	y, yerr := strconv.ParseFloat(b[1], 64)
	if a[2] != "" {
		return xerr == nil && yerr == nil && (x-y <= 0.05*x && y-x <= 0.05*x || a[3] != "")
	}
	return xerr == nil && yerr == nil && near(x, y)
}

func near(a, b float64) bool {
	if a > 1.7e9 && a < 2e9 && b > 1.7e9 && b < 2e9 {
		return true // times
	}
	if a < 1000 && b < 1000 {
		return a > 10 && b > 10 && a < 500 && b < 500 // transaction groups and object sets
	}
	return a-b < a*0.02+300000 && b-a < a*0.02+300000 && (a > 0) == (b > 0)
}
