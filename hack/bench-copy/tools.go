package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"

	"github.com/ustclug/pve-reconcile/internal/blockcopy"
)

// tool is one way to copy. It returns when the tool says that it is done.
type tool struct {
	name string
	run  func(ctx context.Context, source, target string) error
}

const ours = "reconcile none"

func tools() []tool {
	list := []tool{
		{ours, reconcile(blockcopy.VerifyNone)},
		{"reconcile inline", reconcile(blockcopy.VerifyInline)},
		{"reconcile full", reconcile(blockcopy.VerifyFull)},
	}
	// notrunc keeps the size of the target, which sparse output would otherwise leave short.
	others := [][]string{
		{"dd bs=1M", "dd", "bs=1M", "conv=notrunc", "status=none", "if=SRC", "of=DST"},
		{"dd bs=1M sparse", "dd", "bs=1M", "conv=sparse,notrunc", "status=none", "if=SRC", "of=DST"},
		{"cp --sparse=always", "cp", "--sparse=always", "SRC", "DST"},
		{"qemu-img -n -W", "qemu-img", "convert", "-n", "-W", "-f", "raw", "-O", "raw", "SRC", "DST"},
		{"qemu-img -n -W zero", "qemu-img", "convert", "-n", "-W", "--target-is-zero", "-f", "raw", "-O", "raw", "SRC", "DST"},
	}
	for _, argv := range others {
		if _, err := exec.LookPath(argv[1]); err != nil {
			fmt.Printf("ABSENT: %s is not installed, its rows are missing\n", argv[1])
			continue
		}
		list = append(list, tool{argv[0], external(argv[1:])})
	}
	return list
}

func reconcile(verify blockcopy.Verify) func(context.Context, string, string) error {
	return func(ctx context.Context, source, target string) error {
		_, err := blockcopy.Copy(ctx, blockcopy.Job{Source: source, Target: target, FreshTarget: true, Verify: verify})
		return err
	}
}

func external(argv []string) func(context.Context, string, string) error {
	return func(ctx context.Context, source, target string) error {
		args := make([]string, len(argv)-1)
		for i, arg := range argv[1:] {
			args[i] = os.Expand(escape(arg), func(name string) string {
				return map[string]string{"SRC": source, "DST": target}[name]
			})
		}
		out, err := exec.CommandContext(ctx, argv[0], args...).CombinedOutput()
		if err != nil {
			return errors.New(argv[0] + ": " + firstLine(string(out), err))
		}
		return nil
	}
}

// escape makes the two words of an argument list variables.
func escape(arg string) string {
	for _, word := range []string{"SRC", "DST"} {
		switch arg {
		case word:
			return "${" + word + "}"
		case "if=" + word, "of=" + word:
			return arg[:3] + "${" + word + "}"
		}
	}
	return arg
}

func firstLine(text string, err error) string {
	for i, c := range text {
		if c == '\n' {
			return text[:i]
		}
	}
	return fmt.Sprint(text, " ", err)
}
