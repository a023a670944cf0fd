package strictyaml

import "strconv"

// free reads a value whose type the document chooses: nil, bool, int64, float64, string, []any or map[string]any, by
// the YAML 1.2 core schema. A scalar that another YAML version types differently is a problem, not a choice.
func (r *reader) free(n *node, path string) any {
	switch n.kind {
	case mapping:
		entries := make(map[string]any, len(n.children))
		for i := range n.children {
			c := &n.children[i]
			value := r.free(c, join(path, c.key))
			if r.textKey(c, join(path, c.key)) && !c.again && c.kind != refused {
				entries[c.key] = value
			}
		}
		return entries
	case list:
		items := make([]any, len(n.children))
		for i := range n.children {
			items[i] = r.free(&n.children[i], joinIndex(path, i))
		}
		return items
	case scalar:
		return r.freeScalar(n, path)
	}
	return nil
}

func (r *reader) freeScalar(n *node, path string) any {
	if !n.plain {
		return n.value
	}
	quote := "write " + excerpt(n.value) + " for text"
	switch t := resolve(n.value); t {
	case textScalar:
		return n.value
	case nullScalar:
		return nil
	case boolScalar, wordScalar:
		value, text, hint := parseBool(n)
		if text == "" {
			return value
		}
		r.at(n, path, "ambiguous value: YAML parsers disagree about "+n.value, hint+", or "+quote)
	case intScalar:
		if i, err := strconv.ParseInt(n.value, 10, 64); err == nil {
			return i
		}
		r.at(n, path, shorten(n.value)+" does not fit into 64 bits", quote)
	case floatScalar:
		if f, err := strconv.ParseFloat(n.value, 64); err == nil {
			return f
		}
		r.at(n, path, shorten(n.value)+" is too large", quote)
	case oddScalar:
		hint := quote
		if plain, _ := respell(n.value, false); plain != "" {
			hint = "write " + plain + ", or " + quote
		}
		r.at(n, path, "ambiguous value: YAML parsers disagree about "+shorten(n.value), hint)
	default:
		r.at(n, path, "ambiguous value: "+taken(n.value, t), quote)
	}
	return nil
}
