package sim

import (
	"fmt"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
)

// format checks a value against a named format or a property string ("@NAME"); texts are PVE's and end in \n.
func (c *checker) format(path, name, value string) error {
	if ref, ok := strings.CutPrefix(name, "@"); ok {
		if c.schema.formats[ref] == nil {
			ref += "#2"
		}
		_, err := c.parseProperties(path, ref, value)
		return err
	}
	if c.schema.formats["format:"+name] != nil {
		if _, err := c.parseProperties(path, "format:"+name, value); err != nil {
			return err
		}
		if name == "pve-vm-cpu-conf" {
			return c.checkCPU(value)
		}
		return nil
	}
	if single, ok := strings.CutSuffix(name, "-list"); ok {
		for _, one := range splitList(value) {
			if err := c.format(path, single, one); err != nil {
				return err
			}
		}
		return nil
	}
	if check := namedFormats[name]; check != nil {
		if text := check(value); text != "" {
			return fmt.Errorf("%s\n", text)
		}
	}
	if name == "pve-priv" && !c.schema.knowsPrivilege(value) {
		return fmt.Errorf("invalid privilege '%s'\n", value)
	}
	return nil
}

// matching builds a check that one pattern decides.
func matching(pattern, text string) func(string) string {
	re := regexp.MustCompile(pattern)
	return func(v string) string {
		if re.MatchString(v) {
			return ""
		}
		return strings.ReplaceAll(text, "%s", v)
	}
}

var (
	dnsName   = regexp.MustCompile(`^(?:[a-zA-Z0-9](?:[a-zA-Z0-9\-]*[a-zA-Z0-9])?\.)*[a-zA-Z0-9](?:[a-zA-Z0-9\-]*[a-zA-Z0-9])?$`)
	storageID = regexp.MustCompile(`^[a-zA-Z][a-zA-Z0-9\-_.]*[a-zA-Z0-9]$`)
	volumeID  = regexp.MustCompile(`^([a-zA-Z][a-zA-Z0-9\-_.]*[a-zA-Z0-9]):(.+)$`)
	bootDev   = regexp.MustCompile(`^(?:(?:net|usb|hostpci|ide|sata|scsi|virtio)(?:0|[1-9]\d*))$`)
	tagText   = regexp.MustCompile(`^(?i:[a-z0-9_][a-z0-9_\-+.]*)$`)
	macText   = regexp.MustCompile(`^(?i:[a-f0-9][02468ace](?::[a-f0-9]{2}){5})$`)
	sizeText  = regexp.MustCompile(`^(\d+(?:\.\d+)?)([KMGT])?$`)
)

var namedFormats = map[string]func(string) string{
	"pve-vmid":       matching(`^[1-9][0-9]{2,8}$`, "value does not look like a valid VM ID"),
	"pve-node":       matching(`^[a-zA-Z0-9](?:[a-zA-Z0-9\-]*[a-zA-Z0-9])?$`, "value does not look like a valid node name"),
	"pve-configid":   matching(`^(?i:[a-z][a-z0-9_-]+)$`, "invalid configuration ID '%s'"),
	"pve-storage-id": matching(storageID.String(), "storage ID '%s' contains illegal characters"),
	"pve-poolid":     matching(`^[A-Za-z0-9._\-]+(?:/[A-Za-z0-9._\-]+){0,2}$`, "value '%s' contains invalid characters"),
	"pve-roleid":     matching(`^[A-Za-z0-9._\-]+$`, "role name '%s' contains invalid characters"),
	"pve-groupid":    matching(`^[A-Za-z0-9._\-]+$`, "group name '%s' contains invalid characters"),
	"pve-userid":     matching(`^[^\s:/]+@[A-Za-z][A-Za-z0-9.\-_]+$`, "value '%s' does not look like a valid user name"),
	"pve-tokenid":    matching(`^[^\s:/]+@[A-Za-z][A-Za-z0-9.\-_]+![A-Za-z][A-Za-z0-9.\-_]+$`, "value '%s' does not look like a valid token ID"),
	"pve-realm":      matching(`^[A-Za-z][A-Za-z0-9.\-_]+$`, "value does not look like a valid realm"),
	"pve-iface":      matching(`^[a-zA-Z][a-zA-Z0-9_]{1,20}(?:[:.]\d+)?$`, "invalid network interface name '%s'"),
	"pve-bridge-id":  matching(`^[a-zA-Z][a-zA-Z0-9_]{0,9}$`, "invalid bridge ID '%s'"),
	"dns-name":       matching(dnsName.String(), "value does not look like a valid DNS name"),
	"mac-addr":       matching(macText.String(), "value does not look like a valid unicast MAC address"),
	"mac-prefix":     matching(`^(?i:[a-f0-9][02468ace](?::[a-f0-9]{2}){0,2}:?)$`, "value is not a valid unicast MAC address prefix"),
	"urlencoded":     matching(`^(?:[-A-Za-z0-9_.!~*'()]|%[0-9a-fA-F]{2})*$`, "invalid urlencoded string: %s"),
	"pve-tag":        matching(tagText.String(), "invalid characters in tag"),
	"pve-volume-id":  matching(volumeID.String(), "unable to parse volume ID '%s'"),
	"pve-qm-bootdev": matching(bootDev.String(), "invalid boot device '%s'"),
	"disk-size":      matching(sizeText.String(), "value does not look like a valid disk size: %s"),
	"pve-cpuset":     matching(`^\d+(?:-\d+)?(?:,\d+(?:-\d+)?)*$`, "unable to parse cpuset"),
	"email":          matching(`^[\w+\-~]+(?:\.[\w+\-~]+)*@[a-zA-Z0-9\-]+(?:\.[a-zA-Z0-9\-]+)*$`, "value does not look like a valid email address"),
	"email-opt":      matching(`^(?:[\w+\-~]+(?:\.[\w+\-~]+)*@[a-zA-Z0-9\-]+(?:\.[a-zA-Z0-9\-]+)*)?$`, "value does not look like a valid email address"),

	"pve-volume-id-or-qm-path":       checkVolumeOrPath,
	"pve-volume-id-or-absolute-path": checkVolumeOrPath,
	"pve-hotplug-features":           checkHotplugFeatures,
	"pve-startup-order":              checkStartup,
	"pve-ipv4-config":                checkIPv4Config,
	"pve-ipv6-config":                checkIPv6Config,
	"pve-storage-content":            checkContentType,
	"zfs-blocksize":                  checkBlocksize,

	"ip":       checkAddr(func(netip.Addr) bool { return true }, "value does not look like a valid IP address"),
	"ipv4":     checkAddr(netip.Addr.Is4, "value does not look like a valid IPv4 address"),
	"ipv6":     checkAddr(netip.Addr.Is6, "value does not look like a valid IPv6 address"),
	"CIDRv4":   checkPrefix(netip.Addr.Is4, "value does not look like a valid IPv4 network"),
	"CIDRv6":   checkPrefix(netip.Addr.Is6, "value does not look like a valid IPv6 network"),
	"CIDR":     checkPrefix(func(netip.Addr) bool { return true }, "value does not look like a valid CIDR network"),
	"ipv4mask": matching(`^(?:\d{1,2}|\d+\.\d+\.\d+\.\d+)$`, "value does not look like a valid IP netmask"),
	"address":  checkAddress,
}

func checkAddress(v string) string {
	if _, err := netip.ParseAddr(v); err == nil || dnsName.MatchString(v) {
		return ""
	}
	return "value does not look like a valid address: " + v
}

func checkAddr(is func(netip.Addr) bool, text string) func(string) string {
	return func(v string) string {
		if a, err := netip.ParseAddr(v); err == nil && is(a) {
			return ""
		}
		return text
	}
}

func checkPrefix(is func(netip.Addr) bool, text string) func(string) string {
	return func(v string) string {
		if p, err := netip.ParsePrefix(v); err == nil && is(p.Addr()) && p.Bits() > 0 {
			return ""
		}
		return text
	}
}

func checkVolumeOrPath(v string) string {
	if v == "none" || v == "cdrom" || strings.HasPrefix(v, "/") || volumeID.MatchString(v) {
		return ""
	}
	return fmt.Sprintf("unable to parse volume ID '%s'", v)
}

func checkHotplugFeatures(v string) string {
	if v == "0" || v == "1" {
		return ""
	}
	for _, feature := range splitList(v) {
		switch feature {
		case "network", "disk", "cpu", "memory", "usb", "cloudinit":
		default:
			return fmt.Sprintf("invalid hotplug feature '%s'", feature)
		}
	}
	return ""
}

var startupPart = regexp.MustCompile(`^(?:(?:order=)?\d+|up=\d+|down=\d+)$`)

// checkStartup takes a list with commas only, and nothing that Perl counts as false (src: pve_parse_startup_order).
func checkStartup(v string) string {
	bad := v == "" || v == "0"
	for _, part := range strings.Split(v, ",") {
		bad = bad || strings.TrimSpace(part) != "" && !startupPart.MatchString(part)
	}
	if bad {
		return "unable to parse startup options"
	}
	return ""
}

func checkIPv4Config(v string) string {
	if v == "dhcp" || checkPrefix(netip.Addr.Is4, "x")(v) == "" {
		return ""
	}
	return "value does not look like a valid ipv4 network configuration"
}

func checkIPv6Config(v string) string {
	if v == "auto" || v == "dhcp" || checkPrefix(netip.Addr.Is6, "x")(v) == "" {
		return ""
	}
	return "value does not look like a valid ipv6 network configuration"
}

func checkContentType(v string) string {
	switch v {
	case "images", "rootdir", "vztmpl", "iso", "backup", "snippets", "import", "none":
		return ""
	}
	return fmt.Sprintf("invalid content type '%s'", v)
}

var blocksizeText = regexp.MustCompile(`^(\d+)([kKmM])?$`)

func checkBlocksize(v string) string {
	if m := blocksizeText.FindStringSubmatch(v); m != nil {
		n, err := strconv.Atoi(m[1])
		switch strings.ToLower(m[2]) {
		case "k":
			n <<= 10
		case "m":
			n <<= 20
		}
		if err == nil && n >= 512 && n <= 16<<20 && n&(n-1) == 0 {
			return ""
		}
	}
	return fmt.Sprintf("value '%s' is not a valid ZFS blocksize. Must be a power of 2 between 512B and 16MiB (e.g., 4k, 8k, 16k, 64k, 1m).", v)
}

var cpuFlags = []string{
	"aes", "amd-no-ssb", "amd-ssbd", "hv-evmcs", "hv-tlbflush", "ibpb", "md-clear", "nested-virt", "pcid",
	"pdpe1gb", "spec-ctrl", "ssbd", "virt-ssbd",
}

var cpuFlag = regexp.MustCompile(`^[+-]([a-z0-9-]+)$`)

// checkCPU checks the model and the flags of a cpu option beyond its property string.
func (c *checker) checkCPU(value string) error {
	cpu, err := c.splitProperties(c.schema.formats["format:pve-vm-cpu-conf"], c.schema.defaults["format:pve-vm-cpu-conf"], value)
	if err != nil {
		return err
	}
	model := cpu["cputype"]
	if model == "" {
		return fmt.Errorf("CPU is missing cputype\n")
	}
	known := c.schema.formats["format:pve-vm-cpu-conf"].byName["reported-model"].enum
	if custom, ok := strings.CutPrefix(model, "custom-"); ok {
		return fmt.Errorf("Custom cputype '%s' not found\n", custom)
	}
	if !contains(known, model) && !strings.HasPrefix(model, "x86-64-v") {
		return fmt.Errorf("Built-in cputype '%s' is not defined (missing 'custom-' prefix?)\n", model)
	}
	for _, flag := range splitList(cpu["flags"]) {
		m := cpuFlag.FindStringSubmatch(flag)
		flags := cpuFlags
		if !c.nine {
			flags = flags[:0:0]
			for _, f := range cpuFlags {
				if f != "nested-virt" {
					flags = append(flags, f)
				}
			}
		}
		if m == nil || !contains(flags, m[1]) {
			return fmt.Errorf("VM-specific CPU flags must be a subset of: %s\n", strings.Join(flags, ", "))
		}
	}
	if _, ok := cpu["reported-model"]; ok {
		return fmt.Errorf("Property 'reported-model' not allowed in VM-specific CPU config.\n")
	}
	return nil
}
