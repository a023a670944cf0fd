package sim

import (
	"fmt"
	"sort"
	"strconv"
	"strings"
	"time"
)

// Shell runs a command with a shell on a host and returns its standard output. What the command wrote to standard
// error is the text of the error when it fails.
type Shell func(command string) (string, error)

// zfsHost is the pool of a real host: the commands are those of PVE's ZFSPoolPlugin.
type zfsHost struct{ run Shell }

const zfsListing = "zpool list -Hp -o name,size && " +
	"zfs list -Hp -t filesystem,volume,snapshot -o name,volsize,volblocksize,usedds,usedsnap,usedrefreserv,avail,creation,origin"

func (h zfsHost) Datasets() ([]*Dataset, error) {
	text, err := h.run(zfsListing)
	if err != nil {
		return nil, err
	}
	return parseListing(text)
}

// parseListing reads what zfsListing prints: pools with two fields, then datasets and snapshots.
func parseListing(text string) ([]*Dataset, error) {
	var list []*Dataset
	raw, by := map[string]int64{}, map[string]*Dataset{}
	for _, line := range strings.Split(strings.TrimSuffix(text, "\n"), "\n") {
		fields := strings.Split(line, "\t")
		switch len(fields) {
		case 1:
			continue // no pools
		case 2:
			raw[fields[0]] = exact(fields[1])
			continue
		case 9:
		default:
			return nil, fmt.Errorf("zfs list: %q has %d fields instead of 9", line, len(fields))
		}
		if name, snap, ok := strings.Cut(fields[0], "@"); ok {
			if by[name] != nil {
				by[name].Snapshots = append(by[name].Snapshots, DatasetSnapshot{Name: snap, Volsize: exact(fields[1])})
			}
			continue
		}
		d := &Dataset{Name: fields[0], Volsize: exact(fields[1]), Used: exact(fields[3]) + exact(fields[4]) + exact(fields[5])}
		if d.Volsize != 0 {
			d.Blocksize = strings.ToLower(bytesText(exact(fields[2])))
		}
		if size, isPool := raw[d.Name]; isPool {
			d.Raw, d.Quota = size, exact(fields[6])
		}
		if fields[8] != "-" {
			d.Origin = fields[8]
		}
		d.Created = time.Unix(exact(fields[7]), 0).UTC()
		by[d.Name] = d
		list = append(list, d)
	}
	// What a pool holds altogether is what is free and what all of its datasets use.
	for _, d := range list {
		pool, _, _ := strings.Cut(d.Name, "/")
		if by[pool] != nil {
			by[pool].Quota += d.Used
		}
	}
	sort.SliceStable(list, func(i, j int) bool { return list[i].Name < list[j].Name })
	return list, nil
}

// exact is a number as zfs -p prints it; "-" is 0.
func exact(text string) int64 {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return 0
	}
	return n
}

func (h zfsHost) zfs(words ...string) error {
	for i, word := range words {
		words[i] = quoted(word)
	}
	_, err := h.run("zfs " + strings.Join(words, " "))
	return err
}

// quoted is a word that the shell takes as it is.
func quoted(word string) string { return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'" }

func (h zfsHost) Create(d *Dataset, sparse bool) error {
	words := []string{"create"}
	if sparse {
		words = append(words, "-s")
	}
	return h.zfs(append(words, "-b", d.Blocksize, "-V", strconv.FormatInt(d.Volsize, 10), d.Name)...)
}

func (h zfsHost) Clone(snapshot, name string, _ time.Time) error {
	return h.zfs("clone", snapshot, name)
}

func (h zfsHost) Resize(name string, volsize int64) error {
	return h.zfs("set", fmt.Sprintf("volsize=%d", volsize), name)
}

func (h zfsHost) Destroy(name string) error    { return h.zfs("destroy", "-r", name) }
func (h zfsHost) Rename(name, to string) error { return h.zfs("rename", name, to) }

func (h zfsHost) Snapshot(name, snapshot string) error { return h.zfs("snapshot", name+"@"+snapshot) }

func (h zfsHost) Rollback(name, snapshot string) error { return h.zfs("rollback", name+"@"+snapshot) }

func (h zfsHost) DestroySnapshot(name, snapshot string) error {
	return h.zfs("destroy", name+"@"+snapshot)
}
