package adopt_test

import (
	"maps"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/ustclug/pve-reconcile/manifests/render"
	"github.com/ustclug/pve-reconcile/reconciler/adopt"
	"github.com/ustclug/pve-reconcile/reconciler/vm"
	"github.com/ustclug/pve-reconcile/schema"
)

// TestAcceptAnyDrift: a manifest that takes over what is live plans nothing any more, neither as if it had never been
// applied nor as the successor of what it was. It is as it was when nothing differs.
func TestAcceptAnyDrift(t *testing.T) {
	accepted, all := 0, 0
	for range rounds(5) {
		rapid.Check(t, func(t *rapid.T) {
			before := pve{t}.observed(3, 6, 20)
			after := pve{t}.drifted(before)
			was, _, err := adopt.Manifest(nameFor(before), before, owner)
			if err != nil {
				t.Skip(err)
			}
			if same, _ := was.Accept(wanted(before), before.Have.Facts); !render.Tree(same).Equal(render.Tree(was)) {
				t.Errorf("nothing differs, but\n%s\nbecame\n%s", render.VM(was, render.Notes{}), render.VM(same, render.Notes{}))
			}
			was.Spec.Power = "Unmanaged" // power is what git wants, whatever is found
			all++
			is, left := was.Accept(wanted(after), after.Have.Facts)
			if f := is.Validate(); len(f) > 0 {
				t.Errorf("%v", f)
			}
			read := is.Resolve(owner, "ustc")
			bare, successor := vm.Plan(read, schema.VM{}, unlocked(after.Have)), vm.Plan(read, was.Resolve(owner, "ustc"), unlocked(after.Have))
			if unsayable(was, left, after) {
				return
			}
			accepted++
			if len(bare.Steps)+len(bare.Waits)+len(successor.Steps)+len(successor.Waits) > 0 {
				t.Errorf("%v %v %v %v\nwas\n%s\nis\n%s\n%s", bare.Steps, bare.Waits, successor.Steps, successor.Waits,
					render.VM(was, render.Notes{}), render.VM(is, render.Notes{}), shown(after.Have))
			}
		})
	}
	if accepted*4 < all {
		t.Errorf("%d of %d were accepted", accepted, all)
	}
}

// wanted is the config to accept, with sizes where they are sure.
func wanted(g adopt.Guest) map[string]string {
	config, _ := adopt.Sized(g.Have.Desired(), g.Have.Sizes)
	return config
}

func unlocked(o vm.Observed) vm.Observed {
	o.Running = maps.Clone(o.Running)
	delete(o.Running, "lock")
	return o
}

// unsayable tells whether something the manifest said is there in a way that no manifest can say. Then it has to be
// refused: taken out of the manifest it would be taken away from the guest.
func unsayable(was schema.VM, left []schema.Leftover, g adopt.Guest) bool {
	said := was.Settings()
	for _, l := range left {
		if s, ok := said[l.Key]; ok && (l.Prop == "" || s.Props[l.Prop] != "" || s.Source != nil) {
			return true
		}
	}
	return strings.TrimSpace(g.Have.Desired()["name"]) == "" && was.Metadata.Name != schema.Unnamed(101)
}

// nameFor is the object's name where nothing else takes it.
func nameFor(g adopt.Guest) string {
	if name := g.Have.Desired()["name"]; plainName(name) {
		return name
	}
	return schema.Unnamed(g.ID.VMID)
}
