package controlplane

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"testing"

	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"
)

var update = flag.Bool("update", false, "write the golden files")

// The whole rendering, so that a change of it is seen for what it is.
func TestGolden(t *testing.T) {
	golden(t, "foundation.yaml", Foundation(testInput()))
	golden(t, "workloads.yaml", Workloads(testInput()))
	in := testInput()
	in.Trial = "kube:v2"
	golden(t, "upgrade.yaml", []client.Object{EtcdSnapshotPod(in, "before.db"), KubeTrialPod(in), EtcdRestorePod(in, "before.db")})
	in.BackupAddress = "100.65.0.9"
	golden(t, "recovery.yaml", []client.Object{EtcdRecoverPod(in, "recovery-1", 0, true), EtcdProvePod(in, "proof-1")})

	in = standardInput()
	golden(t, "standard.yaml", append(Foundation(in), Workloads(in)...))
	in.Trial, in.BackupAddress = "kube:v2", "100.65.0.9"
	golden(t, "standard-pods.yaml", []client.Object{KubeTrialPod(in), EtcdRestorePod(in, "before.db"), EtcdRecoverPod(in, "recovery-1", 2, true)})
}

// standardInput is a highly available control plane.
func standardInput() Input {
	in := testInput()
	in.Members, in.Replicated, in.Initialized, in.MemberRevision = Replicas, true, true, "2"
	in.MemberAddresses = []string{"100.65.0.30", "100.65.0.31", "100.65.0.32"}
	return in
}

func golden(t *testing.T, name string, objects []client.Object) {
	t.Helper()
	var got bytes.Buffer
	for _, object := range objects {
		raw, err := yaml.Marshal(object)
		if err != nil {
			t.Fatal(err)
		}
		got.WriteString("---\n")
		got.Write(raw)
	}
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, got.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got.Bytes(), want) {
		t.Errorf("%s is rendered differently; look at the change and run go test -update\n%s", name, firstDifference(got.Bytes(), want))
	}
}

func firstDifference(got, want []byte) string {
	g, w := bytes.Split(got, []byte("\n")), bytes.Split(want, []byte("\n"))
	for i := range min(len(g), len(w)) {
		if !bytes.Equal(g[i], w[i]) {
			return "got:  " + string(g[i]) + "\nwant: " + string(w[i])
		}
	}
	return "one is longer"
}
