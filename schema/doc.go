// Package schema is what a user may write: the kinds, their defaults and the rules they keep.
//
// VMSpec is THE field table: one tagged line is one PVE setting, and decoding, validation, encoding, comparison, plan
// text, JSON Schema and the manifest reference all walk it. Comparison belongs to the kind of a value (kinds.go), never
// to the field. The package is pure: it reads no file, asks no host and knows no clock.
package schema
