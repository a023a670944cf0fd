package sim

import (
	"fmt"
	"strings"
	"time"
)

// unifiedDiff compares two files as `diff -u` prints it; the same text gives "".
func unifiedDiff(oldName, oldText string, oldTime time.Time, newName, newText string, newTime time.Time) string {
	a, b := diffLines(oldText), diffLines(newText)
	ops := diffOps(a, b)
	hunks := diffHunks(ops)
	if hunks == "" {
		return ""
	}
	stamp := func(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05.000000000 -0700") }
	return fmt.Sprintf("--- %s\t%s\n+++ %s\t%s\n%s", oldName, stamp(oldTime), newName, stamp(newTime), hunks)
}

func diffLines(text string) []string {
	if text == "" {
		return nil
	}
	return strings.Split(strings.TrimSuffix(text, "\n"), "\n")
}

// diffOps lists the lines of both files, each with ' ', '-' or '+' in front, by a longest common subsequence.
func diffOps(a, b []string) []string {
	common := make([][]int, len(a)+1)
	for i := range common {
		common[i] = make([]int, len(b)+1)
	}
	for i := len(a) - 1; i >= 0; i-- {
		for j := len(b) - 1; j >= 0; j-- {
			if a[i] == b[j] {
				common[i][j] = common[i+1][j+1] + 1
			} else {
				common[i][j] = max(common[i+1][j], common[i][j+1])
			}
		}
	}
	var ops []string
	i, j := 0, 0
	for i < len(a) || j < len(b) {
		switch {
		case i < len(a) && j < len(b) && a[i] == b[j]:
			ops = append(ops, " "+a[i])
			i, j = i+1, j+1
		case j >= len(b) || i < len(a) && common[i+1][j] >= common[i][j+1]:
			ops = append(ops, "-"+a[i])
			i++
		default:
			ops = append(ops, "+"+b[j])
			j++
		}
	}
	return ops
}

const diffContext = 3

func diffHunks(ops []string) string {
	var out strings.Builder
	oldLine, newLine := 1, 1
	for at := 0; at < len(ops); {
		if ops[at][0] == ' ' {
			at, oldLine, newLine = at+1, oldLine+1, newLine+1
			continue
		}
		start := max(0, at-diffContext)
		end, last := at, at
		for end < len(ops) && end-last <= 2*diffContext {
			if ops[end][0] != ' ' {
				last = end
			}
			end++
		}
		end = min(len(ops), last+diffContext+1)
		oldStart, newStart := oldLine-(at-start), newLine-(at-start)
		oldCount, newCount := 0, 0
		for _, op := range ops[start:end] {
			if op[0] != '+' {
				oldCount++
			}
			if op[0] != '-' {
				newCount++
			}
		}
		fmt.Fprintf(&out, "@@ -%s +%s @@\n%s\n", hunkRange(oldStart, oldCount), hunkRange(newStart, newCount), strings.Join(ops[start:end], "\n"))
		oldLine, newLine = oldStart+oldCount, newStart+newCount
		at = end
	}
	return out.String()
}

func hunkRange(start, count int) string {
	switch count {
	case 0:
		return fmt.Sprintf("%d,0", start-1)
	case 1:
		return fmt.Sprint(start)
	}
	return fmt.Sprintf("%d,%d", start, count)
}
