package migration

import (
	"fmt"
	"strings"
	"time"
)

// What is taken for a figure that was not measured yet.
const (
	assumedShutdown = time.Minute
	assumedBoot     = time.Minute
	assumedSend     = 50e6  // bytes a second
	assumedCopy     = 150e6 // bytes a second, reading both sides
	assumedHash     = 300e6 // bytes a second
	overhead        = 15 * time.Second
)

// Forecast is how long the guest would be off, were it stopped now.
type Forecast struct {
	Parts   []Part
	Total   time.Duration
	Assumed []string // parts that rest on figures that were not measured
}

// Part is one part of a forecast.
type Part struct {
	Name string
	Span time.Duration
}

func (f Forecast) String() string {
	var parts []string
	for _, p := range f.Parts {
		parts = append(parts, p.Name+" "+short(p.Span))
	}
	text := strings.Join(parts, " + ")
	if len(f.Assumed) > 0 {
		text += "; assumed: " + strings.Join(f.Assumed, ", ")
	}
	return text
}

// forecast adds up what happens while the guest is off. Disks are sent, copied and hashed at the same time, at a rate they share.
func (v view) forecast() Forecast {
	r := v.have.Rates
	var f Forecast
	span := func(name string, measured, assumed time.Duration) {
		if measured == 0 {
			measured = assumed
			f.Assumed = append(f.Assumed, name)
		}
		f.Parts = append(f.Parts, Part{name, measured})
	}
	rate := func(name string, measured, assumed float64) float64 {
		if limit := float64(v.spec().Transfer.Rate.Bytes); limit > 0 && assumed > limit {
			assumed = limit
		}
		if measured > 0 {
			return measured
		}
		f.Assumed = append(f.Assumed, name)
		return assumed
	}
	var size int64
	for _, d := range v.disks {
		size += max(d.Source.Volsize, d.Target.Volsize)
	}
	span("shutdown", r.Shutdown, assumedShutdown)
	delta := rate("delta", r.Send, assumedSend)
	f.Parts = append(f.Parts, Part{"delta", seconds(float64(v.delta()) / delta)})
	copied := seconds(float64(size) / rate("copy", r.Copy, assumedCopy))
	f.Parts = append(f.Parts, Part{"copy", copied})
	// What the target should hold is hashed while it is written, the target after that.
	hashed := seconds(float64(size) / rate("proof", r.Hash, assumedHash))
	if !v.want.Proves() { // then both are on one host, and hashed after the copy
		copied = 0
	}
	f.Parts = append(f.Parts, Part{"proof", max(0, hashed-copied) + hashed})
	span("boot", r.Boot, assumedBoot)
	f.Parts, f.Assumed = append(f.Parts, Part{"checks", overhead}), append(f.Assumed, "checks")
	for _, p := range f.Parts {
		f.Total += p.Span
	}
	return f
}

func seconds(s float64) time.Duration {
	return time.Duration(s * float64(time.Second)).Round(time.Second)
}

var _ fmt.Stringer = Forecast{}
