package schema

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// MiB is 1024 * 1024 bytes, the unit PVE counts memory in and rounds zvols to.
const MiB = 1 << 20

// Size is an amount of memory or disk: whole MiB. A bare number counts MiB, as PVE's memory does.
type Size struct {
	Bytes int64
	Text  string // as written
	Bare  bool   // written without a unit
}

var units = []struct {
	name  string
	bytes int64
}{{"Ti", 1 << 40}, {"Gi", 1 << 30}, {"Mi", MiB}, {"Ki", 1 << 10}}

// UnmarshalText reads "300Gi", "16384" (MiB).
func (s *Size) UnmarshalText(text []byte) error {
	t := string(text)
	digits := strings.TrimRight(t, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ ")
	unit := t[len(digits):]
	n, err := strconv.ParseUint(digits, 10, 63)
	if err != nil {
		if strings.ContainsAny(digits, ".,") {
			return fmt.Errorf("%q is not a whole number: write it in a smaller unit (1.5Gi is 1536Mi)", t)
		}
		return fmt.Errorf("%q is not a size: write a whole number and Mi, Gi or Ti (300Gi)", t)
	}
	per := int64(0)
	for _, u := range units {
		if unit == u.name {
			per = u.bytes
		}
	}
	switch {
	case unit == "":
		per = MiB
	case per == 0:
		return fmt.Errorf("unknown unit %q in %q: use Mi, Gi or Ti%s", unit, t, meant(digits, unit))
	}
	if n > uint64(math.MaxInt64/per) {
		return fmt.Errorf("%q is too large", t)
	}
	*s = Size{Bytes: int64(n) * per, Text: t, Bare: unit == ""}
	if s.Bytes%MiB != 0 {
		return fmt.Errorf("%q is not whole MiB, as all sizes are: write %dMi", t, (s.Bytes+MiB-1)/MiB)
	}
	return nil
}

func meant(digits, unit string) string {
	u := strings.ToUpper(strings.TrimSpace(unit))
	for _, k := range units {
		if u != "" && u[0] == k.name[0] {
			return fmt.Sprintf(", did you mean %s%s?", digits, k.name)
		}
	}
	return ""
}

// MarshalText writes the size as it was written.
func (s Size) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// String prints the size as written, or in the largest unit that divides it.
func (s Size) String() string {
	if s.Text != "" {
		return s.Text
	}
	for _, u := range units {
		if s.Bytes >= u.bytes && s.Bytes%u.bytes == 0 {
			return strconv.FormatInt(s.Bytes/u.bytes, 10) + u.name
		}
	}
	return strconv.FormatInt(s.Bytes, 10)
}

// MiB is the size in MiB.
func (s Size) MiB() int64 { return s.Bytes / MiB }

// GiB is the size in GiB as PVE's storage:N form wants it, with as many decimals as it needs: 1536 MiB is "1.5".
func (s Size) GiB() string { return strconv.FormatFloat(float64(s.Bytes)/(1<<30), 'f', -1, 64) }

// PVE prints the size as PVE does in size=: the largest of T, G, M, K that divides it (FACTS §3).
func (s Size) PVE() string {
	for _, u := range units {
		if s.Bytes >= u.bytes && s.Bytes%u.bytes == 0 {
			return strconv.FormatInt(s.Bytes/u.bytes, 10) + u.name[:1]
		}
	}
	return strconv.FormatInt(s.Bytes, 10)
}

// ParsePVESize reads a size= of a drive: "300G", "3584M", "528K", "0T", fractions included; bytes without a unit.
func ParsePVESize(text string) (bytes int64, ok bool) {
	digits := strings.TrimRight(text, "KMGT")
	f, err := strconv.ParseFloat(digits, 64)
	if err != nil || f < 0 {
		return 0, false
	}
	per := 1.0
	switch strings.TrimPrefix(text, digits) {
	case "":
	case "K":
		per = 1 << 10
	case "M":
		per = 1 << 20
	case "G":
		per = 1 << 30
	case "T":
		per = 1 << 40
	default:
		return 0, false
	}
	return int64(f * per), true
}
