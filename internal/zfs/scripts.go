package zfs

import (
	"slices"
	"strings"

	"github.com/ustclug/pve-reconcile/reconciler/step"
)

// The scripts of steps that take a moment. Each begins with what it is for: that line is what errors quote. Where a step
// destroys, the object is looked at again in the same script, immediately before.

func titled(title string, lines ...string) string {
	return "# " + title + "\n" + prelude + strings.Join(lines, "\n") + "\n"
}

// snapshotDisks takes all snapshots in one transaction group, or none.
func snapshotDisks(s step.SnapshotDisks) string {
	var names []string
	for _, d := range s.Datasets {
		names = append(names, d+"@"+s.Name)
	}
	snapshot := append(append([]string{"snapshot"}, options(s.Set)...), names...)
	return titled("zfs snapshot", zfs(snapshot...)+" &&", zfs(append([]string{"hold", s.Tag}, names...)...))
}

func holdSnapshots(tag string, refs []step.SnapshotRef) string {
	var b strings.Builder
	for _, r := range refs {
		b.WriteString(expect(r) + hold(tag, r.String()) + "\n")
	}
	return titled("zfs hold", b.String())
}

// hold takes a hold; one that is there is as good.
func hold(tag, snapshot string) string {
	return "o=$(" + zfs("hold", tag, snapshot) + " 2>&1) || case $o in *\"tag already exists\"*) ;; *) say 1 \"$o\";; esac"
}

// release gives up a hold; one that is not there is as good.
func release(tag, snapshot string) string {
	return "o=$(" + zfs("release", tag, snapshot) + " 2>&1) || case $o in *\"no such tag\"*) ;; *) say 1 \"$o\";; esac"
}

func destroySnapshots(s step.DestroySnapshots) string {
	var b strings.Builder
	for _, r := range s.Snapshots {
		name := r.String()
		b.WriteString("if ! " + words("gone", name) + "; then\n" + expect(r) +
			words("mine", name, s.Mark) + " || say 77 " + step.Quote(name+" does not carry the mark of this migration ("+s.Mark+"): it is left alone") + "\n" +
			foreignHolds(name, s.Tag) + leftover(r.Dataset, s.Mark) + release(s.Tag, name) + "\n" + words("patient", "zfs", "destroy", name) + "\nfi\n")
	}
	return titled("zfs destroy snapshots", b.String())
}

// foreignHolds ends the script when somebody else holds a snapshot.
func foreignHolds(snapshot, tag string) string {
	return "h=$(" + zfs("holds", "-H", snapshot) + " | cut -f 2 | grep -vxF " + step.Quote(tag) + "); [ -z \"$h\" ] || say 77 " + step.Quote(snapshot+" is held by others:") + " $h\n"
}

// createStaging makes a file system that is never mounted, and what is missing above it, likewise. One that is there has to
// carry the mark.
func createStaging(s step.CreateStaging) string {
	d := s.Dataset
	var b strings.Builder
	parts := strings.Split(d, "/")
	for i := 2; i < len(parts); i++ {
		above := strings.Join(parts[:i], "/")
		b.WriteString("! " + words("gone", above) + " || " + zfs("create", "-o", "canmount=off", "-o", "mountpoint=none", above) + " || exit 1\n")
	}
	create := append([]string{"create", "-o", "canmount=off", "-o", "mountpoint=none"}, options(s.Set)...)
	b.WriteString("if " + words("gone", d) + "; then " + zfs(append(create, d)...) + "; exit; fi\n" +
		words("mine", d, s.Set[step.PropMark]) + " || say 77 " + step.Quote(d+" is there and does not carry the mark of this migration: name another staging dataset, or destroy it by hand if it is not needed") + "\n")
	if len(s.Set) > 0 {
		b.WriteString(zfs(append(append([]string{"set"}, settings(s.Set)...), d)...) + "\n")
	}
	return titled("zfs create", b.String())
}

// abortReceive drops an interrupted receive. Where nothing is left of it, nothing is to be done; while one runs, it is busy.
func abortReceive(s step.AbortReceive) string {
	d := s.Dataset
	return titled("zfs recv -A", words("gone", d)+" && exit 0",
		"[ \"$("+zfs("get", "-Hpo", "value", "receive_resume_token", d)+")\" != - ] || exit 0",
		words("patient", "zfs", "recv", "-A", d))
}

// setProperties sets all in one transaction group.
func setProperties(s step.SetProperties) string {
	var lines []string
	device := func(p string) bool { return p == "readonly" || p == "volmode" }
	if s.Set["readonly"] != "" || s.Set["volmode"] != "" {
		// Both take effect only when nobody has the zvol open, and udev has, for a moment, after each change (OpenZFS 2.1).
		lines = append(lines, settle)
	}
	if len(s.Set) > 0 {
		lines = append(lines, zfs(append(append([]string{"set"}, settings(s.Set)...), s.Datasets...)...)+" || exit")
	}
	for _, p := range s.Inherit {
		lines = append(lines, zfs(append([]string{"inherit", p}, s.Datasets...)...)+" || exit")
	}
	if slices.ContainsFunc(s.Inherit, device) || s.Set["volmode"] != "" && s.Set["volmode"] != "none" {
		lines = append(lines, settle) // who starts a guest on it next finds its device
	}
	return titled("zfs set", lines...)
}

// rollback takes back what was written to one of our zvols since its newest snapshot; zfs refuses where that is another one.
func rollback(s step.RollbackStaging) string {
	return titled("zfs rollback", expect(s.Snapshot)+words("mine", s.Snapshot.Dataset, s.Mark)+" || say 77 "+
		step.Quote(s.Snapshot.Dataset+" does not carry the mark of this migration: it is left alone"), zfs("rollback", s.Snapshot.String()))
}

// destroyDataset destroys one that is ours, and never a target whose guest may have run, or that holds a completed copy.
//
// zfs destroy -r of a zvol in use destroys its snapshots before it finds out that it is busy, so a zvol with snapshots has
// to have no device.
func destroyDataset(s step.DestroyDataset) string {
	d := s.Dataset
	b := words("gone", d) + " && exit 0\n" + words("same", d, s.GUID) + "\n" +
		"p=$(zfs get -Hpo value,source " + step.PropMark + " " + step.Quote(d) + ")\n" +
		"case $p in " + step.Quote(s.Mark+"\tlocal") + "|" + step.Quote(s.Mark+"\treceived") + ") ;; *) say 77 " + step.Quote(d+" does not carry the mark of this migration: it is left alone") + ";; esac\n" + leftover(d, s.Mark) +
		"for p in copied started; do [ \"$(zfs get -Hpo source " + step.PropPrefix + "$p " + step.Quote(d) + ")\" != local ] || say 77 " + step.Quote(d) + " \"has $p set: what it holds may be needed\"; done\n" +
		"c=$(" + zfs("list", "-H", "-r", "-t", "filesystem,volume", "-o", "name", d) + " | grep -vxF " + step.Quote(d) + "); [ -z \"$c\" ] || say 77 " + step.Quote(d+" has children that are not known:") + " $c\n"
	list := zfs("list", "-H", "-d", "1", "-t", "snapshot", "-o", "name", d)
	if !s.Snapshots {
		return titled("zfs destroy", b+"s=$("+list+"); [ -z \"$s\" ] || say 77 "+step.Quote(d+" has snapshots:")+" $s", words("patient", "zfs", "destroy", d))
	}
	tag := step.Quote(s.Tag)
	b += "[ \"$(" + zfs("get", "-Hpo", "value", "type", d) + ")\" != volume ] || [ -z \"$(" + list + ")\" ] || [ \"$(" + zfs("get", "-Hpo", "value", "volmode", d) + ")\" = none ] || say 77 " +
		step.Quote(d+" has a device (volmode is not none), which may be in use") + "\n" +
		"IFS='\n'; set -f\nfor s in $(" + list + "); do case ${s##*@} in reconcile-*) ;; *) [ \"$(zfs get -Hpo source " + step.PropMark + " \"$s\")\" = local ] || say 77 \"$s is somebody else's snapshot: destroy it by hand, or keep the dataset\";; esac\n" +
		"h=$(zfs holds -H \"$s\" | cut -f 2 | grep -vxF " + tag + "); [ -z \"$h\" ] || say 77 \"$s is held by others: $h\"; done\n" +
		"for s in $(" + list + "); do o=$(zfs release " + tag + " \"$s\" 2>&1) || case $o in *\"no such tag\"*) ;; *) say 1 \"$o\";; esac; done\nunset IFS"
	return titled("zfs destroy -r", b, words("patient", "zfs", "destroy", "-r", d))
}
