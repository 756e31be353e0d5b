package node

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

func agentConfig() Config {
	return Config{Role: RoleAgent, NodeName: "aks-pool1-12345678-vmss000000", KubernetesVersion: "1.37.2", ClusterDNS: "10.0.0.10",
		MaxPods: 30, ClusterDomain: "cluster.local", CPUs: 2, MemoryMiB: 8192,
		BootstrapKubeconfigFile: "/etc/berth/machine/bootstrap-kubeconfig", ClientCAFile: "/etc/berth/machine/ca.crt"}
}

func TestValidateNamesWhatIsWrong(t *testing.T) {
	for _, c := range []struct {
		why    string
		change func(*Config)
		want   string
	}{
		{"a good one passes", func(*Config) {}, ""},
		{"the role decides who makes the namespaces", func(c *Config) { c.Role = "worker" }, `role is "worker"`},
		{"the name becomes a host name", func(c *Config) { c.NodeName = "Node_1" }, `nodeName is "Node_1"`},
		{"a version picks nothing if it is vague", func(c *Config) { c.KubernetesVersion = "1.37" }, `kubernetesVersion is "1.37"`},
		{"pods would get no DNS", func(c *Config) { c.ClusterDNS = "dns" }, `clusterDNS is "dns"`},
		{"containerd would pull from nowhere", func(c *Config) { c.Registry.Address = "10.0.0.1:5000" }, `registry.address is "10.0.0.1:5000"`},
		{"the kubelet would refuse the taint much later", func(c *Config) { c.Taints = []string{"a=b"} }, `taint is "a=b"`},
		{"no kubelet runs in less", func(c *Config) { c.MemoryMiB = 64 }, "memoryMiB is 64"},
		{"negative sizes are typing errors", func(c *Config) { c.CPUs = -1 }, "cpus is -1"},
		{"nobody could tell which credential counts", func(c *Config) { c.KubeconfigFile = "/k" }, "exactly one of"},
		{"without a credential no node joins", func(c *Config) { c.BootstrapKubeconfigFile = "" }, "exactly one of"},
		{"anybody could call the kubelet", func(c *Config) { c.ClientCAFile = "" }, "clientCAFile is missing"},
		{"the working directory is nobody's business", func(c *Config) { c.ClientCAFile = "ca.crt" }, `clientCAFile is "ca.crt"`},
		{"tenants' nodes have no static pods", func(c *Config) { c.StaticPodDir = "/p" }, "staticPodDir is for the management machine"},
		{"the management machine is replaced as a whole", func(c *Config) { c.Role, c.PatchesItself = RoleManagement, true }, "patchesItself is for agents"},
		{"a node can patch itself", func(c *Config) { c.PatchesItself = true }, ""},
		{"root has no key", func(c *Config) { c.AdminUsername, c.SSHAuthorizedKeys = "root", []string{"ssh-ed25519 AAAA"} }, `adminUsername is "root"`},
		{"a second line could be an option of another key", func(c *Config) {
			c.AdminUsername, c.SSHAuthorizedKeys = "azureuser", []string{"ssh-ed25519 AAAA\nssh-rsa BBBB"}
		}, "sshAuthorizedKeys[0]"},
	} {
		config := agentConfig()
		c.change(&config)
		err := config.Validate()
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: got %v, want %q", c.why, err, c.want)
		}
	}
}

func TestLoadConfigCompletesAndToleratesNewFields(t *testing.T) {
	path := filepath.Join(t.TempDir(), "machine.json")
	write := func(text string) {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(`{"role":"management","nodeName":"berth","kubernetesVersion":"v1.37.2","kubeconfigFile":"/k","clientCAFile":"/c","later":1}`)
	c, err := LoadConfig(path)
	if err != nil {
		t.Fatal(err)
	}
	if c.KubernetesVersion != "1.37.2" || c.ClusterDomain != "cluster.local" || c.MaxPods != 110 {
		t.Errorf("defaults are missing: %+v", c)
	}
	write(`{"role":`)
	if _, err := LoadConfig(path); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("the error does not name the file: %v", err)
	}
}

func kubeletDocument(t *testing.T, c Config, f facts) map[string]any {
	t.Helper()
	raw, err := renderKubeletConfig(c, f)
	if err != nil {
		t.Fatal(err)
	}
	var document map[string]any
	if err := yaml.Unmarshal(raw, &document); err != nil {
		t.Fatal(err)
	}
	return document
}

func TestKubeletConfigFollowsRoleAndHost(t *testing.T) {
	management := Config{Role: RoleManagement, NodeName: "berth", KubeconfigFile: "/k", StaticPodDir: "/etc/kubernetes/manifests", ClientCAFile: "/c", MaxPods: 110}
	tainted := agentConfig()
	tainted.Taints = []string{"sku=gpu:NoSchedule", "CriticalAddonsOnly:NoExecute"}
	for _, c := range []struct {
		why    string
		config Config
		facts  facts
		key    string
		want   string
	}{
		{"from 1.35 a kubelet refuses cgroup v1 unless told", agentConfig(), facts{}, "failCgroupV1", "false"},
		{"with v2 the default is right", agentConfig(), facts{CgroupV2: true}, "failCgroupV1", "null"},
		{"an agent's serving certificate is the cluster's", agentConfig(), facts{}, "serverTLSBootstrap", "true"},
		{"the management kubelet starts before there is an API server", management, facts{}, "serverTLSBootstrap", "null"},
		{"and runs that API server", management, facts{}, "staticPodPath", "/etc/kubernetes/manifests"},
		{"an agent has none of that", agentConfig(), facts{}, "staticPodPath", "null"},
		{"pods use the cluster's DNS", agentConfig(), facts{}, "clusterDNS", `- 10.0.0.10`},
		{"the management cluster has none", management, facts{}, "clusterDNS", "null"},
		{"lowering one's OOM score needs a capability", agentConfig(), facts{}, "oomScoreAdj", "0"},
		{"with it the kubelet's default is right", agentConfig(), facts{MayRaisePriority: true}, "oomScoreAdj", "null"},
		{"taints come before the first pod", tainted, facts{}, "registerWithTaints",
			"- effect: NoSchedule\n  key: sku\n  value: gpu\n- effect: NoExecute\n  key: CriticalAddonsOnly"},
		{"allocatable is less than capacity, as in AKS", agentConfig(), facts{CPUs: 2, MemoryMiB: 8192}, "kubeReserved",
			"cpu: 100m\nmemory: 650Mi\npid: \"1000\""},
		{"nothing is kept back from the control planes", management, facts{CPUs: 2, MemoryMiB: 8192}, "kubeReserved", "null"},
	} {
		got, err := yaml.Marshal(kubeletDocument(t, c.config, c.facts)[c.key])
		if err != nil {
			t.Fatal(err)
		}
		if strings.TrimSpace(string(got)) != c.want {
			t.Errorf("%s: %s is\n%swant\n%s", c.why, c.key, got, c.want)
		}
	}
}

func TestReservedIsThatOfAKS(t *testing.T) {
	for _, c := range []struct {
		why         string
		cpus        int
		memoryMiB   int64
		maxPods     int32
		cpu, memory string
	}{
		{"a small node keeps a quarter of its memory", 2, 7168, 110, "100m", "1792Mi"},
		{"a large one what its pods need", 16, 65536, 110, "260m", "2250Mi"},
		{"between two rows the smaller counts", 12, 65536, 30, "180m", "650Mi"},
		{"one processor is the least", 1, 2048, 30, "60m", "512Mi"},
	} {
		got := reservedFor(c.cpus, c.memoryMiB, c.maxPods)
		if got["cpu"] != c.cpu || got["memory"] != c.memory {
			t.Errorf("%s: got %v, want %s and %s", c.why, got, c.cpu, c.memory)
		}
	}
}

func TestKubeletFlags(t *testing.T) {
	c := agentConfig()
	c.Labels = map[string]string{"kubernetes.azure.com/mode": "system", "node-role.kubernetes.io/agent": "", "team": "x",
		"topology.kubernetes.io/zone": "1", "kubernetes.io/role": "agent", "node.kubernetes.io/instance-type": "Standard_D2s_v5"}
	got := strings.Join(kubeletFlags(c, facts{NodeIP: "100.64.1.2"}), " ")
	want := "--config=/etc/berth/kubelet.yaml --hostname-override=aks-pool1-12345678-vmss000000 " +
		"--kubeconfig=/var/lib/kubelet/kubeconfig --bootstrap-kubeconfig=/etc/berth/machine/bootstrap-kubeconfig --node-ip=100.64.1.2 " +
		"--node-labels=kubernetes.azure.com/mode=system,node.kubernetes.io/instance-type=Standard_D2s_v5,team=x,topology.kubernetes.io/zone=1"
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	management := Config{Role: RoleManagement, NodeName: "berth", KubeconfigFile: "/etc/kubernetes/kubelet.conf"}
	got = strings.Join(kubeletFlags(management, facts{}), " ")
	if want := "--config=/etc/berth/kubelet.yaml --hostname-override=berth --kubeconfig=/etc/kubernetes/kubelet.conf"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestContainerdConfigFollowsTheHost(t *testing.T) {
	for _, c := range []struct {
		why   string
		facts facts
		want  []string
		never string
	}{
		{"without CAP_SYS_RESOURCE scores cannot be lowered", facts{}, []string{"restrict_oom_score_adj = true"}, "oom_score = -999"},
		{"with it containerd outlives its containers", facts{MayRaisePriority: true},
			[]string{"restrict_oom_score_adj = false", "\noom_score = -999\n"}, "= true\nstats"},
	} {
		raw, err := renderContainerd(c.facts)
		if err != nil {
			t.Fatal(err)
		}
		text := string(raw)
		for _, want := range append(c.want, "sandbox = 'registry.berth.internal/berth/pause:3.10'", "config_path = '/etc/containerd/certs.d'",
			"bin_dirs = ['/opt/cni/bin']", "conf_dir = '/etc/cni/net.d'", "SystemdCgroup = false") {
			if !strings.Contains(text, want) {
				t.Errorf("%s: %q is missing in\n%s", c.why, want, text)
			}
		}
		if strings.Contains(text, c.never) {
			t.Errorf("%s: %q is in\n%s", c.why, c.never, text)
		}
	}
}

func TestRegistryHosts(t *testing.T) {
	for _, c := range []struct {
		registry Registry
		want     string
	}{
		{Registry{Address: "https://100.65.0.7:5000", CAFile: "/etc/berth/machine/registry-ca.crt"},
			"server = \"https://100.65.0.7:5000\"\n\n[host.\"https://100.65.0.7:5000\"]\ncapabilities = [\"pull\", \"resolve\"]\nca = \"/etc/berth/machine/registry-ca.crt\"\n"},
		{Registry{Address: "http://r:1"}, "server = \"http://r:1\"\n\n[host.\"http://r:1\"]\ncapabilities = [\"pull\", \"resolve\"]\n"},
	} {
		got, err := renderRegistryHosts(c.registry)
		if err != nil || string(got) != c.want {
			t.Errorf("%+v: got %q, %v, want %q", c.registry, got, err, c.want)
		}
	}
}
