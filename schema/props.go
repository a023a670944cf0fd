package schema

import (
	"encoding/base64"
	"maps"
	"slices"
	"strings"
)

// Parse splits the text of a property string into sub-keys by their canonical names. A bare first value belongs to the
// default key; aliases are resolved; `virtio=AA:..` becomes model and macaddr; base64 SMBIOS fields are decoded.
func (r *Row) Parse(text string) map[string]string {
	props := map[string]string{}
	for part := range strings.SplitSeq(text, ",") {
		if part = strings.TrimSpace(part); part == "" {
			continue
		}
		key, value, ok := strings.Cut(part, "=")
		switch {
		case !ok:
			props[r.bare()] = part
		case r.Key == "net" && r.isModel(key):
			props["model"], props["macaddr"] = key, value
		default:
			props[r.canonical(key)] = value
		}
	}
	if r.Key == "smbios1" {
		decodeSMBIOS(props)
	}
	return props
}

// Print joins sub-keys as PVE prints them: the default key first and bare, then the others by name (FACTS §3).
func (r *Row) Print(props map[string]string) string {
	props = maps.Clone(props)
	if r.Key == "smbios1" {
		encodeSMBIOS(props)
	}
	var parts []string
	bare := r.bare()
	if v, ok := props[bare]; ok && bare != "" {
		if mac := props["macaddr"]; r.Key == "net" && mac != "" {
			v += "=" + mac
			delete(props, "macaddr")
		}
		if r.Key == "startup" && v == "0" {
			v = "order=0" // PVE takes a bare 0 for nothing, and refuses it
		}
		parts = append(parts, v)
		delete(props, bare)
	}
	for _, key := range slices.Sorted(maps.Keys(props)) {
		parts = append(parts, key+"="+props[key])
	}
	return strings.Join(parts, ",")
}

func (r *Row) bare() string {
	if r.drive {
		return "file"
	}
	for _, l := range r.Leaves {
		if l.Bare {
			return l.Prop
		}
	}
	return ""
}

func (r *Row) canonical(key string) string {
	if r.drive && key == "volume" {
		return "file"
	}
	for _, l := range r.Leaves {
		if l.Prop == key || slices.Contains(l.Alias, key) {
			return l.Prop
		}
	}
	return key
}

func (r *Row) isModel(key string) bool {
	l := r.leaf("model")
	return l != nil && slices.Contains(l.Enum, key)
}

func decodeSMBIOS(props map[string]string) {
	if on, _ := parseBool(props["base64"]); on {
		for k, v := range props {
			if d, err := base64.StdEncoding.DecodeString(v); err == nil && k != "uuid" && k != "base64" {
				props[k] = string(d)
			}
		}
	}
	delete(props, "base64")
}

func encodeSMBIOS(props map[string]string) {
	for k, v := range props {
		if k != "uuid" {
			props[k] = base64.StdEncoding.EncodeToString([]byte(v))
			props["base64"] = "1"
		}
	}
}
