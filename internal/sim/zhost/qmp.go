package zhost

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
)

// serveQMP listens on the guest's QMP socket while it runs.
func (g *Guest) serveQMP() error {
	if g.QMP == "" {
		return nil
	}
	path := filepath.Join(g.host.dir, g.QMP)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	_ = os.Remove(path) // of a guest that was killed
	l, err := net.Listen("unix", path)
	if err != nil {
		return err
	}
	g.socket = l
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return // the guest has ended
			}
			go func() {
				defer conn.Close()
				_ = g.talk(conn) // a client that goes is none of the guest's business
			}()
		}
	}()
	return nil
}

// talk speaks QMP as far as switching a guest needs it.
func (g *Guest) talk(conn net.Conn) error {
	const greeting = `{"QMP": {"version": {"qemu": {"micro": 2, "minor": 2, "major": 7}, "package": "Debian 1:7.2"}, "capabilities": ["oob"]}}` + "\r\n"
	if _, err := fmt.Fprint(conn, greeting); err != nil {
		return err
	}
	ready := false
	in := json.NewDecoder(bufio.NewReader(conn))
	for {
		var ask struct {
			Execute string `json:"execute"`
			ID      any    `json:"id"`
		}
		if err := in.Decode(&ask); err != nil {
			return err
		}
		answer := map[string]any{}
		if ask.ID != nil {
			answer["id"] = ask.ID
		}
		switch {
		case ask.Execute == "qmp_capabilities":
			ready = true
			answer["return"] = map[string]any{}
		case !ready:
			answer["error"] = map[string]any{"class": "CommandNotFound", "desc": "Expecting capabilities negotiation with 'qmp_capabilities'"}
		default:
			answer["return"] = g.execute(ask.Execute)
			if answer["return"] == nil {
				delete(answer, "return")
				answer["error"] = map[string]any{"class": "CommandNotFound", "desc": "The command " + ask.Execute + " has not been found"}
			}
		}
		text, err := json.Marshal(answer)
		if err != nil {
			return err
		}
		if _, err := conn.Write(append(text, '\r', '\n')); err != nil {
			return err
		}
		g.after(ask.Execute, conn)
	}
}

func (g *Guest) execute(command string) any {
	switch command {
	case "query-status":
		return map[string]any{"status": "running", "singlestep": false, "running": true}
	case "query-name":
		return map[string]any{"name": g.Name}
	case "system_powerdown", "quit", "cont":
		return map[string]any{}
	}
	return nil
}

// after does what a command asks for once it has been answered.
func (g *Guest) after(command string, conn net.Conn) {
	g.host.mu.Lock()
	defer g.host.mu.Unlock()
	switch command {
	case "system_powerdown":
		_, _ = fmt.Fprint(conn, `{"timestamp": {"seconds": 0, "microseconds": 0}, "event": "POWERDOWN"}`+"\r\n")
		if err := g.powerdown(); errors.Is(err, errDeaf) {
			return
		}
		_, _ = fmt.Fprint(conn, `{"timestamp": {"seconds": 0, "microseconds": 0}, "event": "SHUTDOWN", "data": {"guest": true, "reason": "guest-shutdown"}}`+"\r\n")
	case "quit":
		g.halt(false)
	}
}
