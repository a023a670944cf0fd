package blockcopy

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

// Line is a progress as one line of text of at most width columns, with a bar if there is room for one.
func Line(p Progress, width int) string {
	share := 1.0
	if p.Size > 0 {
		share = min(1, float64(p.Done)/float64(p.Size))
	}
	head := fmt.Sprintf("%-6s %3.0f%%", p.Phase, 100*share)
	tail := fmt.Sprintf("%s/%s %s/s ETA %s  skipped %s written %s", Bytes(p.Done), Bytes(p.Size), Bytes(p.Rate), eta(p),
		Bytes(p.Skipped), Bytes(p.Written))
	bar := ""
	if room := min(40, width-len(head)-len(tail)-5); room >= 10 {
		full := int(share * float64(room))
		bar = " [" + strings.Repeat("#", full) + strings.Repeat(".", room-full) + "]"
	}
	line := head + bar + " " + tail
	return line[:min(len(line), max(width, 0))]
}

func eta(p Progress) string {
	switch {
	case p.Done >= p.Size:
		return "0s"
	case p.ETA <= 0:
		return "?"
	}
	return p.ETA.Round(time.Second).String()
}

// JSONLine is a progress as one line of JSON: the fields of Progress, with times in seconds.
func JSONLine(p Progress) []byte {
	line, err := json.Marshal(struct {
		Progress
		ETASeconds     float64 `json:"etaSeconds"`
		ElapsedSeconds float64 `json:"elapsedSeconds"`
	}{p, p.ETA.Seconds(), p.Elapsed.Seconds()})
	if err != nil {
		panic(err) // numbers and one string
	}
	return append(line, '\n')
}

// Bytes is a number of bytes for a person: "1.50 GiB".
func Bytes(n int64) string {
	if n < 1024 {
		return fmt.Sprintf("%d B", n)
	}
	value, unit := float64(n)/1024, 0
	for value >= 1024 && unit < 4 {
		value, unit = value/1024, unit+1
	}
	return fmt.Sprintf("%.4g %ciB", value, "KMGTP"[unit])
}
