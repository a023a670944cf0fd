package sim

import (
	"encoding/json"
	"strings"
)

// systemReads are what a node tells of itself and nothing in this world changes, or only a write to the same path does.
var systemReads = []string{
	"/status", "/dns", "/time", "/hosts", "/services", "/apt/repositories", "/disks/list", "/disks/lvm", "/disks/lvmthin", "/disks/zfs",
	"/firewall/options", "/certificates/info",
}

// host keeps what the node tells of itself. What the token may not read, or the version does not have, stays as simulated.
func (l *live) host(n *Node) {
	for _, path := range systemReads {
		l.keep("/nodes/" + n.Name + path)
	}
	var pools []row
	_ = json.Unmarshal(l.w.Reads["/nodes/"+n.Name+"/disks/zfs"], &pools) // none where it could not be read
	for _, p := range pools {
		l.keep("/nodes/" + n.Name + "/disks/zfs/" + p.str("name"))
	}
}

func (l *live) keep(path string) {
	if raw, err := l.get(l.ctx, path); err == nil {
		l.w.Reads[path] = raw
	}
}

// secretive are options of the datacenter that may hold a password or name a key.
var secretive = map[string]bool{"http_proxy": true, "u2f": true, "webauthn": true, "allowed-tags": true, "digest": true}

func (l *live) options() error {
	var o row
	if err := l.read("/cluster/options", &o); err != nil {
		return err
	}
	for key, value := range o {
		var text string
		switch v := value.(type) {
		case map[string]any:
			p := propertyString{}
			for name := range v {
				p[name] = row(v).str(name)
			}
			text = p.print("")
		case []any:
			var words []string
			for _, w := range v {
				if s, ok := w.(string); ok {
					words = append(words, s)
				}
			}
			text = strings.Join(words, ";")
		default:
			text = o.str(key)
		}
		if !secretive[key] && text != "" {
			l.w.Datacenter[key] = text
		}
	}
	l.keep("/cluster/firewall/options")
	return nil
}
