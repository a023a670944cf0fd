package zfs

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ustclug/pve-reconcile/internal/host"
	"github.com/ustclug/pve-reconcile/reconciler/migration"
	"github.com/ustclug/pve-reconcile/reconciler/step"
)

// Question is what to look at on one host.
type Question struct {
	Pools    []string
	Datasets []string
	// Below is a file system of which the zvols below it are wanted.
	Below string
	// Openers are zvols of which the processes that have them open are wanted.
	Openers []string
	// More are scripts of others, whose answers come back as they are.
	More map[string]string
}

// Answer is what was seen.
type Answer struct {
	Host     migration.Host
	Datasets map[string]migration.Dataset
	More     map[string]string
}

// mark begins a section of an observation; no dataset name or property of ours contains it.
const mark = "\x1e"

// Observe asks one host everything in one round trip. A host that does not answer, or answers something that cannot be
// read, is no error but the host's: nothing is known of it then.
func Observe(ctx context.Context, h *host.Host, q Question) Answer {
	a := Answer{Host: migration.Host{Name: h.Name, Pools: map[string]migration.Pool{}}, Datasets: map[string]migration.Dataset{}, More: map[string]string{}}
	text, err := h.Text(ctx, q.script())
	if err == nil {
		err = a.read(q, sections(text))
	}
	if err != nil {
		return Answer{Host: migration.Host{Name: h.Name, Error: strings.TrimPrefix(err.Error(), "host "+h.Name+": ")}} // it is named beside
	}
	return a
}

// script asks for everything. Each section begins with a line of its own, and what a command says on standard error is part
// of the answer: a dataset that does not exist is a fact.
func (q Question) script() string {
	var b strings.Builder
	ask := func(name, script string) {
		fmt.Fprintf(&b, "m %s\n( %s\n) 2>&1\nprintf '\\036=%%s\\n' \"$?\"\n", step.Quote(name), script)
	}
	b.WriteString("# look at pools, datasets and snapshots\nm() { printf '\\036%s\\n' \"$1\"; }\n")
	ask("clock", "date +%s")
	ask("version", "zfs version || cat /sys/module/zfs/version")
	for _, p := range unique(q.Pools) {
		ask("pool "+p, words("zpool", "get", "-Hp", "-o", "property,value", "all", p))
		ask("layout "+p, words("zpool", "status", p))
		ask("ashift "+p, "[ \"$("+words("zpool", "get", "-Hp", "-o", "value", "ashift", p)+")\" != 0 ] || zdb -C "+step.Quote(p)+" 2>/dev/null | sed -n 's/.*ashift: *//p' | head -n 1")
	}
	for _, d := range unique(q.Datasets) {
		ask("dataset "+d, zfs("get", "-Hp", "-o", "name,property,value,source", "all", d))
		ask("snapshots "+d, snapshotScript(d))
		ask("marks "+d, zfs("get", "-Hp", "-d", "1", "-t", "snapshot", "-s", "local,received", "-o", "name,property,value,source", "all", d))
		ask("clones "+d, zfs("get", "-Hp", "-d", "1", "-t", "snapshot", "-o", "name,value", "clones", d))
	}
	if q.Below != "" {
		ask("below "+q.Below, zfs("list", "-Hp", "-d", "1", "-t", "volume", "-o", "name", q.Below))
	}
	if len(q.Openers) > 0 {
		ask("openers", openersScript(unique(q.Openers)))
	}
	for _, name := range keys(q.More) {
		ask("more "+name, q.More[name])
	}
	b.WriteString("m end\n")
	return b.String()
}

// snapshotScript lists the snapshots of a dataset, and of those that matter what was written since and who holds them. Where
// there are many, only ours matter: the question would take minutes.
func snapshotScript(dataset string) string {
	d := step.Quote(dataset)
	return "s=$(zfs list -Hp -d 1 -t snapshot -o name,guid,creation -s createtxg " + d + ") || { c=$?; printf '%s\\n' \"$s\"; exit $c; }\n" +
		"[ -n \"$s\" ] || exit 0; printf '%s\\n' \"$s\"\n" +
		"n=$(printf '%s\\n' \"$s\" | cut -f 1); [ $(printf '%s\\n' \"$n\" | wc -l) -lt 40 ] || n=$(printf '%s\\n' \"$n\" | grep '@reconcile-')\n" +
		"[ -n \"$n\" ] || exit 0; IFS='\n'; set -f; set -- $n; w=; for x; do w=$w,written@${x#*@}; done\n" +
		"printf '\\036written\\n'; zfs get -Hp -o property,value \"${w#,}\" " + d + " || exit\n" +
		"printf '\\036holds\\n'; zfs holds -H \"$@\""
}

func unique(names []string) []string {
	out := slices.Clone(names)
	slices.Sort(out)
	return slices.Compact(slices.DeleteFunc(out, func(s string) bool { return s == "" }))
}

// section is one answer. That a command was killed before it had said everything shows in its exit code only.
type section struct {
	name, text string
	code       string
}

func sections(text string) []section {
	var out []section
	for part := range strings.SplitSeq(text, mark) {
		name, body, ok := strings.Cut(part, "\n")
		code, is := strings.CutPrefix(name, "=")
		switch {
		case is && len(out) > 0:
			for i := len(out) - 1; i >= 0 && out[i].code == ""; i-- {
				out[i].code = code
			}
		case ok || name == "end":
			out = append(out, section{name: name, text: body})
		}
	}
	return out
}

// read takes the answers apart.
func (a *Answer) read(q Question, all []section) error {
	if len(all) == 0 || all[len(all)-1].name != "end" {
		return errors.New("its answer has no end")
	}
	raw, within := map[string]string{}, ""
	var cut []string
	for _, s := range all {
		if s.name == "written" || s.name == "holds" {
			raw[s.name+" "+within] = s.text
			continue
		}
		_, within, _ = strings.Cut(s.name, " ")
		raw[s.name] = s.text
		// A dataset or pool that does not exist is a fact, and tools of old do not know their version.
		if kind, _, _ := strings.Cut(s.name, " "); s.code != "0" && slices.Contains([]string{"dataset", "snapshots", "marks", "clones", "below", "pool", "layout"}, kind) && !missing(s.text) {
			cut = append(cut, fmt.Sprintf("%s: exit %s: %s", s.name, s.code, oneLine(s.text)))
		}
		if name, ok := strings.CutPrefix(s.name, "more "); ok {
			a.More[name] = s.text
		}
	}
	if len(cut) > 0 {
		return errors.New(strings.Join(cut, "; "))
	}
	if seconds := number(strings.TrimSpace(raw["clock"])); seconds > 0 {
		a.Host.Clock = time.Unix(seconds, 0).UTC()
	}
	a.Host.Tools, a.Host.ZFS = parseVersion(raw["version"])
	if a.Host.ZFS == "" && len(q.Datasets)+len(q.Pools) > 0 {
		return fmt.Errorf("zfs does not answer: %s", oneLine(raw["version"]))
	}
	for _, p := range unique(q.Pools) {
		pool := parsePool(p, raw["pool "+p], raw["layout "+p], raw["ashift "+p])
		switch {
		case pool.Health != "":
			a.Host.Pools[p] = pool
		case !strings.Contains(raw["pool "+p], "no such pool"):
			return fmt.Errorf("pool %s: %s", p, oneLine(raw["pool "+p]))
		}
	}
	for line := range strings.Lines(raw["below "+q.Below]) {
		if name := strings.TrimSpace(line); q.Below != "" && strings.HasPrefix(name, q.Below+"/") {
			a.Host.Received = append(a.Host.Received, name)
		}
	}
	return a.readDatasets(unique(q.Datasets), raw)
}

// missing tells whether zfs or zpool said that there is no such thing.
func missing(text string) bool {
	return strings.Contains(text, "does not exist") || strings.Contains(text, "no such pool")
}

func (a *Answer) readDatasets(names []string, raw map[string]string) error {
	var errs []error
	devices, openers := parseOpeners(raw["openers"])
	for _, name := range names {
		d, err := parseDataset(name, raw["dataset "+name])
		if err != nil {
			errs = append(errs, err)
			continue
		}
		d.Snapshots = parseSnapshots(name, raw["snapshots "+name])
		addWritten(d.Snapshots, raw["written "+name])
		addProps(name, d.Snapshots, raw["marks "+name])
		addHolds(name, d.Snapshots, raw["holds "+name])
		d.Clones = clonesOf(raw["clones "+name])
		d.Device, d.Openers = devices[name], openers[name]
		a.Datasets[name] = d
	}
	return errors.Join(errs...)
}

// parseVersion reads zfs version ("zfs-2.1.11-1", "zfs-kmod-2.1.11-1"), or what the module says of itself.
func parseVersion(text string) (tools, module string) {
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		switch v, is := strings.CutPrefix(line, "zfs-kmod-"); {
		case is:
			module = v
		case strings.HasPrefix(line, "zfs-"):
			tools = strings.TrimPrefix(line, "zfs-")
		case module == "" && line != "" && line[0] >= '0' && line[0] <= '9':
			module = line
		}
	}
	return tools, module
}

// AskToken asks the source about a resume token of the target: whether it can be continued, and how much is left.
func AskToken(ctx context.Context, h *host.Host, token string) migration.Token {
	text, err := h.Text(ctx, zfs("send", "-nvP", "-t", token)+" 2>&1; :")
	if err != nil {
		return migration.Token{Text: token, Error: err.Error()}
	}
	return parseToken(token, text)
}
