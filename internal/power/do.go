package power

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ustclug/pve-reconcile/internal/host"
	"github.com/ustclug/pve-reconcile/reconciler/migration"
	"github.com/ustclug/pve-reconcile/reconciler/step"
	"github.com/ustclug/pve-reconcile/schema"
)

// lookEvery is how often a guest that shuts down or starts is looked at; startTimeout is how long it may take to run.
const (
	lookEvery    = 2 * time.Second
	startTimeout = 2 * time.Minute
)

// State looks at the guest now.
func State(ctx context.Context, h *host.Host, p schema.SourcePower, shutdown time.Duration) (migration.Power, error) {
	if !Scripted(p) && p.QMP != "" {
		return readQMP(ctx, h, p.QMP)
	}
	text, err := h.Text(ctx, "( "+Look(p)+"\n) 2>&1; :")
	if err != nil {
		return migration.Power{State: Unknown, Text: err.Error()}, err
	}
	return Read(p, text, shutdown), nil
}

// Do makes a step that switches the guest on the source host.
func Do(ctx context.Context, h *host.Host, s step.OnHost) error {
	switch s := s.(type) {
	case step.ShutdownSource:
		return shutdown(ctx, h, s)
	case step.StartSource:
		return start(ctx, h, s.Power)
	case step.MaskSource:
		return mask(ctx, h, s)
	default:
		return fmt.Errorf("%T is no step of a guest's power", s)
	}
}

// shutdown asks the guest and waits until it is off.
func shutdown(ctx context.Context, h *host.Host, s step.ShutdownSource) error {
	now, err := State(ctx, h, s.Power, s.Timeout)
	switch {
	case err != nil:
		return err
	case now.State == Stopped:
		return nil
	case now.State == Unknown:
		return fmt.Errorf("%s: the guest's state is not known, so it is not shut down: %s", h.Name, now.Text)
	case now.Graceful != "" && !s.Kill:
		return fmt.Errorf("%s: the guest is not shut down: %s", h.Name, now.Graceful)
	}
	if err := ask(ctx, h, s.Power, s.Timeout); err != nil {
		return err
	}
	if off, err := until(ctx, h, s.Power, Stopped, s.Timeout); off || err != nil {
		return err
	}
	if !s.Kill {
		return fmt.Errorf("%s: the guest did not shut down within %v and goes on running: does it react to ACPI? (cutover.kill stops it hard)", h.Name, s.Timeout)
	}
	if err := kill(ctx, h, s.Power); err != nil {
		return err
	}
	if off, err := until(ctx, h, s.Power, Stopped, time.Minute); off || err != nil {
		return err
	}
	return fmt.Errorf("%s: the guest runs even after it was stopped hard", h.Name)
}

// ask asks the guest to shut down, and returns before it has.
func ask(ctx context.Context, h *host.Host, p schema.SourcePower, timeout time.Duration) error {
	switch {
	case p.Command != nil:
		return run(ctx, h, p.Command.Shutdown)
	case p.QMP != "":
		return powerdown(ctx, h, p.QMP)
	case p.Systemd != "":
		return run(ctx, h, words("systemctl", "stop", "--no-block", "--", p.Systemd))
	case p.Libvirt != "":
		return run(ctx, h, words("virsh", "shutdown", p.Libvirt))
	case p.PVE != nil:
		// It fails when the guest does not react in time; that is seen below.
		err := run(ctx, h, fmt.Sprintf("qm shutdown %d --timeout %d", p.PVE.VMID, max(1, int(timeout.Seconds()))))
		var failed *host.Error
		if errors.As(err, &failed) && ctx.Err() == nil {
			return nil
		}
		return err
	}
	return errors.New("the manifest does not say how the guest is shut down")
}

func kill(ctx context.Context, h *host.Host, p schema.SourcePower) error {
	switch {
	case p.Command != nil && p.Command.Kill != "":
		return run(ctx, h, p.Command.Kill)
	case p.Command != nil:
		return fmt.Errorf("%s: the guest did not shut down, and power.command has no kill", h.Name)
	case p.Systemd != "":
		return run(ctx, h, words("systemctl", "kill", "--signal=KILL", "--", p.Systemd))
	case p.QMP != "":
		return quit(ctx, h, p.QMP)
	case p.Libvirt != "":
		return run(ctx, h, words("virsh", "destroy", p.Libvirt))
	case p.PVE != nil:
		return run(ctx, h, fmt.Sprintf("qm stop %d", p.PVE.VMID))
	}
	return errors.New("the manifest does not say how the guest is stopped")
}

// until waits for a state; false says that the time is up.
func until(ctx context.Context, h *host.Host, p schema.SourcePower, want string, timeout time.Duration) (bool, error) {
	deadline := time.Now().Add(timeout)
	for {
		// A guest that is off may leave its QEMU behind (-no-shutdown), which holds the disks open.
		if want == Stopped && p.QMP != "" {
			if err := quitWhenOff(ctx, h, p.QMP); err != nil && ctx.Err() == nil && errors.Is(err, step.ErrUnreachable) {
				return false, err
			}
		}
		now, err := State(ctx, h, p, timeout)
		if err != nil || now.State == want {
			return err == nil, err
		}
		if time.Now().After(deadline) {
			return false, nil
		}
		select {
		case <-time.After(lookEvery):
		case <-ctx.Done():
			return false, context.Cause(ctx)
		}
	}
}

func start(ctx context.Context, h *host.Host, p schema.SourcePower) error {
	var err error
	switch {
	case p.Command != nil:
		err = run(ctx, h, p.Command.Start)
	case p.Systemd != "":
		err = run(ctx, h, words("systemctl", "start", "--", p.Systemd))
	case p.Libvirt != "":
		err = run(ctx, h, words("virsh", "start", p.Libvirt))
	case p.PVE != nil:
		err = run(ctx, h, fmt.Sprintf("qm start %d", p.PVE.VMID))
	default:
		err = fmt.Errorf("%s: nothing in the manifest says how the guest is started (power.qmp needs power.systemd beside it)", h.Name)
	}
	if err != nil {
		return err
	}
	runs, err := until(ctx, h, p, Running, startTimeout)
	if err == nil && !runs {
		err = fmt.Errorf("%s: the guest was started and does not run after %v: look at its log there", h.Name, startTimeout)
	}
	return err
}

// mask keeps the guest from being started, or lets it be started again. Each command may be repeated.
func mask(ctx context.Context, h *host.Host, s step.MaskSource) error {
	p, on := s.Power, !s.Off
	var script string
	switch {
	case p.Command != nil && on:
		script = p.Command.Mask
	case p.Command != nil:
		script = p.Command.Unmask
	case p.Systemd != "":
		script = maskUnit(p.Systemd, on)
	case p.Libvirt == "" && p.PVE == nil:
	case on:
		script = step.PowerCommand(p, "mask")
	default:
		script = step.Unmask(p, s.Was)
	}
	if script == "" {
		return nil
	}
	if err := run(ctx, h, script); err != nil || p.Command == nil || !on {
		return err
	}
	now, err := State(ctx, h, p, 0)
	if err == nil && !now.Masked {
		err = fmt.Errorf("%s: power.command.mask was run, and status does not say so: its last line has to be `stopped masked` while the guest is kept off", h.Name)
	}
	return err
}

// maskUnit masks a unit. One whose file is in /etc/systemd/system itself cannot be masked (the mask would be that file), so
// it gets a drop-in with an assertion that never holds.
func maskUnit(unit string, on bool) string {
	u, d := words(unit), words("/etc/systemd/system/"+unit+".d")
	if !on {
		return "rm -f " + d + "/" + dropIn + "; rmdir " + d + " 2>/dev/null; systemctl daemon-reload; systemctl unmask -- " + u
	}
	return "systemctl mask -- " + u + " 2>/dev/null && exit 0\nmkdir -p " + d + " && printf '[Unit]\\n# a migration has taken this guest elsewhere; pve-reconcile removes this file when it is taken back\\n" +
		"AssertPathExists=/nonexistent/pve-reconcile\\n' >" + d + "/" + dropIn + " && systemctl daemon-reload"
}

func run(ctx context.Context, h *host.Host, script string) error {
	_, err := h.Text(ctx, script)
	return err
}
