package schema

import (
	"errors"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"
)

// The readers are the inverses of the kinds' print: PVE's text as the value a spec holds. What a reader loses of a text, the
// comparison that follows it notices.

func readDescription(s string) (any, error) { return readText(strings.TrimRight(s, " \t\r\n")) }
func readURLEncoded(s string) (any, error)  { return readText(decodeURL(s)) }
func readSecret(string) (any, error)        { return nil, errors.New("a secret") }

func readText(s string) (any, error) {
	if !utf8.ValidString(s) {
		return nil, errors.New("not UTF-8 text")
	}
	return s, nil
}

func readBool(s string) (any, error) {
	if v, ok := parseBool(s); ok {
		return v, nil
	}
	return nil, errors.New("neither on nor off")
}

func readOnOff(s string) (any, error) {
	switch s {
	case "on":
		return true, nil
	case "ignore":
		return false, nil
	}
	return nil, errors.New("neither on nor ignore")
}

// whole is the largest number up to which a float64 holds every whole number.
const whole = 1 << 53

func readInt(s string) (any, error) {
	f, err := strconv.ParseFloat(s, 64)
	if err != nil || f != math.Trunc(f) || math.Abs(f) > whole {
		return nil, errors.New("not a whole number")
	}
	return int(f), nil
}

func readFloat(s string) (any, error) {
	f, err := strconv.ParseFloat(s, 64)
	if err != nil || math.IsInf(f, 0) || math.IsNaN(f) {
		return nil, errors.New("not a number")
	}
	return f, nil
}

func readMebibytes(s string) (any, error) {
	n, err := readInt(s)
	if err != nil {
		return nil, err
	}
	if n := int64(n.(int)); n >= 0 && n <= math.MaxInt64/MiB {
		return Size{Bytes: n * MiB}, nil
	}
	return nil, errors.New("not a size in MiB")
}

func readList(separators string) func(string) (any, error) {
	return func(s string) (any, error) {
		if _, err := readText(s); err != nil {
			return nil, err
		}
		return unique(split(s, separators)), nil
	}
}

func readBootOrder(s string) (any, error) {
	for part := range strings.SplitSeq(s, ",") {
		if part = strings.TrimSpace(part); part != "" && !strings.HasPrefix(part, "order=") {
			return nil, errors.New("the old form of a boot order; the new one is order=scsi0;net0")
		}
	}
	if len(BootOrder(s)) == 0 {
		return []string(nil), nil
	}
	return BootOrder(s), nil
}

func readSSHKeys(s string) (any, error) {
	text, err := readText(decodeURL(s))
	if err != nil {
		return nil, err
	}
	var keys []string
	for line := range strings.SplitSeq(text.(string), "\n") {
		if line = strings.TrimSpace(line); line != "" {
			keys = append(keys, line)
		}
	}
	return keys, nil
}
