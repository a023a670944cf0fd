package sim

import (
	"strings"
)

func init() {
	on("GET /nodes/{node}/tasks", listTasks)
	on("GET /nodes/{node}/tasks/{upid}", func(c *call) (any, error) {
		return []any{map[string]any{"name": "log"}, map[string]any{"name": "status"}}, nil
	})
	on("GET /nodes/{node}/tasks/{upid}/status", taskStatus)
	on("GET /nodes/{node}/tasks/{upid}/log", taskLog)
	on("DELETE /nodes/{node}/tasks/{upid}", stopTask)
	on("GET /cluster/tasks", clusterTasks)
}

func (t *Task) row() map[string]any {
	user, token, isToken := strings.Cut(t.User, "!")
	row := map[string]any{
		"upid": t.UPID, "node": t.Node, "pid": t.PID, "pstart": t.PStart, "starttime": t.Start.Unix(),
		"type": t.Type, "id": t.ID, "user": user,
	}
	if isToken {
		row["tokenid"] = token
	}
	return row
}

// ownsTask tells whether a task is the caller's own: that very token's (FACTS §2).
func (c *call) ownsTask(t *Task) bool { return t.User == c.who.id() }

func (c *call) findTask() (*Task, *Task, error) {
	asked, err := parseUPID(c.str("upid"))
	if err != nil {
		return nil, nil, badParam("upid", "%s", err)
	}
	if asked.User != c.who.id() {
		if err := c.check("/nodes/"+c.node.Name, []string{"Sys.Audit"}, false); err != nil {
			return nil, nil, err
		}
	}
	for _, t := range c.w.Tasks {
		if t.UPID == asked.UPID && t.Node == c.node.Name {
			return t, asked, nil
		}
	}
	return nil, asked, nil
}

func taskStatus(c *call) (any, error) {
	t, _, err := c.findTask()
	if err != nil {
		return nil, err
	}
	if t == nil {
		return nil, badParam("upid", "no such task")
	}
	row := t.row()
	row["status"] = "running"
	if t.Finished {
		row["status"], row["exitstatus"] = "stopped", t.Exit
	}
	return row, nil
}

func taskLog(c *call) (any, error) {
	t, _, err := c.findTask()
	if err != nil {
		return nil, err
	}
	lines := []string{"unable to open file - No such file or directory"}
	if t != nil {
		lines = t.Log
		if len(lines) == 0 {
			lines = []string{"no content"}
		}
	}
	start, limit := 0, 50
	if c.has("start") {
		start = c.num("start")
	}
	if c.has("limit") {
		limit = c.num("limit")
	}
	rows := []any{}
	for i, line := range lines {
		if i >= start && (limit == 0 || len(rows) < limit) {
			rows = append(rows, map[string]any{"n": i + 1, "t": line})
		}
	}
	return listing{data: rows, extra: map[string]any{"total": len(lines)}}, nil
}

func stopTask(c *call) (any, error) {
	t, asked, err := c.findTask()
	if err != nil {
		return nil, err
	}
	if asked.User != c.who.id() {
		if err := c.check("/nodes/"+c.node.Name, []string{"Sys.Modify"}, false); err != nil {
			return nil, err
		}
	}
	if t == nil {
		return nil, badParam("upid", "no such task")
	}
	if !t.Finished {
		t.Finished, t.cancelled, t.finish = true, true, nil
		t.End = c.s.clock.Now()
		t.outcome(nil)
		if vm := c.w.VMs[atoi(t.ID)]; vm != nil {
			vm.LockedUntil = t.End
		}
	}
	return nil, nil
}

func (c *call) taskWanted(t *Task, mayAll bool) bool {
	if !mayAll && !c.ownsTask(t) {
		return false
	}
	if c.has("vmid") && t.ID != c.str("vmid") || c.has("typefilter") && t.Type != c.str("typefilter") {
		return false
	}
	if c.has("since") && t.Start.Unix() < int64(c.num("since")) || c.has("until") && t.Start.Unix() > int64(c.num("until")) {
		return false
	}
	user, _, _ := strings.Cut(t.User, "!")
	if c.has("userfilter") && !strings.Contains(user, c.str("userfilter")) {
		return false
	}
	if c.flag("errors") && (t.Exit == "OK" || !t.Finished) {
		return false
	}
	if c.has("statusfilter") && !contains(splitList(c.str("statusfilter")), t.statusKind()) {
		return false
	}
	switch c.str("source") {
	case "active":
		return !t.Finished
	case "all":
		return true
	}
	return t.Finished
}

func (t *Task) statusKind() string {
	switch {
	case !t.Finished:
		return "unknown"
	case t.Exit == "OK":
		return "ok"
	case strings.HasPrefix(t.Exit, "WARNINGS: "):
		return "warning"
	}
	return "error"
}

func listTasks(c *call) (any, error) {
	mayAll := c.may("/nodes/"+c.node.Name, "Sys.Audit")
	start, limit := c.num("start"), 50
	if c.has("limit") {
		limit = c.num("limit")
	}
	rows, total := []any{}, 0
	for i := len(c.w.Tasks) - 1; i >= 0; i-- {
		t := c.w.Tasks[i]
		if t.Node != c.node.Name || !c.taskWanted(t, mayAll) {
			continue
		}
		total++
		if total > start && (limit == 0 || len(rows) < limit) {
			row := t.row()
			if t.Finished {
				row["status"], row["endtime"] = t.Exit, t.End.Unix()
			}
			rows = append(rows, row)
		}
	}
	if total == 0 {
		return rows, nil
	}
	return listing{data: rows, extra: map[string]any{"total": total}}, nil
}

func clusterTasks(c *call) (any, error) {
	rows := []any{}
	for i := len(c.w.Tasks) - 1; i >= 0 && len(rows) < 25; i-- {
		t := c.w.Tasks[i]
		if !c.ownsTask(t) && !c.may("/nodes/"+t.Node, "Sys.Audit") {
			continue
		}
		row := t.row()
		delete(row, "pid")
		delete(row, "pstart")
		if t.Finished {
			row["status"], row["endtime"], row["saved"] = t.Exit, t.End.Unix(), "1"
		}
		rows = append(rows, row)
	}
	return rows, nil
}
