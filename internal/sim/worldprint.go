package sim

import (
	"fmt"
	"io"
	"sort"
	"strings"
	"time"
)

// String is the world file text of w.
func (w *World) String() string {
	var b strings.Builder
	w.print(&b)
	return b.String()
}

// WriteTo writes the world file text of w; ParseWorld of it gives the same text again.
func (w *World) WriteTo(out io.Writer) (int64, error) {
	n, err := io.WriteString(out, w.String())
	if err != nil {
		return int64(n), fmt.Errorf("write world: %w", err)
	}
	return int64(n), nil
}

func (w *World) print(b *strings.Builder) {
	fmt.Fprintf(b, "-- world --\nversion: %s\n", w.Version)
	if w.Local != "" {
		fmt.Fprintf(b, "local: %s\n", w.Local)
	}
	if !w.Clock.IsZero() {
		fmt.Fprintf(b, "clock: %s\n", w.Clock.UTC().Format(time.RFC3339))
	}
	if d := w.Settings.ResourceLag; d != 0 {
		fmt.Fprintf(b, "resource-lag: %s\n", d)
	}
	if d := w.Settings.HoldAfterStop; d != 0 {
		fmt.Fprintf(b, "hold-after-stop: %s\n", d)
	}
	for _, kind := range sortedKeys(w.Settings.TaskTime) {
		fmt.Fprintf(b, "time %s: %s\n", kind, w.Settings.TaskTime[kind])
	}
	body(b, "datacenter.cfg", w.Datacenter.text())
	body(b, "storage.cfg", w.Storages.text())
	w.Access.print(b)
	for _, n := range w.Nodes {
		n.print(b)
	}
	for _, id := range w.vmids() {
		w.VMs[id].print(b)
	}
	for _, id := range sortedKeys(w.Guests) {
		w.Guests[id].print(b, id)
	}
	for _, t := range w.Tasks {
		t.print(b)
	}
	for _, name := range sortedKeys(w.Hosts) {
		body(b, "host "+name, w.Hosts[name])
	}
	for _, path := range sortedKeys(w.Reads) {
		body(b, "read "+path, string(w.Reads[path])+"\n")
	}
}

// body prints a section, unless it is empty.
func body(b *strings.Builder, head, text string) {
	if text == "" {
		return
	}
	fmt.Fprintf(b, "-- %s --\n%s", head, text)
	if !strings.HasSuffix(text, "\n") {
		b.WriteString("\n")
	}
}

func (n *Node) print(b *strings.Builder) {
	fmt.Fprintf(b, "-- node %s --\nstatus: %s\nip: %s\n", n.Name, n.Status, n.IP)
	if !n.Booted.IsZero() {
		fmt.Fprintf(b, "booted: %s\n", epochText(n.Booted))
	}
	fmt.Fprintf(b, "cpus: %d\nmemory: %s\nmemory-used: %s\nroot: %s\nroot-used: %s\n", n.CPUs,
		bytesText(n.Memory), bytesText(n.MemoryUsed), bytesText(n.RootDisk), bytesText(n.RootUsed))
	body(b, "interfaces "+n.Name, n.Interfaces)
	if n.InterfacesNew != nil {
		body(b, "interfaces.new "+n.Name, *n.InterfacesNew)
	}
	for _, storage := range sortedKeys(n.Volumes) {
		var lines strings.Builder
		for _, v := range n.Volumes[storage] {
			v.print(&lines)
		}
		body(b, "volumes "+storage+" "+n.Name, lines.String())
	}
	var lines strings.Builder
	for _, d := range n.Datasets {
		d.print(&lines)
	}
	body(b, "zfs "+n.Name, lines.String())
}

func (v *Volume) print(b *strings.Builder) {
	fmt.Fprintf(b, "%s size=%s used=%s format=%s content=%s", v.Name, bytesText(v.Size), bytesText(v.Used), v.Format, v.Content)
	if v.Virtual != 0 {
		fmt.Fprintf(b, " virtual=%s", bytesText(v.Virtual))
	}
	if v.Parent != "" {
		fmt.Fprintf(b, " parent=%s", v.Parent)
	}
	if !v.Created.IsZero() {
		fmt.Fprintf(b, " ctime=%d", v.Created.Unix())
	}
	for _, snap := range v.Snaps {
		fmt.Fprintf(b, " snap=%s:%d", snap, v.snapAt[snap])
	}
	if v.Exec {
		b.WriteString(" exec")
	}
	b.WriteString("\n")
}

func (n *Node) readVolumes(s *section, storage string) error {
	for i, line := range strings.Split(s.body, "\n") {
		words := strings.Fields(line)
		if len(words) == 0 || strings.HasPrefix(words[0], "#") {
			continue
		}
		v := &Volume{Name: words[0], Format: "raw", Content: "images"}
		for _, word := range words[1:] {
			if err := v.readWord(word); err != nil {
				return s.errorf(i+1, "%v", err)
			}
		}
		n.Volumes[storage] = append(n.Volumes[storage], v)
	}
	return nil
}

func (v *Volume) readWord(word string) (err error) {
	key, value, _ := strings.Cut(word, "=")
	switch key {
	case "size":
		v.Size, err = parseBytes(value)
	case "used":
		v.Used, err = parseBytes(value)
	case "virtual":
		v.Virtual, err = parseBytes(value)
	case "format":
		v.Format = value
	case "content":
		v.Content = value
	case "parent":
		v.Parent = value
	case "ctime":
		v.Created, err = parseEpoch(value)
	case "exec":
		v.Exec = true
	case "snap":
		name, size, _ := strings.Cut(value, ":")
		v.Snaps = append(v.Snaps, name)
		if v.snapAt == nil {
			v.snapAt = map[string]int64{}
		}
		v.snapAt[name], err = parseBytes(size)
	default:
		err = fmt.Errorf("unknown word %q; known are size=, used=, virtual=, format=, content=, parent=, ctime=, snap=, exec", word)
	}
	return err
}

func (d *Dataset) print(b *strings.Builder) {
	b.WriteString(d.Name)
	if d.Volsize != 0 {
		fmt.Fprintf(b, " volsize=%s", bytesText(d.Volsize))
	}
	if d.Blocksize != "" {
		fmt.Fprintf(b, " volblocksize=%s", d.Blocksize)
	}
	if d.Used != 0 {
		fmt.Fprintf(b, " used=%s", bytesText(d.Used))
	}
	if d.Quota != 0 {
		fmt.Fprintf(b, " size=%s", bytesText(d.Quota))
	}
	if d.Raw != 0 {
		fmt.Fprintf(b, " raw=%s", bytesText(d.Raw))
	}
	if d.Origin != "" {
		fmt.Fprintf(b, " origin=%s", d.Origin)
	}
	if !d.Created.IsZero() {
		fmt.Fprintf(b, " creation=%d", d.Created.Unix())
	}
	b.WriteString("\n")
	for _, snap := range d.Snapshots {
		fmt.Fprintf(b, "%s@%s volsize=%s\n", d.Name, snap.Name, bytesText(snap.Volsize))
	}
}

func (n *Node) readDatasets(s *section) error {
	for i, line := range strings.Split(s.body, "\n") {
		words := strings.Fields(line)
		if len(words) == 0 || strings.HasPrefix(words[0], "#") {
			continue
		}
		var err error
		d := &Dataset{Name: words[0]}
		for _, word := range words[1:] {
			key, value, _ := strings.Cut(word, "=")
			switch key {
			case "volsize":
				d.Volsize, err = parseBytes(value)
			case "volblocksize":
				d.Blocksize = value
			case "used":
				d.Used, err = parseBytes(value)
			case "size":
				d.Quota, err = parseBytes(value)
			case "raw":
				d.Raw, err = parseBytes(value)
			case "origin":
				d.Origin = value
			case "creation":
				d.Created, err = parseEpoch(value)
			default:
				err = fmt.Errorf("unknown word %q; known are volsize=, volblocksize=, used=, size=, raw=, origin=, creation=", word)
			}
			if err != nil {
				return s.errorf(i+1, "%v", err)
			}
		}
		name, snap, isSnap := strings.Cut(d.Name, "@")
		if !isSnap {
			n.Datasets = append(n.Datasets, d)
			continue
		}
		of := n.dataset(name)
		if of == nil {
			return s.errorf(i+1, "snapshot of %q, which has no line before this one", name)
		}
		of.Snapshots = append(of.Snapshots, DatasetSnapshot{Name: snap, Volsize: d.Volsize})
	}
	sort.SliceStable(n.Datasets, func(i, j int) bool { return n.Datasets[i].Name < n.Datasets[j].Name })
	return nil
}

func (vm *VM) print(b *strings.Builder) {
	fmt.Fprintf(b, "-- vm %d %s %s", vm.ID, vm.Node, vm.State)
	if vm.Deaf {
		b.WriteString(" deaf")
	}
	if vm.AgentUp {
		b.WriteString(" agent")
	}
	if len(vm.Plugged) > 0 {
		fmt.Fprintf(b, " plugged=%s", strings.Join(vm.Plugged, ","))
	}
	if vm.PID != 0 {
		fmt.Fprintf(b, " pid=%d", vm.PID)
	}
	if !vm.Started.IsZero() {
		fmt.Fprintf(b, " started=%s", epochText(vm.Started))
	}
	if !vm.LockedUntil.IsZero() {
		fmt.Fprintf(b, " locked-until=%s", epochText(vm.LockedUntil))
	}
	if vm.seenLate {
		b.WriteString(" seen=late")
	}
	fmt.Fprintf(b, " --\n%s", vm.text)
}

func (t *Task) print(b *strings.Builder) {
	fmt.Fprintf(b, "-- task %s --\n", t.UPID)
	if !t.Finished {
		b.WriteString("running:\n")
	}
	if t.Finished || t.Exit != "" {
		fmt.Fprintf(b, "exit: %s\n", t.Exit)
	}
	if !t.End.IsZero() {
		fmt.Fprintf(b, "end: %s\n", epochText(t.End))
	}
	b.WriteString("log:\n")
	for _, line := range t.Log {
		fmt.Fprintf(b, "  %s\n", line)
	}
}

func epochText(t time.Time) string {
	if t.Nanosecond() == 0 {
		return fmt.Sprint(t.Unix())
	}
	return fmt.Sprintf("%d.%03d", t.Unix(), t.Nanosecond()/1e6)
}

// bytesText is the shortest text of a size: the largest unit that divides it.
func bytesText(n int64) string {
	for _, unit := range []string{"T", "G", "M", "K"} {
		if u := unitBytes(unit); n != 0 && n%u == 0 {
			return fmt.Sprintf("%d%s", n/u, unit)
		}
	}
	return fmt.Sprint(n)
}
