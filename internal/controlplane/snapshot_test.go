package controlplane

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"berth.dev/berth/internal/testenv"
)

// A snapshot of a running control plane's etcd brings back what was there when it
// was taken, and nothing that came later; with the commands as they are rendered.
func TestSnapshotBringsBackWhatWas(t *testing.T) {
	tool := testenv.Program(t, testenv.EtcdSnapshot)
	h := startHosted(t)
	in := testInput()
	in.EtcdAddress = "127.0.0.1"
	run := func(pod *corev1.Pod) (string, error) {
		var args []string
		for _, arg := range pod.Spec.Containers[0].Args {
			args = append(args, h.move.Replace(arg))
		}
		out, err := exec.Command(tool, args...).CombinedOutput()
		return string(out), err
	}
	must := func(pod *corev1.Pod) {
		t.Helper()
		if out, err := run(pod); err != nil {
			t.Fatalf("%s: %v\n%s", pod.Name, err, out)
		}
	}
	clients := kubernetes.NewForConfigOrDie(h.config)
	put := func(name string) {
		t.Helper()
		object := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name}}
		if _, err := clients.CoreV1().ConfigMaps("default").Create(t.Context(), object, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	put("before")
	must(EtcdSnapshotPod(in, "older.db"))
	must(EtcdSnapshotPod(in, "newer.db"))
	saved := filepath.Join(h.dir, "etcd", "snapshots")
	if names := listed(t, saved); len(names) != 1 || names[0] != "newer.db" {
		t.Errorf("snapshots %v: only the newest is kept, the volume has no room for more", names)
	}
	put("after")
	must(EtcdSnapshotPod(in, "newer.db"))

	h.kube.Stop()
	h.etcd.Stop()
	damaged(t, filepath.Join(saved, "damaged.db"), filepath.Join(saved, "newer.db"))
	if out, err := run(EtcdRestorePod(in, "damaged.db")); err == nil || !strings.Contains(out, "damaged") {
		t.Errorf("a damaged snapshot is restored: %v %s", err, out)
	}
	must(EtcdRestorePod(in, "newer.db"))
	h.startProcesses(t)
	if _, err := clients.CoreV1().ConfigMaps("default").Get(t.Context(), "before", metav1.GetOptions{}); err != nil {
		t.Errorf("what was saved is lost: %v", err)
	}
	_, err := clients.CoreV1().ConfigMaps("default").Get(t.Context(), "after", metav1.GetOptions{})
	if !apierrors.IsNotFound(err) {
		t.Errorf("what came after a snapshot is there, so that saving it twice was no repetition: %v", err)
	}

	// A controller that died asks once more, when etcd has gone on already.
	put("since")
	h.kube.Stop()
	h.etcd.Stop()
	must(EtcdRestorePod(in, "newer.db"))
	h.startProcesses(t)
	if _, err := clients.CoreV1().ConfigMaps("default").Get(t.Context(), "since", metav1.GetOptions{}); err != nil {
		t.Errorf("a restore that is asked for again loses what was written since: %v", err)
	}
}

func listed(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, entry := range entries {
		names = append(names, entry.Name())
	}
	return names
}

// damaged copies a file with one bit of it turned.
func damaged(t *testing.T, to, from string) {
	t.Helper()
	raw, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	raw[len(raw)/2] ^= 1
	if err := os.WriteFile(to, raw, 0o600); err != nil {
		t.Fatal(err)
	}
}
