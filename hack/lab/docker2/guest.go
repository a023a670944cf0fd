package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// report is what a guest tells of itself.
type report struct {
	State  string   `json:"state"` // checking, running, stopped
	Device string   `json:"device"`
	Files  int      `json:"files"` // found after the start, all of whose hashes were compared
	Bytes  int64    `json:"bytes"`
	Bad    []string `json:"bad"`   // files that are not as they were written
	Found  int      `json:"found"` // number of the last file that had been written before the start
	Last   int      `json:"last"`  // number of the last file written since
	Clean  bool     `json:"clean"` // the last stop had been an orderly one
}

func (r report) write() error {
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	name := filepath.Join(stateDir, "report")
	if err := os.WriteFile(name+".new", append(text, '\n'), 0o644); err != nil {
		return err
	}
	return os.Rename(name+".new", name)
}

// live is the life of a guest: mount, check, write until told to stop, unmount.
func live(o options) error {
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM)
	signal.Ignore(syscall.SIGHUP, syscall.SIGPIPE)
	if err := prepare(o); err != nil {
		return err
	}
	if err := os.MkdirAll(mountDir, 0o755); err != nil {
		return err
	}
	if err := unix.Mount(o.device, mountDir, "ext4", unix.MS_NOATIME, ""); err != nil {
		return fmt.Errorf("mount %s: %w", o.device, err)
	}
	if err := os.WriteFile(filepath.Join(stateDir, "pid"), fmt.Appendln(nil, os.Getpid()), 0o644); err != nil {
		return err
	}
	return errors.Join(work(o, stop), unmount())
}

func work(o options, stop <-chan os.Signal) error {
	r := report{State: "checking", Device: o.device, Bad: []string{}}
	if err := r.write(); err != nil {
		return err
	}
	m, err := openManifest(mountDir)
	if err != nil {
		return err
	}
	defer m.file.Close()
	r.Found, r.Last, r.Clean = m.last, m.last, m.clean
	if r.Files, r.Bytes, r.Bad, err = m.check(); err != nil {
		return err
	}
	r.State = "running"
	for err == nil {
		if err = r.write(); err != nil {
			break
		}
		select {
		case <-stop:
			if err = m.append("stop %d", m.last); err == nil {
				r.State = "stopped"
				err = r.write()
			}
			return err
		case <-time.After(time.Duration(float64(m.written) / float64(o.rate) * float64(time.Second))):
			err = m.writeFile(o.keep)
			r.Last = m.last
		}
	}
	return err
}

// prepare waits for the device, and formats it if that was asked for and it has no ext4.
func prepare(o options) error {
	var disk *os.File
	var err error
	for limit := time.Now().Add(10 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		if disk, err = os.OpenFile(o.device, os.O_RDWR, 0); err == nil || time.Now().After(limit) {
			break
		}
	}
	if err != nil {
		return err
	}
	magic := make([]byte, 2)
	_, err = disk.ReadAt(magic, 1024+56)
	if err = errors.Join(err, disk.Close()); err != nil || !o.format || magic[0] == 0x53 && magic[1] == 0xef {
		return err
	}
	if out, err := exec.Command("mke2fs", "-q", "-t", "ext4", "-F", o.device).CombinedOutput(); err != nil {
		return fmt.Errorf("mke2fs %s: %w: %s", o.device, err, out)
	}
	return nil
}

func unmount() error {
	var err error
	for limit := time.Now().Add(30 * time.Second); time.Now().Before(limit); time.Sleep(50 * time.Millisecond) {
		if err = unix.Unmount(mountDir, 0); err == nil || errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOENT) {
			return nil // EINVAL: nothing is mounted
		}
	}
	return fmt.Errorf("unmount %s: %w", mountDir, err)
}
