package zhost

import (
	"fmt"
	"math/rand"
	"os"
	"strconv"
	"strings"
	"time"
)

// knownFeatures are those of a pool of OpenZFS 2.1 that somebody may ask for.
var knownFeatures = strings.Fields("async_destroy empty_bpobj lz4_compress spacemap_histogram enabled_txg hole_birth extensible_dataset embedded_data bookmarks " +
	"large_blocks large_dnode sha512 skein edonr userobj_accounting encryption project_quota device_removal obsolete_counts zpool_checkpoint spacemap_v2 " +
	"allocation_classes resilver_defer bookmark_v2 redaction_bookmarks redacted_datasets bookmark_written log_spacemap livelist device_rebuild zstd_compress draid")

// read takes the text of a host.
func (h *Host) read(text string) error {
	for i, line := range strings.Split(text, "\n") {
		words := strings.Fields(line)
		if len(words) == 0 || strings.HasPrefix(words[0], "#") {
			continue
		}
		if err := h.readLine(words); err != nil {
			return fmt.Errorf("line %d: %w", i+1, err)
		}
	}
	return nil
}

func (h *Host) readLine(words []string) error {
	if len(words) < 2 {
		return fmt.Errorf("%q: a word is missing", words[0])
	}
	switch words[0] {
	case "zfs":
		h.Version = words[1]
		return nil
	case "machine":
		h.machine = words[1]
		return nil
	case "skew":
		d, err := time.ParseDuration(words[1])
		now := h.now
		h.now = func() time.Time { return now().Add(d) }
		return err
	case "vg", "pv", "thin":
		h.lvm[words[0]] += strings.Join(words[1:], "\t") + "\n"
		return nil
	case "pool":
		return h.readPool(words[1], words[2:])
	case "filesystem", "zvol":
		return h.readDataset(words[0] == "zvol", words[1], words[2:])
	case "guest":
		return h.readGuest(words[1:])
	}
	return fmt.Errorf("%q: unknown word; known are zfs, machine, skew, pool, filesystem, zvol, guest, vg, pv, thin", words[0])
}

func (h *Host) readPool(name string, words []string) error {
	p := &pool{
		host: h, name: name, guid: h.guid(), disk: 2 << 40, ashift: 12, health: "ONLINE", features: map[string]string{}, sets: map[string]*dataset{}, txg: 4,
		vdevs: []vdev{{kind: "disk", disks: 1}},
	}
	for _, f := range knownFeatures {
		p.features[f] = "enabled"
	}
	h.pools[name] = p
	root := p.add(name, false)
	root.local["compression"] = "lz4"
	for _, word := range words {
		key, value, _ := strings.Cut(word, "=")
		var err error
		switch {
		case key == "layout":
			p.vdevs, err = parseLayout(value)
		case key == "disk":
			p.disk, err = parseSize(value)
		case key == "ashift":
			var n int
			n, err = strconv.Atoi(value)
			p.ashift = uint(n)
		case key == "used":
			root.held, err = parseSize(value)
		case key == "health":
			p.health = value
		case strings.HasPrefix(key, "feature@"):
			p.features[strings.TrimPrefix(key, "feature@")] = value
		default:
			err = (object{d: root}).assign([]string{word})
		}
		if err != nil {
			return fmt.Errorf("pool %s: %s: %w", name, word, err)
		}
	}
	return nil
}

func (h *Host) readDataset(volume bool, name string, words []string) error {
	p := h.poolOf(name)
	if p == nil || !strings.Contains(name, "/") {
		return fmt.Errorf("%s: there is no such pool", name)
	}
	p.makeParents(name[:strings.LastIndex(name, "/")])
	w := wish{name: name, sparse: true, blocksize: 16 << 10}
	share, seed, held := 0.0, seedOf(name), int64(0)
	for _, word := range words {
		key, value, _ := strings.Cut(word, "=")
		var err error
		switch key {
		case "volsize":
			w.volsize, err = parseSize(value)
		case "volblocksize":
			w.blocksize, err = parseSize(value)
		case "thick":
			w.sparse = false
		case "data":
			share, err = strconv.ParseFloat(strings.TrimSuffix(value, "%"), 64)
		case "seed":
			seed, err = strconv.ParseInt(value, 10, 64)
		case "used":
			held, err = parseSize(value)
		case "encryption":
			w.key = textKey()
		default:
			w.pairs = append(w.pairs, word)
		}
		if err != nil {
			return fmt.Errorf("%s: %s: %w", name, word, err)
		}
	}
	if !volume {
		p.makeParents(name)
		p.sets[name].held = held
		if w.key != nil {
			p.sets[name].key, w.key.root = w.key, p.sets[name]
		}
		return (object{d: p.sets[name]}).assign(w.pairs)
	}
	if w.volsize == 0 {
		return fmt.Errorf("%s: a zvol needs volsize=", name)
	}
	if err := p.build(w); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return p.sets[name].fill(share/100, seed)
}

// textKey is how a dataset of the text is encrypted.
func textKey() *key {
	return &key{cipher: "aes-256-gcm", format: "raw", location: "file:///root/key", loaded: true}
}

// fill writes that share of the zvol: runs of bytes that do not compress, spread over all of it.
func (d *dataset) fill(share float64, seed int64) error {
	f, err := os.OpenFile(d.live.file, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	random := rand.New(rand.NewSource(seed))
	const run = 256 << 10
	buffer := make([]byte, run)
	wrote := int64(0)
	for off := int64(0); off < d.volsize; off += run {
		if float64(wrote) >= share*float64(off+run) {
			continue
		}
		part := buffer[:min(run, d.volsize-off)]
		_, _ = random.Read(part) // never fails
		if _, err := f.WriteAt(part, off); err != nil {
			return err
		}
		wrote += int64(len(part))
	}
	return nil
}
