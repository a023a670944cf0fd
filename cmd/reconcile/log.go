package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"syscall"

	"go.uber.org/zap"
	"go.uber.org/zap/buffer"
	"go.uber.org/zap/zapcore"
	"golang.org/x/term"
)

// logger writes to standard error; every entry counts, so nothing is sampled.
func logger(c common, stderr io.Writer) (*zap.Logger, error) {
	l, err := zapcore.ParseLevel(c.logLevel)
	if err != nil {
		return nil, fmt.Errorf("--log-level: %q is none of debug, info, warn, error", c.logLevel)
	}
	journal := isJournal(stderr)
	enc := zap.NewProductionEncoderConfig()
	enc.EncodeTime, enc.EncodeDuration = zapcore.RFC3339TimeEncoder, zapcore.StringDurationEncoder
	make := zapcore.NewJSONEncoder
	switch c.logFormat {
	case "json":
	case "text", "":
		enc = zap.NewDevelopmentEncoderConfig()
		enc.EncodeTime = zapcore.TimeEncoderOfLayout("2006-01-02 15:04:05")
		enc.CallerKey = ""
		make = zapcore.NewConsoleEncoder
	default:
		return nil, fmt.Errorf("--log-format: %q is neither text nor json", c.logFormat)
	}
	if journal {
		enc.TimeKey = "" // the journal has its own
	}
	encoder := make(enc)
	if journal {
		encoder = prioritised{encoder}
	}
	return zap.New(zapcore.NewCore(encoder, zapcore.AddSync(stderr), l)), nil
}

// defaultFormat is text for a person at a terminal and JSON for everything else.
func defaultFormat(stderr io.Writer) string {
	if f, ok := stderr.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		return "text"
	}
	return "json"
}

// isJournal tells whether a file is systemd's journal: JOURNAL_STREAM holds its device and inode (systemd.exec(5)). A shell
// below a service has the variable too, with standard error somewhere else.
func isJournal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok || os.Getenv("JOURNAL_STREAM") == "" {
		return false
	}
	var s syscall.Stat_t
	return syscall.Fstat(int(f.Fd()), &s) == nil && fmt.Sprintf("%d:%d", s.Dev, s.Ino) == os.Getenv("JOURNAL_STREAM")
}

// prioritised writes before each line the priority that the journal gives it (sd-daemon(3)).
type prioritised struct{ zapcore.Encoder }

// Clone copies the encoder for a logger with more fields.
func (p prioritised) Clone() zapcore.Encoder { return prioritised{p.Encoder.Clone()} }

// EncodeEntry writes one entry.
func (p prioritised) EncodeEntry(e zapcore.Entry, fields []zapcore.Field) (*buffer.Buffer, error) {
	b, err := p.Encoder.EncodeEntry(e, fields)
	if err != nil {
		return b, err
	}
	mark := []byte(priority(e.Level))
	lines := bytes.Split(bytes.TrimSuffix(b.Bytes(), []byte("\n")), []byte("\n"))
	text := append(append(mark, bytes.Join(lines, append([]byte("\n"), mark...))...), '\n')
	b.Reset()
	_, err = b.Write(text)
	return b, err
}

// priority is syslog's number of a level.
func priority(l zapcore.Level) string {
	switch {
	case l >= zapcore.DPanicLevel:
		return "<2>"
	case l == zapcore.ErrorLevel:
		return "<3>"
	case l == zapcore.WarnLevel:
		return "<4>"
	case l == zapcore.InfoLevel:
		return "<6>"
	}
	return "<7>"
}
