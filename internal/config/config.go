// Package config decides what the program's own config file says: types,
// strict parsing, defaults and every problem at once with its place. It opens
// no file, asks no host and holds no secret, only the names of the files and
// variables that do. docs/config.md is its reference.
package config

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ustclug/pve-reconcile/internal/strictyaml"
	"github.com/ustclug/pve-reconcile/schema"
)

// Kind is the kind of the config file.
const Kind = "Config"

// DefaultFile is where the config file is, unless --config names another.
const DefaultFile = "/etc/pve-reconcile/config.yaml"

// Config is the whole file. It is not changed after Load.
type Config struct {
	// APIVersion is pve.ustclug.org/v1alpha1.
	APIVersion string `json:"apiVersion"`
	// Kind is Config.
	Kind string `json:"kind"`
	// Owner names who owns the VMs: a group or an installation. It goes into
	// the uuid of each VM that is created, by which the VM is known again.
	// Never change it: every VM created before would count as somebody else's.
	Owner string `json:"owner"`
	// StateDir holds the clone, locks and the record of what was applied.
	// Losing it loses nothing but the ability to remove. Default:
	// /var/lib/pve-reconcile.
	StateDir string `json:"stateDir,omitempty"`
	// Source is where the manifests are.
	Source Source `json:"source"`
	// Clusters are the PVE clusters (or single hosts) by name. Manifests refer
	// to the name when there are several.
	Clusters map[string]Cluster `json:"clusters"`
	// Hosts are machines on which commands are run, by name. Only migrations
	// use them.
	Hosts map[string]Host `json:"hosts,omitempty"`
	// Policies bound what is done without asking.
	Policies Policies `json:"policies,omitempty"`
	// Interval is how often the daemon looks at every object, whether or not
	// git changed. Default: 10m.
	Interval Duration `json:"interval,omitempty"`
	// Retry is how the daemon comes back to an object that failed.
	Retry Retry `json:"retry,omitempty"`
	// Limits bound what is done at a time.
	Limits Limits `json:"limits,omitempty"`
	// Socket is where the daemon is asked and told things.
	Socket Socket `json:"socket,omitempty"`
	// Webhook is where git servers say that something was pushed. Only the
	// daemon uses it. Default: none.
	Webhook *Webhook `json:"webhook,omitempty"`
	// Metrics is where Prometheus and others that watch over the daemon ask.
	// Default: none.
	Metrics *Metrics `json:"metrics,omitempty"`
	// Notify is where news goes to, by name. Only the daemon uses it. Default:
	// nowhere.
	Notify map[string]Notify `json:"notify,omitempty"`

	doc strictyaml.Document
}

// Cluster is one PVE cluster, or one host that is in none.
type Cluster struct {
	// Endpoint is the API of any node: https://host:8006.
	Endpoint string `json:"endpoint"`
	// TokenFile holds the API token, user@realm!name=secret, on one line.
	// Only its owner may be able to read it.
	TokenFile string `json:"tokenFile,omitempty" also:"token"`
	// TokenEnv names an environment variable that holds the token instead.
	TokenEnv string `json:"tokenEnv,omitempty"`
	// CAFile holds the PEM certificates that may have signed the server's;
	// on a PVE node that is /etc/pve/pve-root-ca.pem.
	CAFile string `json:"caFile,omitempty"`
	// Fingerprint is the SHA-256 of the server's own certificate, as the web
	// page shows it (node, System, Certificates): AA:BB:... Without caFile and
	// fingerprint the certificate has to be good for the system's authorities.
	Fingerprint string `json:"fingerprint,omitempty" also:"insecure skipverify verify_ssl"`
	// Nodes are the node names of this cluster. Needed only with several
	// clusters, so that a manifest's node tells its cluster.
	Nodes []string `json:"nodes,omitempty"`
	// MaintenanceWindows are when guests may be interrupted, as "Sat
	// 02:00-06:00 Asia/Shanghai", unless their manifest states its own. None:
	// at any time.
	MaintenanceWindows []string `json:"maintenanceWindows,omitempty"`
	// PMXCFS is where this cluster's file system is mounted, when the program
	// runs on one of its nodes; there it is /etc/pve. "off" does not use it.
	// Default: /etc/pve, if the endpoint is this machine and it is there.
	PMXCFS string `json:"pmxcfs,omitempty"`
	// DriftPolicy is that of guests whose manifest has none: Correct writes
	// again what somebody changed on the host, Report shows it and leaves it.
	// Default: Correct.
	DriftPolicy string `json:"driftPolicy,omitempty"`
}

// Host is a machine reached by SSH, or the one the program runs on.
type Host struct {
	// Local says that it is the machine this program runs on: commands are run
	// there as the user of the program, and the other fields are left out.
	Local bool `json:"local,omitempty"`
	// Address is host or host:port. Default port: 22.
	Address string `json:"address,omitempty"`
	// User to log in as. Default: root.
	User string `json:"user,omitempty"`
	// KeyFile is the private key, without passphrase. Only its owner may be
	// able to read it.
	KeyFile string `json:"keyFile,omitempty"`
	// KnownHostsFile holds the host's keys in OpenSSH's format.
	KnownHostsFile string `json:"knownHostsFile,omitempty"`
}

// Policies bound what is done without asking.
type Policies struct {
	// TaskTimeout is how long to wait for one PVE task. A task that takes
	// longer is not stopped; the VM is looked at again later. Default: 10m.
	TaskTimeout Duration `json:"taskTimeout,omitempty"`
	// ShutdownTimeout is how long a guest may take to shut down. After that it
	// is left running and reported; it is never stopped hard. Default: 3m.
	ShutdownTimeout Duration `json:"shutdownTimeout,omitempty"`
	// MaxDeletions is how many guests one run may delete. When the manifests
	// hold more tombstones of living guests than that, none is carried out. 0:
	// none is ever. Default: 5.
	MaxDeletions *int `json:"maxDeletions,omitempty"`
	// MaxShrink is which part of the manifests may vanish with one push. When
	// more do, or all, nothing counts as removed until somebody acknowledges
	// it. Default: 50%.
	MaxShrink *Percent `json:"maxShrink,omitempty"`
}

// Percent is a part of a whole, written like 50%: 0 to 100.
type Percent int

// MarshalText writes the percentage with its sign.
func (p Percent) MarshalText() ([]byte, error) { return fmt.Appendf(nil, "%d%%", int(p)), nil }

// UnmarshalText reads a whole number with a percent sign.
func (p *Percent) UnmarshalText(text []byte) error {
	digits, ok := strings.CutSuffix(string(text), "%")
	n, err := strconv.Atoi(digits)
	if !ok || err != nil || n < 0 || n > 100 || strconv.Itoa(n) != digits {
		return hinted{fmt.Sprintf("%.40q is not a percentage", text), "write a whole number from 0% to 100%, as in 50%"}
	}
	*p = Percent(n)
	return nil
}

// Retry is the pause before an object that failed is tried again: First,
// doubling up to Max.
type Retry struct {
	First Duration `json:"first,omitempty"` // Default: 5s.
	Max   Duration `json:"max,omitempty"`   // Default: 10m.
}

// Limits bound what is done at a time.
type Limits struct {
	// Cluster is how many objects of one cluster are looked at, and how many
	// requests are on the way to its API at most: fewer when that makes the
	// answers take longer. Default: 8.
	Cluster int `json:"cluster,omitempty"`
	// Node is how many steps are made on one node. Default: 4.
	Node int `json:"node,omitempty"`
	// Storage is how many of these allocate on one storage. Default: 2.
	Storage int `json:"storage,omitempty"`
}

// Socket is the daemon's unix socket.
type Socket struct {
	// Path of the socket. Default: socket in the state directory.
	Path string `json:"path,omitempty"`
	// Group whose members may use it beside its owner: they can suspend,
	// resume and trigger, and read status and events.
	Group string `json:"group,omitempty"`
}

// Duration is a positive span of time, written like 90s, 10m or 1h30m.
type Duration time.Duration

// String writes the duration as Go does: 10m0s.
func (d Duration) String() string { return time.Duration(d).String() }

// MarshalText writes the duration as Go does.
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText reads a duration with a unit; it has to be positive.
func (d *Duration) UnmarshalText(text []byte) error {
	v, err := time.ParseDuration(string(text))
	if err != nil {
		return hinted{fmt.Sprintf("%.40q is not a duration", text), "write a number with its unit: 90s, 10m or 1h30m"}
	}
	if v <= 0 {
		return hinted{fmt.Sprintf("%s is not a positive duration", text), "write 90s, 10m or 1h30m"}
	}
	*d = Duration(v)
	return nil
}

// hinted is an error whose hint strictyaml passes on.
type hinted struct{ text, hint string }

func (e hinted) Error() string { return e.text }
func (e hinted) Hint() string  { return e.hint }

// Load reads a file with read (os.ReadFile), parses it, fills in the defaults
// and validates. The error says why the file could not be read; problems say
// what is wrong in it, and with any of them the Config must not be used.
func Load(file string, read func(string) ([]byte, error)) (Config, []strictyaml.Problem, error) {
	text, err := read(file)
	if errors.Is(err, fs.ErrNotExist) {
		return Config{}, nil, fmt.Errorf("config: %w; write it (docs/config.md has an example) or name another with --config", err)
	}
	if err != nil {
		return Config{}, nil, fmt.Errorf("config: %w", err)
	}
	c, problems := Parse(file, text)
	if c.Kind == "" {
		return Config{}, problems, nil // nothing in it is known to be meant for us
	}
	c = Default(c)
	return c, merge(problems, Validate(c)), nil
}

// merge adds to what parsing found what validation did, but for values that
// parsing refused already.
func merge(parsed, validated []strictyaml.Problem) []strictyaml.Problem {
	all := slices.Clone(parsed)
	for _, p := range validated {
		if !slices.ContainsFunc(parsed, func(q strictyaml.Problem) bool { return covers(q.Path, p.Path) }) {
			all = append(all, p)
		}
	}
	slices.SortStableFunc(all, func(a, b strictyaml.Problem) int {
		if a.Line != b.Line {
			return a.Line - b.Line
		}
		return a.Column - b.Column
	})
	return all
}

func covers(refused, path string) bool {
	rest, ok := strings.CutPrefix(path, refused)
	return ok && refused != "" && (rest == "" || rest[0] == '.' || rest[0] == '[')
}

// Parse reads the text of a config file. It fills in no default and checks
// nothing but form; file is for the problems only.
func Parse(file string, text []byte) (Config, []strictyaml.Problem) {
	documents, problems := strictyaml.Documents(file, text)
	switch {
	case len(problems) > 0:
		return Config{}, problems
	case len(documents) == 0:
		return Config{}, []strictyaml.Problem{{File: file, Line: 1, Column: 1, Text: "the file is empty", Hint: "docs/config.md has an example"}}
	}
	doc := documents[0]
	for _, more := range documents[1:] {
		problems = append(problems, more.Problem("", "a second document", "the config is one document: remove what follows the line ---"))
	}
	if wrong := wrongKind(doc); len(wrong) > 0 {
		return Config{}, append(wrong, problems...)
	}
	var c Config
	problems = append(doc.Decode(&c), problems...)
	c.doc = doc
	return c, problems
}

// wrongKind is asked first: the fields of another kind would all be unknown.
func wrongKind(doc strictyaml.Document) []strictyaml.Problem {
	var problems []strictyaml.Problem
	for _, field := range []struct{ path, want string }{{"apiVersion", schema.APIVersion}, {"kind", Kind}} {
		have, ok := doc.String(field.path)
		switch {
		case !ok:
			problems = append(problems, doc.Problem(field.path, "required", "write "+field.path+": "+field.want))
		case have != field.want:
			problems = append(problems, doc.Problem(field.path, fmt.Sprintf("%.60q is not what a config file has", have), "write "+field.path+": "+field.want))
		}
	}
	return problems
}
