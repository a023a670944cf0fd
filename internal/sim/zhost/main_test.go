package zhost

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
)

func TestMain(m *testing.M) {
	programs["ssh"] = (*call).ssh
	dir, err := os.MkdirTemp("", "zhost-stub")
	if err == nil {
		stubProgram, err = BuildStub(dir)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	_ = os.RemoveAll(dir)
	os.Exit(code)
}

// stubProgram stands for the commands of the hosts under test.
var stubProgram string

// neighbours are the hosts that the ssh of a host under test reaches, by name. Commands of hosts come over sockets.
var neighbours struct {
	sync.Mutex
	hosts map[string]*Host
}

func meet(hosts map[string]*Host) {
	neighbours.Lock()
	defer neighbours.Unlock()
	neighbours.hosts = hosts
}

func neighbour(name string) *Host {
	neighbours.Lock()
	defer neighbours.Unlock()
	return neighbours.hosts[name]
}

// ssh runs a command on a neighbour, for recorded command lines that do so.
func (c *call) ssh() int {
	o, args, err := parse(c.args, "p:o:q")
	if err != nil || len(args) < 2 {
		return 255
	}
	if port := o.last('p'); port != "" {
		c.warn("ssh: connect to host %s port %s: Connection refused", args[0], port)
		return 255
	}
	to := neighbour(args[0])
	line := ""
	for _, a := range args[1:] {
		line += strings.ReplaceAll(a, c.host.dir, "") + " "
	}
	ctx, cancel := context.WithCancel(c.ctx)
	defer cancel()
	sh, stdin, err := to.piped(ctx, line, nil, c.stdout, c.stderr)
	if err != nil {
		c.warn("%v", err)
		return 255
	}
	in, over := c.stdin, make(chan struct{})
	if p, ok := in.(patient); ok {
		p.ctx = ctx
		in = p
	}
	go func() {
		defer close(over)
		defer stdin.Close()
		buffer := make([]byte, 32<<10)
		for {
			n, err := in.Read(buffer)
			if n > 0 {
				if _, werr := stdin.Write(buffer[:n]); werr != nil {
					return
				}
			}
			if err != nil {
				return
			}
		}
	}()
	code, _ := exit(sh.cmd.Wait())
	cancel()
	<-over // the descriptors are closed after this
	return code
}
