package schema

import (
	"maps"
	"strings"
	"testing"
)

// FuzzSize: what is taken as a size is whole MiB, prints as it was written, and PVE's spelling of it is the same size.
func FuzzSize(f *testing.F) {
	for _, s := range []string{"300Gi", "16384", "0", "1Ti", "1024Ki", "1.5Gi", "16GB", "16g", "-1", "99999999999Ti", "9223372036854775807", " 1Gi", "1 Gi", "+1Gi", "１Gi", ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, written string) {
		var s Size
		if err := s.UnmarshalText([]byte(written)); err != nil {
			if strings.TrimSpace(err.Error()) == "" {
				t.Error("an error without words")
			}
			return
		}
		if s.Bytes < 0 || s.Bytes%MiB != 0 || s.MiB()*MiB != s.Bytes {
			t.Errorf("%q: %d bytes, %d MiB", written, s.Bytes, s.MiB())
		}
		if s.String() != written {
			t.Errorf("%q prints as %q", written, s)
		}
		if back, ok := ParsePVESize(s.PVE()); !ok || back != s.Bytes {
			t.Errorf("%q: PVE's %q is %d, want %d", written, s.PVE(), back, s.Bytes)
		}
		var again Size
		plain := Size{Bytes: s.Bytes}.String()
		if err := again.UnmarshalText([]byte(plain)); s.Bytes > 0 && (err != nil || again.Bytes != s.Bytes) {
			t.Errorf("%q: %q is read as %d: %v", written, plain, again.Bytes, err)
		}
	})
}

// FuzzRow: a property string, printed again, has the same sub-keys, and printing settles at once.
func FuzzRow(f *testing.F) {
	for _, s := range []string{
		"virtio=BC:24:11:00:00:01,bridge=vmbr0,firewall=1", "model=virtio,macaddr=,bridge=vmbr0", "local-zfs:vm-100-disk-0,size=1G", "none,media=cdrom",
		"1,fstrim_cloned_disks=1", "order=1,up=30", "uuid=8aa3132c,base64=1,serial=eA==", "base64=1,serial=x", "serial=x", "q35,viommu=intel", "", ",,", "a,b",
	} {
		for i := range Rows() {
			f.Add(i, s)
		}
	}
	f.Fuzz(func(t *testing.T, i int, text string) {
		if i < 0 || i >= len(Rows()) || Rows()[i].Scalar() {
			return
		}
		r := Rows()[i]
		props := r.Parse(text)
		if m := props["model"]; r.Key == "net" && m != "" && !r.isModel(m) {
			return // PVE has no such card
		}
		for k, v := range props {
			if strings.ContainsAny(v, "=,") && r.Key != "smbios1" || v == "" || v != strings.TrimSpace(v) || k != strings.TrimSpace(k) {
				return // no value of a property string
			}
		}
		printed := r.Print(props)
		if again := r.Parse(printed); !maps.Equal(again, props) {
			t.Errorf("%s: %q is %q, printed %q is %q", r.Key, text, props, printed, again)
		}
		if again := r.Print(r.Parse(printed)); again != printed {
			t.Errorf("%s: %q, then %q", r.Key, printed, again)
		}
	})
}
