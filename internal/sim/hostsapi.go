package sim

import (
	"crypto/sha1"
	"encoding/hex"
	"encoding/json"
	"regexp"
)

// What a node keeps of itself outside PVE's own files. A world says it in "read" sections, and writes change these.
func init() {
	on("GET /nodes/{node}/dns", quiet(func(*call) any { return map[string]any{"dns1": "127.0.0.1", "search": "invalid"} }))
	on("PUT /nodes/{node}/dns", func(c *call) (any, error) {
		set := map[string]any{}
		for _, name := range c.order {
			if name != "node" && c.params[name] != "" {
				set[name] = c.params[name]
			}
		}
		return nil, c.remember(set)
	})
	on("GET /nodes/{node}/time", nodeTime)
	on("PUT /nodes/{node}/time", func(c *call) (any, error) {
		zone := c.str("timezone")
		if !zoneName.MatchString(zone) {
			return nil, badParam("timezone", "No such timezone")
		}
		return nil, c.remember(map[string]any{"timezone": zone})
	})
	on("GET /nodes/{node}/hosts", func(c *call) (any, error) {
		text := c.hosts()
		return map[string]any{"data": text, "digest": hostsDigest(text)}, nil
	})
	on("POST /nodes/{node}/hosts", func(c *call) (any, error) {
		if d := c.str("digest"); d != "" && d != hostsDigest(c.hosts()) {
			return nil, dief("detected modified configuration - file changed by other user? Try again.")
		}
		return nil, c.remember(map[string]any{"data": c.str("data")})
	})
}

var zoneName = regexp.MustCompile(`^[A-Z][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+)*$`)

// remember keeps what a write set as what the path answers.
func (c *call) remember(set map[string]any) error {
	raw, err := json.Marshal(set)
	if err == nil {
		c.w.Reads[c.path] = raw
	}
	return err
}

// nodeTime tells the clock; the world's Reads hold the time zone.
func nodeTime(c *call) (any, error) {
	now := c.s.clock.Now().Unix()
	zone := struct{ TimeZone string }{"UTC"}
	if raw, ok := c.w.Reads[c.path]; ok {
		if err := json.Unmarshal(raw, &zone); err != nil {
			return nil, dief("simulator: read %s: %s", c.path, err)
		}
	}
	return map[string]any{"time": now, "localtime": now, "timezone": zone.TimeZone}, nil
}

// hosts is the text of /etc/hosts.
func (c *call) hosts() string {
	file := struct{ Data string }{"127.0.0.1 localhost\n" + c.node.IP + " " + c.node.Name + "\n"}
	if raw, ok := c.w.Reads[c.path]; ok {
		_ = json.Unmarshal(raw, &file) // what cannot be read is not this file
	}
	return file.Data
}

func hostsDigest(text string) string {
	sum := sha1.Sum([]byte(text))
	return hex.EncodeToString(sum[:])
}
