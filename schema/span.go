package schema

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Duration is a positive span of time, written like 90s, 10m or 168h.
type Duration struct{ time.Duration }

// UnmarshalText reads a duration with its unit.
func (d *Duration) UnmarshalText(text []byte) error {
	v, err := time.ParseDuration(string(text))
	if err != nil {
		return fmt.Errorf("%.40q is not a duration: write a number with its unit, as 90s, 10m or 168h", text)
	}
	if v <= 0 {
		return fmt.Errorf("%s is not a positive duration: write 90s, 10m or 168h", text)
	}
	d.Duration = v
	return nil
}

// MarshalText writes the duration as Go does.
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// Rate is a number of bytes a second, written like 200MiB/s. Zero is no limit.
type Rate struct{ Bytes int64 }

var rateUnits = []struct {
	name  string
	bytes int64
}{{"KiB/s", 1 << 10}, {"MiB/s", MiB}, {"GiB/s", 1 << 30}, {"kB/s", 1e3}, {"MB/s", 1e6}, {"GB/s", 1e9}}

// UnmarshalText reads a rate with its unit.
func (r *Rate) UnmarshalText(text []byte) error {
	for _, u := range rateUnits {
		digits, ok := strings.CutSuffix(string(text), u.name)
		if !ok {
			continue
		}
		n, err := strconv.ParseInt(strings.TrimSpace(digits), 10, 64)
		if err != nil || n <= 0 || n > math.MaxInt64/u.bytes {
			break
		}
		r.Bytes = n * u.bytes
		return nil
	}
	return fmt.Errorf("%.40q is not a rate: write a whole number and KiB/s, MiB/s or GiB/s, as 200MiB/s", text)
}

// MarshalText writes the rate in the largest unit that divides it.
func (r Rate) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

func (r Rate) String() string {
	for _, i := range []int{2, 5, 1, 4, 0, 3} {
		if u := rateUnits[i]; r.Bytes != 0 && r.Bytes%u.bytes == 0 {
			return strconv.FormatInt(r.Bytes/u.bytes, 10) + u.name
		}
	}
	return strconv.FormatInt(r.Bytes, 10) + "B/s"
}
