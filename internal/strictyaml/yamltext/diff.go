package yamltext

import "slices"

// Edit is one change of a file: the value at a path of keys becomes another one, or goes when the new one is empty.
type Edit struct {
	Path  []string
	Value Tree
	After []string // keys that stand before a new one, the nearest last
}

// Diff lists the edits that make one mapping another. Mappings are compared key by key, lists as a whole.
func Diff(old, new Tree) []Edit { return diff(nil, old, new) }

func diff(path []string, old, new Tree) []Edit {
	var out []Edit
	var before []string
	for _, f := range new.fields {
		was, there := old.Field(f.Key)
		switch {
		case f.Value.Empty():
		case there && was.Equal(f.Value):
		case there && was.kind == mapping && f.Value.kind == mapping:
			out = append(out, diff(below(path, f.Key), was, f.Value)...)
		default:
			out = append(out, Edit{Path: below(path, f.Key), Value: f.Value, After: slices.Clone(before)})
		}
		before = append(before, f.Key)
	}
	for _, f := range old.fields { // last, so that no mapping is ever empty
		if value, ok := new.Field(f.Key); !ok || value.Empty() && !f.Value.Empty() {
			out = append(out, Edit{Path: below(path, f.Key)})
		}
	}
	return out
}

func below(path []string, key string) []string { return append(slices.Clone(path), key) }
