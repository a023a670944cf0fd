package sim

import (
	"crypto/sha1"
	"encoding/hex"
	"fmt"
	"strings"
)

// DatacenterOptions is a file of "key: value" lines (datacenter.cfg).
type DatacenterOptions map[string]string

func parseDatacenter(text string) DatacenterOptions {
	o := DatacenterOptions{}
	for _, line := range strings.Split(text, "\n") {
		if key, value, ok := strings.Cut(line, ":"); ok && !strings.HasPrefix(line, "#") {
			o[strings.TrimSpace(key)] = strings.TrimSpace(value)
		}
	}
	return o
}

func (o DatacenterOptions) text() string {
	var b strings.Builder
	for _, key := range sortedKeys(o) {
		fmt.Fprintf(&b, "%s: %s\n", key, o[key])
	}
	return b.String()
}

func (o DatacenterOptions) macPrefix() string {
	if prefix := o["mac_prefix"]; prefix != "" {
		return strings.TrimSuffix(strings.ToUpper(prefix), ":")
	}
	return "BC:24:11"
}

// tagStyle tells whether tags keep their case and their order.
func (o DatacenterOptions) tagStyle() (caseSensitive, keepOrder bool) {
	for _, part := range strings.Split(o["tag-style"], ",") {
		switch part {
		case "ordering=config":
			keepOrder = true
		case "case-sensitive=1":
			caseSensitive = true
		}
	}
	return caseSensitive, keepOrder
}

// uniqueTags is the stored form of a tag list (src: GuestHelpers::get_unique_tags).
func (o DatacenterOptions) uniqueTags(text string) string {
	caseSensitive, keepOrder := o.tagStyle()
	seen := map[string]bool{}
	var tags []string
	for _, tag := range splitList(text) {
		if !caseSensitive {
			tag = strings.ToLower(tag)
		}
		if !seen[tag] {
			seen[tag] = true
			tags = append(tags, tag)
		}
	}
	if !keepOrder {
		sortStrings(tags)
	}
	return strings.Join(tags, ";")
}

// Storage is one entry of storage.cfg.
type Storage struct {
	ID, Type string
	keys     []string // in file order
	values   map[string]string
}

// StorageConfig is storage.cfg.
type StorageConfig struct{ list []*Storage }

func (c *StorageConfig) find(id string) *Storage {
	for _, s := range c.list {
		if s.ID == id {
			return s
		}
	}
	return nil
}

func parseStorageConfig(text string) *StorageConfig {
	c := &StorageConfig{}
	var last *Storage
	for _, line := range strings.Split(text, "\n") {
		if strings.TrimSpace(line) == "" || strings.HasPrefix(line, "#") {
			continue
		}
		if line[0] != ' ' && line[0] != '\t' {
			kind, id, _ := strings.Cut(line, ":")
			last = &Storage{ID: strings.TrimSpace(id), Type: kind, values: map[string]string{}}
			c.list = append(c.list, last)
			continue
		}
		if last == nil {
			continue
		}
		key, value, has := strings.Cut(strings.TrimSpace(line), " ")
		if !has {
			value = "1"
		}
		last.set(key, strings.TrimSpace(value))
	}
	return c
}

func (s *Storage) set(key, value string) {
	if _, ok := s.values[key]; !ok {
		s.keys = append(s.keys, key)
	}
	s.values[key] = value
}

func (s *Storage) unset(key string) {
	delete(s.values, key)
	for i, have := range s.keys {
		if have == key {
			s.keys = append(s.keys[:i:i], s.keys[i+1:]...)
			return
		}
	}
}

func (s *Storage) has(content string) bool { return contains(splitList(s.contentText()), content) }

// contentText is the content list, with the default of the type where the file has none.
func (s *Storage) contentText() string {
	if v, ok := s.values["content"]; ok {
		return v
	}
	if s.Type == "dir" {
		return "images,rootdir,vztmpl,iso,backup,snippets"
	}
	return "images,rootdir"
}

func (s *Storage) on(node string) bool {
	nodes, ok := s.values["nodes"]
	return !ok || contains(splitList(nodes), node)
}

func (s *Storage) disabled() bool { return s.values["disable"] == "1" }

func (c *StorageConfig) text() string {
	var b strings.Builder
	for i, s := range c.list {
		if i > 0 {
			b.WriteString("\n")
		}
		fmt.Fprintf(&b, "%s: %s\n", s.Type, s.ID)
		for _, key := range s.keys {
			if value := s.values[key]; value == "1" && key == "disable" {
				fmt.Fprintf(&b, "\t%s\n", key)
			} else {
				fmt.Fprintf(&b, "\t%s %s\n", key, value)
			}
		}
	}
	return b.String()
}

func (c *StorageConfig) digest() string {
	sum := sha1.Sum([]byte(c.text()))
	return hex.EncodeToString(sum[:])
}
