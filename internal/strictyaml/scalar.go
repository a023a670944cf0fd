package strictyaml

import (
	"fmt"
	"math"
	"reflect"
	"regexp"
	"strconv"
	"strings"
)

// scalarType is what a plain scalar is to some YAML parser, old or new.
type scalarType uint8

const (
	textScalar scalarType = iota // text to every parser
	nullScalar
	boolScalar
	wordScalar  // yes, no, on, off, y, n: true or false to YAML 1.1
	intScalar   // plain decimal
	oddScalar   // a number written so that parsers differ or people do: 0123, 0x10, 1_000, +5, 1., 1e3, 12:30:00
	floatScalar // 1.5, 1.5e+3
	infScalar   // .inf, .nan
	dateScalar
	signScalar // "<<" and "=", which YAML 1.1 gives a meaning
)

// words are the scalars known by name. YAML 1.1: yaml.org/type/bool.html, null.html, float.html.
var words = map[string]scalarType{
	"": nullScalar, "~": nullScalar, "null": nullScalar, "Null": nullScalar, "NULL": nullScalar,
	"true": boolScalar, "True": boolScalar, "TRUE": boolScalar, "false": boolScalar, "False": boolScalar, "FALSE": boolScalar,
	"y": wordScalar, "Y": wordScalar, "yes": wordScalar, "Yes": wordScalar, "YES": wordScalar, "on": wordScalar, "On": wordScalar, "ON": wordScalar,
	"n": wordScalar, "N": wordScalar, "no": wordScalar, "No": wordScalar, "NO": wordScalar, "off": wordScalar, "Off": wordScalar, "OFF": wordScalar,
	".nan": infScalar, ".NaN": infScalar, ".NAN": infScalar, "<<": signScalar, "=": signScalar,
}

var (
	intForm   = regexp.MustCompile(`^-?(0|[1-9][0-9]*)$`)
	floatForm = regexp.MustCompile(`^-?(0|[1-9][0-9]*)\.[0-9]+([eE][-+][0-9]+)?$`)
	// Underscores, leading zeros, plus signs, other bases, missing digits, exponents that are text to YAML 1.1, base 60.
	oddForm = regexp.MustCompile(`^[-+]?(0[xX][0-9a-fA-F_]+|0[oO][0-7_]+|0[bB][01_]+|[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?|` +
		`([0-9][0-9_]*(\.[0-9_]*)?|\.[0-9_]+)([eE][-+]?[0-9]+)?)$`)
	infForm  = regexp.MustCompile(`^[-+]?\.(inf|Inf|INF)$`)
	dateForm = regexp.MustCompile(`^[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}([Tt \t].*)?$`)
)

// resolve tells what a plain scalar may be taken for.
func resolve(text string) scalarType {
	if t, ok := words[text]; ok {
		return t
	}
	if c := text[0]; c != '-' && c != '+' && c != '.' && (c < '0' || c > '9') {
		return textScalar
	}
	switch {
	case intForm.MatchString(text):
		return intScalar
	case floatForm.MatchString(text):
		return floatScalar
	case oddForm.MatchString(text):
		return oddScalar
	case infForm.MatchString(text):
		return infScalar
	case dateForm.MatchString(text):
		return dateScalar
	}
	if bare := strings.ReplaceAll(text, "_", ""); bare != text && bare != "" && resolve(bare) != textScalar {
		return oddScalar // some parsers drop underscores wherever they stand
	}
	return textScalar
}

// taken says what YAML parsers make of a plain scalar that is not text.
func taken(text string, t scalarType) string {
	who, what := "YAML parsers", "a number"
	switch t {
	case nullScalar:
		what = "no value"
	case boolScalar:
		what = "true or false"
	case wordScalar:
		who, what = "some YAML parsers", "true or false"
	case oddScalar:
		who = "some YAML parsers"
	case dateScalar:
		who, what = "some YAML parsers", "a date"
	case signScalar:
		who, what = "some YAML parsers", "an instruction"
	}
	return who + " read " + shorten(text) + " as " + what
}

// found describes a value in the words of a problem: "a mapping", `text "abc"`, "5".
func (n *node) found() string {
	switch n.kind {
	case mapping:
		return "a mapping"
	case list:
		return "a list"
	}
	if n.plain && resolve(n.value) != textScalar {
		return shorten(n.value)
	}
	return "text " + excerpt(n.value)
}

// parseText returns a problem's text and hint, or "".
func parseText(n *node) (text, hint string) {
	if !n.plain {
		return "", ""
	}
	if t := resolve(n.value); t != textScalar {
		return "quote this value: " + taken(n.value, t) + ", the field wants text", "write " + excerpt(n.value)
	}
	return "", ""
}

func parseBool(n *node) (value bool, text, hint string) {
	if n.plain && (n.value == "true" || n.value == "false") {
		return n.value == "true", "", ""
	}
	text = "expected true or false, found " + n.found()
	switch strings.ToLower(n.value) {
	case "true", "yes", "on", "y", "1", "enabled":
		return false, text, "write true"
	case "false", "no", "off", "n", "0", "disabled":
		return false, text, "write false"
	}
	return false, text, ""
}

// parseNumber checks that n is a number written in plain decimal; whole forbids fractions and exponents.
func parseNumber(n *node, whole bool) (text, hint string) {
	noun, t := "a number", textScalar
	if whole {
		noun = "a whole number"
	}
	if n.plain {
		t = resolve(n.value)
	}
	switch {
	case t == intScalar && (n.value != "-0" || !whole), t == floatScalar && !whole:
		return "", ""
	case t == intScalar:
		return "expected a whole number, found -0", "write 0"
	case t == oddScalar || t == floatScalar:
		if plain, why := respell(n.value, whole); plain != "" {
			return "expected " + noun + " in plain decimal, found " + shorten(n.value) + why, "write " + shorten(plain)
		}
	case !n.plain && (intForm.MatchString(n.value) || !whole && floatForm.MatchString(n.value)):
		return "expected " + noun + ", found " + n.found(), "remove the quotes"
	}
	return "expected " + noun + ", found " + n.found(), ""
}

// respell writes a number the plain way, where it is clear which one is meant, and says what is odd about it.
func respell(text string, whole bool) (plain, why string) {
	digits := strings.TrimPrefix(strings.ReplaceAll(text, "_", ""), "+")
	switch magnitude := strings.TrimPrefix(digits, "-"); {
	case strings.ContainsRune(text, ':'):
		return "", ""
	case len(magnitude) > 1 && magnitude[0] == '0' && strings.ContainsRune("xXoObB", rune(magnitude[1])):
		if v, err := strconv.ParseInt(digits, 0, 64); err == nil {
			return strconv.FormatInt(v, 10), ""
		}
		return "", ""
	case len(magnitude) > 1 && magnitude[0] == '0' && intForm.MatchString(strings.TrimLeft(magnitude, "0")):
		plain = strings.TrimLeft(magnitude, "0")
		if digits[0] == '-' {
			plain = "-" + plain
		}
		return plain, " (octal to some YAML parsers)"
	}
	if intForm.MatchString(digits) {
		return digits, ""
	}
	v, err := strconv.ParseFloat(digits, 64)
	if err != nil || whole && (v != math.Trunc(v) || math.Abs(v) > 1<<53) {
		return "", ""
	}
	if plain = strconv.FormatFloat(v, 'f', -1, 64); len(plain) > 30 {
		return "", ""
	}
	return plain, ""
}

// setInt stores a plain decimal into an integer of any size.
func setInt(v reflect.Value, digits string) (text string) {
	bits, shown := v.Type().Bits(), shorten(digits)
	if v.CanUint() {
		if digits[0] == '-' {
			return shown + " is negative, at least 0 is wanted"
		}
		u, err := strconv.ParseUint(digits, 10, bits)
		if err != nil {
			return fmt.Sprintf("%s is too large, at most %d fits", shown, uint64(math.MaxUint64)>>(64-bits))
		}
		v.SetUint(u)
		return ""
	}
	i, err := strconv.ParseInt(digits, 10, bits)
	switch {
	case err == nil:
		v.SetInt(i)
		return ""
	case digits[0] == '-':
		return fmt.Sprintf("%s is too small, at least %d fits", shown, int64(math.MinInt64)>>(64-bits))
	}
	return fmt.Sprintf("%s is too large, at most %d fits", shown, int64(math.MaxInt64)>>(64-bits))
}
