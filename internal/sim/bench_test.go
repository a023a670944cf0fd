package sim

import (
	"fmt"
	"io"
	"net/http"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
)

// thousand is the example world with a thousand VMs of ordinary size.
func thousand(t testing.TB) *World {
	w := readWorld(t, "testdata/pve-5.world")
	for id := 1000; id < 2000; id++ {
		vm := w.NewVM(id, "pve-5", fmt.Sprintf(`#guest %d
agent: 1
boot: order=scsi0;net0
cores: 4
cpu: host
machine: q35
memory: 8192
meta: creation-qemu=10.0.2,ctime=1790000000
name: guest-%d
net0: virtio=BC:24:11:00:%02X:%02X,bridge=vmbr0,firewall=1
net1: virtio=BC:24:12:00:%02X:%02X,bridge=vmbr1,tag=20
numa: 0
onboot: 1
ostype: l26
scsi0: local-zfs:vm-%d-disk-0,discard=on,size=32G,ssd=1
scsihw: virtio-scsi-pci
smbios1: uuid=00000000-0000-4000-8000-%012d
sockets: 1
tags: gitops;prod
vmgenid: 00000000-0000-4000-9000-%012d
`, id, id, id>>8, id&255, id>>8, id&255, id, id, id))
		if id%2 == 0 {
			vm.State, vm.PID, vm.Started = "running", int64(id), w.Clock
		}
		n := w.Node("pve-5")
		n.Datasets = append(n.Datasets, &Dataset{Name: fmt.Sprintf("rpool/data/vm-%d-disk-0", id), Volsize: 32 << 30, Blocksize: "16k", Used: 8 << 30})
	}
	return w
}

// BenchmarkConfigReads reads the configs of 1,000 VMs over 16 HTTPS connections. The client shares the machine.
func BenchmarkConfigReads(b *testing.B) {
	c := clientOf(b, New(thousand(b), Options{}))
	var wg sync.WaitGroup
	var next atomic.Int64
	b.ResetTimer()
	for range 16 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for {
				n := next.Add(1)
				if n > int64(b.N) {
					return
				}
				r, err := http.NewRequest("GET", fmt.Sprintf("%s/api2/json/nodes/pve-5/qemu/%d/config", c.url, 1000+n%1000), nil)
				if err != nil {
					b.Error(err)
					return
				}
				r.Header.Set("Authorization", c.token)
				answer, err := c.http.Do(r)
				if err != nil {
					b.Error(err)
					return
				}
				if _, err := io.Copy(io.Discard, answer.Body); err != nil {
					b.Error(err)
				}
				if err := answer.Body.Close(); err != nil || answer.StatusCode != 200 {
					b.Errorf("%s %v", answer.Status, err)
				}
			}
		}()
	}
	wg.Wait()
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "reads/s")
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	b.ReportMetric(float64(m.Sys)/(1<<20), "MB")
}

// BenchmarkResources lists the resources of 1,000 VMs.
func BenchmarkResources(b *testing.B) {
	c := clientOf(b, New(thousand(b), Options{}))
	b.ResetTimer()
	for range b.N {
		c.ok("GET", "/cluster/resources?type=vm", "")
	}
}
