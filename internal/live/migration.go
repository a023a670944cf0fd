package live

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/ustclug/pve-reconcile/internal/host"
	"github.com/ustclug/pve-reconcile/internal/power"
	"github.com/ustclug/pve-reconcile/internal/zfs"
	"github.com/ustclug/pve-reconcile/reconciler/migration"
	"github.com/ustclug/pve-reconcile/reconciler/step"
	"github.com/ustclug/pve-reconcile/reconciler/vm"
	"github.com/ustclug/pve-reconcile/schema"
)

// Hosts makes migrations possible: the hosts of the config file by name, and who is told how long steps go on.
func (w *World) Hosts(hosts map[string]*host.Host, progress func(zfs.Progress)) {
	w.machines = &zfs.Machines{Hosts: hosts, OnProgress: progress}
}

// Close ends the connections to hosts.
func (w *World) Close() error {
	var errs []error
	if w.machines != nil {
		for _, h := range w.machines.Hosts {
			errs = append(errs, h.Close())
		}
	}
	return errors.Join(errs...)
}

// Migration observes everything that a migration is decided from: both hosts and PVE, at the same time as far as one does
// not need the other's answer. id is that of its guest. A host that cannot be looked at is part of what was observed; the
// error is PVE's, without whose answer there is no observation at all.
func (w *World) Migration(ctx context.Context, m schema.Migration, id schema.ID, where *vm.Guest) (migration.Observed, error) {
	c, err := w.cluster(id.Cluster)
	if err != nil {
		return migration.Observed{}, err
	}
	o := migration.Observed{Now: w.now()}
	source := w.seeSource(ctx, m)
	err = func() (err error) {
		if o.VM, err = c.Look(ctx, id, where); err != nil || !o.VM.Exists {
			return err
		}
		if o.LastStart, err = c.Started(ctx, id, o.VM); err != nil {
			return err
		}
		o.Ran = !o.LastStart.IsZero() || o.VM.Status == "running"
		o.Agent, err = c.Agent(ctx, id, o.VM)
		return err
	}()
	if err != nil {
		<-source
		return migration.Observed{}, err
	}
	volids := volids(m, o.VM)
	datasets, err := c.Datasets(ctx, slices.Collect(maps.Values(volids)))
	if err != nil {
		<-source
		return migration.Observed{}, err
	}
	target := w.look(ctx, m.TargetHost(id.Node), targetQuestion(m, volids, datasets))
	seen := <-source
	o.Source, o.Target, o.Power = seen.Host, target.Host, seen.power
	o.Target.Parent, o.Target.Staging = target.Datasets[m.StagingParent()], target.Datasets[m.Spec.Target.Staging]
	for _, d := range m.Spec.Source.Disks {
		o.Disks = append(o.Disks, migration.Disk{
			Slot: d.To, Volid: volids[d.To], Source: seen.Datasets[d.Zvol], Staging: target.Datasets[m.StagingZvol(d.To)], Target: target.Datasets[datasets[volids[d.To]]],
		})
	}
	w.askTokens(ctx, m, &o)
	return o, nil
}

func (w *World) now() time.Time {
	if w.Now != nil {
		return w.Now()
	}
	return time.Now()
}

// seen is the source host and its guest.
type seen struct {
	zfs.Answer
	power migration.Power
}

// seeSource looks at the source host while PVE is asked.
func (w *World) seeSource(ctx context.Context, m schema.Migration) <-chan seen {
	out := make(chan seen, 1)
	go func() {
		q := zfs.Question{More: map[string]string{"power": power.Look(m.Spec.Source.Power)}}
		for _, d := range m.Spec.Source.Disks {
			q.Datasets = append(q.Datasets, d.Zvol)
			q.Pools = append(q.Pools, pool(d.Zvol))
		}
		q.Openers = q.Datasets
		s := seen{Answer: w.look(ctx, m.Spec.Source.Host, q)}
		switch {
		case s.Host.Error != "":
			s.power = migration.Power{State: power.Unknown, Text: s.Host.Error}
		case power.Scripted(m.Spec.Source.Power):
			s.power = power.Read(m.Spec.Source.Power, s.More["power"], m.ShutdownTimeout().Duration)
		default:
			s.power, _ = power.State(ctx, w.machines.Hosts[m.Spec.Source.Host], m.Spec.Source.Power, m.ShutdownTimeout().Duration)
		}
		out <- s
	}()
	return out
}

func targetQuestion(m schema.Migration, volids, datasets map[string]string) zfs.Question {
	q := zfs.Question{Below: m.StagingParent(), Datasets: []string{m.Spec.Target.Staging, m.StagingParent()}, Pools: []string{pool(m.Spec.Target.Staging)}}
	for _, d := range m.Spec.Source.Disks {
		q.Datasets = append(q.Datasets, m.StagingZvol(d.To))
		if zvol := datasets[volids[d.To]]; zvol != "" {
			q.Datasets = append(q.Datasets, zvol)
			q.Openers = append(q.Openers, zvol)
			q.Pools = append(q.Pools, pool(zvol))
		}
	}
	return q
}

// look asks one host; one that the config file does not have is an answer too.
func (w *World) look(ctx context.Context, name string, q zfs.Question) zfs.Answer {
	if w.machines == nil || w.machines.Hosts[name] == nil {
		return zfs.Answer{Host: migration.Host{Name: name, Error: fmt.Sprintf("host %q is not in the config file (hosts: %s)", name, w.hostNames())}}
	}
	return zfs.Observe(ctx, w.machines.Hosts[name], q)
}

func (w *World) hostNames() string {
	if w.machines == nil || len(w.machines.Hosts) == 0 {
		return "none"
	}
	return strings.Join(slices.Sorted(maps.Keys(w.machines.Hosts)), ", ")
}

// askTokens asks the source about interrupted receives of the target.
func (w *World) askTokens(ctx context.Context, m schema.Migration, o *migration.Observed) {
	var group errgroup.Group
	for i := range o.Disks {
		t := o.Disks[i].Staging.Token
		if t == nil || o.Source.Error != "" {
			continue
		}
		group.Go(func() error {
			*t = zfs.AskToken(ctx, w.machines.Hosts[m.Spec.Source.Host], t.Text)
			return nil
		})
	}
	_ = group.Wait() // what went wrong is in the token
}

func pool(dataset string) string {
	name, _, _ := strings.Cut(dataset, "/")
	return name
}

// volids are the volumes that PVE has in the slots of the migration.
func volids(m schema.Migration, o vm.Observed) map[string]string {
	out := map[string]string{}
	desired := o.Desired()
	for _, d := range m.Spec.Source.Disks {
		row, ok := schema.RowOf(d.To)
		if !ok || desired[d.To] == "" {
			continue
		}
		if file := row.Parse(desired[d.To])["file"]; strings.Contains(file, ":") {
			out[d.To] = file
		}
	}
	return out
}

// doOnHost makes a step on a host of the config file.
func (w *World) doOnHost(ctx context.Context, s step.OnHost) (step.Outcome, error) {
	if w.machines == nil || w.machines.Hosts[s.Machine()] == nil {
		return step.Outcome{}, fmt.Errorf("host %q is not in the config file (hosts: %s)", s.Machine(), w.hostNames())
	}
	switch t := s.(type) {
	case step.ShutdownSource, step.StartSource, step.MaskSource:
		return step.Outcome{}, power.Do(ctx, w.machines.Hosts[s.Machine()], s)
	case step.TrimGuest:
		return w.trim(ctx, t)
	default:
		figures, err := w.machines.Do(ctx, s)
		return step.Outcome{Figures: figures}, err
	}
}

// trim has the guest trim its file systems, and notes on its zvols what came of it. That no agent answers is an outcome.
func (w *World) trim(ctx context.Context, s step.TrimGuest) (step.Outcome, error) {
	c, err := w.cluster(s.ID.Cluster)
	if err != nil {
		return step.Outcome{}, err
	}
	began := time.Now()
	trimmed, err := c.Trim(ctx, s.ID)
	if errors.Is(err, step.ErrUnreachable) || errors.Is(err, step.ErrUnfinished) || ctx.Err() != nil {
		return step.Outcome{}, err // not known
	}
	note := strconv.FormatInt(trimmed.Bytes, 10)
	out := step.Outcome{Warnings: trimmed.Paths, Figures: step.Figures{Bytes: trimmed.Bytes, Seconds: time.Since(began).Seconds()}}
	switch {
	case err != nil:
		note = "not trimmed: " + strings.Join(strings.Fields(err.Error()), " ")
		out.Warnings = []string{note}
	case trimmed.Silent:
		note = "trimmed; how much is not known: PVE answers for 30 s only"
		out.Warnings = []string{note}
	}
	_, err = w.machines.Do(ctx, step.SetProperties{Host: s.Host, Datasets: s.Datasets, Set: map[string]string{step.PropTrimmed: note[:min(len(note), 500)]}})
	return out, err
}
