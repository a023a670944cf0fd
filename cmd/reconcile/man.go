package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/ustclug/pve-reconcile/internal/config"
)

// man prints the manual page, in the language of man(7).
func man(w io.Writer, all []verb) {
	fmt.Fprintf(w, `.TH RECONCILE 1 "" "pve-reconcile" "User Commands"
.SH NAME
reconcile \- make Proxmox VE what a git repository says
.SH SYNOPSIS
.B reconcile
.RI [ OPTION ...]
.br
.B reconcile \-\-once
.RI [ OPTION ...]
.RI [ NAME ...]
.br
.B reconcile
.I VERB
.RI [ OPTION ...]
.RI [ ARGUMENT ...]
.SH DESCRIPTION
Without a verb it is the daemon: it follows the repository that the config file names, and keeps guests, nodes and migrations as the
newest commit says, until it is told to stop.
With
.B \-\-once
it makes one pass and exits; it prints nothing when nothing changed.
Everything else is a verb.
.PP
.I NAME
is the name of a manifest, or kind and name, as in VirtualMachine/web.
.SH OPTIONS
`)
	manOptions(w, options(runOnce))
	fmt.Fprintln(w, ".SH VERBS")
	for _, v := range all {
		fmt.Fprintf(w, ".SS %s\n%s.\n", roff(strings.TrimSpace(v.name+" "+v.args)), roff(capital(v.summary)))
		manOptions(w, options(v.run))
	}
	fmt.Fprintf(w, `.SH EXIT STATUS
.TP
.B plan, status, diff
0 nothing to do, 2 changes, 3 something is blocked and needs a person, 1 error
.TP
.B \-\-once
0 in sync afterwards, 3 blocked or restart needed, 1 error
.TP
.B import
0 done, 2 with \-\-check: files would be written, 3 something is refused and needs a person, 1 error
.TP
.B validate
0 sound, 1 problems
.SH SIGNALS
.TP
.B SIGHUP
The daemon looks at the source and at every object now.
.TP
.B SIGTERM, SIGINT
It ends when the steps that were begun are over. A second one ends it at once.
.SH FILES
.TP
.I %s
the config file
.TP
.I /var/lib/pve\-reconcile
the state directory: the clone, locks, the record of what was applied, the history
.SH SEE ALSO
.I /usr/share/doc/pve\-reconcile
.br
.BR systemctl (1),
.BR qm (1),
.BR git (1)
`, roff(config.DefaultFile))
}

func manOptions(w io.Writer, all []option) {
	for _, o := range all {
		fmt.Fprintf(w, ".TP\n.B %s", roff(o.name))
		if o.value != "" {
			fmt.Fprintf(w, " %s", roff(strings.ToUpper(o.value)))
		}
		fmt.Fprintf(w, "\n%s\n", roff(o.text()))
	}
}

// roff keeps letters that mean something to man(7) from doing so.
func roff(s string) string {
	s = strings.NewReplacer(`\`, `\e`, "-", `\-`).Replace(s)
	if strings.HasPrefix(s, ".") || strings.HasPrefix(s, "'") {
		s = `\&` + s
	}
	return s
}

func capital(s string) string { return strings.ToUpper(s[:1]) + s[1:] }
