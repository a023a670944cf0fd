package gate

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// maxTrusted is more than any list of signers needs.
const maxTrusted = 16 << 20

// readTrusted reads a file that says who may sign. It refuses one that whoever may push could write: in a directory of the
// repository or the clone, or writable by everybody, itself or the directory it is in.
func readTrusted(name string, outside []string) ([]byte, error) {
	f, err := os.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s: there is no such file; nothing is applied without it", name)
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s: this is not a regular file", name)
	}
	if info.Mode().Perm()&0o002 != 0 {
		return nil, fmt.Errorf("%s: everybody may change it (mode %04o); run: chmod o-w %s", name, info.Mode().Perm(), name)
	}
	real, err := filepath.EvalSymlinks(name)
	if err != nil {
		return nil, err
	}
	for _, at := range []string{filepath.Dir(name), filepath.Dir(real)} {
		dir, err := os.Stat(at)
		if err != nil {
			return nil, err
		}
		if dir.Mode().Perm()&0o002 != 0 && dir.Mode()&fs.ModeSticky == 0 {
			return nil, fmt.Errorf("%s: everybody may replace it, since everybody may write to %s; run: chmod o-w %s", name, at, at)
		}
	}
	for _, dir := range outside {
		if top, err := filepath.EvalSymlinks(dir); err == nil {
			dir = top
		}
		if strings.HasPrefix(real, strings.TrimSuffix(dir, "/")+"/") {
			return nil, fmt.Errorf("%s: is inside %s, which the repository and its clone are kept in: put it elsewhere, as in /etc/pve-reconcile/%s", name, dir, filepath.Base(name))
		}
	}
	text, err := io.ReadAll(io.LimitReader(f, maxTrusted+1))
	if err == nil && len(text) > maxTrusted {
		err = fmt.Errorf("%s: the file is larger than %d MiB", name, maxTrusted>>20)
	}
	return text, err
}
