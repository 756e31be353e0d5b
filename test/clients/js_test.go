package clients

import (
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/resources/armresources"

	"berth.dev/berth/internal/arm/armtest"
)

// oldestNode is what the JavaScript SDK asks for.
const oldestNode = 20

// TestJavaScriptSDK runs js/lifecycle.mjs with the environment of `berth env`.
func TestJavaScriptSDK(t *testing.T) {
	if testing.Short() {
		t.Skip("it installs 46 packages with npm")
	}
	needNode(t)
	w := armtest.New(t)
	w.Run(t)
	credential, options := login(t, w, armtest.TenantID)
	groups, err := armresources.NewResourceGroupsClient(armtest.Subscription, credential, options)
	must(t, err)
	_, err = groups.CreateOrUpdate(t.Context(), "rg1", armresources.ResourceGroup{Location: to.Ptr(armtest.Location)}, nil)
	must(t, err)

	dir := t.TempDir()
	must(t, os.CopyFS(dir, os.DirFS("js")))
	inDir(t, dir, os.Environ(), "npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts")
	inDir(t, dir, append(os.Environ(),
		"AZURE_TENANT_ID="+armtest.TenantID, "AZURE_CLIENT_ID="+armtest.ClientID, "AZURE_CLIENT_SECRET="+armtest.ClientSecret,
		"AZURE_SUBSCRIPTION_ID="+armtest.Subscription, "AZURE_AUTHORITY_HOST="+w.Server.URL+"/",
		"BERTH_ENDPOINT="+w.Server.URL, "NODE_EXTRA_CA_CERTS="+w.CAFile,
	), "node", "lifecycle.mjs")
}

// needNode skips the test on a machine without what runs JavaScript.
func needNode(t *testing.T) {
	t.Helper()
	for _, name := range []string{"node", "npm"} {
		if _, err := exec.LookPath(name); err != nil {
			t.Skipf("%s is not installed: apt-get install nodejs npm, Node.js %d or newer", name, oldestNode)
		}
	}
	out, err := exec.CommandContext(t.Context(), "node", "--version").Output()
	must(t, err)
	major, _, _ := strings.Cut(strings.TrimPrefix(strings.TrimSpace(string(out)), "v"), ".")
	if number, err := strconv.Atoi(major); err != nil || number < oldestNode {
		t.Skipf("node is %s: the SDK needs Node.js %d or newer", strings.TrimSpace(string(out)), oldestNode)
	}
}

func inDir(t *testing.T, dir string, environment []string, name string, arguments ...string) {
	t.Helper()
	command := exec.CommandContext(t.Context(), name, arguments...)
	command.Dir, command.Env = dir, environment
	if out, err := command.CombinedOutput(); err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(arguments, " "), err, out)
	}
}
