package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"slices"
	"strings"
)

// flagSink is a standard output that wants to know the flags of a verb instead of its help.
type flagSink struct {
	io.Writer
	set *flag.FlagSet
}

// caught hands the flags of a verb to who wants only these.
func caught(stdout io.Writer, f *flag.FlagSet) bool {
	s, ok := stdout.(*flagSink)
	if ok {
		s.set = f
	}
	return ok
}

// option is a flag as it is written.
type option struct {
	name  string // with its dashes
	value string // what comes after it, "" for a switch
	usage string
	given string // when it is left out
}

// options are the flags of a verb, as the verb itself registers them.
func options(run func(context.Context, []string, io.Writer, io.Writer) int) []option {
	sink := &flagSink{Writer: io.Discard}
	run(context.Background(), []string{"--help"}, sink, io.Discard)
	if sink.set == nil {
		return nil
	}
	var out []option
	sink.set.VisitAll(func(f *flag.Flag) {
		out = append(out, optionOf(f))
	})
	return out
}

func optionOf(f *flag.Flag) option {
	o := option{name: "--" + f.Name, given: f.DefValue}
	if len(f.Name) == 1 {
		o.name = "-" + f.Name
	}
	o.value, o.usage = flag.UnquoteUsage(f)
	if slices.Contains([]string{"false", "0", "0s"}, o.given) {
		o.given = ""
	}
	return o
}

// text is what the option does, and what it is when it is left out.
func (o option) text() string {
	if o.given == "" {
		return o.usage
	}
	return o.usage + " (default " + o.given + ")"
}

// choices are the words that an option's value or a verb's argument may be; nil when that is not known.
func choices(name string) []string {
	switch name {
	case "-o":
		return []string{"text", "json"}
	case "--log-level":
		return []string{"debug", "info", "warn", "error"}
	case "--log-format":
		return []string{"text", "json"}
	case "schema":
		return []string{"VirtualMachine", "Node", "Migration"}
	case "hook":
		return []string{"install", "uninstall"}
	case "completion":
		return []string{"bash", "zsh", "fish"}
	}
	return nil
}

// shells are those that completions are made for.
func shells() map[string]func(io.Writer, []verb) {
	return map[string]func(io.Writer, []verb){"bash": bash, "zsh": zsh, "fish": fish}
}

func runCompletion(_ context.Context, args []string, stdout, stderr io.Writer) int {
	f := flag.NewFlagSet("completion", flag.ContinueOnError)
	words, code, done := parse(f, args, stdout, stderr)
	if done {
		return code
	}
	if len(words) != 1 || shells()[words[0]] == nil {
		return usage(stderr, "completion needs one of bash, zsh and fish")
	}
	shells()[words[0]](stdout, verbs())
	return exitOK
}

func names(all []verb) []string {
	var out []string
	for _, v := range all {
		out = append(out, v.name)
	}
	return out
}

func spelled(all []option) string {
	var out []string
	for _, o := range all {
		out = append(out, o.name)
	}
	return strings.Join(out, " ")
}

func bash(w io.Writer, all []verb) {
	fmt.Fprintf(w, `# bash completion of reconcile, made by: reconcile completion bash
_reconcile() {
	local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} verb= flags words= i
	for ((i = 1; i < COMP_CWORD; i++)); do
		case ${COMP_WORDS[i]} in
		%s) verb=${COMP_WORDS[i]}; break ;;
		esac
	done
	case $prev in
`, strings.Join(names(all), "|"))
	for _, name := range []string{"-o", "--log-level", "--log-format"} {
		fmt.Fprintf(w, "\t%s) COMPREPLY=($(compgen -W '%s' -- \"$cur\")); return ;;\n", name, strings.Join(choices(name), " "))
	}
	fmt.Fprintf(w, "\t--config) COMPREPLY=($(compgen -f -- \"$cur\")); return ;;\n\tesac\n\tcase $verb in\n")
	for _, v := range all {
		fmt.Fprintf(w, "\t%s) flags='%s' words='%s' ;;\n", v.name, spelled(options(v.run)), strings.Join(choices(v.name), " "))
	}
	fmt.Fprintf(w, `	*) flags='%s' words='%s' ;;
	esac
	if [[ $cur == -* ]]; then
		COMPREPLY=($(compgen -W "$flags" -- "$cur"))
	else
		COMPREPLY=($(compgen -W "$words" -- "$cur"))
	fi
}
complete -o default -F _reconcile reconcile
`, spelled(options(runOnce)), strings.Join(names(all), " "))
}

// quoted is a text between single quotes of a shell.
func quoted(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

func zsh(w io.Writer, all []verb) {
	fmt.Fprint(w, "#compdef reconcile\n# zsh completion of reconcile, made by: reconcile completion zsh\n\n_reconcile() {\n\tlocal -a verbs\n\tverbs=(\n")
	for _, v := range all {
		fmt.Fprintf(w, "\t\t%s\n", quoted(v.name+":"+v.summary))
	}
	fmt.Fprint(w, "\t)\n\tif ((CURRENT == 2)) && [[ $words[2] != -* ]]; then\n\t\t_describe verb verbs\n\t\treturn\n\tfi\n\tcase $words[2] in\n")
	for _, v := range all {
		fmt.Fprintf(w, "\t%s)", v.name)
		zshArguments(w, options(v.run), choices(v.name))
	}
	fmt.Fprint(w, "\t*)")
	zshArguments(w, options(runOnce), nil)
	fmt.Fprint(w, "\tesac\n}\n\n_reconcile \"$@\"\n")
}

func zshArguments(w io.Writer, all []option, words []string) {
	fmt.Fprint(w, " _arguments")
	text := strings.NewReplacer("[", `\[`, "]", `\]`, ":", `\:`)
	for _, o := range all {
		spec := o.name + "[" + text.Replace(o.usage) + "]"
		switch {
		case choices(o.name) != nil:
			spec += ":" + o.value + ":(" + strings.Join(choices(o.name), " ") + ")"
		case o.value == "file":
			spec += ":file:_files"
		case o.value == "directory":
			spec += ":directory:_files -/"
		case o.value != "":
			spec += ":" + text.Replace(o.value) + ": "
		}
		fmt.Fprintf(w, " \\\n\t\t%s", quoted(spec))
	}
	rest := "*: :_files"
	if words != nil {
		rest = "*: :(" + strings.Join(words, " ") + ")"
	}
	fmt.Fprintf(w, " \\\n\t\t%s ;;\n", quoted(rest))
}

func fish(w io.Writer, all []verb) {
	fmt.Fprint(w, "# fish completion of reconcile, made by: reconcile completion fish\n")
	none := "not __fish_seen_subcommand_from " + strings.Join(names(all), " ")
	for _, v := range all {
		fmt.Fprintf(w, "complete -c reconcile -f -n %s -a %s -d %s\n", quoted(none), v.name, quoted(v.summary))
	}
	fishFlags(w, none, options(runOnce))
	for _, v := range all {
		when := "__fish_seen_subcommand_from " + v.name
		fishFlags(w, when, options(v.run))
		if words := choices(v.name); words != nil {
			fmt.Fprintf(w, "complete -c reconcile -f -n %s -a %s\n", quoted(when), quoted(strings.Join(words, " ")))
		}
	}
}

func fishFlags(w io.Writer, when string, all []option) {
	for _, o := range all {
		form := "-l " + strings.TrimPrefix(o.name, "--")
		if !strings.HasPrefix(o.name, "--") {
			form = "-s " + strings.TrimPrefix(o.name, "-")
		}
		switch {
		case choices(o.name) != nil:
			form += " -x -a " + quoted(strings.Join(choices(o.name), " "))
		case slices.Contains([]string{"file", "directory"}, o.value):
			form += " -r -F"
		case o.value != "":
			form += " -x"
		}
		fmt.Fprintf(w, "complete -c reconcile -n %s %s -d %s\n", quoted(when), form, quoted(o.usage))
	}
}
