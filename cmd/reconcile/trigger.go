package main

import (
	"context"
	"errors"
	"flag"
	"io"

	"github.com/ustclug/pve-reconcile/internal/socket"
)

// runTrigger tells the daemon that the source has moved, or to look at some objects now.
func runTrigger(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	f := flag.NewFlagSet("trigger", flag.ContinueOnError)
	var c common
	c.registerText(f)
	words, code, done := parse(f, args, stdout, stderr)
	if done {
		return code
	}
	conf, err := loadConfig(c.file)
	if err != nil {
		return failed(stderr, err)
	}
	in := objectsJSON{Objects: objectNames(words)}
	err = askDaemon(ctx, conf, "POST", "/trigger", in, &in)
	if errors.Is(err, socket.ErrNobody) {
		return usage(stderr, "no daemon answers on %s: `reconcile --once` makes one pass without it", conf.Socket.Path)
	}
	if err != nil {
		return failed(stderr, err)
	}
	return exitOK
}
