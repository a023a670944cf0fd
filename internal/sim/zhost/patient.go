package zhost

import (
	"context"
	"errors"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// errOff is what a command that runs sees when its host loses power.
var errOff = errors.New("the host is off")

// patient reads and writes a descriptor of another process without changing its mode, and gives up when its context ends:
// it asks whether there is something to do before it does it.
type patient struct {
	ctx context.Context
	f   *os.File
}

// pipeRoom is what fits into a pipe that poll calls writable.
const pipeRoom = 4096

// pollTime is how long it may take to notice the end of the context, in milliseconds.
const pollTime = 50

func (p patient) wait(events int16) error {
	for {
		if err := p.ctx.Err(); err != nil {
			return context.Cause(p.ctx)
		}
		fds := []unix.PollFd{{Fd: int32(p.f.Fd()), Events: events}}
		n, err := unix.Poll(fds, pollTime)
		switch {
		case errors.Is(err, unix.EINTR):
		case err != nil:
			return err
		case n > 0:
			return nil
		}
	}
}

func (p patient) Read(b []byte) (int, error) {
	if err := p.wait(unix.POLLIN); err != nil {
		return 0, err
	}
	n, err := unix.Read(int(p.f.Fd()), b)
	if err == nil && n == 0 {
		return 0, io.EOF
	}
	return max(n, 0), err
}

func (p patient) Write(b []byte) (int, error) {
	done := 0
	for done < len(b) {
		if err := p.wait(unix.POLLOUT); err != nil {
			return done, err
		}
		n, err := unix.Write(int(p.f.Fd()), b[done:min(done+pipeRoom, len(b))])
		if errors.Is(err, unix.EINTR) || errors.Is(err, unix.EAGAIN) {
			continue
		}
		if err != nil {
			return done, err
		}
		done += n
	}
	return done, nil
}

// punch frees a range of a file.
func punch(f *os.File, off, n int64) error {
	if n <= 0 {
		return nil
	}
	return unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, off, n)
}
