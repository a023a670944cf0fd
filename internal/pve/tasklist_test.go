package pve

import (
	"fmt"
	"testing"
	"time"

	"github.com/ustclug/pve-reconcile/schema"
)

// The rows have the shape recorded in transcript 56.
func TestTasksOfOthers(t *testing.T) {
	row := func(kind, user, tokenid, status string, start int) string {
		if tokenid != "" {
			tokenid = `"tokenid":"` + tokenid + `",`
		}
		return fmt.Sprintf(`{"id":"110","user":%q,%s"upid":"UPID:%d","type":%q,"node":"pve1","starttime":%d,"pstart":1,"pid":1,"status":%q}`, user, tokenid, start, kind, start, status)
	}
	s := serve(t, map[string][]reply{"GET /nodes/pve1/tasks": {{status: "200 OK", body: `{"total":7,"data":[` +
		row("qmconfig", "root@pam", "recon", "OK", 109) + "," + // our own
		row("resize", "root@pam", "", "OK", 101) + "," +
		row("qmconfig", "ann@pve", "", "OK", 107) + "," +
		row("qmconfig", "ann@pve", "cli", "WARNINGS: 1", 104) + "," +
		row("qmconfig", "ann@pve", "", "unable to parse", 108) + "," + // failed
		row("qmstart", "ann@pve", "", "OK", 106) + `,{"id":"110","user":"ann@pve","upid":"UPID:1","type":"qmconfig","starttime":110}]}`}}})
	have, err := s.cluster(t).Tasks(t.Context(), docker2, time.Unix(100, 0))
	if err != nil {
		t.Fatal(err)
	}
	text := ""
	for _, x := range have {
		text += fmt.Sprintf("%s %s %d %s; ", x.Type, x.User, x.At, x.UPID)
	}
	if want := "qmconfig ann@pve 107 UPID:107; qmconfig ann@pve!cli 104 UPID:104; resize root@pam 101 UPID:101; "; text != want {
		t.Errorf("want %s\nhave %s", want, text)
	}
	if asked := s.requests(); len(asked) != 1 || asked[0] != "GET /nodes/pve1/tasks?since=100&vmid=110" {
		t.Errorf("%s", asked)
	}
	if _, err := s.cluster(t).Tasks(t.Context(), schema.ID{Node: "pve2", VMID: 110}, time.Unix(100, 0)); err == nil {
		t.Error("an error of the list is an error")
	}
}

// With an id without vmid, who made a network config take effect.
func TestTasksOfANode(t *testing.T) {
	row := func(service, user string, start int) string {
		return fmt.Sprintf(`{"id":%q,"user":%q,"upid":"UPID:%d","type":"srvreload","node":"pve1","starttime":%d,"pstart":1,"pid":1,"status":"OK"}`, service, user, start, start)
	}
	s := serve(t, map[string][]reply{"GET /nodes/pve1/tasks": {{status: "200 OK", body: `{"total":2,"data":[` +
		row("pveproxy", "root@pam", 108) + "," + row("networking", "ann@pve", 107) + `]}`}}})
	have, err := s.cluster(t).Tasks(t.Context(), schema.ID{Node: "pve1"}, time.Unix(100, 0))
	if err != nil || len(have) != 1 || have[0].User != "ann@pve" || have[0].At != 107 {
		t.Errorf("%v %v", have, err)
	}
	if asked := s.requests(); len(asked) != 1 || asked[0] != "GET /nodes/pve1/tasks?since=100&typefilter=srvreload" {
		t.Errorf("%s", asked)
	}
}
