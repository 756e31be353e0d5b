package main

import (
	"fmt"
	"os/exec"
	"strings"
	"testing"
)

// Damage is replaced by what is older; trouble of the machine must not be.
func TestJudge(t *testing.T) {
	exit := exec.Command("false").Run()
	killed := exec.Command("sh", "-c", "kill -9 $$").Run()
	starting := answer{Stage: "start etcd"}
	for _, c := range []struct {
		why             string
		last            answer
		ended           error
		said            string
		damage, trouble string
	}{
		{"sound", answer{Result: &content{Keys: 3}}, nil, "", "", ""},
		{"what the child found", answer{Damage: "start etcd: crc mismatch"}, nil, "", "start etcd: crc mismatch", ""},
		{"etcd exits", starting, exit, `{"level":"fatal","msg":"failed to read WAL","error":"crc mismatch","key":"secret"}`, "start etcd: failed to read WAL: crc mismatch", ""},
		{"Go panics", starting, exit, "panic: page 7 is no page\n\ngoroutine 1 [running]:\n", "start etcd: page 7 is no page", ""},
		{"a mapped file is too short", starting, exit, "unexpected fault address 0x7f\nfatal error: fault\n", "start etcd: fault", ""},
		{"etcd exits and says nothing", starting, exit, "", "start etcd: etcd ended", ""},
		{"the disk is full", starting, exit, `{"level":"fatal","msg":"failed to create WAL","error":"write /x: no space left on device"}`, "", "no space left on device"},
		{"the volume is read-only", answer{Error: "start etcd: read-only file system"}, nil, "", "", "read-only file system"},
		{"the memory is too small", starting, exit, "fatal error: runtime: out of memory\n", "", "out of memory"},
		{"the kernel killed it", starting, killed, "", "", "killed"},
		{"another etcd runs", answer{Error: "check the database: " + errInUse.Error()}, nil, "", "", errInUse.Error()},
	} {
		found, err := judge(c.last, c.ended, c.said)
		if found.damage != c.damage || (err != nil) != (c.trouble != "") || !strings.Contains(fmt.Sprint(err), c.trouble) {
			t.Errorf("%s: damage %q, error %v", c.why, found.damage, err)
		}
	}
}

// An etcd that runs holds its files: they are not examined, and not lost.
func TestRunningEtcdIsNotLost(t *testing.T) {
	dir := t.TempDir() + "/data"
	startEtcd(t, dir)
	found, err := runChild(t.Context(), "examine", examination{DataDir: dir, Name: "etcd-0"})
	if err == nil || found.damage != "" || !strings.Contains(err.Error(), errInUse.Error()) {
		t.Errorf("damage %q, error %v", found.damage, err)
	}
}
