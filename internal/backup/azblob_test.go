package backup_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob"

	"berth.dev/berth/internal/backup"
)

// Backups go to Azure Blob Storage and come back from it, also when it was away in between.
// The server is Microsoft's Azurite.
func TestRecordedInAzureBlobIsRecovered(t *testing.T) {
	server, b := newAzurite(t), newBed(t, 0)
	server.start(b)
	key, err := azblob.NewSharedKeyCredential(os.Getenv("AZURE_STORAGE_ACCOUNT"), os.Getenv("AZURE_STORAGE_KEY"))
	if err != nil {
		t.Fatal(err)
	}
	service, err := azblob.NewClientWithSharedKeyCredential("http://"+server.address+"/"+os.Getenv("AZURE_STORAGE_ACCOUNT"), key, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := backup.Parts(t.Context(), server.url); err == nil || !strings.HasSuffix(err.Error(), "ContainerNotFound (HTTP status 404)") {
		t.Errorf("a container that is not there: %v", err)
	}
	if _, err := service.CreateContainer(t.Context(), "backups", nil); err != nil {
		t.Fatal(err)
	}
	server.recordsAndRecovers(b)
	server.isPurged()
}

// newAzurite installs the server that test/stores/azurite pins. Whoever opens a store has
// its credentials.
func newAzurite(t *testing.T) *remote {
	t.Helper()
	if testing.Short() {
		t.Skip("it installs Azurite with npm, 360 MB")
	}
	for _, name := range []string{"node", "npm"} {
		if _, err := exec.LookPath(name); err != nil {
			t.Skipf("%s is not installed: apt-get install nodejs npm", name)
		}
	}
	dir, address := t.TempDir(), freeAddress(t)
	if err := os.CopyFS(dir, os.DirFS("../../test/stores/azurite")); err != nil {
		t.Fatal(err)
	}
	install := exec.CommandContext(t.Context(), "npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts")
	install.Dir = dir
	if out, err := install.CombinedOutput(); err != nil {
		t.Fatalf("npm ci: %v\n%s", err, out)
	}
	const account, key = "berth", "c2VjcmV0IG9mIHRoaXMgdGVzdA=="
	t.Setenv("AZURE_STORAGE_ACCOUNT", account)
	t.Setenv("AZURE_STORAGE_KEY", key)
	host, port := address[:len("127.0.0.1")], address[len("127.0.0.1:"):]
	return &remote{
		t: t, address: address, secret: key,
		argv: []string{"node", filepath.Join(dir, "node_modules/azurite/dist/src/blob/main.js"), "--blobHost", host, "--blobPort", port,
			"--location", t.TempDir(), "--silent", "--disableTelemetry", "--skipApiVersionCheck"},
		environment: []string{"AZURITE_ACCOUNTS=" + account + ":" + key},
		url:         "azblob://backups?protocol=http&localemu=true&domain=" + address,
	}
}
