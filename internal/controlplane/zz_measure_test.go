package controlplane

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
	"syscall"
)

func cpu(pid int) time.Duration {
	raw, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	f := strings.Fields(string(raw[strings.LastIndex(string(raw), ")")+2:]))
	var u, s int64
	fmt.Sscan(f[11], &u); fmt.Sscan(f[12], &s)
	return time.Duration(u+s) * 10 * time.Millisecond
}

func TestMeasure(t *testing.T) {
	h := startHosted(t)
	fmt.Printf("ready %.2fs cpu kube %.2fs etcd %.2fs pss %d MiB\n", h.ready.Seconds(), cpu(h.kube.PID()).Seconds(), cpu(h.etcd.PID()).Seconds(), pss(t, h.kube.PID())>>20)
	time.Sleep(25 * time.Second)
	a, b := cpu(h.kube.PID()), cpu(h.etcd.PID())
	fmt.Printf("after 25s: cpu %.2fs pss %d+%d MiB\n", a.Seconds(), pss(t, h.kube.PID())>>20, pss(t, h.etcd.PID())>>20)
	if os.Getenv("IDLE") != "" {
	time.Sleep(60 * time.Second)
	fmt.Printf("idle: kube %.1f mCPU etcd %.1f mCPU pss %d+%d\n", float64((cpu(h.kube.PID())-a).Milliseconds())/60, float64((cpu(h.etcd.PID())-b).Milliseconds())/60, pss(t, h.kube.PID())>>20, pss(t, h.etcd.PID())>>20)
	}
	s := time.Now()
	syscall.Kill(h.kube.PID(), syscall.SIGTERM)
	select { case <-h.kube.Ended(): case <-time.After(70*time.Second): }
	fmt.Printf("term took %.2fs\n", time.Since(s).Seconds())
	raw, _ := os.ReadFile(h.dir+"/kube.log")
	os.WriteFile("/tmp/kb/kube.log", raw, 0o644)
}
