package node

import (
	"cmp"
	"fmt"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/ustclug/pve-reconcile/schema"
)

// status is GET /nodes/N/status (transcript node-list).
type status struct {
	CPUInfo struct {
		Model                string
		Sockets, Cores, CPUs number
	}
	Memory, Swap  struct{ Total number }
	RootFS        struct{ Total, Used number }
	PVEVersion    string
	CurrentKernel struct{ Release string } `json:"current-kernel"`
}

func (a *answers) status() (status, bool) {
	var s status
	ok := a.read("/status", &s)
	return s, ok
}

func checkCPU(want *schema.Assertions, a *answers) {
	s, ok := a.status()
	if !ok {
		return
	}
	have := s.CPUInfo
	if m := want.CPU.Model; m != "" && !matches(m, have.Model) {
		a.fail(".model", "declared is %q, the node has %s", m, cmp.Or(have.Model, "none that PVE tells"))
	}
	a.count(".sockets", want.CPU.Sockets, have.Sockets)
	a.count(".cores", want.CPU.Cores, have.Cores)
	a.count(".threads", want.CPU.Threads, have.CPUs)
}

// count compares a declared number with one that was answered.
func (a *answers) count(below string, want *int, have number) {
	switch {
	case want == nil:
	case !have.known:
		a.fail(below, "declared are %d, PVE does not tell how many there are", *want)
	case *want != have.int():
		a.fail(below, "declared are %d, found %d", *want, have.int())
	}
}

// atLeast compares a declared size with one that was answered.
func (a *answers) atLeast(below string, want *schema.Size, have number) {
	switch {
	case want == nil:
	case !have.known:
		a.fail(below, "declared is at least %s, PVE does not tell how much there is", want)
	case have.value < float64(want.Bytes):
		a.fail(below, "declared is at least %s, there is %s", want, bytes(have))
	}
}

// atMost compares a declared percentage with what is in use.
func (a *answers) atMost(below string, want *int, used, total number) {
	if want == nil {
		return
	}
	switch have, known := percent(used, total); {
	case !known:
		a.fail(below, "declared is at most %d%%, PVE does not tell how much is in use", *want)
	case have > *want:
		a.fail(below, "declared is at most %d%%, %d%% is in use", *want, have)
	}
}

func checkMemory(want *schema.Assertions, a *answers) {
	if s, ok := a.status(); ok {
		a.atLeast("", want.Memory, s.Memory.Total)
	}
}

func checkSwap(want *schema.Assertions, a *answers) {
	if s, ok := a.status(); ok {
		a.atLeast("", want.Swap, s.Swap.Total)
	}
}

func checkRoot(want *schema.Assertions, a *answers) {
	if s, ok := a.status(); ok {
		a.atLeast(".size", want.Root.Size, s.RootFS.Total)
		a.atMost(".used", want.Root.Used, s.RootFS.Used, s.RootFS.Total)
	}
}

func checkVersion(want *schema.Assertions, a *answers) {
	s, ok := a.status()
	if !ok {
		return
	}
	have := strings.TrimPrefix(s.PVEVersion, "pve-manager/")
	have, _, _ = strings.Cut(have, "/")
	a.within(want.Version, "PVE is "+have, have)
}

func checkKernel(want *schema.Assertions, a *answers) {
	if s, ok := a.status(); ok {
		a.within(want.Kernel, "running is "+s.CurrentKernel.Release, s.CurrentKernel.Release)
	}
}

// within checks a version against bounds: ">=9.1 <10".
func (a *answers) within(bounds, shown, have string) {
	if len(numbers(have)) == 0 {
		a.fail("", "declared is %s, PVE does not tell which it is", bounds)
		return
	}
	fields := strings.FieldsFunc(bounds, func(r rune) bool { return r == ' ' || r == ',' })
	for i := 0; i < len(fields); i++ {
		op := strings.TrimRight(fields[i], "0123456789.-")
		number := fields[i][len(op):]
		if number == "" && i+1 < len(fields) { // ">= 9.1"
			i++
			number = fields[i]
		}
		limit, is := numbers(number), numbers(have)
		c := slices.Compare(pad(is, len(limit)), pad(limit, len(is)))
		good := map[string]bool{">=": c >= 0, "<": c < 0, "=": slices.Equal(pad(is, len(limit))[:len(limit)], limit)}[op]
		if !good {
			a.fail("", "declared is %s, %s", bounds, shown)
			return
		}
	}
}

// numbers are the leading numbers of a version: 6.17.2-1-pve is 6, 17, 2, 1.
func numbers(version string) []int {
	var out []int
	for _, part := range strings.FieldsFunc(version, func(r rune) bool { return r == '.' || r == '-' }) {
		n, err := strconv.Atoi(part)
		if err != nil {
			break
		}
		out = append(out, n)
	}
	return out
}

// pad adds zeros up to a length: 9 is 9.0.0.
func pad(v []int, n int) []int {
	v = slices.Clone(v)
	for len(v) < n {
		v = append(v, 0)
	}
	return v
}

func matches(pattern, text string) bool {
	ok, _ := path.Match(pattern, text)
	return ok || pattern == text
}

// disk is one of GET /nodes/N/disks/list (transcript disks).
type disk struct {
	DevPath, Model, Health string
	Size                   number
	Wearout                number // percent of life that is left, although it is called wearout
}

// diskReads leaves SMART alone unless it is needed: asking every disk takes seconds.
func diskReads(node string, a *schema.Assertions) []string {
	if len(a.Disks) == 0 {
		return nil
	}
	return []string{"/nodes/" + node + disksPath(a)}
}

func disksPath(a *schema.Assertions) string {
	for _, d := range a.Disks {
		if d.SMART != "" || d.Wearout != nil {
			return "/disks/list"
		}
	}
	return "/disks/list?skipsmart=1"
}

func checkDisks(want *schema.Assertions, a *answers) {
	var all []disk
	path := disksPath(want)
	if _, asked := a.have.Answers["/nodes/"+a.node+path]; !asked {
		path = "/disks/list" // which tells all of it
	}
	if !a.read(path, &all) {
		return
	}
	slices.SortFunc(all, func(x, y disk) int { return cmp.Compare(x.DevPath, y.DevPath) })
	for _, name := range slices.Sorted(maps.Keys(want.Disks)) {
		w := want.Disks[name]
		var group []disk
		for _, d := range all {
			if w.Model == "" || matches(w.Model, d.Model) {
				group = append(group, d)
			}
		}
		if w.Count != nil && *w.Count != len(group) {
			what := "declared are " + plural(*w.Count, "disk")
			if w.Model != "" {
				what += fmt.Sprintf(" of model %q", w.Model)
			}
			a.fail("."+name+".count", "%s, there are %d; the node has %s", what, len(group), models(all))
		} else if len(group) == 0 {
			a.fail("."+name+".model", "no disk matches %q; the node has %s", w.Model, models(all))
		}
		for _, d := range group {
			a.disk("."+name, w, d)
		}
	}
}

func (a *answers) disk(below string, w *schema.DisksAssertion, d disk) {
	if w.Size != "" {
		if want := labelBytes(w.Size); !d.Size.known || d.Size.value < want*0.99 || d.Size.value > want*1.01 {
			a.fail(below+".size", "%s is %s, declared is %s", d.DevPath, labelled(d.Size), w.Size)
		}
	}
	if w.Wearout != nil {
		switch worn := 100 - d.Wearout.int(); {
		case !d.Wearout.known:
			a.fail(below+".wearout", "%s does not tell its wear: leave wearout out for disks like it", d.DevPath)
		case worn > *w.Wearout:
			a.fail(below+".wearout", "%s is %d%% worn, declared is at most %d%%", d.DevPath, worn, *w.Wearout)
		}
	}
	if w.SMART != "" && d.Health != "PASSED" && d.Health != "OK" {
		a.fail(below+".smart", "%s (%s): its SMART health is %s, declared is PASSED", d.DevPath, d.Model, cmp.Or(d.Health, "not told"))
	}
}

// labelBytes reads "1.92TB": the decimal units of labels.
func labelBytes(text string) float64 {
	n, _ := strconv.ParseFloat(strings.TrimRight(text, "GTB"), 64) // the form was checked
	if strings.HasSuffix(text, "TB") {
		return n * 1e12
	}
	return n * 1e9
}

// models counts disks by model.
func models(all []disk) string {
	counts := map[string]int{}
	for _, d := range all {
		counts[cmp.Or(d.Model, "unknown")]++
	}
	var out []string
	for _, m := range slices.Sorted(maps.Keys(counts)) {
		out = append(out, fmt.Sprintf("%d of %s", counts[m], m))
	}
	return listed(out)
}
