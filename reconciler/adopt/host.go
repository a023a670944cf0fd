package adopt

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/ustclug/pve-reconcile/internal/strictyaml/yamltext"
	"github.com/ustclug/pve-reconcile/manifests"
	"github.com/ustclug/pve-reconcile/manifests/render"
	"github.com/ustclug/pve-reconcile/reconciler/node"
	"github.com/ustclug/pve-reconcile/reconciler/step"
	"github.com/ustclug/pve-reconcile/schema"
)

// Host is one live node, with the answers that node.Survey and node.Details ask for.
type Host struct {
	Name  string
	Alone bool // the only node of all clusters
	Have  node.Observed
}

// hosts decides what becomes of each node. What the cluster shares is declared by the first of them that has it.
func (i *importer) hosts(hosts []Host) []File {
	hosts = slices.SortedFunc(slices.Values(hosts), func(x, y Host) int {
		return cmp.Or(strings.Compare(x.Have.Cluster, y.Have.Cluster), strings.Compare(x.Name, y.Name))
	})
	shared := map[string]*claimed{} // by cluster
	for _, h := range hosts {
		if shared[h.Have.Cluster] == nil {
			shared[h.Have.Cluster] = i.claimed(h.Have.Cluster)
		}
	}
	files := make([]File, 0, len(hosts))
	for _, h := range hosts {
		files = append(files, i.host(h, shared[h.Have.Cluster]))
	}
	return files
}

// claimed is what the cluster shares and some node's manifest declares, and what was said of the rest.
type claimed struct{ storages, options, told map[string]bool }

func noClaims() *claimed { return &claimed{map[string]bool{}, map[string]bool{}, map[string]bool{}} }

// news drops what was said of the cluster when another of its nodes was looked at.
func (c *claimed) news(left []schema.Leftover) []schema.Leftover {
	return slices.DeleteFunc(left, func(l schema.Leftover) bool {
		if l.Key != "datacenter" && !strings.HasPrefix(l.Key, "storages.") {
			return false
		}
		again := c.told[l.Name()]
		c.told[l.Name()] = true
		return again
	})
}

func (c *claimed) claim(n schema.Node) {
	for id := range n.Spec.Storages {
		c.storages[id] = true
	}
	if d := n.Spec.Datacenter; d != nil {
		for _, s := range d.Settings() {
			c.options[s.Key] = true
		}
	}
}

// claimed collects what the manifests of a cluster's nodes declare.
func (i *importer) claimed(cluster string) *claimed {
	c := noClaims()
	for _, o := range i.set.DeclaredNodes {
		if n := o.Object; i.Cluster(n.Spec.Cluster, n.Metadata.Name) == cluster {
			c.claim(n)
		}
	}
	return c
}

func (i *importer) host(h Host, shared *claimed) File {
	f := File{Host: &h, Name: h.Name}
	f.ID.Cluster, f.ID.Node, f.Have.Node = h.Have.Cluster, h.Name, h.Name
	draft, err := node.Describe(h.Name, h.Have)
	draft.Left = shared.news(draft.Left)
	o := slices.IndexFunc(i.set.DeclaredNodes, func(o manifests.Object[schema.Node]) bool { return o.Object.Metadata.Name == h.Name })
	switch {
	case err != nil:
		f.refuse("%v", err)
	case o >= 0 && !i.Update:
		was := i.set.DeclaredNodes[o]
		f.Path, f.Verdict = was.File, Declared
		f.Why = fmt.Sprintf("%s:%d has its manifest; --update takes over what differs", was.File, was.Line)
	case o >= 0:
		i.updateHost(&f, i.set.DeclaredNodes[o], draft, shared)
	case i.set.Unread:
		f.refuse("the tree has files that cannot be read, which may declare this node: `reconcile validate` lists their problems")
	default:
		i.addHost(&f, draft.Without(shared.storages, shared.options))
		shared.claim(f.wantHost)
	}
	return f
}

func (i *importer) addHost(f *File, draft node.Draft) {
	f.Path = "nodes/" + f.Name + ".yaml"
	if f.Host.Alone {
		f.Path = "node.yaml" // as in the example
	}
	if _, err := fs.Stat(i.Files, f.Path); err == nil {
		f.refuse("%s is there and is not its manifest: rename or mend that file", f.Path)
		return
	}
	n := draft.Node
	if i.Named {
		n.Spec.Cluster = f.ID.Cluster
	}
	if faults := n.Validate(); len(faults) > 0 {
		f.refuse("its manifest would have problems: %s: %s", faults[0].Path, faults[0].Text)
		return
	}
	f.Left = draft.Left
	f.Verdict, f.wantHost, f.Text = New, n, hostText(n, f.Left)
	i.written[f.Path] = f.Text
}

// hostText writes the manifest of a node.
func hostText(n schema.Node, left []schema.Leftover) []byte {
	notes := render.Notes{Above: []string{
		fmt.Sprintf("Node %s as it was found. Only what is written here is managed or looked at.", n.Metadata.Name),
		"What its guests must and may not have is for people to say: spec.policy, with a reason each.",
	}, Behind: map[string]string{
		"spec.storages":            "definitions are the cluster's; they are made and changed, and never removed",
		"spec.network":             "bridges and VLANs",
		"spec.network.applyPolicy": "a person applies what is written; Automatic lets the run that writes it",
		"spec.hosts":               "names that /etc/hosts gives; other lines stay",
		"spec.datacenter":          "options that the cluster shares",
		"spec.assert":              "what was seen. It is looked at and never changed; take out what does not matter",
	}}
	if len(left) > 0 {
		notes.Above = append(notes.Above, "Left alone, since it is not written here:")
	}
	for _, l := range left {
		notes.Above = append(notes.Above, "  "+Shown(l))
	}
	return render.Node(n, notes)
}

// updateHost takes over what differs into a manifest that is there, by editing its text.
func (i *importer) updateHost(f *File, o manifests.Object[schema.Node], draft node.Draft, shared *claimed) {
	f.Path = o.File
	if i.set.Refused[schema.KindNode+"/"+f.Name] {
		f.refuse("its manifest has problems: `reconcile validate` lists them")
		return
	}
	others, mine := noClaims(), noClaims()
	for id := range shared.storages {
		_, mine := o.Object.Spec.Storages[id]
		others.storages[id] = !mine
	}
	mine.claim(o.Object)
	for key := range shared.options {
		others.options[key] = !mine.options[key]
	}
	draft = draft.Without(others.storages, others.options)
	f.Left = draft.Left
	is := o.Object.Accept(draft.Node.Spec, draft.Live)
	f.wantHost = is
	shared.claim(is)
	edits := yamltext.Diff(render.NodeTree(o.Object), render.NodeTree(is))
	if len(edits) == 0 {
		f.Verdict = InSync
		if changes := hostChanges(is, f.Host.Have); len(changes) > 0 {
			f.refuse("its manifest cannot say what is there, and differs from it: %s", changes[0])
		}
		return
	}
	i.apply(f, edits)
}

// apply edits the text of a manifest that is there.
func (i *importer) apply(f *File, edits []yamltext.Edit) {
	old, ok := i.written[f.Path]
	if !ok {
		var err error
		if old, err = fs.ReadFile(i.Files, f.Path); err != nil {
			f.refuse("%v", err)
			return
		}
	}
	for _, e := range edits {
		f.Changed = append(f.Changed, strings.Join(e.Path, "."))
	}
	kind := schema.KindVM
	if f.Host != nil {
		kind = schema.KindNode
	}
	text, err := yamltext.Apply(old, lineOf(f.Path, kind, f.Name, old), edits)
	if err != nil {
		f.refuse("%s cannot be edited in place: %v. Change by hand: %s", f.Path, err, strings.Join(f.Changed, ", "))
		return
	}
	f.Verdict, f.Text, i.written[f.Path] = Updated, text, text
}

// proveHost reads the node's manifest back, and refuses one that would change anything.
func (i *importer) proveHost(f *File, after manifests.Set) {
	at := slices.IndexFunc(after.Nodes, func(o manifests.Object[schema.Node]) bool {
		return o.File == f.Path && o.Object.Metadata.Name == f.Name
	})
	if at < 0 {
		f.refuse("%s could not be read back: %s", f.Path, firstProblem(after, f.Path))
		return
	}
	n := after.Nodes[at].Object
	if !render.NodeTree(n).Equal(render.NodeTree(f.wantHost)) {
		f.refuse("%s cannot be edited in place. Change by hand: %s", f.Path, strings.Join(f.Changed, ", "))
		return
	}
	if changes := hostChanges(n, f.Host.Have); len(changes) > 0 {
		f.refuse("it would change the node: %s", changes[0])
		return
	}
	plan, _, err := node.PlanSince(n, schema.Node{}, f.Host.Have)
	if err != nil && !errors.Is(err, step.ErrUnreachable) {
		f.refuse("%v", err)
		return
	}
	for _, w := range plan.Waits {
		f.Notes = append(f.Notes, "does not hold now: "+w.Text)
	}
	f.Notes = append(f.Notes, plan.Notes...)
}

// hostChanges lists what a manifest would change of its node, or could not go on about. Assertions change nothing.
func hostChanges(n schema.Node, have node.Observed) []string {
	plan, _, _ := node.PlanSince(n, schema.Node{}, have) // an answer that is missing changes nothing either
	out := step.Texts(plan.Steps)
	for _, w := range plan.Waits {
		if w.Reason == step.Refused {
			out = append(out, w.Text)
		}
	}
	return out
}
