package node

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"berth.dev/berth/internal/node/supervise"
)

var problemNow = time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)

func unwell(ago time.Duration) supervise.Health {
	return supervise.Health{UnwellSince: problemNow.Add(-ago), Why: "no answer"}
}

func startedAgo(ago ...time.Duration) supervise.Health {
	health := supervise.Health{}
	for _, a := range ago {
		health.Starts = append(health.Starts, problemNow.Add(-a))
	}
	return health
}

func TestFindings(t *testing.T) {
	on := func(err error) map[string]error { return map[string]error{"/var/lib/kubelet": err} }
	minutes := func(n ...int) supervise.Health {
		var ago []time.Duration
		for _, m := range n {
			ago = append(ago, time.Duration(m)*time.Minute)
		}
		return startedAgo(ago...)
	}
	for _, c := range []struct {
		why  string
		seen symptoms
		want []string
	}{
		{"a machine that is well", symptoms{Kubelet: minutes(60), Containerd: minutes(60), Disk: on(nil), Asks: true}, nil},
		{"a kubelet that is down for a moment", symptoms{Kubelet: unwell(29 * time.Second)}, nil},
		{"a kubelet that is down", symptoms{Kubelet: unwell(30 * time.Second)}, []string{"KubeletProblem"}},
		{"containerd hangs", symptoms{Containerd: unwell(time.Minute)}, []string{"ContainerRuntimeProblem"}},
		{"the first start is no restart", symptoms{Kubelet: minutes(9, 8, 7, 6, 5)}, nil},
		{"a kubelet that starts again and again", symptoms{Kubelet: minutes(60, 9, 8, 7, 6, 5)}, []string{"FrequentKubeletRestart"}},
		{"restarts of long ago", symptoms{Kubelet: minutes(60, 59, 58, 57, 56, 55)}, nil},
		{"containerd starts again and again", symptoms{Containerd: minutes(60, 9, 8, 7, 6, 5)}, []string{"FrequentContainerdRestart"}},
		{"a read-only disk", symptoms{Disk: on(&fs.PathError{Op: "open", Path: "p", Err: syscall.EROFS})}, []string{"ReadonlyFilesystem"}},
		{"a disk that hangs", symptoms{Disk: on(fmt.Errorf("%w since then", errDiskHangs))}, []string{"ReadonlyFilesystem"}},
		{"a damaged disk", symptoms{Disk: on(fmt.Errorf("write: %w", syscall.EUCLEAN))}, []string{"FilesystemCorruptionProblem"}},
		{"a disk that fails", symptoms{Disk: on(syscall.EIO)}, []string{"FilesystemCorruptionProblem"}},
		{"a full disk is DiskPressure, which is the kubelet's", symptoms{Disk: on(syscall.ENOSPC)}, nil},
		{"a task that does not get on", symptoms{Hung: "task tar:40 blocked for more than 120 seconds"}, []string{"KernelDeadlock"}},
		{"a registry that was away for a moment", symptoms{Asks: true, Unreached: 2, Egress: errors.New("timeout")}, nil},
		{"a registry that cannot be reached", symptoms{Asks: true, Unreached: 3, Egress: errors.New("timeout")}, []string{"EgressBlocked"}},
	} {
		var got []string
		for _, f := range findings(c.seen, nil, problemNow) {
			if f.Problem {
				got = append(got, f.Type)
			}
			if f.Reason == "" || f.Message == "" || !slices.Contains(ProblemConditions(), f.Type) {
				t.Errorf("%s: %+v", c.why, f)
			}
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", c.why, got, c.want)
		}
	}
	if all := findings(symptoms{Asks: true}, nil, problemNow); len(all) != len(ProblemConditions()) {
		t.Errorf("%d findings, %d conditions", len(all), len(ProblemConditions()))
	}
}

// A service that has been unwell for a moment is what was said of it last: after a reboot
// nothing, so that the Node keeps what it had.
func TestAMomentChangesNothing(t *testing.T) {
	kubelet := func(found []finding) finding {
		if at := indexOf(found, conditionKubelet); at >= 0 {
			return found[at]
		}
		return finding{}
	}
	moment := symptoms{Kubelet: unwell(5 * time.Second)}
	if first := kubelet(findings(moment, nil, problemNow)); first != (finding{}) {
		t.Errorf("before it ever answered: %+v", first)
	}
	for _, seen := range []symptoms{{}, {Kubelet: unwell(time.Hour)}} {
		said := findings(seen, nil, problemNow)
		if now := kubelet(findings(moment, said, problemNow)); now != kubelet(said) || now.Reason == "" {
			t.Errorf("%+v was said, and now %+v", kubelet(said), now)
		}
	}
}

// What is seen gets to the Node's status in one patch, again when it changes and not
// each time that somebody looks.
func TestProblemsAreReported(t *testing.T) {
	var patches []map[string]nodeCondition
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPatch || r.URL.Path != "/api/v1/nodes/n1/status" || r.Header.Get("Content-Type") != "application/strategic-merge-patch+json" {
			t.Errorf("%s %s (%s)", r.Method, r.URL.Path, r.Header.Get("Content-Type"))
		}
		var patch nodeConditions
		if err := json.NewDecoder(r.Body).Decode(&patch); err != nil {
			t.Error(err)
		}
		byType := map[string]nodeCondition{}
		for _, c := range patch.Status.Conditions {
			byType[c.Type] = c
		}
		patches = append(patches, byType)
		_, _ = io.WriteString(w, "{}")
	}))
	defer server.Close()
	var log bytes.Buffer
	m := &machine{config: Config{NodeName: "n1", KubeconfigFile: kubeconfigOf(t, server)}, lines: supervise.NewLines(&log)}
	w := newProblemWatch(m, services{kubelet: &supervise.Service{}, containerd: &supervise.Service{}})
	w.tasks.proc = t.TempDir()
	w.look(t.Context())
	w.look(t.Context())
	if len(patches) != 1 || len(patches[0]) != len(ProblemConditions())-1 || patches[0]["ReadonlyFilesystem"].Status != "False" {
		t.Fatalf("after two looks at a machine that is well: %v", patches)
	}
	w.disks.last["/var/log"] = syscall.EROFS
	w.look(t.Context())
	if last := patches[len(patches)-1]["ReadonlyFilesystem"]; len(patches) != 2 || last.Status != "True" || !strings.Contains(last.Message, "/var/log") {
		t.Errorf("a disk became read-only: %+v", patches)
	}
	for n := range hungLooks {
		fakeProc(t, w.tasks.proc, fakeTask{process: 40, task: 40, name: "tar", state: "D"})
		w.tasks.look(problemNow.Add(time.Duration(n) * tasksEvery))
	}
	w.look(t.Context())
	if last := patches[len(patches)-1]["KernelDeadlock"]; len(patches) != 3 || last.Status != "True" || last.Reason != "TaskHung" || !strings.Contains(last.Message, "tar:40") {
		t.Errorf("a task hangs: %+v", patches)
	}
	if !strings.Contains(log.String(), "ReadonlyFilesystem is true") {
		t.Errorf("the machine's log is %q", log.String())
	}
	if !w.since["ReadonlyFilesystem"].After(w.since["KubeletProblem"]) {
		t.Errorf("since %v", w.since)
	}
	server.Close()
	delete(w.disks.last, "/var/log")
	w.look(t.Context())
	if w.said[slices.IndexFunc(w.said, func(f finding) bool { return f.Type == "ReadonlyFilesystem" })].Problem != true {
		t.Error("what was not heard is taken for said")
	}
}

func TestReach(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := "https://" + listener.Addr().String()
	if err := reach(t.Context(), address); err != nil {
		t.Error(err)
	}
	_ = listener.Close()
	if err := reach(t.Context(), address); err == nil {
		t.Error("nobody listens, and is reached")
	}
}
