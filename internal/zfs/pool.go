package zfs

import (
	"strconv"
	"strings"

	"github.com/ustclug/pve-reconcile/reconciler/migration"
)

// parsePool reads zpool get -Hp -o property,value all and zpool status of one pool. ashift is what zdb said, where the pool
// does not know.
func parsePool(name, props, status, zdb string) migration.Pool {
	p := migration.Pool{Name: name, Features: map[string]string{}}
	for line := range strings.Lines(props) {
		key, value, ok := strings.Cut(strings.TrimSuffix(line, "\n"), "\t")
		if !ok {
			continue
		}
		if feature, is := strings.CutPrefix(key, "feature@"); is {
			p.Features[feature] = value
		}
		switch key {
		case "health":
			p.Health = value
		case "ashift":
			p.Ashift = int(number(value))
		}
	}
	if p.Ashift == 0 {
		p.Ashift, _ = strconv.Atoi(strings.TrimSpace(zdb))
	}
	p.Vdevs = parseLayout(name, status)
	return p
}

// parseLayout finds the top-level vdevs that hold data in what zpool status prints:
//
//	NAME             STATE ...
//	pool0            ONLINE ...
//	  raidz2-0       ONLINE ...
//	    disk         ONLINE ...
//	logs
//	  disk ...
func parseLayout(pool, status string) []migration.Vdev {
	var out []migration.Vdev
	inside, data := false, false
	for line := range strings.Lines(status) {
		line = strings.TrimRight(line, "\n")
		text := strings.TrimLeft(line, "\t ")
		depth := len(strings.TrimLeft(line, "\t")) - len(text)
		word, _, _ := strings.Cut(text, " ")
		switch {
		case word == "NAME":
			inside = true
		case !inside:
		case text == "" && len(out) > 0, strings.HasPrefix(line, "errors:"):
			return out
		case text == "":
		case depth == 0:
			data = word == pool
		case !data:
		case depth == 2:
			out = append(out, vdev(word))
		case depth == 4 && len(out) > 0 && out[len(out)-1].Type != "disk":
			out[len(out)-1].Disks++
		}
	}
	return out
}

// vdev is a top-level vdev by its name; its disks are counted as they come.
func vdev(word string) migration.Vdev {
	kind, _, _ := strings.Cut(word, "-")
	kind, _, _ = strings.Cut(kind, ":") // draid2:8d:10c:1s-0
	for _, k := range []string{"raidz", "mirror", "draid"} {
		if strings.HasPrefix(kind, k) && strings.Contains(word, "-") {
			return migration.Vdev{Type: kind}
		}
	}
	return migration.Vdev{Type: "disk", Disks: 1}
}
