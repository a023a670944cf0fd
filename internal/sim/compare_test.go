package sim

import (
	"encoding/json"
	"fmt"
	"regexp"
	"sort"
	"strings"
)

func (p *replay) compareBody(e exchange, rep reply) string {
	var want, have any
	if err := json.Unmarshal(e.Response.Body, &want); err != nil {
		p.t.Fatal(err)
	}
	if text, ok := want.(string); ok {
		if string(rep.body) != text {
			return fmt.Sprintf("have body %q\n\twant body %q", rep.body, text)
		}
		return ""
	}
	if err := json.Unmarshal(rep.body, &have); err != nil {
		return fmt.Sprintf("have body %q\n\twant JSON", rep.body)
	}
	return p.compare("", "", want, have)
}

// passing are keys whose values come from running machines: they must be there, of the same kind.
var passing = regexp.MustCompile(`^(pid|pstart|starttime|endtime|uptime|ctime|snaptime|cpu|pressure.*|netin|netout|used_fraction|loadavg|wait|idle|ssl_fingerprint|digest|saved|disk|free|available|ticket|CSRFPreventionToken|kversion|time|alloc)$`)

// load are keys that are a load on some objects, and plain data elsewhere.
func (p *replay) isLoad(path, key string) bool {
	switch key {
	case "used", "avail":
		return true
	case "mem":
		return strings.Contains(path, "node/") || strings.HasPrefix(p.rec.name, "11-")
	}
	return false
}

func (p *replay) compare(path, key string, want, have any) string {
	differ := func() string {
		w, _ := json.Marshal(want)
		h, _ := json.Marshal(have)
		return fmt.Sprintf("%s:\n\thave %s\n\twant %s", path, h, w)
	}
	if key == "saved" && have != nil {
		return "" // a number in memory, a text once read back
	}
	if passing.MatchString(key) && path != "/data" && fmt.Sprintf("%T", want) == fmt.Sprintf("%T", have) || p.isLoad(path, key) && have != nil {
		if text, ok := want.(string); ok && key == "digest" {
			p.learn(text, have.(string))
		}
		return ""
	}
	switch want := want.(type) {
	case map[string]any:
		have, ok := have.(map[string]any)
		if !ok {
			return differ()
		}
		for _, k := range sortedKeys(want) {
			if list, ok := want["data"].([]any); ok && k == "total" && len(list) != len(logLines(list)) {
				continue // the number of progress lines
			}
			h, ok := have[k]
			if !ok {
				return fmt.Sprintf("%s/%s is missing in %v", path, k, have)
			}
			if diff := p.compare(path+"/"+k, k, want[k], h); diff != "" {
				return diff
			}
		}
		for _, k := range sortedKeys(have) {
			if _, ok := want[k]; !ok {
				return fmt.Sprintf("%s/%s = %v is too much", path, k, have[k])
			}
		}
		return ""
	case []any:
		have, ok := have.([]any)
		if !ok {
			return differ()
		}
		return p.compareLists(path, want, have)
	case string:
		have, ok := have.(string)
		if !ok || !p.sameText(key, want, have) {
			return differ()
		}
		return ""
	}
	if want != have {
		return differ()
	}
	return ""
}

// identifying are keys that tell rows of an unordered list apart.
var identifying = []string{"key", "volid", "iface", "storage", "userid", "vmid", "id", "poolid", "name", "realm", "roleid", "drivename"}

func rowKey(row any) string {
	m, ok := row.(map[string]any)
	if !ok {
		return fmt.Sprint(row)
	}
	text := ""
	for _, key := range identifying {
		text += fmt.Sprintf("%v|", m[key])
	}
	return fmt.Sprint(text, m["ugid"], m["path"], m["tokenid"])
}

func (p *replay) compareLists(path string, want, have []any) string {
	if isLog(want) || isLog(have) {
		return p.compareLogs(path, want, have)
	}
	if len(want) != len(have) {
		w, _ := json.Marshal(want)
		h, _ := json.Marshal(have)
		return fmt.Sprintf("%s: have %d rows, want %d:\n\thave %s\n\twant %s", path, len(have), len(want), h, w)
	}
	if _, isTask := upidOf(want); !isTask {
		for _, list := range [][]any{want, have} {
			sort.SliceStable(list, func(i, j int) bool { return rowKey(list[i]) < rowKey(list[j]) })
		}
	}
	for i := range want {
		if diff := p.compare(fmt.Sprintf("%s/%d", path, i), "", want[i], have[i]); diff != "" {
			return diff
		}
	}
	return ""
}

func upidOf(list []any) (string, bool) {
	if len(list) == 0 {
		return "", false
	}
	m, ok := list[0].(map[string]any)
	if !ok {
		return "", false
	}
	upid, ok := m["upid"].(string)
	return upid, ok
}

func isLog(list []any) bool {
	if len(list) == 0 {
		return false
	}
	m, ok := list[0].(map[string]any)
	return ok && m["n"] != nil && m["t"] != nil
}

// compareLogs compares the lines of a task, without the progress of copies; of a recorded log that was cut off
// only the part that is there.
func (p *replay) compareLogs(path string, want, have []any) string {
	w, h := logLines(want), logLines(have)
	if len(want) >= 50 && len(h) > len(w) {
		h = h[:len(w)]
	}
	if len(w) != len(h) {
		return fmt.Sprintf("%s:\n\thave %q\n\twant %q", path, h, w)
	}
	for i := range w {
		if !p.sameText("t", w[i], h[i]) {
			return fmt.Sprintf("%s:\n\thave %q\n\twant %q", path, h, w)
		}
	}
	return ""
}

func logLines(list []any) []string {
	var lines []string
	for _, row := range list {
		text, ok := row.(map[string]any)["t"].(string)
		if !ok || strings.HasPrefix(text, "STUB ") {
			continue
		}
		if strings.HasPrefix(text, "transferred ") {
			text = "transferred ..."
			if len(lines) > 0 && lines[len(lines)-1] == text {
				continue
			}
		}
		lines = append(lines, text)
	}
	return lines
}

// learn notes that ours stands for a recorded text; false if it stands for another already.
func (p *replay) learn(recorded, ours string) bool {
	if have, ok := p.known[recorded]; ok {
		return have == ours
	}
	if p.taken[ours] && len(ours) != 40 {
		return false
	}
	p.known[recorded], p.taken[ours] = ours, true
	return true
}

var (
	metaTime   = regexp.MustCompile(`ctime=\d+`)
	secretLine = regexp.MustCompile(`(?m)^(password:) .*$`)
	diffStamp  = regexp.MustCompile(`(?m)^(---|\+\+\+) (\S+)\t.*$`)
)

func (p *replay) sameText(key, want, have string) bool {
	switch key {
	case "meta":
		want, have = metaTime.ReplaceAllString(want, "ctime"), metaTime.ReplaceAllString(have, "ctime")
	case "changes":
		want, have = diffStamp.ReplaceAllString(want, "$1 $2"), diffStamp.ReplaceAllString(have, "$1 $2")
	case "content", "nodes":
		a, b := splitList(want), splitList(have)
		sort.Strings(a)
		sort.Strings(b)
		want, have = strings.Join(a, ","), strings.Join(b, ",")
	}
	want, have = secretLine.ReplaceAllString(want, "$1 *"), secretLine.ReplaceAllString(have, "$1 *")
	wantUPID, haveUPID := recordedUPID.FindString(want), recordedUPID.FindString(have)
	if wantUPID != "" && haveUPID != "" {
		a, errA := parseUPID(wantUPID)
		b, errB := parseUPID(haveUPID)
		if errA != nil || errB != nil || a.Node != b.Node || a.Type != b.Type || a.ID != b.ID || a.User != b.User || !p.learn(wantUPID, haveUPID) {
			return false
		}
		want, have = strings.Replace(want, wantUPID, "", 1), strings.Replace(have, haveUPID, "", 1)
	}
	ours := generated.FindAllString(have, -1)
	for i, word := range generated.FindAllString(want, -1) {
		if i >= len(ours) || !p.learn(word, ours[i]) {
			return false
		}
	}
	return generated.ReplaceAllString(want, "*") == generated.ReplaceAllString(have, "*")
}
