package node

import (
	"cmp"
	"slices"
	"time"

	"github.com/ustclug/pve-reconcile/schema"
)

const certificatesPath = "/certificates/info"

// certificate is one of GET /nodes/N/certificates/info.
type certificate struct {
	Filename string
	NotAfter number // seconds since 1970
}

func certificateReads(node string, a *schema.Assertions) []string {
	if a.Certificates == nil {
		return nil
	}
	return []string{"/nodes/" + node + certificatesPath, "/nodes/" + node + timePath}
}

// checkCertificates compares with the node's own clock.
func checkCertificates(want *schema.Assertions, a *answers) {
	var all []certificate
	var clock struct{ Time number }
	if !a.read(certificatesPath, &all) || !a.read(timePath, &clock) {
		return
	}
	if len(all) == 0 || !clock.Time.known {
		a.fail("", "declared is %s at least, PVE does not tell how long they are valid", plural(*want.Certificates, "day"))
		return
	}
	slices.SortFunc(all, func(x, y certificate) int { return cmp.Compare(x.Filename, y.Filename) })
	now := time.Unix(int64(clock.Time.value), 0).UTC()
	for _, c := range all {
		end := time.Unix(int64(c.NotAfter.value), 0).UTC()
		switch left := int(end.Sub(now).Hours() / 24); {
		case !c.NotAfter.known:
			a.fail("", "PVE does not tell how long %s is valid", c.Filename)
		case end.Before(now):
			a.fail("", "%s expired on %s: `pvenode cert` on the node shows and renews them", c.Filename, end.Format(time.DateOnly))
		case left < *want.Certificates:
			a.fail("", "%s expires on %s, in %s, declared are %d at least: `pvenode cert` on the node shows and renews them", c.Filename, end.Format(time.DateOnly), plural(left, "day"), *want.Certificates)
		}
	}
}
