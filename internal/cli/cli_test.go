package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

func TestCreateSendsEveryFlag(t *testing.T) {
	stub := newARMStub(t)
	commands := runner{environment: stub.environment(t)}
	key := filepath.Join(t.TempDir(), "key.pub")
	if err := os.WriteFile(key, []byte("ssh-ed25519 AAAA me\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	code, _, errs := commands.run(t, words(`cluster create -g rg1 -n demo -l west -k 1.36.3 -p prefix --node-resource-group nodes
		--tier standard --tags a=b c=d --nodepool-name np -c 3 -s Standard_D4s_v3 -m 40 --node-osdisk-size 64
		--nodepool-labels l=1 m=2 --nodepool-tags t=1 --nodepool-taints k=v:NoSchedule,x=y:NoExecute --network-plugin azure
		--network-plugin-mode overlay --network-policy azure --pod-cidr 10.1.0.0/16 --service-cidr 10.2.0.0/16
		--dns-service-ip 10.2.0.10 --outbound-type none --api-server-authorized-ip-ranges 192.0.2.0/24,198.51.100.7/32 -u me --disable-local-accounts
		--no-wait --ssh-key-value `+key)...)
	if code != 0 {
		t.Fatalf("exit %d: %s", code, errs)
	}
	sent, err := json.MarshalIndent(sentBody(stub.bodies[0]), "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	golden := "testdata/create.json"
	if *update {
		if err := os.WriteFile(golden, append(sent, '\n'), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if string(sent)+"\n" != string(want) {
		t.Errorf("the body differs: %s", firstDifference(string(want), string(sent)+"\n"))
	}
}

// sentBody is a body without what the stub added to it.
func sentBody(body map[string]any) map[string]any {
	for _, key := range []string{"id", "name", "eTag"} {
		delete(body, key)
	}
	properties := body["properties"].(map[string]any)
	for _, key := range []string{"provisioningState", "fqdn", "currentKubernetesVersion"} {
		delete(properties, key)
	}
	return body
}

func TestWritesAfterReadsAreGuarded(t *testing.T) {
	stub := newARMStub(t)
	commands := runner{environment: stub.environment(t)}
	for _, line := range []string{
		"cluster create -g rg1 -n demo -l west",
		"nodepool add -g rg1 --cluster-name demo -n two",
		"nodepool scale -g rg1 --cluster-name demo -n two -c 2",
		"nodepool update -g rg1 --cluster-name demo -n two --node-taints k=v:NoSchedule",
		`cluster update -g rg1 -n demo --api-server-authorized-ip-ranges ""`,
	} {
		if code, _, errs := commands.run(t, words(line)...); code != 0 {
			t.Fatalf("%s: exit %d: %s", line, code, errs)
		}
	}
	if len(stub.ifMatch) != 5 || slices.Contains(stub.ifMatch[2:], "") { // the stub refuses etags that are not current
		t.Errorf("If-Match was %q; want it on every write of what was read", stub.ifMatch)
	}
}

func TestSpreadLists(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"create --tags a=b c=d -n x", "create --tags a=b --tags c=d -n x"},
		{"create --tags a=b --labels c=d e=f", "create --tags a=b --labels c=d --labels e=f"},
		{"create --tags=a=b c", "create --tags=a=b c"},
		{"create --name x y", "create --name x y"},
		{"create --tags", "create --tags"},
	} {
		if got := strings.Join(spreadLists(strings.Fields(c.in)), " "); got != c.want {
			t.Errorf("%s: got %s", c.in, got)
		}
	}
}

func TestFindingBerth(t *testing.T) {
	stub := newARMStub(t)
	environment := stub.environment(t)
	without := func(name string) map[string]string {
		out := map[string]string{}
		for key, value := range environment {
			if key != name {
				out[key] = value
			}
		}
		return out
	}
	with := func(name, value string) map[string]string {
		out := without(name)
		out[name] = value
		return out
	}
	host := func(environment map[string]string, err error) func(string) (map[string]string, error) {
		return func(string) (map[string]string, error) { return environment, err }
	}
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	notCA := filepath.Join(t.TempDir(), "ca.crt")
	if err := os.WriteFile(notCA, []byte("nothing"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		why         string
		environment map[string]string
		host        func(string) (map[string]string, error)
		want        string
	}{
		{"the shell has berth's environment", environment, nil, ""},
		{"the shell has none and the host's is read", nil, host(environment, nil), ""},
		{"another cloud's variables in the shell do not mix with the host's",
			map[string]string{"AZURE_TENANT_ID": "other", "AZURE_CLIENT_SECRET": "other"}, host(environment, nil), ""},
		{"no Berth on this host", nil, host(nil, fmt.Errorf("read: %w", fs.ErrNotExist)), "berth up"},
		{"the host's is root's", nil, host(nil, fmt.Errorf("read: %w", fs.ErrPermission)), "root"},
		{"half an environment", without("AZURE_CLIENT_SECRET"), nil, "AZURE_CLIENT_SECRET"},
		{"a wrong secret", with("AZURE_CLIENT_SECRET", "guess"), nil, "(invalid_client) AADSTS7000215: Invalid client secret provided.\n"},
		{"an authority that is not Berth's", without("BERTH_CA"), nil, "BERTH_CA"},
		{"no certificate in the file", with("BERTH_CA", notCA), nil, "holds no certificate"},
		{"Berth is down", with("AZURE_AUTHORITY_HOST", "https://"+closed.Addr().String()+"/"), nil, "berth status"},
	} {
		code, _, errs := runner{environment: c.environment, host: c.host}.run(t, "group", "list")
		if (code == 0) != (c.want == "") || !strings.Contains(errs, c.want) {
			t.Errorf("%s: exit %d: %s", c.why, code, errs)
		}
	}
}

func TestDefaultsFromEnvironment(t *testing.T) {
	stub := newARMStub(t)
	environment := stub.environment(t)
	environment["AZURE_DEFAULTS_GROUP"], environment["AZURE_DEFAULTS_LOCATION"] = "rg1", "west"
	commands := runner{environment: environment}
	for _, line := range []string{"group create -n rg1", "cluster create -n demo", "cluster show -n demo"} {
		if code, _, errs := commands.run(t, words(line)...); code != 0 {
			t.Errorf("%s: exit %d: %s", line, code, errs)
		}
	}
}

func TestWorthRetrying(t *testing.T) {
	answer := func(status int) *http.Response { return &http.Response{StatusCode: status} }
	for _, c := range []struct {
		why      string
		response *http.Response
		err      error
		want     bool
	}{
		{"throttled", answer(429), nil, true},
		{"Berth restarts", answer(503), nil, true},
		{"busy with another operation", answer(409), nil, false},
		{"wrong", answer(400), nil, false},
		{"the connection broke", nil, errors.New("connection reset"), true},
		{"Berth is down", nil, fmt.Errorf("dial: %w", syscall.ECONNREFUSED), false},
		{"the user gave up", nil, context.Canceled, false},
	} {
		if got := worthRetrying(c.response, c.err); got != c.want {
			t.Errorf("%s: got %v", c.why, got)
		}
	}
}

func TestCancelledWaitSaysThatTheOperationGoesOn(t *testing.T) {
	stub := newARMStub(t)
	environment := stub.environment(t)
	ctx, cancel := context.WithCancel(t.Context())
	var errs strings.Builder
	program := Program{Getenv: func(name string) string { return environment[name] }}
	stub.polled = cancel
	code := program.Run(ctx, words("cluster create -g rg1 -n demo -l west"), Streams{In: strings.NewReader(""), Out: io.Discard, Err: &errs})
	if code != 1 || !strings.Contains(errs.String(), "goes on") {
		t.Errorf("exit %d: %s", code, errs.String())
	}
}

func TestCompletionNamesWhatThereIs(t *testing.T) {
	stub := newARMStub(t)
	commands := runner{environment: stub.environment(t)}
	for _, line := range []string{"group create -n rg1 -l west", "cluster create -g rg1 -n demo --no-wait"} {
		if code, _, errs := commands.run(t, words(line)...); code != 0 {
			t.Fatalf("%s: %s", line, errs)
		}
	}
	for _, c := range []struct{ line, want string }{
		{"__complete cluster show -g rg1 -n", "demo"},
		{"__complete cluster show -g", "rg1"},
		{"__complete nodepool show -g rg1 --cluster-name demo -n", "nodepool1"},
		{"__complete cluster list -o", "yaml"},
	} {
		_, out, errs := commands.run(t, append(words(c.line), "")...)
		if !strings.Contains(out, c.want) {
			t.Errorf("%s: %s%s", c.line, out, errs)
		}
	}
	if code, out, _ := commands.run(t, "completion", "bash"); code != 0 || !strings.Contains(out, "__start_berth") {
		t.Errorf("completion bash: exit %d", code)
	}
}

// TestLoginAz logs the real az in to the stub, twice.
func TestLoginAz(t *testing.T) {
	if testing.Short() {
		t.Skip("az takes seconds for each command")
	}
	if _, err := exec.LookPath("az"); err != nil {
		t.Skip("az is not installed")
	}
	stub := newARMStub(t)
	environment := stub.environment(t)
	environment["AZURE_CONFIG_DIR"] = filepath.Join(t.TempDir(), "az")
	environment["REQUESTS_CA_BUNDLE"] = environment["BERTH_CA"]
	environment["AZURE_CORE_COLLECT_TELEMETRY"] = "0"
	commands := runner{environment: environment}
	for round := range 2 {
		if code, _, errs := commands.run(t, "login", "az"); code != 0 {
			t.Fatalf("round %d: %s", round, errs)
		}
	}
	az := exec.CommandContext(t.Context(), "az", "account", "show", "--query", "[environmentName,id]", "-o", "tsv")
	az.Env = append(os.Environ(), "AZURE_CONFIG_DIR="+environment["AZURE_CONFIG_DIR"], "AZURE_CORE_COLLECT_TELEMETRY=0")
	out, err := az.Output()
	if err != nil || strings.Fields(string(out))[0] != "Berth" || strings.Fields(string(out))[1] != stubSubscription {
		t.Errorf("az account show: %s, %v", out, err)
	}
}

func TestLoginAzWithoutAz(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	stub := newARMStub(t)
	code, _, errs := runner{environment: stub.environment(t)}.run(t, "login", "az")
	if code != 1 || !strings.Contains(errs, "apt-get install azure-cli") {
		t.Errorf("exit %d: %s", code, errs)
	}
}
