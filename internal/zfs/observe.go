package zfs

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
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
		ask("pool "+p, poolScript(p))
		ask("layout "+p, words("zpool", "status", p))
	}
	// All datasets at once: each command takes a while, and on a busy pool a long one.
	if names := unique(q.Datasets); len(names) > 0 {
		ask("datasets", zfs(append([]string{"get", "-Hp", "-o", "name,property,value,source", "all"}, names...)...))
		ask("snapshots", snapshotScript(names))
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

// poolScript asks for the properties of a pool; one whose vdevs differ, or an old one, knows no ashift, zdb does.
func poolScript(pool string) string {
	return filled(`p=$(zpool get -Hp -o property,value all NAMES); c=$?; printf '%s\n' "$p"
case $p in *'ashiftTAB0'*) printf '\036zdb\n'; zdb -C NAMES 2>/dev/null | sed -n 's/.*ashift: *//p' | head -n 1;; esac
exit $c`, pool)
}

// manySnapshots is from how many snapshots on only ours are asked about: the question would take minutes.
const manySnapshots = 40

// snapshotScript lists the snapshots of datasets, and of those that matter what was written since, what was set on them, and
// who holds them. Its exit code is 1 only where a dataset does not exist: whatever else fails must not look like that.
func snapshotScript(datasets []string) string {
	return filled(`s=$(zfs list -Hp -d 1 -t snapshot -o name,guid,creation,userrefs,clones -s createtxg NAMES); c=$?
[ -n "$s" ] || exit $c; printf '%s\n' "$s"; [ $c -lt 2 ] || exit $c
IFS='
'; set -f; set -- $s; d=; w=; h=
for x; do n=${x%%TAB*}; r=${x#*TAB*TAB*TAB}; [ "${r%%TAB*}" = 0 ] || h=$h$n$IFS
[ $# -lt MANY ] || case $n in *@reconcile-*) ;; *) continue;; esac
case $IFS$d in *"$IFS${n%@*}$IFS"*) ;; *) d=$d${n%@*}$IFS;; esac
case $w, in *",written@${n#*@},"*) ;; *) w=$w,written@${n#*@};; esac; done
set -- $d; [ $# = 0 ] || { printf '\036written\n'; zfs get -Hp -o name,property,value "${w#,}" "$@" || exit 3
printf '\036marks\n'; zfs get -Hp -d 1 -t snapshot -s local,received -o name,property,value,source all "$@" || exit 3; }
set -- $h; [ $# = 0 ] || { printf '\036holds\n'; zfs holds -H "$@" || exit 3; }
exit $c`, datasets...)
}

// filled is a script about names.
func filled(script string, names ...string) string {
	return strings.NewReplacer("NAMES", words(names...), "TAB", "\t", "MANY", strconv.Itoa(manySnapshots)).Replace(script)
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
		kind, of, _ := strings.Cut(s.name, " ")
		switch kind {
		case "written", "marks", "holds":
			raw[s.name] = s.text
			continue
		case "zdb":
			raw[s.name+" "+within] = s.text
			continue
		case "more":
			a.More[of] = s.text
		}
		within, raw[s.name] = of, s.text
		// A dataset or pool that does not exist is a fact, and tools of old do not know their version.
		if s.code != "0" && slices.Contains([]string{"datasets", "snapshots", "below", "pool", "layout"}, kind) && (s.code != "1" || !missing(s.text)) {
			cut = append(cut, fmt.Sprintf("%s: exit %s: %s", s.name, s.code, oneLine(cmp.Or(complaints(s.text), s.text))))
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
		pool := parsePool(p, raw["pool "+p], raw["layout "+p], raw["zdb "+p])
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

// missing tells whether zfs or zpool said that something does not exist, and could do all else.
func missing(text string) bool {
	said := complaints(text)
	return said != "" && !slices.ContainsFunc(strings.Split(strings.TrimSpace(said), "\n"), func(line string) bool {
		return !strings.HasSuffix(line, "does not exist") && !strings.HasSuffix(line, "no such pool")
	})
}

// complaints are the lines of an answer in which a command says what it could not do.
func complaints(text string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "cannot ") {
			b.WriteString(line)
		}
	}
	return b.String()
}

func (a *Answer) readDatasets(names []string, raw map[string]string) error {
	var errs []error
	devices, openers := parseOpeners(raw["openers"])
	for _, name := range names {
		d, err := parseDataset(name, raw["datasets"])
		if err != nil {
			errs = append(errs, err)
			continue
		}
		d.Snapshots, d.Clones = parseSnapshots(name, raw["snapshots"])
		addWritten(name, d.Snapshots, raw["written"])
		addProps(name, d.Snapshots, raw["marks"])
		addHolds(name, d.Snapshots, raw["holds"])
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
