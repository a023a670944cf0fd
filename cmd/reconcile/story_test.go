package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"sort"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/ustclug/pve-reconcile/internal/sim"
	"github.com/ustclug/pve-reconcile/internal/sim/zhost"
	"github.com/ustclug/pve-reconcile/internal/sim/zhost/reach"
	"github.com/ustclug/pve-reconcile/internal/state"
)

var update = flag.Bool("update", false, "rewrite the goldens of the stories")

func TestMain(m *testing.M) {
	if zhost.IsStub() {
		zhost.Stub()
	}
	if strings.HasPrefix(filepath.Base(os.Args[0]), "reconcile-") {
		main() // the program as it brings itself to a host
		return
	}
	testscript.Main(reach.Tests{M: m}, map[string]func(){"reconcile": func() {
		clock = storyClock
		main()
	}})
}

// TestStories runs testdata/script: the real binary against the simulator over real HTTPS and a real git repository.
// Words of the stories beside testscript's own:
//
//	sim [-real] [-pmxcfs] [FILE]     serve pve-5.world, with the sections of FILE ("== vm 300 pve-5 ==") put in; write config and
//	                       token. -real: tasks and delays take the time they take; -pmxcfs: as on a node of the cluster,
//	                       whose file system is the directory pve
//	commit MESSAGE         commit the directory repo
//	expect CODE ARG...  run the binary with the config file; the exit code must be CODE
//	pve METHOD PATH K=V... what an operator does: a call as root@pam, its answer on standard output
//	config VMID [key...]   the guest's config file, what PVE makes up masked
//	fault LINE             let something go wrong from now on
//	writes                 the changing calls since the last time asked
//	until [-not] PATTERN ARG...
//	                       run the binary with the config file, until its standard output matches
//	faultless              nothing goes wrong any more
//	sleep TIME             let time pass in which nothing may happen
//	signal NAME [DIR]      send TERM, HUP or KILL to the process that holds the lock of the state directory
//	newest N               put the first N digits of the newest commit of the directory repo into $NEWEST
//	port NAME              put a port of 127.0.0.1 that is free into $NAME
//	knock CODE URL KEY=V   POST an empty push with a header, until something answers; the status has to be CODE
//	cmpmask FILE WANT      compare with a golden in which commits and made-up MACs are masked
//	calls MAX              fail when more calls than MAX were made since the last time asked
func TestStories(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		UpdateScripts:       *update,
		RequireExplicitExec: true,
		Setup:               setup,
		Cmds: words(map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"sim": cmdSim, "commit": cmdCommit, "expect": cmdReconcile, "pve": cmdPVE, "config": cmdConfig,
			"fault": cmdFault, "writes": cmdWrites, "calls": cmdCalls, "subst": cmdSubst, "until": cmdUntil, "signal": cmdSignal, "sleep": cmdSleep,
			"faultless": func(ts *testscript.TestScript, _ bool, _ []string) { of(ts).server.ClearFaults() },
			"port":      cmdPort, "knock": cmdKnock, "newest": cmdNewest, "cmpmask": cmdCmpMask,
		}, hostWords, tellWords),
	})
}

// words puts tables of words together.
func words[F any](tables ...map[string]F) map[string]F {
	all := map[string]F{}
	for _, t := range tables {
		maps.Copy(all, t)
	}
	return all
}

// scene is what the words of one story share.
type scene struct {
	server   *sim.Server
	fleet    *zhost.Fleet // machines with ZFS
	env      *testscript.Env
	endpoint string
	client   *http.Client
	seen     int
	commits  int
	ahead    time.Duration // of PVE's clock
	systemd  *earshot
	posts    earshot
}

type sceneKey struct{}

func setup(env *testscript.Env) error {
	env.Values[sceneKey{}] = &scene{env: env}
	env.Setenv("GIT_CONFIG_GLOBAL", os.DevNull)
	env.Setenv("GIT_CONFIG_SYSTEM", os.DevNull)
	for _, who := range []string{"AUTHOR", "COMMITTER"} {
		env.Setenv("GIT_"+who+"_NAME", "Ann")
		env.Setenv("GIT_"+who+"_EMAIL", "ann@example.org")
	}
	for name, path := range map[string]string{"PVE5_WORLD": "internal/sim/testdata/pve-5.world", "EXAMPLE": "manifests/examples/pve-5", "DOCKER2_WORLD": "internal/sim/testdata/docker2.world", "DOCKER2": "cmd/reconcile/testdata/docker2.yaml"} {
		abs, err := filepath.Abs(filepath.Join("..", "..", path))
		if err != nil {
			return err
		}
		env.Setenv(name, abs)
	}
	env.Setenv("CLOSED", time.Now().AddDate(0, 0, 3).Format("Mon")+" 02:00-06:00 UTC") // a window that does not open today
	env.Setenv("OPEN", open(time.Now()))
	env.Setenv("CLOCK", filepath.Join(env.WorkDir, "clock"))
	env.Setenv("CONFIG", filepath.Join(env.WorkDir, "config.yaml"))
	return nil
}

// open is a window that began an hour ago and is open for two more.
func open(now time.Time) string {
	from := now.UTC().Add(-time.Hour)
	return from.Format("Mon 15:04-") + from.Add(3*time.Hour).Format("15:04 UTC")
}

func of(ts *testscript.TestScript) *scene { return ts.Value(sceneKey{}).(*scene) }

const (
	gitToken  = "reconcile@pve!git=2b4d7c1e-0000-4000-8000-000000000002"
	rootToken = "root@pam!recon=2b4d7c1e-0000-4000-8000-000000000001"
)

func cmdSim(ts *testscript.TestScript, _ bool, args []string) {
	text, err := os.ReadFile(ts.Getenv("PVE5_WORLD"))
	ts.Check(err)
	c := sim.Options{Seed: 1}
	cluster := ""
	for len(args) > 0 && strings.HasPrefix(args[0], "-") {
		switch args[0] {
		case "-real":
			c.Speed = 1
		case "-pmxcfs":
			c.PMXCFS, cluster = ts.MkAbs("pve"), ", pmxcfs: "+ts.MkAbs("pve")
		}
		args = args[1:]
	}
	for _, extra := range args {
		for line := range strings.Lines(ts.ReadFile(extra)) {
			if strings.HasPrefix(line, "== ") {
				line = strings.ReplaceAll(line, "==", "--")
			}
			text = append(text, line...)
		}
	}
	world, err := sim.ParseWorld(strings.NewReader(string(text)))
	ts.Check(err)
	s := of(ts)
	var hosts string
	c.Hosts, hosts = machines(ts, world)
	s.server = sim.New(world, c)
	s.endpoint, err = s.server.Listen("127.0.0.1:0")
	ts.Check(err)
	ts.Defer(func() { _ = s.server.Close() })
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(s.server.CertPEM())
	s.client = &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}}
	ts.Setenv("ENDPOINT", s.endpoint)
	ts.Setenv("FINGERPRINT", s.server.Fingerprint())
	ts.Check(os.WriteFile(ts.MkAbs("token"), []byte(gitToken+"\n"), 0o600))
	ts.Check(os.WriteFile(ts.MkAbs("config.yaml"), []byte(fmt.Sprintf(`apiVersion: pve.ustclug.org/v1alpha1
kind: Config
owner: ustclug
stateDir: %s
source: {url: %s, branch: main}
clusters:
  ustc: {endpoint: %q, fingerprint: %q, tokenFile: %s%s}
policies: {taskTimeout: 20s, shutdownTimeout: 5s}
retry: {first: 1s, max: 5s}
%s`, ts.MkAbs("state"), ts.MkAbs("repo"), s.endpoint, s.server.Fingerprint(), ts.MkAbs("token"), cluster, hosts)), 0o644))
}

func cmdCommit(ts *testscript.TestScript, _ bool, args []string) {
	repo := ts.MkAbs("repo")
	if _, err := os.Stat(filepath.Join(repo, ".git")); err != nil {
		ts.Check(os.MkdirAll(repo, 0o755))
		ts.Check(ts.Exec("git", "-C", repo, "init", "-q", "-b", "main"))
	}
	s := of(ts)
	s.commits++
	when := fmt.Sprintf("2026-01-01T00:%02d:00Z", s.commits)
	ts.Setenv("GIT_AUTHOR_DATE", when)
	ts.Setenv("GIT_COMMITTER_DATE", when)
	ts.Check(ts.Exec("git", "-C", repo, "add", "-A"))
	ts.Check(ts.Exec("git", "-C", repo, "commit", "-q", "--allow-empty", "-m", strings.Join(args, " ")))
}

func cmdReconcile(ts *testscript.TestScript, _ bool, args []string) {
	want, err := strconv.Atoi(args[0])
	if err != nil {
		ts.Fatalf("expect CODE ARG...: %v", err)
	}
	args = args[1:]
	if slices.Contains([]string{"--once", "plan", "status", "diff", "why", "import", "events", "trigger", "suspend", "resume", "ack", "hook"}, args[0]) && !slices.Contains(args, "--config") {
		args = append(args, "--config", ts.Getenv("CONFIG"))
	}
	code := 0
	if err := ts.Exec("reconcile", args...); err != nil {
		var exit *exec.ExitError
		if !errors.As(err, &exit) {
			ts.Fatalf("%v", err)
		}
		code = exit.ExitCode()
	}
	if code != want {
		ts.Fatalf("exit code %d, want %d", code, want)
	}
}

// patience is how long a story waits for what has to happen; it is only used up when it does not.
const patience = 2 * time.Minute

func cmdUntil(ts *testscript.TestScript, _ bool, args []string) {
	neg := args[0] == "-not"
	if neg {
		args = args[1:]
	}
	want, err := regexp.Compile("(?m)" + args[0])
	ts.Check(err)
	if args = args[1:]; !slices.Contains(args, "--config") {
		args = append(args, "--config", ts.Getenv("CONFIG"))
	}
	for began := time.Now(); ; time.Sleep(50 * time.Millisecond) {
		_ = ts.Exec("reconcile", args...) // its exit code says how things stand
		if want.MatchString(ts.ReadFile("stdout")) != neg {
			return
		}
		if time.Since(began) > patience {
			ts.Fatalf("%q never came in:\n%s%s", args[0], ts.ReadFile("stdout"), ts.ReadFile("stderr"))
		}
	}
}

func cmdSignal(ts *testscript.TestScript, _ bool, args []string) {
	var holder state.Holder
	dir := "state"
	if len(args) > 1 {
		dir = args[1]
	}
	ts.Check(json.Unmarshal([]byte(ts.ReadFile(dir+"/lock")), &holder))
	process, err := os.FindProcess(holder.PID)
	ts.Check(err)
	ts.Check(process.Signal(map[string]os.Signal{"TERM": syscall.SIGTERM, "HUP": syscall.SIGHUP, "KILL": syscall.SIGKILL}[args[0]]))
}

func cmdSleep(ts *testscript.TestScript, _ bool, args []string) {
	d, err := time.ParseDuration(args[0])
	ts.Check(err)
	time.Sleep(d)
}

// call is one request as root@pam.
func (s *scene) call(method, path string, form url.Values) (int, string, error) {
	req, err := http.NewRequestWithContext(context.Background(), method, s.endpoint+"/api2/json"+path, strings.NewReader(form.Encode()))
	if err != nil {
		return 0, "", err
	}
	req.Header.Set("Authorization", "PVEAPIToken="+rootToken)
	if method != http.MethodGet && method != http.MethodDelete {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	res, err := s.client.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	return res.StatusCode, res.Status + "\n" + string(body), err
}

func cmdPVE(ts *testscript.TestScript, neg bool, args []string) {
	form := url.Values{}
	for _, kv := range args[2:] {
		k, v, _ := strings.Cut(kv, "=")
		form.Set(k, v)
	}
	code, text, err := of(ts).call(args[0], args[1], form)
	if err != nil && neg {
		return // nobody answers
	}
	ts.Check(err)
	if (code == http.StatusOK) == neg {
		ts.Fatalf("pve %s %s: %s", args[0], args[1], text)
	}
	fmt.Fprintln(ts.Stdout(), text)
	of(ts).mark()
}

func cmdConfig(ts *testscript.TestScript, _ bool, args []string) {
	vmid, err := strconv.Atoi(args[0])
	ts.Check(err)
	w := of(ts).server.Dump()
	v, ok := w.VMs[vmid]
	fmt.Fprint(ts.Stdout()) // nothing found is an empty answer, not the one before
	if !ok {
		fmt.Fprintln(ts.Stdout(), "no guest", vmid)
		return
	}
	for line := range strings.Lines(v.Config()) {
		key, _, _ := strings.Cut(line, ":")
		if key == "vmgenid" || key == "meta" {
			line = key + ": MADE-UP\n"
		}
		line = generatedMAC.ReplaceAllString(line, "BC:24:11:xx:xx:xx")
		if len(args) == 1 || slices.Contains(args[1:], key) {
			fmt.Fprint(ts.Stdout(), line)
		}
	}
}

// generatedMAC is one PVE made up; the stories' own begin with BC:24:11:00.
var generatedMAC = regexp.MustCompile(`BC:24:11:([1-9A-F][0-9A-F]|0[1-9A-F]):[0-9A-F]{2}:[0-9A-F]{2}`)

func cmdFault(ts *testscript.TestScript, _ bool, args []string) {
	faults, err := sim.ReadFaults(strings.NewReader(strings.Join(args, " ")))
	ts.Check(err)
	for _, f := range faults {
		of(ts).server.AddFault(f)
	}
}

// mark forgets the calls made so far.
func (s *scene) mark() { s.seen = len(s.server.Requests()) }

func (s *scene) since() []sim.Request {
	all := s.server.Requests()
	out := all[s.seen:]
	s.seen = len(all)
	return out
}

func cmdWrites(ts *testscript.TestScript, _ bool, _ []string) {
	fmt.Fprint(ts.Stdout())
	var lines []string
	for _, r := range of(ts).since() {
		if r.Method == http.MethodGet {
			continue
		}
		var params []string
		for k, v := range r.Params {
			if k == "digest" {
				v = "DIGEST"
			}
			params = append(params, k+"="+v)
		}
		sort.Strings(params)
		lines = append(lines, strings.TrimSpace(fmt.Sprintf("%s %s %d %s", r.Method, r.Path, r.Status, strings.Join(params, " "))))
	}
	fmt.Fprint(ts.Stdout(), strings.Join(append(lines, ""), "\n"))
}

func cmdCalls(ts *testscript.TestScript, _ bool, args []string) {
	most, err := strconv.Atoi(args[0])
	ts.Check(err)
	if n := len(of(ts).since()); n > most {
		ts.Fatalf("%d calls, at most %d are allowed", n, most)
	}
}

func cmdNewest(ts *testscript.TestScript, _ bool, args []string) {
	n, err := strconv.Atoi(args[0])
	ts.Check(err)
	out, err := exec.Command("git", "-C", ts.MkAbs("repo"), "rev-parse", "HEAD").Output()
	ts.Check(err)
	ts.Setenv("NEWEST", string(out[:n]))
}

func cmdPort(ts *testscript.TestScript, _ bool, args []string) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	ts.Check(err)
	_, port, err := net.SplitHostPort(l.Addr().String())
	ts.Check(err)
	ts.Check(l.Close())
	ts.Setenv(args[0], port)
}

func cmdKnock(ts *testscript.TestScript, _ bool, args []string) {
	key, value, _ := strings.Cut(args[2], "=")
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) {
		q, err := http.NewRequestWithContext(context.Background(), http.MethodPost, args[1], strings.NewReader("{}"))
		ts.Check(err)
		q.Header.Set(key, value)
		res, err := http.DefaultClient.Do(q)
		if err != nil && time.Now().Before(deadline) {
			continue // nobody listens yet
		}
		ts.Check(err)
		body, err := io.ReadAll(res.Body)
		ts.Check(err)
		ts.Check(res.Body.Close())
		if strconv.Itoa(res.StatusCode) != args[0] || len(body) > 0 {
			ts.Fatalf("answered %s %q, want %s and nothing", res.Status, body, args[0])
		}
		return
	}
}

var shortCommit = regexp.MustCompile(`\b[0-9a-f]{10}\b`)

func cmdCmpMask(ts *testscript.TestScript, _ bool, args []string) {
	have := shortCommit.ReplaceAllString(ts.ReadFile(args[0]), "COMMIT")
	have = generatedMAC.ReplaceAllString(have, "BC:24:11:xx:xx:xx")
	if want := ts.ReadFile(args[1]); have != want {
		ts.Fatalf("have\n%s\nwant\n%s", have, want)
	}
}

// cmdSubst replaces text in a file: subst FILE OLD NEW.
func cmdSubst(ts *testscript.TestScript, _ bool, args []string) {
	text := ts.ReadFile(args[0])
	if !strings.Contains(text, args[1]) {
		ts.Fatalf("%s does not hold %q", args[0], args[1])
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(strings.ReplaceAll(text, args[1], args[2])), 0o644))
}
