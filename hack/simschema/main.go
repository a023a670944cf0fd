// Command simschema turns the published PVE API schema (JSON) into the compact table that internal/sim
// embeds. It never runs at test or run time; the result is committed.
//
//	go run ./hack/simschema PVE-API-DIR internal/sim
package main

import (
	"encoding/json"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"sort"
	"strings"
)

type property struct {
	Type       string   `json:"type"`
	Optional   any      `json:"optional"`
	Minimum    any      `json:"minimum"`
	Maximum    any      `json:"maximum"`
	MaxLength  any      `json:"maxLength"`
	MinLength  any      `json:"minLength"`
	Enum       []string `json:"enum"`
	Pattern    string   `json:"pattern"`
	Requires   string   `json:"requires"`
	Format     any      `json:"format"`
	Alias      string   `json:"alias"`
	KeyAlias   string   `json:"keyAlias"`
	DefaultKey any      `json:"default_key"`
}

type method struct {
	Parameters  map[string]property `json:"parameters"`
	Additional  bool                `json:"additional_parameters_allowed"`
	ProxyTo     string              `json:"proxyto"`
	Permissions *struct {
		Check any    `json:"check"`
		User  string `json:"user"`
	} `json:"permissions"`
}

type schema struct {
	Formats map[string]map[string]property `json:"formats"`
	Paths   map[string]map[string]method   `json:"paths"`
}

func main() {
	log.SetFlags(0)
	if len(os.Args) != 3 {
		log.Fatal("usage: simschema PVE-API-DIR OUT-DIR")
	}
	for from, to := range map[string]string{"schema.json": "schema9.txt", "schema-8.json": "schema8.txt"} {
		raw, err := os.ReadFile(filepath.Join(os.Args[1], from))
		if err != nil {
			log.Fatal(err)
		}
		var s schema
		if err := json.Unmarshal(raw, &s); err != nil {
			log.Fatalf("%s: %v", from, err)
		}
		if err := os.WriteFile(filepath.Join(os.Args[2], to), []byte(s.compact()), 0o644); err != nil {
			log.Fatal(err)
		}
	}
}

// compact prints "% FORMAT" and "= PATH METHOD [any] [node]" heads, "? CHECK" for the right a call asks for,
// and one tab-separated line a parameter.
func (s schema) compact() string {
	var b strings.Builder
	for _, name := range sorted(s.Formats) {
		fmt.Fprintf(&b, "%% %s\n", name)
		writeProperties(&b, s.Formats[name])
	}
	for _, path := range sorted(s.Paths) {
		for _, verb := range sorted(s.Paths[path]) {
			m := s.Paths[path][verb]
			fmt.Fprintf(&b, "= %s %s", path, verb)
			if m.Additional {
				b.WriteString(" any")
			}
			if m.ProxyTo == "node" {
				b.WriteString(" node")
			}
			b.WriteString("\n")
			if p := m.Permissions; p != nil && (p.Check != nil || p.User != "") {
				check := p.Check
				if check == nil || p.User == "all" { // "all" passes whatever is checked besides
					check = []any{"user", p.User}
				}
				raw, err := json.Marshal(check)
				if err != nil {
					log.Fatal(err)
				}
				fmt.Fprintf(&b, "? %s\n", raw)
			}
			writeProperties(&b, m.Parameters)
		}
	}
	return b.String()
}

func writeProperties(b *strings.Builder, properties map[string]property) {
	for _, name := range sorted(properties) {
		p := properties[name]
		b.WriteString(name)
		field := func(key string, value any) {
			if text := fmt.Sprint(value); value != nil && text != "" {
				fmt.Fprintf(b, "\t%s=%s", key, text)
			}
		}
		b.WriteString("\t" + p.Type)
		if yes(p.Optional) {
			b.WriteString("\topt")
		}
		if yes(p.DefaultKey) {
			b.WriteString("\tdefault")
		}
		field("min", p.Minimum)
		field("max", p.Maximum)
		field("maxlen", p.MaxLength)
		field("minlen", p.MinLength)
		field("enum", strings.Join(p.Enum, "|"))
		field("req", p.Requires)
		field("alias", p.Alias)
		field("keyalias", p.KeyAlias)
		switch f := p.Format.(type) {
		case string:
			field("fmt", f)
		case map[string]any:
			field("fmt", "@"+fmt.Sprint(f["$format"]))
		}
		field("pat", p.Pattern)
		b.WriteString("\n")
	}
}

func yes(v any) bool {
	switch v := v.(type) {
	case bool:
		return v
	case float64:
		return v != 0
	}
	return false
}

func sorted[V any](m map[string]V) []string {
	names := make([]string, 0, len(m))
	for name := range m {
		names = append(names, name)
	}
	sort.Strings(names)
	return names
}
