package schema

import (
	"strings"
	"testing"
	"time"
)

// FuzzSpan: what is taken as a duration or rate is positive and prints as something that means the same; a window that is
// taken opens within eight days, and contains its opening.
func FuzzSpan(f *testing.F) {
	for _, s := range []string{"90s", "168h", "7d", "-5m", "0s", "1h1m", "200MiB/s", "200 MiB/s", "200MB", "0GiB/s", "9999999999999GiB/s", "Sat 02:00-06:00 Asia/Shanghai", "daily 00:00-24:00", "Fri-Mon 22:00-04:00 UTC", "Sat 2-6", ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var d, again Duration
		if d.UnmarshalText([]byte(text)) == nil {
			if err := again.UnmarshalText([]byte(d.String())); err != nil || again != d || d.Duration <= 0 {
				t.Errorf("%q: %s, then %s: %v", text, d, again, err)
			}
		}
		var r, back Rate
		if r.UnmarshalText([]byte(text)) == nil {
			if err := back.UnmarshalText([]byte(r.String())); err != nil || back != r || r.Bytes <= 0 {
				t.Errorf("%q: %s, then %s: %v", text, r, back, err)
			}
		}
		if w, err := ParseWindow(text); err == nil {
			now := time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)
			next := w.Next(now)
			if next.IsZero() || next.Sub(now) > 8*24*time.Hour || !w.Contains(next) {
				t.Errorf("%q opens at %s", text, next)
			}
		}
	})
}

// TestMarks: the marks of a migration follow from owner, cluster, name and repository, and from nothing else.
func TestMarks(t *testing.T) {
	m := Migration{Metadata: Metadata{Name: "docker2"}}
	a := m.Resolve("ustclug", "ustc", "git@a:infra")
	if b := m.Resolve("ustclug", "ustc", "git@b:infra"); a.UID() != b.UID() || a.Claim() == b.Claim() || a.Tag() != "reconcile-"+a.UID()[:8] {
		t.Errorf("%s %s, %s %s, %s", a.UID(), a.Claim(), b.UID(), b.Claim(), a.Tag())
	}
	other := Migration{Metadata: Metadata{Name: "docker3"}}
	for _, b := range []Migration{m.Resolve("ustclug", "lab", ""), m.Resolve("other", "ustc", ""), other.Resolve("ustclug", "ustc", "")} {
		if b.UID() == a.UID() {
			t.Errorf("two migrations are marked %s", a.UID())
		}
	}
	const uid = "2d849243-a9ba-5e6d-9e96-b4023d84752b" // changing it would disown every migration that is under way
	if a.UID() != uid {
		t.Errorf("the mark is %s, was %s", a.UID(), uid)
	}
}

// TestDefaults: what a manifest leaves out is what the manual says.
func TestDefaults(t *testing.T) {
	var m Migration
	if m.Mode() != "Approve" || m.MaxPasses() != 5 || m.UntilDelta() != 1<<30 || m.ShutdownTimeout().Duration != 5*time.Minute ||
		m.Staging().Duration != 168*time.Hour || !m.Proves() || !m.Trims() || !m.Compressed() || !m.Window().Zero() {
		t.Errorf("%s %d %d %s %s", m.Mode(), m.MaxPasses(), m.UntilDelta(), m.ShutdownTimeout(), m.Staging())
	}
	tables, err := Reference(KindMigration)
	if err != nil || len(tables) < 8 {
		t.Fatal(len(tables), err)
	}
	for _, table := range tables {
		for _, f := range table.Fields {
			if strings.TrimSpace(f.Type) == "" || f.Doc == "" {
				t.Errorf("%s.%s has no type or no words", table.Path, f.Name)
			}
		}
	}
}

// TestLongNames: a zvol of which the first snapshots can be named, and the last cannot, is refused before its guest is stopped.
func TestLongNames(t *testing.T) {
	for length, want := range map[int]bool{229: false, 230: true} {
		m := Migration{Metadata: Metadata{Name: "docker2"}}
		m.Spec.Target = MigrationTarget{VirtualMachine: "docker2", Staging: "rpool/m"}
		m.Spec.Source = MigrationSource{Host: "mirrors2", Power: SourcePower{Libvirt: "docker2"}, Disks: []MigrationDisk{{Zvol: "p/" + strings.Repeat("z", length-2), To: "scsi0"}}}
		said := false
		for _, f := range m.Validate() {
			said = said || strings.Contains(f.Text, "longer than the 255 characters")
		}
		if said != want {
			t.Errorf("a zvol's name of %d characters: refused %v: %v", length, said, m.Validate())
		}
	}
}
