package step

import (
	"strings"

	"github.com/ustclug/pve-reconcile/schema"
)

// SetDNS writes how a node resolves names, all of it: PVE drops a server that is not sent.
type SetDNS struct {
	Cluster, Node string
	Set           map[string]string
}

// SetTimeZone sets the time zone of a node.
type SetTimeZone struct{ Cluster, Node, Zone string }

// AddHosts adds lines to /etc/hosts of a node, guarded by the digest of what was read.
type AddHosts struct {
	Cluster, Node string
	Digest        string
	Lines         []string // to add
	Whole         string   // the file as it will be: PVE takes no part of it
}

// SetDatacenter changes options that the cluster shares. PVE has no guard against somebody else's change at the same moment.
type SetDatacenter struct {
	Cluster, Node string // the node whose manifest declares them
	Set           map[string]string
}

func (SetDNS) step()        {}
func (SetTimeZone) step()   {}
func (AddHosts) step()      {}
func (SetDatacenter) step() {}

func (s SetDNS) Guest() schema.ID        { return schema.ID{Cluster: s.Cluster, Node: s.Node} }
func (s SetTimeZone) Guest() schema.ID   { return schema.ID{Cluster: s.Cluster, Node: s.Node} }
func (s AddHosts) Guest() schema.ID      { return schema.ID{Cluster: s.Cluster, Node: s.Node} }
func (s SetDatacenter) Guest() schema.ID { return schema.ID{Cluster: s.Cluster, Node: s.Node} }

func (s SetDNS) String() string { return "pvesh set /nodes/" + s.Node + "/dns" + options(s.Set) }

func (s SetTimeZone) String() string {
	return "pvesh set /nodes/" + s.Node + "/time --timezone " + Quote(s.Zone)
}

func (s AddHosts) String() string {
	quoted := make([]string, len(s.Lines))
	for i, l := range s.Lines {
		quoted[i] = Quote(l)
	}
	return `printf '%s\n' ` + strings.Join(quoted, " ") + " >> /etc/hosts"
}

func (s SetDatacenter) String() string { return "pvesh set /cluster/options" + options(s.Set) }
