package step

// Cause says how it came that a guest is not what the manifest says.
type Cause string

// The causes.
const (
	Git        Cause = "Git"        // the manifest changed since the revision last applied
	New        Cause = "New"        // the manifest declares it, no applied revision did
	Drift      Cause = "Drift"      // the manifest is as it was applied: somebody changed the host
	Pending    Cause = "Pending"    // written, waits for a restart of the guest
	Undeclared Cause = "Undeclared" // the host has it, no manifest does: left alone
)

// Diff is one value that is not alike in the manifest and on the host. Values are PVE's text, secrets are asterisks, and
// "" is a key that is not there.
type Diff struct {
	Key    string // PVE's config key: "net0"
	Prop   string // the sub-key of its property string: "bridge"; "" for all of it
	Path   string // in the manifest: "spec.networks.net0.bridge"; "" for what no manifest can say
	Cause  Cause
	Base   string // what the applied revisions gave
	Have   string // live, with pending changes; with Pending: what the guest still runs with
	Want   string // what the manifest says; with Pending: what the guest gets at its next start
	Report bool   // driftPolicy: Report leaves it as it is
}

// Name is the value as people name it: "cores", "net0.bridge".
func (d Diff) Name() string {
	if d.Prop == "" {
		return d.Key
	}
	return d.Key + "." + d.Prop
}

// Drifted lists the differences that are left to a person by driftPolicy: Report.
func (p Plan) Drifted() []Diff {
	var out []Diff
	for _, d := range p.Diffs {
		if d.Report {
			out = append(out, d)
		}
	}
	return out
}
