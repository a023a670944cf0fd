package pve

import (
	"bytes"
	"encoding/json"
)

// text is a JSON value as PVE's config files have it: strings as they are, numbers by their own digits (never through a
// float), booleans as 1 and 0, null as nothing. PVE mixes the types (FACTS §1).
type text string

// UnmarshalJSON accepts any value; lists and objects stay as JSON.
func (t *text) UnmarshalJSON(raw []byte) error {
	switch raw = bytes.TrimSpace(raw); {
	case len(raw) > 0 && raw[0] == '"':
		var s string
		if err := json.Unmarshal(raw, &s); err != nil {
			return err
		}
		*t = text(s)
	case string(raw) == "null":
		*t = ""
	case string(raw) == "true":
		*t = "1"
	case string(raw) == "false":
		*t = "0"
	default:
		*t = text(raw)
	}
	return nil
}
