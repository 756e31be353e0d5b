package clients

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/arm/armtest"
)

// az is Debian's azure-cli with a configuration of its own.
type az struct {
	path, config string
	env          []string
}

// startAz is az, registered with an ARM server of its own whose operations end by themselves.
func startAz(t *testing.T) (az, *armtest.World) {
	t.Helper()
	if testing.Short() {
		t.Skip("az takes a second a command")
	}
	w := armtest.New(t)
	w.Run(t)
	a := newAz(t, w)
	a.register(t, w)
	return a, w
}

func newAz(t *testing.T, w *armtest.World) az {
	t.Helper()
	path, err := exec.LookPath("az")
	if err != nil {
		t.Skip("az is not installed: apt-get install azure-cli")
	}
	home := t.TempDir()
	config := filepath.Join(home, "az")
	return az{path: path, config: config, env: append(os.Environ(),
		"HOME="+home, "AZURE_CONFIG_DIR="+config, "KUBECONFIG="+filepath.Join(home, "kubeconfig"),
		"REQUESTS_CA_BUNDLE="+w.CAFile, "AZURE_CORE_COLLECT_TELEMETRY=0", "AZURE_CORE_NO_COLOR=1", "PYTHONWARNINGS=ignore")}
}

// try runs az and returns what it printed and its exit code.
func (a az) try(t *testing.T, line string) (stdout, stderr string, exit int) {
	t.Helper()
	command := exec.CommandContext(t.Context(), a.path, strings.Fields(line)...)
	var out, errs strings.Builder
	command.Env, command.Stdout, command.Stderr = a.env, &out, &errs
	if err := command.Run(); err != nil && command.ProcessState == nil {
		t.Fatalf("az %s: %v", line, err)
	}
	return out.String(), errs.String(), command.ProcessState.ExitCode()
}

// run is try for what must work; it reads the answer into a value if there is one.
func (a az) run(t *testing.T, line string, into any) {
	t.Helper()
	stdout, stderr, exit := a.try(t, line)
	if exit != 0 {
		t.Fatalf("az %s: exit %d\n%s%s", line, exit, stdout, stderr)
	}
	if into == nil {
		return
	}
	if err := json.Unmarshal([]byte(stdout), into); err != nil {
		t.Fatalf("az %s printed %q: %v", line, stdout, err)
	}
}

// fails runs what must fail and looks for a text in the error.
func (a az) fails(t *testing.T, line, want string, wantExit int) {
	t.Helper()
	_, stderr, exit := a.try(t, line)
	if exit != wantExit || !strings.Contains(stderr, want) {
		t.Errorf("az %s: exit %d, want %d with %q\n%s", line, exit, wantExit, want, stderr)
	}
}

// register makes the server the cloud that az talks to.
func (a az) register(t *testing.T, w *armtest.World) {
	t.Helper()
	a.run(t, "cloud register -n Berth --endpoint-resource-manager "+w.Server.URL, nil)
	a.run(t, "cloud set -n Berth", nil)
}

// login logs the application in.
func (a az) login(t *testing.T) {
	t.Helper()
	a.run(t, "login --service-principal -u "+armtest.ClientID+" -p "+armtest.ClientSecret+" --tenant "+armtest.TenantID, nil)
}

// cluster is what the test reads of a cluster.
type cluster struct {
	Name              string `json:"name"`
	ProvisioningState string `json:"provisioningState"`
	FQDN              string `json:"fqdn"`
	Tags              map[string]string
	AgentPoolProfiles []struct {
		Name  string `json:"name"`
		Count int    `json:"count"`
	} `json:"agentPoolProfiles"`
}

func TestAz(t *testing.T) {
	a, w := startAz(t)
	a.fails(t, "login --service-principal -u "+armtest.ClientID+" -p wrong --tenant "+armtest.TenantID, "AADSTS7000215", 1)
	a.login(t)
	a.run(t, "account set -s "+armtest.Subscription, nil)
	a.run(t, "group create -n rg1 -l westus2", nil)

	a.run(t, "aks create -g rg1 -n c1 --generate-ssh-keys --node-count 1 --no-wait", nil)
	a.run(t, "aks wait -g rg1 -n c1 --created --interval 1", nil)
	var shown cluster
	a.run(t, "aks show -g rg1 -n c1", &shown)
	if shown.ProvisioningState != "Succeeded" || shown.FQDN == "" || len(shown.AgentPoolProfiles) != 1 {
		t.Errorf("show: %+v", shown)
	}
	var listed []cluster
	a.run(t, "aks list", &listed)
	if len(listed) != 1 || listed[0].Name != "c1" {
		t.Errorf("list: %+v", listed)
	}
	azChanges(t, a)
	azReads(t, a)
	azMetadata(t, a, w)
	a.run(t, "aks delete -g rg1 -n c1 -y", nil)
	a.fails(t, "aks show -g rg1 -n c1", "ResourceNotFound", 3)
	a.run(t, "group delete -n rg1 -y", nil)
}

func azChanges(t *testing.T, a az) {
	t.Helper()
	var changed cluster
	a.run(t, "aks scale -g rg1 -n c1 --node-count 3", &changed)
	if changed.AgentPoolProfiles[0].Count != 3 {
		t.Errorf("scale: %+v", changed)
	}
	a.run(t, "aks update -g rg1 -n c1 --tags env=test --yes", &changed)
	if changed.Tags["env"] != "test" || changed.AgentPoolProfiles[0].Count != 3 {
		t.Errorf("update: %+v", changed)
	}
	a.run(t, "aks nodepool add -g rg1 --cluster-name c1 -n np2 --node-count 1 --labels tier=web --node-taints a=b:NoSchedule", nil)
	a.run(t, "aks nodepool scale -g rg1 --cluster-name c1 -n np2 --node-count 2", nil)
	a.run(t, "aks nodepool update -g rg1 --cluster-name c1 -n np2 --labels tier=api", nil)
	a.run(t, "aks nodepool stop -g rg1 --cluster-name c1 -n np2", nil)
	a.run(t, "aks nodepool start -g rg1 --cluster-name c1 -n np2", nil)
	a.fails(t, "aks nodepool stop -g rg1 --cluster-name c1 -n nodepool1", "only user pools", 1)
	a.run(t, "aks nodepool delete -g rg1 --cluster-name c1 -n np2", nil)
	a.fails(t, "aks nodepool delete -g rg1 --cluster-name c1 -n nodepool1", "at least one system agent pool", 1)
	a.fails(t, "aks create -g rg1 -n c2 --no-ssh-key --kubernetes-version 1.99.0", "K8sVersionNotSupported", 1)
	a.fails(t, "aks create -g rg1 -n c2 --no-ssh-key --network-plugin kubenet --pod-cidr 10.0.0.0/16 --service-cidr 10.0.0.0/16", "overlap", 1)
	a.fails(t, "aks create -g rg1 -n c2 --no-ssh-key --enable-addons http_application_routing", "addonProfiles", 1)
	azStops(t, a)
}

// azMetadata reads the list of clouds, the way that needs no registering.
func azMetadata(t *testing.T, a az, w *armtest.World) {
	t.Helper()
	listing := a
	listing.env = append(slices.Clone(a.env), "AZURE_CONFIG_DIR="+t.TempDir(), "SSL_CERT_FILE="+w.CAFile,
		"ARM_CLOUD_METADATA_URL="+w.Server.URL+"/metadata/endpoints?api-version=2019-05-01")
	var clouds []struct{ Name string }
	listing.run(t, "cloud list", &clouds)
	if len(clouds) == 0 || clouds[0].Name != "Berth" {
		t.Errorf("clouds: %+v", clouds)
	}
}

func azReads(t *testing.T, a az) {
	t.Helper()
	for _, line := range []string{
		"aks list -o table", "aks show -g rg1 -n c1 -o table", "aks get-versions -l westus2 -o table", "aks get-upgrades -g rg1 -n c1 -o table",
		"aks nodepool list -g rg1 --cluster-name c1 -o table", "aks nodepool get-upgrades -g rg1 --cluster-name c1 --nodepool-name nodepool1",
		"aks get-credentials -g rg1 -n c1", "aks get-credentials -g rg1 -n c1 --admin", "group list -o table", "group show -n rg1",
		"resource list -g rg1", "provider list -o table", "provider show -n Microsoft.ContainerService", "provider register -n Microsoft.ContainerService --wait",
		"feature list --namespace Microsoft.ContainerService", "account list-locations -o table", "account show",
		"rest --method get --url /subscriptions/" + armtest.Subscription + "/resourceGroups/rg1/providers/Microsoft.ContainerService/managedClusters/c1/agentPools/nodepool1/machines?api-version=2025-02-01",
	} {
		a.run(t, line, nil)
	}
}

// azStops stops and starts a cluster, and meets the refusals in between.
func azStops(t *testing.T, a az) {
	t.Helper()
	var shown struct{ PowerState struct{ Code string } }
	a.fails(t, "aks start -g rg1 -n c1", "running already", 1)
	a.run(t, "aks stop -g rg1 -n c1", nil)
	a.run(t, "aks show -g rg1 -n c1", &shown)
	if shown.PowerState.Code != "Stopped" {
		t.Errorf("after stop: %+v", shown)
	}
	a.fails(t, "aks stop -g rg1 -n c1", "OperationNotAllowed", 1)
	a.fails(t, "aks scale -g rg1 -n c1 --node-count 2", "is stopped", 1)
	a.fails(t, "aks update -g rg1 -n c1 --tags a=b --yes", "is stopped", 1)
	a.run(t, "aks get-credentials -g rg1 -n c1 --overwrite-existing", nil)
	a.run(t, "aks start -g rg1 -n c1", nil)
	a.run(t, "aks show -g rg1 -n c1", &shown)
	if shown.PowerState.Code != "Running" {
		t.Errorf("after start: %+v", shown)
	}
}

// TestAzUser logs a user in by password, and has az go on with the refresh token.
func TestAzUser(t *testing.T) {
	a, w := startAz(t)
	a.fails(t, "login -u "+armtest.UserName+" -p wrong", "AADSTS50126", 1)
	a.fails(t, "login -u nobody@berth.internal -p wrong", "AADSTS50126", 1)
	a.run(t, "login -u "+armtest.UserName+" -p "+armtest.ClientSecret, nil)
	var account struct {
		ID, TenantID string
		User         struct{ Name, Type string }
	}
	a.run(t, "account set -s "+armtest.Subscription, nil)
	a.run(t, "account show", &account)
	if account.ID != armtest.Subscription || account.TenantID != armtest.TenantID || account.User.Name != armtest.UserName || account.User.Type != "user" {
		t.Errorf("account: %+v", account)
	}
	a.run(t, "group create -n rg1 -l westus2", nil)
	a.run(t, "aks create -g rg1 -n c1 --no-ssh-key --node-count 1", nil)
	var operations v1beta1.OperationList
	must(t, w.Client.List(t.Context(), &operations))
	if len(operations.Items) == 0 {
		t.Error("nothing tells who made the cluster")
	}
	for _, op := range operations.Items {
		if op.Spec.RequestedBy != armtest.UserName {
			t.Errorf("%s %s was requested by %q", op.Spec.Type, op.Spec.Target.Name, op.Spec.RequestedBy)
		}
	}
	a.forgetAccessTokens(t)
	var listed []cluster
	a.run(t, "aks list", &listed)
	if len(listed) != 1 {
		t.Errorf("list: %+v", listed)
	}
	a.run(t, "logout", nil)
	a.fails(t, "aks list", "az login", 1)
}

// forgetAccessTokens makes az ask for new ones, as it does when they have expired.
func (a az) forgetAccessTokens(t *testing.T) {
	t.Helper()
	path := filepath.Join(a.config, "msal_token_cache.json")
	raw, err := os.ReadFile(path)
	must(t, err)
	var cache map[string]map[string]any
	must(t, json.Unmarshal(raw, &cache))
	if len(cache["AccessToken"]) == 0 || len(cache["RefreshToken"]) == 0 {
		t.Fatalf("az keeps %d access and %d refresh tokens", len(cache["AccessToken"]), len(cache["RefreshToken"]))
	}
	delete(cache, "AccessToken")
	raw, err = json.Marshal(cache)
	must(t, err)
	must(t, os.WriteFile(path, raw, 0o600))
}
