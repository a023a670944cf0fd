package zhost

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/ustclug/pve-reconcile/internal/sim/zhost/stub"
)

// call is one command that runs on the host.
type call struct {
	ctx    context.Context
	host   *Host
	name   string
	args   []string
	stdin  io.Reader
	stdout io.Writer
	stderr io.Writer
}

// sigpipe is the exit code of a command that dies because nobody reads what it writes.
const sigpipe = stub.Pipe

func (c *call) say(format string, args ...any) {
	_, _ = fmt.Fprintf(c.stdout, format, args...) // who does not listen misses it
}

func (c *call) warn(format string, args ...any) {
	_, _ = fmt.Fprintf(c.stderr, format+"\n", args...)
}

// fail prints an error and is the exit code of most failures.
func (c *call) fail(format string, args ...any) int {
	c.warn(format, args...)
	return 1
}

// option is one flag as it was given.
type option struct {
	name  byte
	value string
}

type options []option

func (o options) has(name byte) bool {
	for _, opt := range o {
		if opt.name == name {
			return true
		}
	}
	return false
}

// last is the value of the last flag of a name.
func (o options) last(name byte) string {
	value := ""
	for _, opt := range o {
		if opt.name == name {
			value = opt.value
		}
	}
	return value
}

// parse reads flags as getopt does: "Hpo:" is -H, -p and -o VALUE. Flags end at the first word that is none.
func parse(args []string, spec string) (options, []string, error) {
	var found options
	for len(args) > 0 {
		word := args[0]
		if word == "--" {
			return found, args[1:], nil
		}
		if len(word) < 2 || word[0] != '-' {
			return found, args, nil
		}
		args = args[1:]
		for i := 1; i < len(word); i++ {
			at := strings.IndexByte(spec, word[i])
			if at < 0 || word[i] == ':' {
				return nil, nil, fmt.Errorf("invalid option '%c'", word[i])
			}
			if at+1 >= len(spec) || spec[at+1] != ':' {
				found = append(found, option{name: word[i]})
				continue
			}
			value := word[i+1:]
			if value == "" {
				if len(args) == 0 {
					return nil, nil, fmt.Errorf("missing argument for '%c' option", word[i])
				}
				value, args = args[0], args[1:]
			}
			found = append(found, option{word[i], value})
			break
		}
	}
	return found, nil, nil
}

// verb is one subcommand of zfs.
type verb struct {
	flags string
	usage string
	run   func(c *call, o options, args []string) int
}

// verbs is the table of zfs subcommands.
func verbs() map[string]verb {
	receive := verb{"vMnsFhuAdeo:x:", receiveUsage, (*call).receive}
	snapshot := verb{"ro:", "\tsnapshot [-r] [-o property=value] ... <filesystem|volume>@<snap> ...\n", (*call).takeSnapshots}
	return map[string]verb{
		"create": {"Pnpusvb:V:o:", "\tcreate [-Pnpuv] [-o property=value] ... <filesystem>\n\tcreate [-Pnpsv] [-b blocksize] [-o property=value] ... -V <size> <volume>\n", (*call).create},
		"destroy": {"fnpRrvd", "\tdestroy [-fnpRrv] <filesystem|volume>\n\tdestroy [-dnpRrv] <filesystem|volume>@<snap>[%<snap>][,...]\n" +
			"\tdestroy <filesystem|volume>#<bookmark>\n", (*call).destroy},
		"snapshot": snapshot, "snap": snapshot,
		"clone":    {"po:", "\tclone [-p] [-o property=value] ... <snapshot> <filesystem|volume>\n", (*call).clone},
		"rename":   {"fpur", "\trename [-f] <filesystem|volume|snapshot> <filesystem|volume|snapshot>\n", (*call).rename},
		"rollback": {"rRf", "\trollback [-rRf] <snapshot>\n", (*call).rollback},
		"bookmark": {"", "\tbookmark <snapshot|bookmark> <newbookmark>\n", (*call).bookmark},
		"list": {"Hprd:o:s:S:t:", "\tlist [-Hp] [-r|-d max] [-o property[,...]] [-s property]...\n\t    [-S property]... [-t type[,...]] " +
			"[filesystem|volume|snapshot] ...\n", (*call).list},
		"get": {"Hprd:o:s:t:", "\tget [-rHp] [-d max] [-o \"all\" | field[,...]]\n\t    [-t type[,...]] [-s source[,...]]\n" +
			"\t    <\"all\" | property[,...]> [filesystem|volume|snapshot|bookmark] ...\n", (*call).get},
		"set":        {"u", "\tset <property=value> ... <filesystem|volume|snapshot> ...\n", (*call).set},
		"inherit":    {"rS", "\tinherit [-rS] <property> <filesystem|volume|snapshot> ...\n", (*call).inherit},
		"hold":       {"r", "\thold [-r] <tag> <snapshot> ...\n", (*call).hold},
		"holds":      {"rH", "\tholds [-rH] <snapshot> ...\n", (*call).holds},
		"release":    {"r", "\trelease [-r] <tag> <snapshot> ...\n", (*call).release},
		"send":       {"DnPpRVvLecwhbi:I:t:", sendUsage, (*call).send},
		"receive":    receive,
		"recv":       receive,
		"load-key":   {"rnaL:", "\tload-key [-rn] [-L <keylocation>] <-a | filesystem|volume>\n", (*call).loadKey},
		"unload-key": {"ra", "\tunload-key [-r] <-a | filesystem|volume>\n", (*call).loadKey},
	}
}

const usageEnd = "\nFor the property list, run: zfs set|get\n\nFor the delegated permission list, run: zfs allow|unallow"

// zfs runs one zfs command.
func (c *call) zfs() int {
	if len(c.args) == 0 {
		c.warn("missing command\nusage: zfs command args ...")
		return 2
	}
	name := c.args[0]
	if name == "version" || name == "--version" || name == "-V" {
		c.say("zfs-%s\nzfs-kmod-%s\n", c.host.Version, c.host.Version)
		return 0
	}
	v, ok := verbs()[name]
	if !ok {
		c.warn("unrecognized command '%s'\nusage: zfs command args ...\nwhere 'command' is one of the following:\n%s", name, usageEnd)
		return 2
	}
	o, args, err := parse(c.args[1:], v.flags)
	if err != nil {
		return c.misused(v, "%v", err)
	}
	c.host.mu.Lock()
	defer c.host.mu.Unlock()
	if err := c.host.refresh(); err != nil {
		return c.fail("simulator: %v", err)
	}
	code := v.run(c, o, args)
	c.host.devices.settle()
	return code
}

func (c *call) misused(v verb, format string, args ...any) int {
	c.warn(format+"\nusage:\n%s%s", append(args, v.usage, usageEnd)...)
	return 2
}
