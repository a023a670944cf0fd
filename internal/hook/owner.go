package hook

import (
	"os"
	"path/filepath"
	"syscall"
)

// keepOwner gives a new file to whom the old one belongs, or the directory: a hook that root wrote should not stop the
// account of the git server from looking after its own. Only root can, and only root does.
func keepOwner(f *os.File, old string) error {
	if os.Geteuid() != 0 {
		return nil
	}
	info, err := os.Lstat(old)
	if err != nil {
		info, err = os.Stat(filepath.Dir(old))
	}
	if err != nil {
		return err
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return nil
	}
	return f.Chown(int(st.Uid), int(st.Gid))
}
