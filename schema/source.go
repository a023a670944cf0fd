package schema

import (
	"reflect"
	"strings"
)

// holder is the inverse of sourced: a drive that is told what it holds.
type holder interface{ hold(Source) }

func (d *Disk) hold(s Source) {
	d.Storage, d.ImportFrom, d.Volume, d.CDROM = s.Storage, s.ImportFrom, s.Volume, s.CDROM
	d.Size, d.CloudInit = nil, nil
	if s.Size.Bytes > 0 {
		d.Size = &s.Size
	}
	if s.CloudInit {
		d.CloudInit = &s.CloudInit
	}
}

func (d *EFIDisk) hold(s Source)  { d.Storage, d.Volume = s.Storage, s.Volume }
func (t *TPMState) hold(s Source) { t.Storage, t.Volume = s.Storage, s.Volume }

// source reads what a drive holds into its struct. A disk is its storage and size, so that a larger size grows it; where
// the size is not known for sure or not whole MiB, it is its volume.
func (r *reading) source(v reflect.Value, row *Row, key string, props map[string]string) bool {
	file := props["file"]
	storage, volume, _ := strings.Cut(file, ":")
	foreign := volume == "" || checkStorage(storage) != ""
	var s Source
	switch cdrom := props["media"] == "cdrom"; {
	case !row.Family() && !foreign:
		s.Storage = storage
	case file == "none" && cdrom:
		s.CDROM = file
	case file == "cdrom":
		r.fail(key, "", "the CD drive of the host, which only root@pam itself may give to a guest")
		return false
	case foreign:
		r.fail(key, "", "not a volume of a storage, but a path or device of the host, which only root@pam itself may give to a guest")
		return false
	case CloudInitDrive(props):
		s.Storage, s.CloudInit = storage, true
	case cdrom:
		s.CDROM = file
	default:
		bytes, ok := ParsePVESize(props["size"])
		if s.Size = (Size{Bytes: bytes}); ok && bytes > 0 && bytes%MiB == 0 {
			s.Storage = storage
			break
		}
		s = Source{Volume: file}
		if props["size"] != "" {
			r.fail(key, "size", "not whole MiB: the disk is named by its volume, and cannot be grown by its manifest")
		}
	}
	if why := s.mismatch(props, key); why != "" {
		r.fail(key, "", why)
		return false
	}
	if !row.Family() { // one drive, inside the spec
		v = walk(v, row.Leaves[0].index[:len(row.Leaves[0].index)-1])
		if v.IsNil() {
			v.Set(reflect.New(v.Type().Elem()))
		}
	}
	v.Interface().(holder).hold(s)
	return true
}
