package schema

import (
	"fmt"
	"reflect"
	"regexp"
	"strings"
)

// Source is what a drive slot is to hold; exactly one of its forms is set.
type Source struct {
	Storage    string // allocate on this storage
	Size       Size   // of the new disk; zero where PVE decides (efidisk0, tpmstate0)
	ImportFrom string
	Volume     string // attach this volume
	CDROM      string // "none" or the volume of an image
	CloudInit  bool
}

type sourced interface{ source() Source }

func (d Disk) source() Source {
	s := Source{Storage: d.Storage, ImportFrom: d.ImportFrom, Volume: d.Volume, CDROM: d.CDROM, CloudInit: d.CloudInit != nil && *d.CloudInit}
	if d.Size != nil {
		s.Size = *d.Size
	}
	return s
}

func (d EFIDisk) source() Source  { return Source{Storage: d.Storage, Volume: d.Volume} }
func (d TPMState) source() Source { return Source{Storage: d.Storage, Volume: d.Volume} }

func sourceOf(v reflect.Value, r *Row) *Source {
	if !r.Family() {
		f, ok := at(v, r.Leaves[0].index[:len(r.Leaves[0].index)-1])
		if !ok {
			return nil
		}
		v = f
	}
	if v.Kind() == reflect.Pointer {
		if v.IsNil() {
			return nil
		}
		v = v.Elem()
	}
	s := v.Interface().(sourced).source()
	return &s
}

// Fresh is the text that fills an empty slot. The form storage:N allocates anew at each write (FACTS §5), so it is only
// ever written into a slot that is empty.
func (s Setting) Fresh() string {
	props := map[string]string{}
	for k, v := range s.Props {
		props[k] = v
	}
	switch src := s.Source; {
	case src.Volume != "":
		props["file"] = src.Volume
	case src.CDROM != "":
		props["file"], props["media"] = src.CDROM, "cdrom"
	case src.CloudInit:
		props["file"] = src.Storage + ":cloudinit"
	case src.ImportFrom != "":
		props["file"], props["import-from"] = src.Storage+":0", src.ImportFrom
	case src.Size.Bytes == 0:
		props["file"] = src.Storage + ":1"
	default:
		props["file"] = src.Storage + ":" + src.Size.GiB()
	}
	return s.Row.Print(props)
}

// Allocates tells whether the slot's text makes PVE allocate a volume.
func (s Source) Allocates() bool { return s.Volume == "" && s.CDROM == "" }

var cloudInitVolume = regexp.MustCompile(`[:/](vm-\d+-)?cloudinit(\.(raw|qcow2|vmdk))?$`)

// Holds tells whether the drive found in a slot is the one meant: the same volume or image, or a volume on the same storage.
func (s Source) Holds(live map[string]string, slot string) bool {
	return s.mismatch(live, slot) == ""
}

// Mismatch says why the drive found in a slot is not the one meant, in words that say what to do; "" when it is.
// Replacing it would need a new volume or a move, which a diff never does (law 6), except for CD drives.
func (s Setting) Mismatch(have string) string {
	return s.Source.mismatch(s.Row.Parse(have), s.Key)
}

func (s Source) mismatch(live map[string]string, slot string) string {
	file := live["file"]
	storage, _, _ := strings.Cut(file, ":")
	cdrom := live["media"] == "cdrom"
	cloudInit := CloudInitDrive(live)
	switch {
	case s.Volume != "":
		if file != s.Volume {
			return fmt.Sprintf("%s holds %s, the manifest says %s: detach or reattach by hand, or correct the manifest", slot, file, s.Volume)
		}
	case s.CDROM != "":
		if !cdrom || cloudInit {
			return fmt.Sprintf("%s holds the disk %s, the manifest says a CD drive: free the slot by hand, or use another", slot, file)
		}
	case s.CloudInit:
		if !cloudInit {
			return fmt.Sprintf("%s holds %s, the manifest says the cloud-init drive: free the slot by hand, or use another", slot, file)
		}
		if storage != s.Storage {
			return fmt.Sprintf("the cloud-init drive %s is on %s, the manifest says %s: delete the drive by hand, it is then made anew", slot, storage, s.Storage)
		}
	case cdrom:
		return fmt.Sprintf("%s is a CD drive (%s), the manifest says a disk: free the slot by hand, or use another", slot, file)
	case storage != s.Storage:
		return fmt.Sprintf("%s is on storage %s (%s), the manifest says %s: move it with `qm disk move VMID %s %s`, or correct the manifest", slot, storage, file, s.Storage, slot, s.Storage)
	}
	return ""
}

// CloudInitDrive tells whether the drive found in a slot is the cloud-init drive, which PVE knows by the name of its volume;
// an ISO image whose name merely holds the word is none.
func CloudInitDrive(live map[string]string) bool {
	return live["media"] == "cdrom" && cloudInitVolume.MatchString(live["file"])
}

// SameImage tells whether a CD drive holds the image wanted; another kind of drive always does.
func (s Setting) SameImage(have string) bool {
	return s.Source.CDROM == "" || s.Row.Parse(have)["file"] == s.Source.CDROM
}
