package strictyaml

import (
	"cmp"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"unicode/utf8"
)

// Nearest returns the word of among that somebody who typed word most likely meant: the same but for case, then the
// same but for separators, then the one it abbreviates, then the one with the fewest typing errors. "" when none is near.
func Nearest(word string, among []string) string {
	if len(word) > 64 {
		return ""
	}
	for _, same := range []func(string) string{strings.ToLower, letters} {
		for _, w := range among {
			if same(w) == same(word) && same(w) != "" {
				return w
			}
		}
	}
	low := strings.ToLower(word)
	starts := func(w string) bool { return strings.HasPrefix(strings.ToLower(w), low) }
	if len(low) >= 3 {
		if i := slices.IndexFunc(among, starts); i >= 0 && !slices.ContainsFunc(among[i+1:], starts) {
			return among[i]
		}
	}
	best, least := "", allowed(low)+1
	for _, w := range among {
		if len(w) > 64 {
			continue
		}
		if n := distance(low, strings.ToLower(w)); n < least {
			best, least = w, n
		}
	}
	return best
}

// letters drops case and separators: restart_policy, restart-policy and restartPolicy are one.
func letters(s string) string { return separators.Replace(strings.ToLower(s)) }

var separators = strings.NewReplacer("-", "", "_", "", " ", "")

// allowed is the number of typing errors forgiven in a word.
func allowed(word string) int {
	switch n := utf8.RuneCountInString(word); {
	case n <= 1:
		return 0
	case n <= 4:
		return 1
	case n <= 7:
		return 2
	}
	return 3
}

// distance counts insertions, deletions, replacements and swaps of neighbours (optimal string alignment).
func distance(a, b string) int {
	s, t := []rune(a), []rune(b)
	before, last := make([]int, len(t)+1), make([]int, len(t)+1)
	for j := range last {
		last[j] = j
	}
	for i := range s {
		row := make([]int, len(t)+1)
		row[0] = i + 1
		for j := range t {
			cost := 1
			if s[i] == t[j] {
				cost = 0
			}
			row[j+1] = min(last[j+1]+1, row[j]+1, last[j]+cost)
			if i > 0 && j > 0 && s[i] == t[j-1] && s[i-1] == t[j] {
				row[j+1] = min(row[j+1], before[j-1]+1)
			}
		}
		before, last = last, row
	}
	return last[len(t)]
}

// fieldHint says what an unknown field may have been meant to be.
func fieldHint(root reflect.Type, known *structFields, path, key string) string {
	near := Nearest(key, known.names)
	if near != "" && letters(strings.TrimSuffix(near, "s")) == letters(strings.TrimSuffix(key, "s")) {
		return fmt.Sprintf("did you mean %q?", near)
	}
	for _, name := range known.names {
		if slices.Contains(known.byName[name].others, strings.ToLower(key)) {
			return fmt.Sprintf("did you mean %q?", name)
		}
	}
	if paths := elsewhere(root, path, key); len(paths) > 0 {
		return "did you mean " + strings.Join(paths, " or ") + "?"
	}
	if near != "" {
		return fmt.Sprintf("did you mean %q?", near)
	}
	if n := len(known.names); n > 0 && n <= 8 {
		return "known here: " + strings.Join(known.names, ", ")
	}
	return ""
}

// elsewhere lists where the tree has a field of exactly this name, or one that is called so outside of it, nearest first;
// nothing when there are too many to help.
func elsewhere(root reflect.Type, path, key string) []string {
	places := placesOf(root)
	paths := slices.Clone(places[key])
	if len(paths) == 0 {
		paths = slices.Clone(places[calledSo+strings.ToLower(key)])
	}
	if family := strings.TrimRight(key, "0123456789"); len(paths) == 0 && family != key {
		for _, p := range places[calledSo+strings.ToLower(family)+"["] {
			paths = append(paths, p+"."+key)
		}
	}
	slices.SortStableFunc(paths, func(a, b string) int { return cmp.Compare(shared(b, path), shared(a, path)) })
	if len(paths) > 1 && shared(paths[0], path) > shared(paths[1], path) {
		paths = paths[:1]
	}
	if len(paths) > 3 {
		return nil
	}
	return paths
}

// shared counts the leading path elements two paths have in common.
func shared(a, b string) int {
	s, t := strings.Split(a, "."), strings.Split(b, ".")
	n := 0
	for n < len(s) && n < len(t) && s[n] == t[n] {
		n++
	}
	return n
}

var placeCache sync.Map // reflect.Type to map[string][]string

// placesOf maps each field name of a type's tree to the paths it is found at.
func placesOf(root reflect.Type) map[string][]string {
	if known, ok := placeCache.Load(root); ok {
		return known.(map[string][]string)
	}
	places := map[string][]string{}
	collect(places, root, "", nil)
	known, _ := placeCache.LoadOrStore(root, places)
	return known.(map[string][]string)
}

func collect(places map[string][]string, t reflect.Type, path string, above []reflect.Type) {
	if hooksOf(t).text || len(above) > 12 || slices.Contains(above, t) {
		return
	}
	above = append(slices.Clone(above), t)
	switch t.Kind() {
	case reflect.Pointer:
		collect(places, t.Elem(), path, above)
	case reflect.Slice:
		collect(places, t.Elem(), path+"[]", above)
	case reflect.Map:
		collect(places, t.Elem(), path+".<name>", above)
	case reflect.Struct:
		fields := fieldsOf(t)
		for _, name := range fields.names {
			f := fields.byName[name]
			places[name] = append(places[name], join(path, name))
			for _, other := range f.others {
				places[calledSo+other] = append(places[calledSo+other], join(path, name))
			}
			collect(places, f.typ, join(path, name), above)
		}
	}
}

// calledSo precedes a name that a field has elsewhere: no key that a user writes begins so.
const calledSo = "\x00"

// others lists what a field is called outside of the manifest, in lower case: by PVE (the tags pve and prop; "net[" is the
// family net0, net1, ...) and by people (the tag also).
func others(tag reflect.StructTag) []string {
	pve := tag.Get("pve")
	prop, _, _ := strings.Cut(tag.Get("prop"), ",")
	if prop != "" { // the key is not this field's alone
		pve = ""
	}
	var out []string
	for _, name := range append(strings.Split(pve, ","), prop) {
		if family, _, ok := strings.Cut(name, "["); ok {
			name = family + "["
		}
		if name != "" {
			out = append(out, strings.ToLower(name))
		}
	}
	return append(out, strings.Fields(tag.Get("also"))...)
}
