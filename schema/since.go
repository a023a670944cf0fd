package schema

import (
	"maps"
	"strings"
)

// The parts of a drive that are no sub-keys a manifest declares: which volume or image it holds, and how large it is.
const (
	PropFile = "file"
	PropSize = "size"
)

// Since tells whether base declared a value of the setting too, and whether it meant the same then. prop is a sub-key, or
// "" for all of the key.
func (s Setting) Since(base *Setting, prop string, f Facts) (declared, unchanged bool) {
	if base == nil {
		return false, false
	}
	switch {
	case s.Row.Scalar():
		return true, s.Row.alike("", s.Text, base.Text, f)
	case s.Source != nil && prop == PropSize:
		return base.Source.Size.Bytes > 0, base.Source.Size.Bytes == s.Source.Size.Bytes
	case s.Source != nil && prop == PropFile:
		return true, s.Source.sameForm(*base.Source)
	case prop != "":
		was, ok := base.Props[prop]
		return ok, ok && s.Row.alike(prop, s.Props[prop], was, f)
	}
	same := s.Source == nil || s.Source.sameForm(*base.Source) && s.Source.Size.Bytes == base.Source.Size.Bytes
	return true, same && maps.EqualFunc(s.Props, base.Props, func(x, y string) bool { return x == y })
}

// alike compares two declared values. Some kinds ask only whether one is met by the other, so both are asked.
func (r *Row) alike(prop, x, y string, f Facts) bool {
	l := r.leaf(prop)
	if l == nil || l.kind.name == "secret" {
		return x == y
	}
	return l.kind.same(x, y, f) && l.kind.same(y, x, f)
}

func (s Source) sameForm(o Source) bool {
	return s.Storage == o.Storage && s.Volume == o.Volume && s.CDROM == o.CDROM && s.CloudInit == o.CloudInit
}

// Form is what a drive is to hold, in one word, and the field of the manifest that says so.
func (s Source) Form() (text, field string) {
	switch {
	case s.Volume != "":
		return s.Volume, "volume"
	case s.CDROM != "":
		return s.CDROM, "cdrom"
	}
	return s.Storage, "storage"
}

// Without is the setting that leaves a sub-key open. Of a drive it takes what it holds, or its size, as they live.
func (s Setting) Without(prop, have string) Setting {
	if s.Source != nil {
		src := *s.Source
		switch prop {
		case PropSize:
			src.Size = Size{}
		case PropFile:
			src.take(s.Row.Parse(have)["file"])
		}
		s.Source = &src
	}
	s.Props = maps.Clone(s.Props)
	delete(s.Props, prop)
	return s
}

func (s *Source) take(file string) {
	switch {
	case s.Volume != "":
		s.Volume = file
	case s.CDROM != "":
		s.CDROM = file
	default:
		s.Storage, _, _ = strings.Cut(file, ":")
	}
}

// Print is the value as PVE would be told, for people: of a drive what fills an empty slot.
func (s Setting) Print() string {
	switch {
	case s.Source != nil:
		return s.Fresh()
	case s.Row.Scalar():
		return s.Text
	}
	return s.Row.Print(s.Props)
}

// Declares is what a spec says of a PVE key, or with prop of a sub-key of it, as PVE's text; "" for nothing.
func (v VM) Declares(key, prop string) string {
	s, ok := v.Settings()[key]
	switch {
	case !ok:
		return ""
	case s.Row.Scalar():
		return s.Text
	case s.Source != nil && prop == PropFile:
		text, _ := s.Source.Form()
		return text
	case s.Source != nil && prop == PropSize:
		if s.Source.Size.Bytes == 0 {
			return ""
		}
		return s.Source.Size.PVE()
	case prop == "":
		return s.Print()
	}
	return s.Props[prop]
}
