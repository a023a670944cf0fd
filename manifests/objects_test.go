package manifests

import (
	"fmt"
	"testing"
	"testing/fstest"

	"github.com/ustclug/pve-reconcile/schema"
)

// Every kind counts, with problems or without: a kind that did not would look as if its objects had vanished.
func TestObjectsCountsEveryKind(t *testing.T) {
	tree := fstest.MapFS{}
	for i, kind := range Kinds() {
		tree[fmt.Sprintf("%d.yaml", i)] = &fstest.MapFile{Data: fmt.Appendf(nil, "apiVersion: %s\nkind: %s\nmetadata: {name: x%d}\nspec: {nonsense: 1}\n", schema.APIVersion, kind, i)}
	}
	for name, text := range map[string]string{
		"vm.yaml":   "kind: VirtualMachine\nmetadata: {name: a}\nspec: {node: pve-5, vmid: 200}\n",
		"node.yaml": "kind: Node\nmetadata: {name: pve-5}\nspec: {}\n",
	} {
		tree[name] = &fstest.MapFile{Data: []byte("apiVersion: " + schema.APIVersion + "\n" + text)}
	}
	set := Load(tree)
	if have, want := set.Objects(), len(Kinds())+2; have != want || set.Unread {
		t.Errorf("have %d objects, want %d: %v", have, want, set.Problems)
	}
	set.Migrations = append(set.Migrations, Object[schema.Migration]{})
	if have, want := set.Objects(), len(Kinds())+3; have != want {
		t.Errorf("a migration does not count: have %d, want %d", have, want)
	}
}
