package backup_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"berth.dev/berth/internal/backup"
)

// Backups go to S3 and come back from it, also when it was away in between.
func TestRecordedInS3IsRecovered(t *testing.T) {
	server, b := newS3(t), newBed(t, 0)
	server.start(b)
	server.recordsAndRecovers(b)
	t.Setenv("AWS_SECRET_ACCESS_KEY", "of-somebody-else")
	if err := backup.Purge(t.Context(), server.url, clusterID, time.Now(), false); err == nil || strings.Contains(err.Error(), "of-somebody-else") {
		t.Errorf("a stranger: %v", err)
	}
	t.Setenv("AWS_SECRET_ACCESS_KEY", server.secret)
	server.isPurged()
}

// newS3 builds the server that test/stores pins. Whoever opens a store has its credentials.
func newS3(t *testing.T) *remote {
	t.Helper()
	if testing.Short() {
		t.Skip("it builds an S3 server")
	}
	program, root := filepath.Join(t.TempDir(), "versitygw"), t.TempDir()
	build := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-o", program, "github.com/versity/versitygw/cmd/versitygw")
	build.Dir = "../../test/stores"
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build an S3 server: %v\n%s", err, out)
	}
	if err := os.Mkdir(filepath.Join(root, "backups"), 0o755); err != nil {
		t.Fatal(err)
	}
	const user, secret = "berth", "c2VjcmV0IG9mIHRoaXMgdGVzdA=="
	t.Setenv("AWS_ACCESS_KEY_ID", user)
	t.Setenv("AWS_SECRET_ACCESS_KEY", secret)
	address := freeAddress(t)
	return &remote{
		t: t, address: address, secret: secret,
		argv:        []string{program, "--port", address, "--quiet", "posix", "--nometa", root},
		environment: []string{"ROOT_ACCESS_KEY=" + user, "ROOT_SECRET_KEY=" + secret},
		url:         "s3://backups?region=us-east-1&use_path_style=true&disable_https=true&response_checksum_validation=when_required&endpoint=http://" + address,
	}
}
