package sim

import (
	"encoding/json"
	"strings"
	"testing"
)

// What the commands print on a host (OpenZFS 2.1, LVM 2.03) becomes what PVE answers.
func TestHostDisks(t *testing.T) {
	far := newHost(t)
	printed := map[string]string{
		"zpool list -Hp -o name,size,alloc,free,frag,dedup,health": "rpool\t12348030976\t53600256\t12294430720\t0\t1.00\tONLINE\n",
		"zpool status -P 'rpool'": `  pool: rpool
 state: DEGRADED
status: One or more devices could not be used because the label is missing or
	invalid.  Sufficient replicas exist for the pool to continue
	functioning in a degraded state.
config:

	NAME                                    STATE     READ WRITE CKSUM
	rpool                                   DEGRADED     0     0     0
	  raidz2-0                              DEGRADED     0     0     0
	    /dev/disk/by-id/virtio-pool0-part1  ONLINE       0     0     3
	    /dev/disk/by-id/virtio-pool1-part1  UNAVAIL      0     0     0  corrupted data
	logs
	  /dev/vdb1                             ONLINE       0     0     0

errors: No known data errors
`,
		hostReads["lvm"].command:     "  pve\t2138767360\t1048576000\t1\n\n  pve\t/dev/vdb\t1069547520\t1048576000\n  pve\t/dev/vdc\t1069547520\t0\n  other\t/dev/vdd\t1\t1\n",
		hostReads["lvmthin"].command: "  pve\tdata\t1073741824\t12.50\t8388608\t10.45\n",
	}
	c := newClient(t, Options{Hosts: map[string]Shell{"pve-5": func(command string) (string, error) {
		if text, ok := printed[command]; ok {
			return text, nil
		}
		return far.shell(command)
	}}})
	for path, want := range map[string]string{
		"zfs": `[{"alloc":53600256,"dedup":1,"frag":0,"free":12294430720,"health":"ONLINE","name":"rpool","size":12348030976}]`,
		"zfs/rpool": `{"children":[
{"children":[{"children":[
{"cksum":3,"leaf":1,"msg":"","name":"/dev/disk/by-id/virtio-pool0-part1","read":0,"state":"ONLINE","write":0},
{"cksum":0,"leaf":1,"msg":"corrupted data","name":"/dev/disk/by-id/virtio-pool1-part1","read":0,"state":"UNAVAIL","write":0}],
"cksum":0,"leaf":0,"msg":"","name":"raidz2-0","read":0,"state":"DEGRADED","write":0}],
"cksum":0,"leaf":0,"msg":"","name":"rpool","read":0,"state":"DEGRADED","write":0},
{"children":[{"cksum":0,"leaf":1,"msg":"","name":"/dev/vdb1","read":0,"state":"ONLINE","write":0}],"cksum":0,"leaf":0,"msg":"","name":"logs","read":0,"write":0}],
"errors":"No known data errors","leaf":0,"name":"rpool","state":"DEGRADED",
"status":"One or more devices could not be used because the label is missing or\ninvalid.  Sufficient replicas exist for the pool to continue\nfunctioning in a degraded state."}`,
		"lvm":     `{"children":[{"children":[{"free":1048576000,"leaf":1,"name":"/dev/vdb","size":1069547520},{"free":0,"leaf":1,"name":"/dev/vdc","size":1069547520}],"free":1048576000,"leaf":0,"lvcount":1,"name":"pve","size":2138767360}],"leaf":0}`,
		"lvmthin": `[{"lv":"data","lv_size":1073741824,"metadata_size":8388608,"metadata_used":876609,"used":134217728,"vg":"pve"}]`,
	} {
		have, err := json.Marshal(c.ok("GET", "/nodes/pve-5/disks/"+path, ""))
		if err != nil {
			t.Fatal(err)
		}
		if want = strings.ReplaceAll(want, "\n", ""); string(have) != want {
			t.Errorf("disks/%s:\nhave %s\nwant %s", path, have, want)
		}
	}
}
