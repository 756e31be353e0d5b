package main

import (
	"os"
	"strings"
	"testing"

	"go.etcd.io/etcd/client/pkg/v3/fileutil"
)

// A recovery that meets an etcd that runs on the data, or another recovery, changes nothing.
func testInUse(t *testing.T, p *past) {
	s := p.stage(t).empty()
	held, err := fileutil.TryLockFile(s.dir+".lock", os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.try(); err == nil || !strings.Contains(err.Error(), errInUse.Error()) {
		t.Errorf("beside whoever has the data: %v", err)
	}
	if _, err := os.Stat(s.dir); !os.IsNotExist(err) {
		t.Errorf("data were put back beside whoever has them: %v", err)
	}
	if err := held.Close(); err != nil {
		t.Fatal(err)
	}
	if said := s.run(); !said.Restored {
		t.Errorf("after that: %+v", said)
	}
}
