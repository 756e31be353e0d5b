package host

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// bake makes a build directory that has an etcd of a tag; its catalogue may be of another one.
func bake(t *testing.T, dir, baked, catalogued string) {
	t.Helper()
	for name, content := range map[string]string{
		"catalogue.json":                         `{"releases":[{"version":"1.2.3","default":true,"kubeImage":"kube"}],"images":{"pause":"pause","etcd":"` + catalogued + `","berth":"berth","berth-node":"berth-node"}}`,
		"baked-management/images.txt":            "pause\nkube\nberth\nberth-node\n" + baked + "\n",
		"images/none":                            "",
		"rootfs/v1.2.3/usr/local/bin/berth-node": "",
	} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// A machine that starts again after a build has an etcd that it can start.
func TestMachineFitsTheBuild(t *testing.T) {
	paths, build := newPaths(t), t.TempDir()
	bake(t, build, "etcd:v1", "etcd:v1")
	artifacts, err := FindArtifacts(build)
	if err != nil {
		t.Fatal(err)
	}
	authority := []byte("ca")
	if err := os.WriteFile(filepath.Join(paths.berthPKI(), "ca.crt"), authority, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := writeMachine(paths, artifacts.Catalogue, authority); err != nil {
		t.Fatal(err)
	}
	s := supervisor{paths: paths, artifacts: artifacts}
	for _, c := range []struct {
		why, baked, catalogued, want string
	}{
		{"the build is what it was", "etcd:v1", "etcd:v1", "etcd:v1"},
		{"another one is on its way", "etcd:v2", "etcd:v1", ""},
		{"it is complete", "etcd:v2", "etcd:v2", "etcd:v2"},
		{"and is again", "etcd:v2", "etcd:v2", "etcd:v2"},
		{"that of before is made again", "etcd:v1", "etcd:v1", "etcd:v1"},
		{"one is on its way that has baked nothing yet", "etcd:v1", "etcd:v2", "etcd:v1"},
	} {
		bake(t, build, c.baked, c.catalogued)
		fitting, err := s.fitting()
		if (err == nil) != (c.want != "") {
			t.Errorf("%s: %v", c.why, err)
		}
		if err != nil {
			continue
		}
		s.artifacts = fitting
		raw, err := os.ReadFile(filepath.Join(paths.machine("kubernetes"), "manifests", "etcd.yaml"))
		if err != nil || !strings.Contains(string(raw), "image: "+c.want+"\n") {
			t.Errorf("%s: it is of %s (%v)", c.why, raw, err)
		}
	}
}
