package pve

import (
	"regexp"

	"github.com/ustclug/pve-reconcile/reconciler/step"
)

var (
	lockTimeout = regexp.MustCompile(`can't lock file '[^']*lock-\d+\.conf' - got timeout`)
	noConfig    = regexp.MustCompile(`Configuration file '[^']*/\d+\.conf' does not exist`)
	hotplug     = regexp.MustCompile(`(\w+): hotplug problem`)
)

// verdicts say what PVE's texts mean: the same text comes as a 500 and as the end of a task (FACTS §1, §7). There is no
// 404 and no 409, so texts are all there is.
var verdicts = []struct {
	text   *regexp.Regexp
	kind   error
	advice string
}{
	{regexp.MustCompile(`checksum mismatch|detected modified configuration`), step.ErrStale, "somebody else changed the config: nothing was written"},
	{regexp.MustCompile(`(VM|CT) \d+ already exists|config file already exists`), step.ErrStale, "another guest took the vmid"},
	{regexp.MustCompile(`storage ID '.*' already defined`), step.ErrStale, "somebody else defined it, or the token lacks Datastore.Audit on it and so does not see it"},
	{regexp.MustCompile(`VM \d+ already running`), step.ErrStale, "somebody else started it"},
	{regexp.MustCompile(`VM \d+ is running - destroy failed`), step.ErrStale, "somebody started it"},
	{regexp.MustCompile(`protection mode enabled`), step.ErrStale, "somebody protected it"},
	{noConfig, step.ErrStale, "the guest is not on this node any more: deleted, or migrated to another"},
	{regexp.MustCompile(`VM is locked`), step.ErrBusy, "wait for that to end; if nothing is running any more, `qm unlock`"},
	{regexp.MustCompile(`can't lock file '[^']*' - got timeout|got lock (request )?timeout`), step.ErrBusy, "another change is under way"},
	{regexp.MustCompile(`[Oo]nly root (can|may) `), step.ErrForbidden, "only root@pam itself may, no token: run it by hand on the node"},
	{regexp.MustCompile(`hostname lookup '.*' failed`), step.ErrUnreachable, "does the cluster have a node of that name?"},
	{regexp.MustCompile(`no quorum`), nil, "the cluster takes no changes until enough of its nodes are back: `pvecm status`"},
	{regexp.MustCompile(`quit/powerdown failed`), nil, "the guest did not shut down in time and goes on running: it is never stopped hard. Look at its console and guest agent, or stop it by hand"},
	{regexp.MustCompile(`VM is paused - cannot shutdown`), nil, "somebody paused it: resume it with `qm resume`, or stop it by hand"},
	{regexp.MustCompile(`shrinking disks is not supported`), nil, "a disk is never shrunk"},
}

// judge finds the verdict on a text of PVE.
func (e *Error) judge() {
	text := e.Text
	for _, why := range e.Params {
		text += "; " + why
	}
	for _, v := range verdicts {
		if v.text.MatchString(text) {
			e.kind, e.Advice = v.kind, v.advice
			return
		}
	}
}
