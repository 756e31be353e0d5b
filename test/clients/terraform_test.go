package clients

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"berth.dev/berth/internal/arm/armtest"
)

// TestTerraformsClientLayer runs the program in terraform/. It is a module of its
// own, so that what it needs stays out of Berth's go.mod, and a process of its own
// because the client layer trusts only the system's authorities: SSL_CERT_FILE is
// what a user of Terraform sets too.
func TestTerraformsClientLayer(t *testing.T) {
	if testing.Short() {
		t.Skip("it builds a program, and Terraform polls a delete every ten seconds")
	}
	program := filepath.Join(t.TempDir(), "terraform")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", program, ".")
	build.Dir = "terraform"
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	w := armtest.New(t)
	w.Run(t)
	command := exec.CommandContext(t.Context(), program)
	command.Env = append(os.Environ(), "SSL_CERT_FILE="+w.CAFile, "ARM_METADATA_HOSTNAME="+strings.TrimPrefix(w.Server.URL, "https://"),
		"ARM_TENANT_ID="+armtest.TenantID, "ARM_CLIENT_ID="+armtest.ClientID, "ARM_CLIENT_SECRET="+armtest.ClientSecret,
		"ARM_SUBSCRIPTION_ID="+armtest.Subscription)
	if out, err := command.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}
