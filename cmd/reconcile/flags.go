package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/ustclug/pve-reconcile/internal/config"
	"github.com/ustclug/pve-reconcile/internal/strictyaml"
)

// common are the flags of every verb that reaches a host.
type common struct {
	file     string
	output   string
	logLevel string
	// logFormat is text or json; "" is text.
	logFormat string
}

func (c *common) register(f *flag.FlagSet) {
	c.registerText(f)
	outputFlag(f, &c.output)
}

// registerText is for a verb that has nothing for scripts to read.
func (c *common) registerText(f *flag.FlagSet) {
	f.StringVar(&c.file, "config", config.DefaultFile, "config `file`")
	f.StringVar(&c.logLevel, "log-level", "warn", "log to standard error: debug, info, warn, error")
}

func outputFlag(f *flag.FlagSet, into *string) {
	f.Func("o", "output `format`: text (default) or json", func(s string) error {
		if s != "text" && s != "json" {
			return errors.New("text or json")
		}
		*into = s
		return nil
	})
}

// parse reads flags and words in any order. When it says done, the verb returns the code at once.
func parse(f *flag.FlagSet, args []string, stdout, stderr io.Writer) (words []string, code int, done bool) {
	f.SetOutput(io.Discard)
	for {
		err := f.Parse(args)
		switch {
		case errors.Is(err, flag.ErrHelp):
			describe(stdout, f)
			return nil, exitOK, true
		case err != nil:
			return nil, usage(stderr, "%s: %v; `reconcile help %s` lists the flags", f.Name(), err, f.Name()), true
		case f.NArg() == 0:
			return words, 0, false
		}
		words = append(words, f.Arg(0))
		args = f.Args()[1:]
	}
}

// objectNames reads names of objects as they are printed: vm/web is VirtualMachine/web.
func objectNames(words []string) []string {
	names := slices.Clone(words)
	for i, word := range words {
		kind, name, _ := strings.Cut(word, "/")
		for long, brief := range short {
			if kind == brief && name != "" {
				names[i] = long + "/" + name
			}
		}
	}
	return names
}

// describe prints the flags of a verb.
func describe(w io.Writer, f *flag.FlagSet) {
	if caught(w, f) {
		return
	}
	for _, v := range verbs() {
		if v.name == f.Name() {
			fmt.Fprintf(w, "reconcile %s: %s\n", strings.TrimSpace(v.name+" "+v.args), v.summary)
		}
	}
	f.VisitAll(func(fl *flag.Flag) {
		o := optionOf(fl)
		fmt.Fprintf(w, "  %-22s %s\n", strings.TrimSpace(o.name+" "+strings.ToUpper(o.value)), o.text())
	})
}

func didYouMean(word string, among []string) string {
	if near := strictyaml.Nearest(word, among); near != "" {
		return fmt.Sprintf(", did you mean %q?", near)
	}
	return ""
}
