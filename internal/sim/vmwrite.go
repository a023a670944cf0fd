package sim

import (
	"crypto/sha256"
	"encoding/base64"
	"net/url"
	"regexp"
	"strconv"
	"strings"

	"golang.org/x/crypto/ssh"
)

func init() {
	on("PUT /nodes/{node}/qemu/{vmid}/config", func(c *call) (any, error) { return c.updateVM(true) })
	on("POST /nodes/{node}/qemu/{vmid}/config", func(c *call) (any, error) { return c.updateVM(false) })
	on("PUT /nodes/{node}/qemu/{vmid}/unlink", unlinkDisks)
}

// change is a checked update of a VM config.
type change struct {
	set    map[string]string
	order  []string // of set, as sent
	delete []string
	revert []string
	force  bool
	log    string
}

var notOptions = map[string]bool{
	"node": true, "vmid": true, "digest": true, "delete": true, "revert": true, "force": true, "skiplock": true,
	"background_delay": true, "import-working-storage": true,
}

// updateVM is PUT (at once) and POST (by a task) of a VM config (src: API2::Qemu update_vm_api).
func (c *call) updateVM(sync bool) (any, error) {
	id := c.num("vmid")
	if c.has("skiplock") && c.flag("skiplock") && !c.who.root() {
		return nil, badParam("skiplock", "Only root may use this option.")
	}
	ch, err := c.readChange()
	if err != nil {
		return nil, err
	}
	if err := c.mayChange(id, ch); err != nil {
		return nil, err
	}
	vm, err := c.vm()
	if err != nil {
		return nil, err
	}
	if err := c.lockConfig(vm); err != nil {
		return nil, err
	}
	if vm, err = c.vm(); err != nil {
		return nil, err
	}
	conf := vm.config()
	if digest := c.str("digest"); digest != "" && digest != vm.digest() {
		return nil, dief("checksum mismatch (file change by other user?)")
	}
	if err := c.notLocked(conf.main); err != nil {
		return nil, err
	}
	ch.resolveReverts(conf)
	if err := ch.checkBalloon(conf); err != nil {
		return nil, err
	}
	if sync {
		return nil, c.apply(&Task{}, vm, ch)
	}
	upid, err := c.fork(job{kind: "qmconfig", id: itoa(id), vm: vm, work: func(t *Task) error {
		t.logf("update VM %d: %s", id, ch.log)
		return c.apply(t, vm, ch)
	}})
	if err == nil && c.has("background_delay") && c.lastTask().Finished {
		if err := c.lastTask().err(); err != nil {
			return nil, dief("failed to update VM %d: %s", id, err)
		}
		return nil, nil
	}
	return upid, err
}

func (c *call) lastTask() *Task { return c.w.Tasks[len(c.w.Tasks)-1] }

func (t *Task) err() error {
	if t.Exit == "OK" || strings.HasPrefix(t.Exit, "WARNINGS") {
		return nil
	}
	return dief("%s", t.Exit)
}

func (c *call) notLocked(conf settings) error {
	if lock := conf["lock"]; lock != "" && !c.flag("skiplock") {
		return dief("VM is locked (%s)", lock)
	}
	return nil
}

// readChange sorts the parameters into set, delete and revert.
func (c *call) readChange() (*change, error) {
	ch := &change{set: map[string]string{}, force: c.flag("force")}
	for _, name := range c.order {
		if notOptions[name] {
			continue
		}
		option := name
		if name == "cdrom" {
			option = "ide2"
		}
		ch.set[option] = c.params[name]
		ch.order = append(ch.order, option)
	}
	ch.log = c.said()
	if len(ch.set) == 0 && c.str("delete") == "" && c.str("revert") == "" {
		return nil, dief("no options specified")
	}
	if err := checkKeys(ch.set["sshkeys"]); err != nil {
		return nil, err
	}
	clampUnits(ch.set)
	if password := ch.set["cipassword"]; password != "" && !cryptHash.MatchString(password) {
		ch.set["cipassword"] = hashPassword(password)
	}
	for _, option := range splitList(c.str("revert")) {
		if configOption(option) == nil {
			return nil, badParam("revert", "unknown option '%s'", option)
		}
		if _, ok := ch.set[option]; ok {
			return nil, badParam("delete", "you can't use '-%s' and -revert %s' at the same time", option, option)
		}
		ch.revert = append(ch.revert, option)
	}
	for _, option := range splitList(c.str("delete")) {
		if option == "cdrom" {
			option = "ide2"
		}
		if _, ok := ch.set[option]; ok {
			return nil, badParam("delete", "you can't use '-%s' and -delete %s' at the same time", option, option)
		}
		if contains(ch.revert, option) {
			return nil, badParam("revert", "you can't use '-delete %s' and -revert %s' at the same time", option, option)
		}
		if configOption(option) == nil {
			return nil, badParam("delete", "unknown option '%s'", option)
		}
		ch.delete = append(ch.delete, option)
	}
	return ch, c.normalise(ch.set)
}

// checkKeys refuses what ssh-keygen cannot read (src: Tools::validate_ssh_public_keys).
func checkKeys(text string) error {
	text, err := url.PathUnescape(text)
	if err != nil {
		return dief("SSH public key validation error")
	}
	for _, line := range strings.Split(text, "\n") {
		if strings.TrimSpace(line) == "" {
			continue
		}
		if _, _, _, _, err := ssh.ParseAuthorizedKey([]byte(line)); err != nil {
			return dief("SSH public key validation error")
		}
	}
	return nil
}

// clampUnits keeps the CPU weight within what cgroup v2 has (src: CGroup::clamp_cpu_shares).
func clampUnits(options map[string]string) {
	if n, err := strconv.Atoi(options["cpuunits"]); err == nil && n > 10000 {
		options["cpuunits"] = "10000"
	}
}

// said is the call as the task log shows it.
func (c *call) said() string {
	var words []string
	for _, name := range sortedKeys(c.params) {
		value := strings.ReplaceAll(c.params[name], "\x00", ",")
		switch name {
		case "node", "vmid", "digest", "background_delay":
			continue
		case "cipassword":
			value = "<hidden>"
		}
		words = append(words, "-"+name+" "+value)
	}
	return strings.Join(words, " ")
}

var cryptHash = regexp.MustCompile(`^\$(?:[156]|2[ay])(\$.+){2}`)

// hashPassword stands for crypt(3): a "$5$" text that differs from what was sent.
func hashPassword(password string) string {
	sum := sha256.Sum256([]byte(password))
	return "$5$simulated$" + strings.TrimRight(base64.StdEncoding.EncodeToString(sum[:]), "=")[:43]
}

// normalise re-prints what PVE re-prints before it looks at the config (FACTS §3).
func (c *call) normalise(set map[string]string) error {
	for _, option := range sortedKeys(set) {
		value := set[option]
		switch {
		case isDrive(option):
			d, err := c.parseDrive(option, value)
			if err != nil {
				return err
			}
			if strings.HasPrefix(d.file(), "/") {
				volid := c.volumeOfPath(d.file())
				if volid == "" {
					return badParam(option, "unable to associate path '%s' to any storage", d.file())
				}
				d.set("file", volid)
			}
			set[option] = d.text()
		case netSlot.MatchString(option):
			set[option] = c.storedNet(value)
		case option == "vmgenid" && value == "1":
			set[option] = c.s.newUUID()
		case option == "hookscript":
			if text := c.hookscriptFault(value); text != "" {
				return badParam(option, "%s\n", text)
			}
		}
	}
	return nil
}

func (c *call) hookscriptFault(volid string) string {
	st, name, err := c.volume(volid)
	if err != nil {
		return err.Error()
	}
	v := st.find(name.name)
	switch {
	case v == nil:
		return "script '" + volid + "' does not exist"
	case !v.Exec:
		return "script '" + volid + "' is not executable"
	}
	return ""
}

// volumeOfPath finds the volume that a path of the host is.
func (c *call) volumeOfPath(path string) string {
	for _, st := range c.w.Storages.list {
		s := &store{s: c.s, node: c.node, st: st}
		for _, v := range s.list() {
			if s.path(v.Name) == path {
				return st.ID + ":" + v.Name
			}
		}
	}
	return ""
}

func (c *call) mayChange(id int, ch *change) error {
	for _, list := range [][]string{ch.delete, ch.revert, sortedKeys(ch.set)} {
		if err := c.mayModify(id, list); err != nil {
			return err
		}
	}
	drives := map[string]string{}
	for option, value := range ch.set {
		if isDrive(option) {
			drives[option] = value
		}
	}
	if err := c.mayUseStorage(id, drives); err != nil {
		return err
	}
	return c.mayUseValues(id, ch.set)
}

// resolveReverts turns a revert into a set of the running value, or into the removal of a pending one.
func (ch *change) resolveReverts(conf *config) {
	for _, option := range ch.revert {
		if value, ok := conf.main[option]; ok {
			ch.set[option] = value
			ch.order = append(ch.order, option)
		} else if _, ok := conf.pending[option]; ok {
			ch.delete = append(ch.delete, option)
		}
	}
}

func (ch *change) checkBalloon(conf *config) error {
	_, memory := ch.set["memory"]
	_, balloon := ch.set["balloon"]
	if !memory && !balloon {
		return nil
	}
	desired := conf.desired().clone()
	for _, option := range []string{"memory", "balloon"} {
		if value, ok := ch.set[option]; ok {
			desired[option] = value
		}
	}
	if b := desired.number("balloon", 0); b > 0 && b > desired.number("memory", 512) {
		return dief("balloon value too large (must be smaller than assigned memory)")
	}
	return nil
}

func unlinkDisks(c *call) (any, error) {
	c.params["delete"] = c.params["idlist"]
	c.order = []string{"delete"}
	delete(c.params, "idlist")
	return c.updateVM(true)
}
