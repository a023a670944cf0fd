package migration

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"strings"

	"github.com/ustclug/pve-reconcile/reconciler/step"
	"github.com/ustclug/pve-reconcile/schema"
)

// hash is the plan that an approval names: what goes where, how it is switched and proven, and what the last attempt came
// to. Passes do not change it; another zvol, another guest, another disk or a cutover that was taken back does.
func (v view) hash() string {
	spec := v.spec()
	spec.Abort, spec.Cutover.Approve, spec.Cutover.Window = false, "", ""
	spec.Precopy, spec.Transfer, spec.Retire = schema.Precopy{}, schema.Transfer{}, schema.Retire{}
	type place struct{ Zvol, GUID, Slot, Volid, Target, RolledBack string }
	var places []place
	for _, d := range v.disks {
		places = append(places, place{d.zvol, d.Source.GUID, d.Slot, d.Volid, d.Target.GUID, d.Source.Local[step.PropRolledBack]})
	}
	text, _ := json.Marshal([]any{v.uid, spec, v.guest.Spec, places}) // plain data: it cannot fail
	sum := sha256.Sum256(text)
	long := hex.EncodeToString(sum[:])
	for i := 0; i+12 <= len(long); i++ {
		if h := long[i : i+12]; strings.ContainsAny(h, "abcdf") { // else YAML might read a number
			return h
		}
	}
	return long[:12]
}
