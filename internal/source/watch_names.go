package source

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// watched names what moves when a push moves the branch, and the directories to watch for it. Files are never watched
// themselves: git replaces them by rename, and the watch would stay with the old one.
func watched(repo, branch string) watchNames {
	n := watchNames{names: map[string]bool{}, tops: map[string]bool{}}
	at := canonical(repo)
	n.top(at)
	if real, err := filepath.EvalSymlinks(at); err == nil {
		at = real
	}
	n.top(at)
	gitDir, commonDir := gitDirs(at)
	n.top(gitDir)
	n.top(commonDir)
	n.add(at, ".git")
	for _, name := range []string{"HEAD", "commondir", "reftable/tables.list"} {
		n.add(gitDir, name)
	}
	for _, name := range []string{"packed-refs", "config", "reftable/tables.list"} {
		n.add(commonDir, name)
	}
	if branch == "" {
		branch = headBranch(gitDir)
	}
	if branch != "" && fs.ValidPath(branch) {
		n.add(commonDir, "refs/heads/"+branch)
	}
	for name := range n.names {
		n.dirs = append(n.dirs, filepath.Dir(name))
	}
	slices.Sort(n.dirs)
	n.dirs = slices.Compact(n.dirs)
	return n
}

type watchNames struct {
	names map[string]bool // absolute; what else happens in the directories is of no interest
	tops  map[string]bool // where a repository begins
	dirs  []string        // to watch; some may be missing
}

// above tells directories that are only watched to see the repository come: pushes are noticed without them.
func (n watchNames) above(dir string) bool {
	for top := range n.tops {
		if dir == top || strings.HasPrefix(dir, top+"/") {
			return false
		}
	}
	return true
}

// top is a directory that may come and go as a whole. What is missing above it is waited for too.
func (n watchNames) top(dir string) {
	n.tops[dir] = true
	for n.names[dir] = true; filepath.Dir(dir) != dir; dir = filepath.Dir(dir) {
		n.names[dir] = true
		if info, err := os.Stat(filepath.Dir(dir)); err == nil && info.IsDir() {
			return
		}
	}
}

// add is a name below a top, with the directories on the way.
func (n watchNames) add(top, name string) {
	for at := filepath.Join(top, name); !n.tops[at] && filepath.Dir(at) != at; at = filepath.Dir(at) {
		n.names[at] = true
	}
}

// canonical resolves links in all but the last element, as far as the way exists: each directory then has one name.
func canonical(name string) string {
	rest := filepath.Base(name)
	for dir := filepath.Dir(name); ; dir = filepath.Dir(dir) {
		if real, err := filepath.EvalSymlinks(dir); err == nil {
			return filepath.Join(real, rest)
		}
		if dir == filepath.Dir(dir) {
			return name
		}
		rest = filepath.Join(filepath.Base(dir), rest)
	}
}

// gitDirs finds where a repository keeps what is its own, and what it shares with its worktrees: the same directory, but
// for a linked worktree. Without a repository it is the place where a bare one would be.
func gitDirs(repo string) (own, common string) {
	own = repo
	dotGit := filepath.Join(repo, ".git")
	if info, err := os.Stat(dotGit); err == nil {
		own = dotGit
		if !info.IsDir() {
			if to, ok := strings.CutPrefix(firstLine(dotGit), "gitdir: "); ok {
				own = resolve(repo, to)
			}
		}
	}
	common = own
	if to := firstLine(filepath.Join(own, "commondir")); to != "" {
		common = resolve(own, to)
	}
	return own, common
}

func resolve(from, to string) string {
	if !filepath.IsAbs(to) {
		to = filepath.Join(from, to)
	}
	if real, err := filepath.EvalSymlinks(to); err == nil {
		return real
	}
	return filepath.Clean(to)
}

// headBranch is the branch that HEAD names, "" when it names none.
func headBranch(gitDir string) string {
	branch, ok := strings.CutPrefix(firstLine(filepath.Join(gitDir, "HEAD")), "ref: refs/heads/")
	if !ok {
		return ""
	}
	return branch
}

// firstLine of a small file, "" when there is none.
func firstLine(name string) string {
	info, err := os.Stat(name)
	if err != nil || !info.Mode().IsRegular() || info.Size() > 64<<10 {
		return ""
	}
	text, err := os.ReadFile(name)
	if err != nil {
		return ""
	}
	line, _, _ := strings.Cut(string(text), "\n")
	return strings.TrimSpace(line)
}

// foreignKinds are file systems whose content others change without the kernel knowing. statfs(2), linux/magic.h.
var foreignKinds = map[uint32]string{
	0x6969: "NFS", 0x517b: "SMB", 0xff534d42: "SMB", 0xfe534d42: "SMB", 0x65735546: "FUSE", 0x01021997: "9p", 0x00c36400: "Ceph",
	0x5346414f: "AFS", 0x6b414653: "AFS", 0x7461636f: "OCFS2", 0x01161970: "GFS2", 0x0bd00bd0: "Lustre", 0x786f4256: "a VirtualBox share",
}

// foreign names the kind of file system if changes may come from elsewhere, "" otherwise.
func foreign(dir string) string {
	var st syscall.Statfs_t
	if syscall.Statfs(dir, &st) != nil {
		return ""
	}
	return foreignKinds[uint32(st.Type)] //nolint:gosec // a magic number of 32 bits
}
