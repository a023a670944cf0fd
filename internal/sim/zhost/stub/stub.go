// Package stub is the client side of the commands of simulated hosts: it hands its arguments and its three standard
// descriptors to the host over a unix socket and ends as it is told. It never decides anything itself. It is small on purpose: a script runs dozens of them.
package stub

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
)

// SocketVar names the socket of the host in whose shell a process runs.
const SocketVar = "ZHOST_SOCKET"

// Pipe is the exit code that stands for dying of SIGPIPE.
const Pipe = 128 + int(syscall.SIGPIPE)

// Main asks the host to run the command called name and ends the process like it.
func Main(name string) {
	code, err := ask(os.Getenv(SocketVar), append([]string{name}, os.Args[1:]...))
	if err != nil {
		_, _ = os.Stderr.WriteString(name + ": the simulated host does not answer: " + err.Error() + "\n")
		code = 255
	}
	if code == Pipe {
		signal.Reset(syscall.SIGPIPE)
		_ = syscall.Kill(os.Getpid(), syscall.SIGPIPE) // the exit code below is what is left
	}
	os.Exit(code)
}

// Encode is a question as it goes over the socket: its length, and the arguments.
func Encode(args []string) []byte {
	text := strings.Join(args, "\x00")
	return append(binary.BigEndian.AppendUint32(nil, uint32(len(text))), text...)
}

// Decode reads a question; more reads on where it is not complete.
func Decode(text []byte, more io.Reader) ([]string, error) {
	if len(text) < 4 {
		return nil, errors.New("a question without length")
	}
	rest := make([]byte, max(0, int(binary.BigEndian.Uint32(text))-len(text)+4))
	if _, err := io.ReadFull(more, rest); err != nil {
		return nil, err
	}
	return strings.Split(string(append(text[4:], rest...)), "\x00"), nil
}

func ask(socket string, args []string) (int, error) {
	fd, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, err
	}
	if err := syscall.Connect(fd, &syscall.SockaddrUnix{Name: socket}); err != nil {
		return 0, err
	}
	text := Encode(args)
	n, err := syscall.SendmsgN(fd, text, syscall.UnixRights(0, 1, 2), nil, 0)
	for err == nil && n < len(text) {
		var more int
		more, err = syscall.Write(fd, text[n:])
		n += more
	}
	if err != nil {
		return 0, err
	}
	answer := make([]byte, 0, 8)
	for !bytes.HasSuffix(answer, []byte("\n")) {
		part := make([]byte, 8)
		n, err := syscall.Read(fd, part)
		if errors.Is(err, syscall.EINTR) {
			continue
		}
		if err != nil || n == 0 {
			return 0, errors.Join(errors.New("it is gone"), err)
		}
		answer = append(answer, part[:n]...)
	}
	return strconv.Atoi(strings.TrimSpace(string(answer)))
}
