// Package hook puts a call of the program into a repository's post-receive hook and takes it out again. It touches nothing
// but the lines between its own marks, and never a hook that it cannot be sure to leave working.
package hook

import (
	"fmt"
	"regexp"
	"strings"
)

const (
	begin = "# >>> reconcile hook: tells the daemon that something was pushed; `reconcile hook uninstall` removes these lines"
	end   = "# <<< reconcile hook"
	made  = "#!/bin/sh\n"
)

// Refusal is a hook that is left alone, and what a person can do.
type Refusal struct{ Text, Do string }

func (r *Refusal) Error() string { return r.Text + "; " + r.Do }

// shells are the interpreters whose scripts may begin with our lines.
var shells = regexp.MustCompile(`^#! *(/usr/bin/env +|(/usr)?(/local)?/bin/)(sh|bash|dash|ash|ksh|zsh)( +-[a-z]+)* *$`)

// Lines are what a hook needs to call a command, as its words. The call gets nothing of what the hook reads, prints
// nothing, is not waited for, and its outcome counts for nothing.
func Lines(command ...string) string {
	quoted := make([]string, len(command))
	for i, word := range command {
		quoted[i] = quote(word)
	}
	call := strings.Join(quoted, " ")
	return fmt.Sprintf("%s\n(%s </dev/null >/dev/null 2>&1 &)\n%s\n", begin, call, end)
}

var plain = regexp.MustCompile(`^[A-Za-z0-9_./+:@%,=-]+$`)

func quote(word string) string {
	if plain.MatchString(word) {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}

// Add puts the lines into the text of a hook, right after its first line: what is there may end early. Lines of an earlier
// time are replaced. Without a hook, "", it makes one. A refusal is a *Refusal.
func Add(text, lines string) (string, error) {
	if text == "" {
		return made + lines, nil
	}
	first, rest, _ := strings.Cut(text, "\n")
	byHand := "add these lines to it by hand:\n" + lines
	if !shells.MatchString(strings.TrimSuffix(first, "\r")) {
		return "", &Refusal{fmt.Sprintf("it is no shell script (it begins with %.60q)", first), "have it run the command in the background, or " + byHand}
	}
	if strings.HasSuffix(first, "\r") {
		return "", &Refusal{"it has line ends of Windows", byHand}
	}
	without, err := Remove(first + "\n" + rest)
	if err != nil {
		return "", err
	}
	if without == "" {
		return made + lines, nil
	}
	first, rest, _ = strings.Cut(without, "\n")
	return first + "\n" + lines + rest, nil
}

// Remove takes the lines out of the text of a hook. A hook that is nothing else becomes "".
func Remove(text string) (string, error) {
	before, rest, found := strings.Cut(text, begin+"\n")
	if !found {
		return text, nil
	}
	inner, after, closed := strings.Cut(rest, end+"\n")
	if !closed || Has(inner) || Has(after) || before != "" && !strings.HasSuffix(before, "\n") {
		return "", &Refusal{"somebody changed the lines between the marks of reconcile", "remove them by hand, and run this again"}
	}
	if before == made && after == "" {
		return "", nil
	}
	return before + after, nil
}

// Has tells whether a hook holds the lines of some time.
func Has(text string) bool { return strings.Contains(text, begin+"\n") }
