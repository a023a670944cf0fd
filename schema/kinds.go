package schema

import (
	"encoding"
	"fmt"
	"net/url"
	"path"
	"reflect"
	"regexp"
	"slices"
	"sort"
	"strconv"
	"strings"
)

// Facts are the settings of a cluster that change what is a difference (PVE: GET /cluster/options).
type Facts struct {
	TagsCaseSensitive bool // tag-style case-sensitive=1
	TagsInOrder       bool // tag-style ordering=config
}

// A kind says how a value is printed for PVE, when two texts mean the same, and what is wrong with one. It is chosen by
// the kind tag or else by the Go type, never by the field.
type kind struct {
	name  string
	print func(reflect.Value) string
	read  func(string) (any, error) // the inverse of print, for what lives
	same  func(want, have string, f Facts) bool
	check func(string) string // "" when fine; each element of a list is checked by itself
	form  *regexp.Regexp      // what JSON Schema can say of check, nil for nothing
}

func equal(want, have string, _ Facts) bool  { return want == have }
func noCase(want, have string, _ Facts) bool { return strings.EqualFold(want, have) }
func fine(string) string                     { return "" }
func text(v reflect.Value) string            { return v.String() }
func joined(sep string) func(reflect.Value) string {
	return func(v reflect.Value) string { return strings.Join(v.Interface().([]string), sep) }
}

var kinds = map[string]kind{
	"text":        {print: text, read: readText, same: equal, check: fine},
	"bool":        {print: printBool("0", "1"), read: readBool, same: sameBool, check: fine},
	"onoff":       {print: printBool("ignore", "on"), read: readOnOff, same: equal, check: fine},
	"int":         {print: func(v reflect.Value) string { return strconv.FormatInt(v.Int(), 10) }, read: readInt, same: sameNumber, check: fine},
	"weight":      {print: func(v reflect.Value) string { return strconv.FormatInt(v.Int(), 10) }, read: readInt, same: sameWeight, check: fine},
	"float":       {print: func(v reflect.Value) string { return strconv.FormatFloat(v.Float(), 'f', -1, 64) }, read: readFloat, same: sameNumber, check: fine},
	"mebibytes":   {print: func(v reflect.Value) string { return strconv.FormatInt(v.Interface().(Size).MiB(), 10) }, read: readMebibytes, same: sameNumber, check: fine},
	"description": {print: func(v reflect.Value) string { return strings.TrimRight(v.String(), " \t\r\n") }, read: readDescription, same: sameDescription, check: checkDescription},
	"tags":        {print: joined(";"), read: readList(",; "), same: sameTags, check: fine},
	"set":         {print: joined(","), read: readList(",; "), same: sameSet, check: fine},
	"hotplug":     {print: joined(","), read: readList(",; "), same: sameHotplug, check: fine},
	"flags":       {print: joined(";"), read: readList(",; "), same: sameSet, check: fine},
	"semicolons":  {print: joined(";"), read: readList(";"), same: sameSet, check: fine},
	"words":       {print: joined(" "), read: readList(",; "), same: sameWords, check: fine},
	"bootorder":   {print: func(v reflect.Value) string { return "order=" + strings.Join(v.Interface().([]string), ";") }, read: readBootOrder, same: sameBootOrder, check: fine},
	"mac":         {print: text, read: readText, same: noCase, check: checkMAC, form: unicast},
	"nocase":      {print: text, read: readText, same: noCase, check: fine},
	"path":        {print: text, read: readText, same: func(want, have string, _ Facts) bool { return path.Clean(want) == path.Clean(have) }, check: fine},
	"urlencoded":  {print: func(v reflect.Value) string { return encodeURL(v.String()) }, read: readURLEncoded, same: sameURLEncoded, check: fine},
	"sshkeys":     {print: printSSHKeys, read: readSSHKeys, same: sameURLEncoded, check: checkSSHKey},
	"secret":      {print: text, read: readSecret, same: sameSecret, check: fine},
	"base64":      {print: text, read: readText, same: equal, check: fine},
	"uuid":        {print: text, read: readText, same: noCase, check: checkUUID, form: uuidForm},
	"name":        {print: text, read: readText, same: equal, check: checkName, form: dnsName},
	"storage":     {print: text, read: readText, same: equal, check: checkStorage, form: storageID},
	"volid":       {print: text, read: readText, same: equal, check: checkVolid, form: volid},
	"addresses":   {print: joined(" "), read: readList(",; "), same: sameWords, check: checkHost},
	"ip4":         {print: text, read: readText, same: equal, check: checkAddr(false, false)},
	"ip6":         {print: text, read: readText, same: sameAddr, check: checkAddr(true, false)},
	"cidr4":       {print: text, read: readText, same: equal, check: checkAddr(false, true, "dhcp", "manual")},
	"window":      {print: text, read: readText, same: equal, check: checkWindow},
	"cidr6":       {print: text, read: readText, same: sameAddr, check: checkAddr(true, true, "dhcp", "auto", "manual")},
}

func init() {
	for name, k := range kinds {
		k.name = name
		kinds[name] = k
	}
}

func kindOf(f reflect.StructField) kind {
	name := f.Tag.Get("kind")
	t := f.Type
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if name == "" {
		switch t.Kind() {
		case reflect.Bool:
			name = "bool"
		case reflect.Int:
			name = "int"
		case reflect.Float64:
			name = "float"
		case reflect.String, reflect.Map:
			name = "text"
		}
	}
	k, ok := kinds[name]
	if !ok {
		panic(fmt.Sprintf("schema: field %s has no kind", f.Name))
	}
	return k
}

func printBool(no, yes string) func(reflect.Value) string {
	return func(v reflect.Value) string {
		if v.Bool() {
			return yes
		}
		return no
	}
}

// parseBool reads PVE's words for a boolean inside property strings (FACTS §1).
func parseBool(s string) (value, ok bool) {
	switch strings.ToLower(s) {
	case "1", "on", "yes", "true":
		return true, true
	case "0", "off", "no", "false":
		return false, true
	}
	return false, false
}

func sameBool(want, have string, _ Facts) bool {
	w, _ := parseBool(want)
	h, ok := parseBool(have)
	return ok && w == h
}

func sameNumber(want, have string, _ Facts) bool {
	w, err1 := strconv.ParseFloat(want, 64)
	h, err2 := strconv.ParseFloat(have, 64)
	return err1 == nil && err2 == nil && w == h
}

// sameWeight: cgroup v2 has weights up to 10000, and PVE stores more as that (src: CGroup::clamp_cpu_shares).
func sameWeight(want, have string, _ Facts) bool {
	w, err1 := strconv.Atoi(want)
	h, err2 := strconv.Atoi(have)
	return err1 == nil && err2 == nil && min(w, 10000) == min(h, 10000)
}

func sameDescription(want, have string, _ Facts) bool {
	return strings.TrimRight(want, " \t\r\n") == strings.TrimRight(have, " \t\r\n")
}

func split(s, separators string) []string {
	return strings.FieldsFunc(s, func(r rune) bool { return strings.ContainsRune(separators, r) })
}

func sameTags(want, have string, f Facts) bool {
	if !f.TagsCaseSensitive {
		want, have = strings.ToLower(want), strings.ToLower(have)
	}
	w, h := unique(split(want, ",; ")), unique(split(have, ",; "))
	if !f.TagsInOrder {
		sort.Strings(w)
		sort.Strings(h)
	}
	return slices.Equal(w, h)
}

// unique keeps the first of equal words.
func unique(words []string) []string {
	seen := map[string]bool{}
	return slices.DeleteFunc(words, func(w string) bool {
		again := seen[w]
		seen[w] = true
		return again
	})
}

func sameSet(want, have string, _ Facts) bool {
	w, h := unique(split(want, ",; ")), unique(split(have, ",; "))
	sort.Strings(w)
	sort.Strings(h)
	return slices.Equal(w, h)
}

// longHotplug writes PVE's short forms out: 1 is the default, 0 nothing.
var longHotplug = strings.NewReplacer("1", "network,disk,usb", "0", "")

func sameHotplug(want, have string, f Facts) bool {
	return sameSet(longHotplug.Replace(want), longHotplug.Replace(have), f)
}

func sameWords(want, have string, _ Facts) bool {
	return slices.Equal(split(want, ",; "), split(have, ",; "))
}

// sameBootOrder: PVE appends new CD drives to the order (FACTS §3), so what follows the wanted order is not a difference.
func sameBootOrder(want, have string, _ Facts) bool {
	w, h := BootOrder(want), BootOrder(have)
	return len(h) >= len(w) && slices.Equal(w, h[:len(w)])
}

// BootOrder lists the devices of a boot value, none for the legacy form.
func BootOrder(text string) []string {
	for part := range strings.SplitSeq(text, ",") {
		if order, ok := strings.CutPrefix(part, "order="); ok {
			return split(order, ";")
		}
	}
	return nil
}

func sameURLEncoded(want, have string, _ Facts) bool { return decodeURL(want) == decodeURL(have) }

func decodeURL(s string) string {
	if d, err := url.PathUnescape(s); err == nil {
		s = d
	}
	return strings.TrimSpace(s)
}

func printSSHKeys(v reflect.Value) string {
	lines := v.Interface().([]string)
	trimmed := make([]string, len(lines))
	for i, l := range lines {
		trimmed[i] = strings.TrimSpace(l)
	}
	return encodeURL(strings.Join(trimmed, "\n"))
}

// encodeURL encodes text once, as PVE wants it from the client: blanks as %20, and no punctuation left that PVE's format
// "urlencoded" refuses (FACTS §3).
func encodeURL(s string) string { return strings.ReplaceAll(url.QueryEscape(s), "+", "%20") }

// sameSecret: PVE reads every password back as asterisks, so one that is there counts as equal.
func sameSecret(_, have string, _ Facts) bool { return have != "" }

var _ encoding.TextUnmarshaler = (*Size)(nil)
