package manifests_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"golang.org/x/tools/txtar"
	"sigs.k8s.io/yaml"

	"github.com/ustclug/pve-reconcile/manifests"
	"github.com/ustclug/pve-reconcile/schema"
)

// compiled are the JSON Schemas by kind.
func compiled(t *testing.T) map[string]*jsonschema.Schema {
	t.Helper()
	out := map[string]*jsonschema.Schema{}
	for _, kind := range manifests.Kinds() {
		text, err := schema.JSONSchema(kind)
		if err != nil {
			t.Fatal(err)
		}
		again, _ := schema.JSONSchema(kind)
		if !bytes.Equal(text, again) {
			t.Errorf("%s: two calls, two texts", kind)
		}
		doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
		if err != nil {
			t.Fatal(kind, err)
		}
		c := jsonschema.NewCompiler()
		c.DefaultDraft(jsonschema.Draft2020)
		if err := c.AddResource(kind+".json", doc); err != nil {
			t.Fatal(err)
		}
		if out[kind], err = c.Compile(kind + ".json"); err != nil {
			t.Fatal(kind, err)
		}
	}
	return out
}

func asJSON(t *testing.T, text string) any {
	t.Helper()
	j, err := yaml.YAMLToJSON([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(j))
	if err != nil {
		t.Fatal(err)
	}
	return v
}

var marker = regexp.MustCompile(`(?m)^(---|\.\.\.)\s*$`)

// trees are the goldens, the examples, and nothing else that is a manifest here.
func trees(t *testing.T) map[string]fs.FS {
	t.Helper()
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatal("no golden files", err)
	}
	out := map[string]fs.FS{}
	for _, file := range files {
		a, err := txtar.ParseFile(file)
		if err != nil {
			t.Fatal(err)
		}
		out[file] = tree(t, a)
	}
	examples, err := filepath.Glob("examples/*")
	if err != nil || len(examples) == 0 {
		t.Fatal("no examples", err)
	}
	for _, dir := range examples { // each is a tree of its own
		out[dir] = os.DirFS(dir)
		if set := manifests.Load(out[dir]); len(set.Problems) > 0 {
			t.Errorf("%s:\n%s", dir, problems(set))
		}
	}
	return out
}

// TestJSONSchemaTakesWhatLoadTakes: what the loader accepts, an editor must not underline.
func TestJSONSchemaTakesWhatLoadTakes(t *testing.T) {
	schemas := compiled(t)
	checked := 0
	for name, tree := range trees(t) {
		set := manifests.Load(tree)
		accepted := map[string]string{}
		for _, v := range set.VMs {
			accepted[v.File+" "+v.Object.Kind+"/"+v.Object.Metadata.Name] = v.Object.Kind
		}
		for _, n := range set.Nodes {
			accepted[n.File+" "+n.Object.Kind+"/"+n.Object.Metadata.Name] = n.Object.Kind
		}
		for _, m := range set.Migrations {
			accepted[m.File+" "+m.Object.Kind+"/"+m.Object.Metadata.Name] = m.Object.Kind
		}
		for ref, kind := range accepted {
			file, _, _ := strings.Cut(ref, " ")
			text, err := fs.ReadFile(tree, file)
			if err != nil {
				t.Fatal(err)
			}
			for _, part := range marker.Split(string(text), -1) {
				var o struct {
					Kind     string
					Metadata struct{ Name string }
				}
				if yaml.Unmarshal([]byte(part), &o) != nil || file+" "+o.Kind+"/"+o.Metadata.Name != ref {
					continue
				}
				checked++
				if err := schemas[kind].Validate(asJSON(t, part)); err != nil {
					t.Errorf("%s: %s: %v", name, ref, err)
				}
			}
		}
	}
	if checked < 20 {
		t.Errorf("only %d manifests were checked", checked)
	}
}

// TestBothRefuse: what a schema can see, it refuses as the loader does.
func TestBothRefuse(t *testing.T) {
	schemas := compiled(t)
	vm := func(spec string) string {
		return "apiVersion: pve.ustclug.org/v1alpha1\nkind: VirtualMachine\nmetadata: {name: a}\nspec: {node: pve-5, vmid: 200" + spec + "}\n"
	}
	node := func(policy string) string {
		return "apiVersion: pve.ustclug.org/v1alpha1\nkind: Node\nmetadata: {name: pve-5}\nspec: {policy: {" + policy + "}}\n"
	}
	move := func(old, now string) string {
		text := "apiVersion: pve.ustclug.org/v1alpha1\nkind: Migration\nmetadata: {name: m}\nspec: {source: {host: h, power: {systemd: a.service}, disks: [{zvol: p/a, to: scsi0}]}, target: {virtualMachine: a, staging: rpool/m}}\n"
		if old != "" && !strings.Contains(text, old) {
			t.Fatalf("no %q to replace", old)
		}
		return strings.Replace(text, old, now, 1)
	}
	if err := schemas["Migration"].Validate(asJSON(t, move("target:", "retire: {source: {Destroy: {after: 720h}}}, precopy: {maxPasses: 0, untilDelta: 0Mi}, cutover: {approve: \"\"}, target:"))); err != nil {
		t.Error(err)
	}
	for _, good := range []string{vm(""), vm(", memory: 16384, machine: q35, vga: {type: std}, serial: {serial3: socket}"), node("forbid: [{scsihw: lsi, reason: x}]")} {
		kind := "VirtualMachine"
		if strings.Contains(good, "kind: Node") {
			kind = "Node"
		}
		if set := manifests.Load(fstest.MapFS{"a.yaml": {Data: []byte(good)}}); len(set.Problems) > 0 {
			t.Errorf("the loader refuses\n%s%s", good, problems(set))
		}
		if err := schemas[kind].Validate(asJSON(t, good)); err != nil {
			t.Errorf("the schema refuses\n%s%v", good, err)
		}
	}
	for _, bad := range []string{
		vm(", memoy: 4Gi"),
		vm(", memory: 16GB"),
		vm(", memory: 1.5Gi"),
		vm(", memory: -1"),
		vm(", memory: [1]"),
		vm(", onboot: sometimes"),
		vm(", shares: 50001"),
		vm(", shares: 1.5"),
		vm(", power: running"),
		vm(", state: Gone"),
		vm(", uuid: 8aa3132c"),
		vm(", name: a_b"),
		vm(", tags: docker"),
		vm(", tags: [a b]"),
		vm(", tags: [a, a]"),
		vm(", hotplug: [memroy]"),
		vm(", boot: [floppy]"),
		vm(", cpu: {cores: 0}"),
		vm(", cpu: {limit: 129}"),
		vm(", cpu: {flags: [aes]}"),
		vm(", cpu: 4"),
		vm(", agent: true"),
		vm(", agent: {}"),
		vm(", machine: Q35"),
		vm(", machine: {typ: q35}"),
		vm(", vga: vnc"),
		vm(", vga: {memory: 3}"),
		vm(", disks: {scsi31: {storage: local-zfs, size: 1Gi}}"),
		vm(", disks: {scsi00: {storage: local-zfs, size: 1Gi}}"),
		vm(", disks: {scsi0: {storage: local-zfs, size: 300}}"),
		vm(", disks: {scsi0: {storage: local-zfs, size: 300G}}"),
		vm(", disks: {scsi0: {storage: local-zfs, size: 1Gi, iothreads: true}}"),
		vm(", disks: {scsi0: {storage: l, size: 1Gi}}"),
		vm(", disks: {scsi0: {volume: vm-200-disk-0}}"),
		vm(", disks: {scsi0: {cdrom: a.iso}}"),
		vm(", disks: [{storage: local-zfs, size: 1Gi}]"),
		vm(", networks: {net32: {model: virtio, bridge: vmbr0}}"),
		vm(", networks: {net0: {bridge: vmbr0}}"),
		vm(", networks: {net0: {model: virtio}}"),
		vm(", networks: {net0: {model: virtio, bridge: \"a,b\"}}"),
		vm(", networks: {net0: {model: virtio, bridge: vmbr0, tag: 4095}}"),
		vm(", networks: {net0: {model: virtio, bridge: vmbr0, mac: \"01:00:5e:00:00:01\"}}"),
		vm(", networks: {net0: {model: virtio, bridge: vmbr0, mac: \"00-50-56-9f-00-22\"}}"),
		vm(", serial: {serial0: ttyS0}"),
		vm(", serial: {serial4: socket}"),
		vm(", usb: {usb14: {host: spice}}"),
		vm(", numaNodes: {numa0: {memory: 512}}"),
		vm(", cloudInit: {ipconfig: {ipconfig32: {ip: dhcp}}}"),
		vm(", cloudInit: {passwordHash: secret}"),
		vm(", ivshmem: {name: x}"),
		strings.Replace(vm(""), "node: pve-5, ", "", 1),
		strings.Replace(vm(""), "vmid: 200", "vmid: 99", 1),
		strings.Replace(vm(""), "vmid: 200", "vmid: \"200\"", 1),
		strings.Replace(vm(""), "name: a", "name: -a", 1),
		strings.Replace(vm(""), "name: a", "name: a, namespace: b", 1),
		strings.Replace(vm(""), "name: a", "labels: {a: b}", 1),
		strings.Replace(vm(""), "name: a", "name: a, labels: {a: 1}", 1),
		strings.Replace(vm(""), "v1alpha1", "v1beta1", 1),
		strings.Replace(vm(""), "spec:", "Spec:", 1),
		vm("") + "status: {}\n",
		node("deny: []"),
		node("forbid: [{scsihw: lsi}]"),
		node("forbid: {scsihw: lsi}"),
		node("forbid: [lsi]"),
		move("host: h", "host: a b"), move("systemd: a.service", "systemd: a"), move("{zvol: p/a, to: scsi0}", "{zvol: p, to: scsi0}"), move("to: scsi0", "to: net0"),
		move("staging: rpool/m", "staging: /rpool"), move("target:", "cutover: {mode: Now}, target:"), move("target:", "cutover: {approve: abc}, target:"),
		move("target:", "cutover: {maxDowntime: 7d}, target:"), move("target:", "transfer: {rate: 200MB}, target:"), move("target:", "precopy: {untilDelta: 1G}, target:"),
		move("target:", "retire: {source: Destroy}, target:"), move("target:", "retire: {source: {after: 1h}}, target:"), move("target:", "abort: maybe, target:"),
		move("host: h, ", ""), move(", staging: rpool/m", ""),
	} {
		kind := "VirtualMachine"
		if strings.Contains(bad, "kind: Migration") {
			kind = "Migration"
		}
		if strings.Contains(bad, "kind: Node") {
			kind = "Node"
		}
		if set := manifests.Load(fstest.MapFS{"a.yaml": {Data: []byte(bad)}}); len(set.Problems) == 0 {
			t.Errorf("the loader takes\n%s", bad)
		}
		if schemas[kind].Validate(asJSON(t, bad)) == nil {
			t.Errorf("the schema takes\n%s", bad)
		}
	}
}

// TestJSONSchemaIsClosed walks the schemas: every mapping of named fields refuses others, but for the rules of a node.
func TestJSONSchemaIsClosed(t *testing.T) {
	for _, kind := range manifests.Kinds() {
		text, err := schema.JSONSchema(kind)
		if err != nil {
			t.Fatal(err)
		}
		var root map[string]any
		if err := json.Unmarshal(text, &root); err != nil {
			t.Fatal(err)
		}
		closed(t, kind, root)
	}
	if _, err := schema.JSONSchema("Config"); err == nil {
		t.Error("Config is no kind")
	}
}

func closed(t *testing.T, at string, s map[string]any) {
	if _, object := s["properties"]; object && !strings.HasSuffix(at, ".items") && s["additionalProperties"] != false {
		t.Errorf("%s takes unknown fields", at)
	}
	for key, v := range s {
		if inner, ok := v.(map[string]any); ok {
			closed(t, at+"."+key, inner)
		}
		if list, ok := v.([]any); ok {
			for i, e := range list {
				if inner, ok := e.(map[string]any); ok {
					closed(t, fmt.Sprintf("%s.%s[%d]", at, key, i), inner)
				}
			}
		}
	}
}
