package migration

import (
	"fmt"
	"strings"
	"time"
)

// bytes prints an amount with three digits: "345 GiB", "9.77 GiB".
func bytes(n int64) string {
	units := []string{"B", "KiB", "MiB", "GiB", "TiB", "PiB"}
	f, i := float64(n), 0
	for f >= 999.5 && i < len(units)-1 {
		f, i = f/1024, i+1
	}
	switch {
	case i == 0 || f >= 99.95:
		return fmt.Sprintf("%.0f %s", f, units[i])
	case f >= 9.995:
		return fmt.Sprintf("%.1f %s", f, units[i])
	}
	return fmt.Sprintf("%.2f %s", f, units[i])
}

// short prints a duration in its two largest units: "16h0m", "2m40s", "45s".
func short(d time.Duration) string {
	switch {
	case d >= 48*time.Hour:
		return fmt.Sprintf("%dd%dh", int(d.Hours())/24, int(d.Hours())%24)
	case d >= time.Hour:
		return strings.TrimSuffix(d.Round(time.Minute).String(), "0s")
	case d >= time.Minute:
		return d.Round(time.Second).String()
	case d > 0 && d < time.Second:
		return "1s"
	}
	return d.Round(time.Second).String()
}
