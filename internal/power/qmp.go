package power

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/ustclug/pve-reconcile/internal/host"
	"github.com/ustclug/pve-reconcile/reconciler/migration"
)

// qmpTimeout bounds a whole exchange: QEMU answers one client at a time, and lets the others wait.
const qmpTimeout = 15 * time.Second

// monitor is a connection to QEMU's machine protocol (QMP): one JSON object a line in both directions.
type monitor struct {
	conn net.Conn
	in   *json.Decoder
}

// message is anything QEMU says.
type message struct {
	QMP    json.RawMessage `json:"QMP"` // the greeting
	Event  string          `json:"event"`
	Return json.RawMessage `json:"return"`
	Error  *struct {
		Class       string `json:"class"`
		Description string `json:"desc"`
	} `json:"error"`
}

// open connects and leaves the mode in which only capabilities can be negotiated.
func open(ctx context.Context, h *host.Host, socket string) (*monitor, error) {
	conn, err := h.Dial(ctx, socket)
	if err != nil {
		return nil, err
	}
	m := &monitor{conn: conn, in: json.NewDecoder(conn)}
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	timer := time.AfterFunc(qmpTimeout, func() { _ = conn.Close() })
	defer timer.Stop()
	var greeting message
	if err := m.in.Decode(&greeting); err != nil || greeting.QMP == nil {
		_ = conn.Close()
		return nil, fmt.Errorf("%s: QMP %s does not greet: is somebody else connected, or is it no QMP socket? (%w)", h.Name, socket, errors.Join(err, ctx.Err()))
	}
	if _, err := m.execute("qmp_capabilities"); err != nil {
		_ = conn.Close()
		return nil, fmt.Errorf("%s: QMP %s: %w", h.Name, socket, err)
	}
	return m, nil
}

// execute sends a command and returns its answer; events that come between are passed over.
func (m *monitor) execute(command string) (json.RawMessage, error) {
	timer := time.AfterFunc(qmpTimeout, func() { _ = m.conn.Close() })
	defer timer.Stop()
	if _, err := m.conn.Write([]byte(`{"execute":"` + command + `"}` + "\n")); err != nil {
		return nil, err
	}
	for {
		var said message
		if err := m.in.Decode(&said); err != nil {
			return nil, fmt.Errorf("%s: %w", command, err)
		}
		switch {
		case said.Error != nil:
			return nil, fmt.Errorf("%s: %s: %s", command, said.Error.Class, said.Error.Description)
		case said.Return != nil:
			return said.Return, nil
		}
	}
}

// status is what query-status says: running, paused, shutdown, ...
func (m *monitor) status() (string, error) {
	text, err := m.execute("query-status")
	if err != nil {
		return "", err
	}
	var s struct {
		Status string `json:"status"`
	}
	if err := json.Unmarshal(text, &s); err != nil {
		return "", fmt.Errorf("query-status: %w", err)
	}
	return s.Status, nil
}

// with makes one exchange.
func with(ctx context.Context, h *host.Host, socket string, do func(*monitor) error) error {
	m, err := open(ctx, h, socket)
	if err != nil {
		return err
	}
	defer m.conn.Close()
	if err := do(m); err != nil {
		return fmt.Errorf("%s: QMP %s: %w", h.Name, socket, err)
	}
	return nil
}

// powerdown presses the power button.
func powerdown(ctx context.Context, h *host.Host, socket string) error {
	return with(ctx, h, socket, func(m *monitor) error {
		_, err := m.execute("system_powerdown")
		return err
	})
}

func quit(ctx context.Context, h *host.Host, socket string) error {
	err := with(ctx, h, socket, func(m *monitor) error {
		_, err := m.execute("quit")
		return err
	})
	if errors.Is(err, host.ErrNobodyListens) {
		return nil
	}
	return err
}

// quitWhenOff ends a QEMU whose guest is off already and that waits (-no-shutdown).
func quitWhenOff(ctx context.Context, h *host.Host, socket string) error {
	err := with(ctx, h, socket, func(m *monitor) error {
		state, err := m.status()
		if err == nil && state == "shutdown" {
			_, err = m.execute("quit")
		}
		return err
	})
	if errors.Is(err, host.ErrNobodyListens) {
		return nil
	}
	return err
}

// readQMP looks at a guest of which nothing but the socket is known.
func readQMP(ctx context.Context, h *host.Host, socket string) (migration.Power, error) {
	var state string
	err := with(ctx, h, socket, func(m *monitor) (err error) {
		state, err = m.status()
		return err
	})
	switch {
	case errors.Is(err, host.ErrNobodyListens):
		return migration.Power{State: Stopped, Masked: true}, nil
	case err != nil:
		return migration.Power{State: Unknown, Text: err.Error()}, err
	case state == "shutdown":
		return migration.Power{State: Stopped, Masked: true, Text: "QEMU waits although its guest is off"}, nil
	}
	return migration.Power{State: Running}, nil
}
