package sim

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"sort"
	"strconv"
	"strings"
	"unicode/utf8"
)

const notInSchema = "property is not defined in schema and the schema does not allow additional properties"

var (
	integerText = regexp.MustCompile(`^[+-]?\d+$`)
	numberText  = regexp.MustCompile(`^[+-]?(?:\d+\.?\d*|\.\d+)(?:[Ee][+-]?\d+)?$`)
)

// checker validates parameters with the texts of PVE::JSONSchema.
type checker struct {
	schema *schema
	nine   bool
	errors map[string]string
}

// params checks all parameters of a call; what they hold is rewritten to the form an operation reads.
func (c *checker) params(e *endpoint, given map[string]string, odd map[string]string) map[string]string {
	c.errors = map[string]string{}
	for name, kind := range odd {
		if p := e.params.find(name); p == nil {
			c.errors[name] = notInSchema
		} else {
			c.errors[name] = fmt.Sprintf("type check ('%s') failed - got %s", p.kind, kind)
		}
	}
	c.object("", &e.params, given, e.anyParam)
	return c.errors
}

func (c *checker) object(path string, table *properties, given map[string]string, anyKey bool) {
	at := func(name string) string {
		if path == "" {
			return name
		}
		return path + "." + name
	}
	for _, p := range table.byName {
		if p.alias != "" || p.optional {
			continue
		}
		if _, ok := given[p.name]; !ok && c.errors[p.name] == "" {
			c.errors[at(p.name)] = "property is missing and it is not optional"
		}
	}
	for _, name := range sortedKeys(given) {
		p := table.find(name)
		if p == nil {
			if !anyKey {
				c.errors[at(name)] = notInSchema
			}
			continue
		}
		if p.requires != "" {
			if _, ok := given[p.requires]; !ok {
				c.errors[at(p.requires)] = fmt.Sprintf("missing property required by '%s'", at(name))
			}
		}
		if text := c.value(at(name), p, given[name]); text != "" {
			c.errors[at(name)] = text
		} else if p.kind == "integer" && path == "" {
			given[name] = plainInteger(given[name])
		}
	}
}

// plainInteger is the text of an integer as PVE keeps it: "02" becomes 2.
func plainInteger(text string) string {
	if n, err := strconv.ParseInt(text, 10, 64); err == nil {
		return strconv.FormatInt(n, 10)
	}
	return text
}

// value checks one value; the answer is the error text, or "".
func (c *checker) value(path string, p *property, value string) string {
	if text := typeError(p.kind, value); text != "" {
		return text
	}
	if p.format != "" {
		if err := c.format(path, p.format, value); err != nil {
			return "invalid format - " + err.Error()
		}
	}
	if p.compiled != nil && !p.compiled.MatchString(value) {
		return "value does not match the regex pattern"
	}
	length := utf8.RuneCountInString(value)
	if p.maxLen >= 0 && length > p.maxLen {
		return fmt.Sprintf("value may only be %d characters long", p.maxLen)
	}
	if p.minLen >= 0 && length < p.minLen {
		return fmt.Sprintf("value must be at least %d characters long", p.minLen)
	}
	if numberText.MatchString(value) {
		n, err := strconv.ParseFloat(value, 64)
		if err == nil && p.max != nil && n > *p.max {
			return "value must have a maximum value of " + p.maxText
		}
		if err == nil && p.min != nil && n < *p.min {
			return "value must have a minimum value of " + p.minText
		}
	}
	if len(p.enum) > 0 && !contains(p.enum, value) {
		return fmt.Sprintf("value '%s' does not have a value in the enumeration '%s'", value, strings.Join(p.enum, ", "))
	}
	return ""
}

func typeError(kind, value string) string {
	ok := true
	switch kind {
	case "integer":
		ok = integerText.MatchString(value)
	case "number":
		ok = numberText.MatchString(value)
	case "boolean":
		ok = value == "0" || value == "1"
	}
	if ok {
		return ""
	}
	return fmt.Sprintf("type check ('%s') failed - got '%s'", kind, value)
}

// propertyString is a parsed "value,key=value,..." text.
type propertyString map[string]string

// parseProperties reads a property string of a named format. The error texts are PVE's.
func (c *checker) parseProperties(path, format, text string) (propertyString, error) {
	table := c.schema.formats[format]
	if table == nil {
		return nil, fmt.Errorf("undefined format '%s'\n", format)
	}
	found, err := c.splitProperties(table, c.schema.defaults[format], text)
	if err != nil {
		return nil, err
	}
	inner := &checker{schema: c.schema, nine: c.nine, errors: map[string]string{}}
	inner.object(path, table, found, false)
	if len(inner.errors) == 0 {
		return found, nil
	}
	var b strings.Builder
	b.WriteString("format error\n")
	for _, name := range sortedKeys(inner.errors) {
		fmt.Fprintf(&b, "%s: %s\n", name, inner.errors[name])
	}
	return nil, fmt.Errorf("%s", b.String())
}

func (c *checker) splitProperties(table *properties, bare *property, text string) (propertyString, error) {
	found := propertyString{}
	for _, part := range strings.Split(text, ",") {
		if strings.TrimSpace(part) == "" {
			continue
		}
		key, value, hasKey := strings.Cut(part, "=")
		switch {
		case hasKey && key != "" && value != "":
			p := table.byName[key]
			if p != nil && p.alias != "" {
				if p.keyAlias != "" {
					if _, dup := found[p.keyAlias]; dup {
						return nil, fmt.Errorf("key alias '%s' is already defined\n", p.keyAlias)
					}
					found[p.keyAlias] = key
				}
				key = p.alias
				p = table.byName[key]
			}
			if _, dup := found[key]; dup {
				return nil, fmt.Errorf("duplicate key in comma-separated list property: %s\n", key)
			}
			if p != nil && p.kind == "boolean" {
				value = plainBoolean(value)
			}
			found[key] = value
		case !hasKey:
			if bare == nil {
				return nil, fmt.Errorf("value without key, but schema does not define a default key\n")
			}
			if _, dup := found[bare.name]; dup {
				return nil, fmt.Errorf("duplicate key in comma-separated list property: %s\n", bare.name)
			}
			if bare.kind == "boolean" && c.nine {
				part = plainBoolean(part)
			}
			found[bare.name] = part
		default:
			return nil, fmt.Errorf("missing key in comma-separated list property\n")
		}
	}
	return found, nil
}

func plainBoolean(text string) string {
	switch strings.ToLower(text) {
	case "1", "on", "yes", "true":
		return "1"
	case "0", "off", "no", "false":
		return "0"
	}
	return text
}

// print writes a property string: the default key first and bare, then the keys in alphabetical order
// (PVE: JSONSchema::print_property_string).
func (p propertyString) print(bare string, skip ...string) string {
	var parts []string
	if v, ok := p[bare]; ok && bare != "" {
		parts = append(parts, v)
	}
	for _, key := range sortedKeys(p) {
		if key == bare || contains(skip, key) {
			continue
		}
		parts = append(parts, key+"="+p[key])
	}
	return strings.Join(parts, ",")
}

func sortedKeys[M ~map[K]V, K cmp.Ordered, V any](m M) []K {
	keys := make([]K, 0, len(m))
	for key := range m {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}

func contains(list []string, want string) bool {
	for _, have := range list {
		if have == want {
			return true
		}
	}
	return false
}

// splitList splits a PVE list: comma, semicolon, blanks and NUL all separate.
func splitList(text string) []string {
	return strings.FieldsFunc(text, func(r rune) bool {
		return r == ',' || r == ';' || r == ' ' || r == '\t' || r == '\n' || r == 0
	})
}

func sortStrings(list []string) { sort.Strings(list) }
