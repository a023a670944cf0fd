package node

import (
	"slices"
	"strings"

	"github.com/ustclug/pve-reconcile/schema"
)

// service is one of GET /nodes/N/services.
type service struct {
	Name, Service, State string
	Active               string `json:"active-state"`
	Unit                 string `json:"unit-state"`
}

func checkServices(want *schema.Assertions, a *answers) {
	var all []service
	if !a.read("/services", &all) {
		return
	}
	for _, name := range want.Services {
		i := slices.IndexFunc(all, func(s service) bool { return s.Name == name || s.Service == name })
		switch {
		case i < 0:
			a.fail("", "PVE does not list %s: is it installed, and is that its name?", name)
		case all[i].State != "running" && !(all[i].State == "exited" && all[i].Active == "active"): // one that has done its work
			text := all[i].State
			if all[i].Unit != "" {
				text += " (its unit is " + all[i].Unit + ")"
			}
			a.fail("", "%s is not running, it is %s: `systemctl status %s` on the node shows why", name, text, name)
		}
	}
}

// repositories is GET /nodes/N/apt/repositories. Keys in capitals are APT's own.
type repositories struct {
	Errors []struct{ Path, Error string }
	Files  []struct {
		Path         string
		Repositories []struct {
			Enabled number
			URIs    []string
			Suites  []string
		}
	}
}

func checkRepositories(want *schema.Assertions, a *answers) {
	var have repositories
	if !a.read("/apt/repositories", &have) {
		return
	}
	for _, e := range have.Errors {
		a.fail("", "APT cannot read %s: %s", e.Path, e.Error)
	}
	enabled := 0
	for _, f := range have.Files {
		for _, r := range f.Repositories {
			if r.Enabled.value == 0 {
				continue
			}
			enabled++
			for _, uri := range r.URIs {
				if !slices.ContainsFunc(want.Repositories.Mirrors, func(m string) bool { return below(uri, m) }) {
					a.fail(".mirrors", "%s gets %s from %s, declared is %s", f.Path, strings.Join(r.Suites, " "), uri, strings.Join(want.Repositories.Mirrors, " or "))
				}
			}
		}
	}
	if enabled == 0 {
		a.fail("", "no repository is enabled: the node gets no updates")
	}
}

// below tells whether an address is a mirror's or below it; a mirror without a slash at its end does not match a longer name.
func below(uri, mirror string) bool {
	mirror = strings.TrimSuffix(mirror, "/")
	rest, ok := strings.CutPrefix(uri, mirror)
	return ok && (rest == "" || rest[0] == '/')
}

func firewallReads(node string, a *schema.Assertions) []string {
	if a.Firewall == "" {
		return nil
	}
	return []string{"/cluster/firewall/options", "/nodes/" + node + "/firewall/options"}
}

// switches are the cluster's, which is off by default, and the node's, which is on. PVE filters on a node when both are on.
func (a *answers) switches() (all, here, told bool) {
	var cluster, node struct{ Enable number }
	if !a.at("/cluster/firewall/options", &cluster) || !a.read("/firewall/options", &node) {
		return false, false, false
	}
	return cluster.Enable.known && cluster.Enable.value != 0, !node.Enable.known || node.Enable.value != 0, true
}

func checkFirewall(want *schema.Assertions, a *answers) {
	all, here, told := a.switches()
	switch on := all && here; {
	case !told:
	case on && want.Firewall == "Disabled":
		a.fail("", "declared is Disabled, but it is on, for the cluster and on the node")
	case !on && want.Firewall == "Enabled" && !all:
		a.fail("", "declared is Enabled, but it is off for the whole cluster")
	case !on && want.Firewall == "Enabled":
		a.fail("", "declared is Enabled, but it is off on the node")
	}
}
