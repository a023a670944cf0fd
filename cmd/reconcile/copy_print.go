package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/term"

	"github.com/ustclug/pve-reconcile/internal/blockcopy"
)

// progressPrinter is what to call with each progress, and how often.
func progressPrinter(style string, w io.Writer) (func(blockcopy.Progress), time.Duration) {
	file, _ := w.(*os.File)
	if style == "auto" {
		style = "lines"
		if file != nil && term.IsTerminal(int(file.Fd())) {
			style = "bar"
		}
	}
	switch style {
	case "bar":
		return barPrinter(w, file), 200 * time.Millisecond
	case "json":
		return func(p blockcopy.Progress) { _, _ = w.Write(blockcopy.JSONLine(p)) }, time.Second
	case "lines":
		return func(p blockcopy.Progress) {
			if !p.Final {
				fmt.Fprintln(w, blockcopy.Line(p, 120))
			}
		}, 30 * time.Second
	}
	return nil, 0
}

// barPrinter draws over its last line. The terminal may be resized meanwhile.
func barPrinter(w io.Writer, file *os.File) func(blockcopy.Progress) {
	return func(p blockcopy.Progress) {
		width := 80
		if file != nil {
			if columns, _, err := term.GetSize(int(file.Fd())); err == nil && columns > 0 {
				width = columns
			}
		}
		end := ""
		if p.Final {
			end = "\n"
		}
		fmt.Fprintf(w, "\r\x1b[K%s%s", blockcopy.Line(p, width-1), end)
	}
}

// copyReport is a result for a person.
func copyReport(r blockcopy.Result) string {
	var b strings.Builder
	rate := int64(float64(r.Size-r.Resumed) / max(r.CopySeconds, 1e-9))
	fmt.Fprintf(&b, "copied %s to %s: %s in %.1f s (%s/s)\n", r.Source, r.Target, blockcopy.Bytes(r.Size), r.Seconds, blockcopy.Bytes(rate))
	if r.Resumed > 0 {
		fmt.Fprintf(&b, "  continued at offset %d\n", r.Resumed)
	}
	fmt.Fprintf(&b, "  read %s; skipped %s (holes %s, zeros %s, same %s); written %s; discarded %s\n",
		blockcopy.Bytes(r.Read), blockcopy.Bytes(r.Skipped), blockcopy.Bytes(r.Holes), blockcopy.Bytes(r.Zeros),
		blockcopy.Bytes(r.Same), blockcopy.Bytes(r.Written), blockcopy.Bytes(r.Discarded))
	switch r.Verify {
	case blockcopy.VerifyFull:
		fmt.Fprintf(&b, "  verified: the target read back equals the source as read (%.1f s)\n", r.VerifySeconds)
	case blockcopy.VerifyInline:
		fmt.Fprintf(&b, "  hashed, target not read back\n")
	case blockcopy.VerifyNone:
		fmt.Fprintf(&b, "  not verified\n")
	}
	if r.Hash != "" {
		fmt.Fprintf(&b, "  blake3 over leaves of %s: %s\n", blockcopy.Bytes(r.Leaf), r.Hash)
	}
	for _, note := range r.Notes {
		fmt.Fprintf(&b, "  note: %s\n", note)
	}
	return b.String()
}
