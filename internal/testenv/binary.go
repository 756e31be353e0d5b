package testenv

import (
	"fmt"
	"os"
	"path/filepath"
)

// Programs that tests run, as paths below build/out.
const (
	Etcd         = "etcd"
	EtcdSnapshot = "etcd-snapshot"
	Kube         = "kube-1.37"
)

// overrides let a test run before the build has put a program in its place.
var overrides = map[string]string{Etcd: "BERTH_TEST_ETCD", EtcdSnapshot: "BERTH_TEST_ETCD_SNAPSHOT", Kube: "BERTH_TEST_KUBE"}

// Binary finds a program. The error names what is missing and how to make it.
func Binary(name string) (string, error) {
	if path := os.Getenv(overrides[name]); path != "" {
		return path, nil
	}
	root, err := moduleRoot()
	if err != nil {
		return "", err
	}
	path := filepath.Join(root, "build", "out", name)
	if _, err := os.Stat(path); err != nil {
		return "", fmt.Errorf("program %s is missing (make build): %w", name, err)
	}
	return path, nil
}

func moduleRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("working directory: %w", err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", fmt.Errorf("no go.mod above the working directory")
		}
		dir = parent
	}
}
