package hook

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"unicode/utf8"
)

// maxHook is the longest hook that is changed.
const maxHook = 1 << 20

// Install puts the lines into the hook that file names. changed tells whether that was news.
func Install(file, lines string) (changed bool, err error) {
	text, mode, err := read(file)
	if err != nil {
		return false, err
	}
	if mode != 0 && mode&0o111 == 0 {
		return false, refuse(file, &Refusal{"it is not executable, so git ignores it", "look what it does; if it may run: chmod +x " + quote(file) + ", or remove it"})
	}
	next, err := Add(text, lines)
	if err != nil {
		return false, refuse(file, err)
	}
	if next == text {
		return false, nil
	}
	if mode == 0 {
		mode = 0o755
	}
	return true, write(file, next, mode)
}

// Uninstall takes the lines out of the hook that file names, and removes one that is nothing else.
func Uninstall(file string) (changed bool, err error) {
	text, mode, err := read(file)
	if err != nil || !Has(text) {
		return false, err
	}
	next, err := Remove(text)
	if err != nil {
		return false, refuse(file, err)
	}
	if next == "" {
		return true, os.Remove(file)
	}
	return true, write(file, next, mode)
}

func refuse(file string, err error) error { return fmt.Errorf("%s is left alone: %w", file, err) }

// read returns the text and mode of a hook; mode 0 means that there is none.
func read(file string) (text string, mode fs.FileMode, err error) {
	info, err := os.Lstat(file)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "", 0, nil
	case err != nil:
		return "", 0, err
	case info.Mode()&fs.ModeSymlink != 0:
		to, _ := os.Readlink(file)
		return "", 0, refuse(file, &Refusal{"it is a symbolic link to " + to + ", which others may use too", "change that file by hand"})
	case !info.Mode().IsRegular() || info.Size() > maxHook:
		return "", 0, refuse(file, &Refusal{"it is no script", "look what it is"})
	}
	b, err := os.ReadFile(file)
	if err != nil {
		return "", 0, err
	}
	if !utf8.Valid(b) {
		return "", 0, refuse(file, &Refusal{"it is no text", "have it run the command itself"})
	}
	return string(b), info.Mode().Perm(), nil
}

// write replaces a hook whole, so that a push never runs half of one. Its owner is kept where that is allowed.
func write(file, text string, mode fs.FileMode) error {
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(file), ".post-receive.*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.WriteString(text)
	err = errors.Join(err, f.Chmod(mode), keepOwner(f, file), f.Sync(), f.Close())
	if err != nil {
		return err
	}
	return os.Rename(f.Name(), file)
}
