package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/ustclug/pve-reconcile/internal/sim"
	"github.com/ustclug/pve-reconcile/internal/sim/zhost"
	"github.com/ustclug/pve-reconcile/internal/sim/zhost/reach"
)

// The words of stories about machines with ZFS:
//
//	sim FILE                   a "host NAME" section is a machine, served over SSH; the config file gets its hosts section
//	onhost HOST COMMAND...     what a person does there, in the shell; ! for a command that has to fail
//	hostfault HOST KIND ...    let something go wrong there from now on (zhost.FaultKinds); "clear" ends all
//	power HOST off|on          take the power away, or boot it again
//	power HOST GUEST VERB      start, stop (hard) or shutdown a guest by hand
//	samebytes HOST ZVOL HOST ZVOL  the first zvol's bytes are how the second one begins
//	clock AHEAD [WHO...]       set clocks that far ahead of the right time: of everybody, or of the program (program), of PVE (pve), of HOSTs
//	byhand HOST GUEST          the guest was started by a person of the story: what safe holds against that start is taken back, and the next
//	                           start counts as its first. There has to be something to take back
//	killed HOST MATCH SKIP ARG...  run the binary, and kill it (SIGKILL) when the host begins a command that matches, the first SKIP not counted
//	approve FILE               write the plan's hash, as printed last, under spec.cutover of the manifest
//	safe                       never two running guests, never one that booted on other bytes than the last state
var hostWords = map[string]func(ts *testscript.TestScript, neg bool, args []string){
	"onhost": cmdOnHost, "hostfault": cmdHostFault, "power": cmdPower, "samebytes": cmdSameBytes, "safe": cmdSafe, "killed": cmdKilled, "approve": cmdApprove,
	"clock": cmdClock, "byhand": cmdByHand,
}

// machines starts those of a world and adds them to the config file's text.
func machines(ts *testscript.TestScript, w *sim.World) (hosts map[string]sim.Shell, config string) {
	if len(w.Hosts) == 0 {
		return nil, ""
	}
	stub, err := reach.Stub()
	ts.Check(err)
	fleet, err := w.StartHosts(zhost.Options{Seed: 1, Stub: stub})
	ts.Check(err)
	ts.Defer(func() {
		wrong := fleet.Violations()
		if err := fleet.Close(); err != nil || len(wrong) > 0 {
			ts.Fatalf("at the end: %v\n%s", err, strings.Join(wrong, "\n"))
		}
	})
	ts.Check(fleet.ServeSSH(ts.MkAbs("ssh")))
	text, err := os.ReadFile(ts.MkAbs("ssh/hosts.yaml"))
	ts.Check(err)
	of(ts).fleet = fleet
	return w.Shells(fleet), string(text)
}

func hostOf(ts *testscript.TestScript, name string) *zhost.Host {
	if f := of(ts).fleet; f != nil && f.Host(name) != nil {
		return f.Host(name)
	}
	ts.Fatalf("the world has no machine %q", name)
	return nil
}

func cmdOnHost(ts *testscript.TestScript, neg bool, args []string) {
	out, errs, code := hostOf(ts, args[0]).Run(context.Background(), strings.Join(args[1:], " "), strings.NewReader(""))
	fmt.Fprint(ts.Stdout(), out)
	fmt.Fprint(ts.Stderr(), errs)
	if (code != 0) != neg {
		ts.Fatalf("%s: exit %d: %s", args[0], code, errs)
	}
}

func cmdHostFault(ts *testscript.TestScript, _ bool, args []string) {
	h := hostOf(ts, args[0])
	if args[1] == "clear" {
		h.ClearFaults()
		return
	}
	f, err := zhost.ReadFault(args[1:])
	ts.Check(err)
	ts.Check(h.AddFault(f))
}

func cmdPower(ts *testscript.TestScript, neg bool, args []string) {
	h := hostOf(ts, args[0])
	var err error
	switch {
	case len(args) == 3:
		err = h.Power(args[1], args[2])
	case args[1] == "off":
		h.Off()
	case args[1] == "on":
		err = h.On()
	default:
		ts.Fatalf("power HOST off|on, or power HOST GUEST start|stop|shutdown")
	}
	if (err != nil) != neg {
		ts.Fatalf("power: %v", err)
	}
}

func cmdSameBytes(ts *testscript.TestScript, neg bool, args []string) {
	same, err := zhost.Same(hostOf(ts, args[0]), args[1], hostOf(ts, args[2]), args[3])
	ts.Check(err)
	if same == neg {
		ts.Fatalf("same bytes: %v", same)
	}
}

// cmdKilled fails when the binary ends before it is killed.
func cmdKilled(ts *testscript.TestScript, _ bool, args []string) {
	f, err := zhost.ReadFault([]string{"call", "match=" + args[1], "skip=" + args[2]})
	ts.Check(err)
	env := of(ts).env
	path := ""
	for dir := range strings.SplitSeq(ts.Getenv("PATH"), ":") {
		if _, err := os.Stat(filepath.Join(dir, "reconcile")); err == nil && path == "" {
			path = filepath.Join(dir, "reconcile")
		}
	}
	cmd := exec.Command(path, append(args[3:], "--config", ts.Getenv("CONFIG"))...)
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = ts.MkAbs("."), env.Vars, ts.Stdout(), ts.Stderr()
	struck, started, gone := make(chan struct{}), make(chan struct{}), make(chan struct{})
	f.Hook = func() {
		<-started // a command of somebody else may have come first
		close(struck)
		_ = cmd.Process.Kill() // seen below when it was over already
		<-gone                 // it shall not get any further
	}
	h := hostOf(ts, args[0])
	ts.Check(h.AddFault(f))
	err = cmd.Start()
	ts.Check(err)
	close(started)
	err = cmd.Wait()
	close(gone)
	select {
	case <-struck:
	default:
		ts.Fatalf("it ended before the command to be killed at: %v", err)
	}
}

var planHash = regexp.MustCompile(`approve: "([0-9a-f]{12})"`)

func cmdApprove(ts *testscript.TestScript, _ bool, args []string) {
	all := planHash.FindAllStringSubmatch(ts.ReadFile("stdout"), -1)
	if len(all) == 0 {
		ts.Fatalf("no plan's hash was printed")
	}
	text := ts.ReadFile(args[0])
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(strings.Replace(text, "cutover: {", `cutover: {approve: "`+all[len(all)-1][1]+`", `, 1)), 0o644))
}

// storyClock is the clock of the program in a story: the machine's, set ahead by what the file $CLOCK says.
func storyClock() time.Time {
	text, err := os.ReadFile(os.Getenv("CLOCK"))
	if err != nil {
		return time.Now()
	}
	ahead, err := time.ParseDuration(string(text))
	if err != nil {
		panic(err)
	}
	return time.Now().Add(ahead)
}

func cmdClock(ts *testscript.TestScript, _ bool, args []string) {
	ahead, err := time.ParseDuration(args[0])
	ts.Check(err)
	s, who := of(ts), args[1:]
	if len(who) == 0 {
		who = append(s.fleet.Names(), "program", "pve")
	}
	for _, name := range who {
		switch name {
		case "program":
			ts.Check(os.WriteFile(ts.Getenv("CLOCK"), []byte(ahead.String()), 0o644))
		case "pve":
			s.server.AddFault(sim.Fault{Path: "*", Kind: "clock", Delay: ahead - s.ahead})
			s.ahead = ahead
		default:
			hostOf(ts, name).SetClock(ahead)
		}
	}
}

func cmdByHand(ts *testscript.TestScript, _ bool, args []string) {
	h := hostOf(ts, args[0])
	if of(ts).fleet.ByHand(h.Guest(args[1])) == 0 {
		ts.Fatalf("nothing is held against a start of %s on %s", args[1], args[0])
	}
}

func cmdSafe(ts *testscript.TestScript, _ bool, _ []string) {
	if wrong := of(ts).fleet.Violations(); len(wrong) > 0 {
		ts.Fatalf("%s", strings.Join(wrong, "\n"))
	}
}
