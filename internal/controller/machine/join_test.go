package machine_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"net"
	"slices"
	"strings"
	"testing"

	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/node"
)

func TestMachineIsMadeBeforeTheAPIServerAnswersAndThenJoins(t *testing.T) {
	w := newWorld(t)
	m := w.newMachine(0)
	w.untilPhase(m, v1beta1.MachinePending)
	w.until("the machine is made", func(context.Context) bool { return w.machines.Boot(w.ref(m)) != "" })
	w.untilPhase(m, v1beta1.MachineBooting)
	w.checkFiles(m)

	w.openAPI()
	token := w.token(m)
	w.until("the token is admitted", func(ctx context.Context) bool { return w.exists(ctx, token) })
	kept := w.machines.Machines()[w.ref(m)].Files["bootstrap-kubeconfig"]
	if secret := m.Status.BootstrapTokenID + "." + string(token.Data["token-secret"]); !strings.Contains(string(kept), secret) {
		t.Errorf("the kubeconfig of the machine does not hold the token that the API server knows")
	}

	object := w.register(m, "100.64.9.9", corev1.ConditionTrue)
	w.untilPhase(m, v1beta1.MachineJoined)
	if m.Status.ReadySince != nil {
		t.Errorf("ready since %v, though the node has another machine's address", m.Status.ReadySince)
	}
	w.register(m, m.Status.Address, corev1.ConditionTrue)
	w.untilPhase(m, v1beta1.MachineReady)
	w.untilGone(token)
	w.must(w.client.Get(t.Context(), client.ObjectKeyFromObject(object), object))
	if object.Labels["team"] != "blue" || object.Labels["kubernetes.azure.com/agentpool"] != "np" || object.Spec.ProviderID == "" {
		t.Errorf("node %v, %s", object.Labels, object.Spec.ProviderID)
	}
	w.relabel(m, object)
	w.rejoin(m)
}

// checkFiles reads the machine's files as its init does.
func (w *world) checkFiles(m *v1beta1.Machine) {
	w.Helper()
	made := w.machines.Machines()[w.ref(m)]
	if made.Image != "registry/node-v1.37.2:BerthDebian-12containerd-202601.01.0" || made.CPUs != 2 || made.MemoryMiB != 8192 || made.DiskGiB != 30 {
		w.Errorf("machine %+v", made)
	}
	var config node.Config
	w.must(json.Unmarshal(made.Files["machine.json"], &config))
	if config.Role != node.RoleAgent || config.NodeName != m.Spec.NodeName || config.ClusterDNS != "10.0.0.10" || config.MaxPods != 110 ||
		config.Labels["kubernetes.azure.com/cluster"] != "MC_rg_c_local" || len(config.Taints) != 1 || config.AdminUsername != "azureuser" ||
		config.Registry.Address != "https://100.65.3.3:5000" || config.ProviderID == "" {
		w.Errorf("machine.json %+v", config)
	}
	for file, content := range map[string]string{config.ClientCAFile: "the cluster's CA", config.Registry.CAFile: "the registry's CA"} {
		if got := string(made.Files[strings.TrimPrefix(file, "/etc/berth/machine/")]); got != content {
			w.Errorf("%s holds %q, want %q", file, got, content)
		}
	}
	bootstrap, err := clientcmd.RESTConfigFromKubeConfig(made.Files[strings.TrimPrefix(config.BootstrapKubeconfigFile, "/etc/berth/machine/")])
	w.must(err)
	if bootstrap.Host != "https://100.65.7.7:6443" || string(bootstrap.CAData) != "the cluster's CA" {
		w.Errorf("bootstrap kubeconfig of %s with CA %q", bootstrap.Host, bootstrap.CAData)
	}
}

// relabel changes labels and taints in place, as a pool does.
func (w *world) relabel(m *v1beta1.Machine, node *corev1.Node) {
	w.Helper()
	w.until("the machine is updated", func(ctx context.Context) bool {
		w.must(w.client.Get(ctx, client.ObjectKeyFromObject(m), m))
		m.Spec.Labels, m.Spec.Taints = map[string]string{"team": "red", "new": "x"}, []string{"gpu=no:NoSchedule"}
		return w.client.Update(ctx, m) == nil
	})
	w.until("the node shows it", func(ctx context.Context) bool {
		return w.exists(ctx, node) && node.Labels["team"] == "red" && node.Labels["new"] == "x" &&
			slices.Contains(node.Spec.Taints, corev1.Taint{Key: "gpu", Value: "no", Effect: corev1.TaintEffectNoSchedule})
	})
	w.until("a system label is changed", func(ctx context.Context) bool {
		w.must(w.client.Get(ctx, client.ObjectKeyFromObject(node), node))
		node.Labels["agentpool"] = "tampered"
		return w.client.Update(ctx, node) == nil
	})
	w.until("a system label comes back", func(ctx context.Context) bool { return w.exists(ctx, node) && node.Labels["agentpool"] == "np" })
}

// rejoin breaks the machine: it is made anew under its name and joins again.
func (w *world) rejoin(m *v1beta1.Machine) {
	w.Helper()
	before, err := w.machines.Observe(w.Context(), w.ref(m))
	w.must(err)
	w.machines.Fail(w.ref(m))
	w.nudge(m)
	w.until("the failed machine is removed", func(ctx context.Context) bool {
		seen, err := w.machines.Observe(ctx, w.ref(m))
		return err == nil && seen.State == "Stopping"
	})
	w.machines.Halt(w.ref(m))
	w.until("it is made anew", func(ctx context.Context) bool {
		seen, err := w.machines.Observe(ctx, w.ref(m))
		return err == nil && seen.State == "Starting" && seen.Incarnation != before.Incarnation
	})
	address := w.machines.Boot(w.ref(m))
	w.nudge(m)
	token := w.token(m)
	w.until("its token is admitted again", func(ctx context.Context) bool { return w.exists(ctx, token) })
	w.register(m, address, corev1.ConditionTrue)
	w.untilPhase(m, v1beta1.MachineReady)
	w.untilGone(token)
}

// nudge stands in for the event that the provider's own objects would give.
func (w *world) nudge(m *v1beta1.Machine) {
	w.Helper()
	w.until("the node is touched", func(ctx context.Context) bool {
		node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: m.Spec.NodeName}}
		w.must(w.client.Get(ctx, client.ObjectKeyFromObject(node), node))
		metav1.SetMetaDataAnnotation(&node.ObjectMeta, "touched", rand.Text())
		return w.client.Update(ctx, node) == nil
	})
}

func TestCertificatesAreApprovedForMachinesThatExist(t *testing.T) {
	w := newWorld(t)
	m := w.newMachine(0)
	w.until("the machine is made", func(context.Context) bool { return w.machines.Boot(w.ref(m)) != "" })
	w.openAPI()
	w.untilPhase(m, v1beta1.MachineBooting)
	token := w.token(m)
	w.until("the token is admitted", func(ctx context.Context) bool { return w.exists(ctx, token) })
	w.must(w.client.Get(t.Context(), client.ObjectKeyFromObject(m), m))

	joiner := rest.ImpersonationConfig{UserName: "system:bootstrap:" + m.Status.BootstrapTokenID, Groups: []string{"system:bootstrappers:berth", "system:authenticated"}}
	stranger := rest.ImpersonationConfig{UserName: "system:bootstrap:zzzzzz", Groups: joiner.Groups}
	admin := rest.ImpersonationConfig{UserName: "admin", Groups: []string{"system:masters"}}
	client, serving := certificatesv1.KubeAPIServerClientKubeletSignerName, certificatesv1.KubeletServingSignerName
	for _, c := range []struct {
		why    string
		who    rest.ImpersonationConfig
		signer string
		node   string
		names  []string
		want   certificatesv1.RequestConditionType
	}{
		{"the machine's own token, with no rights but those that the controller gave its group", joiner, client, m.Spec.NodeName, nil, certificatesv1.CertificateApproved},
		{"a token of no machine", stranger, client, m.Spec.NodeName, nil, certificatesv1.CertificateDenied},
		{"a node of no machine", joiner, client, "aks-np-00000000-vmss000000", nil, certificatesv1.CertificateDenied},
		{"an administrator", admin, client, m.Spec.NodeName, nil, certificatesv1.CertificateDenied},
		{"a serving certificate that the node did not ask for", admin, serving, m.Spec.NodeName, []string{m.Spec.NodeName}, certificatesv1.CertificateDenied},
	} {
		name := w.ask(c.who, c.signer, c.node, c.names...)
		w.untilRuled(c.why, name, c.want)
	}
}

func (w *world) ask(who rest.ImpersonationConfig, signer, nodeName string, names ...string) string {
	w.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	w.must(err)
	asked := &x509.CertificateRequest{Subject: pkix.Name{CommonName: "system:node:" + nodeName, Organization: []string{"system:nodes"}}}
	purpose := certificatesv1.UsageClientAuth
	if signer == certificatesv1.KubeletServingSignerName {
		asked.DNSNames, asked.IPAddresses, purpose = names, []net.IP{net.ParseIP("100.64.0.3")}, certificatesv1.UsageServerAuth
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, asked, key)
	w.must(err)
	config := rest.CopyConfig(w.env.Config)
	config.Impersonate = who
	asker, err := client.New(config, client.Options{Scheme: w.env.Scheme})
	w.must(err)
	csr := &certificatesv1.CertificateSigningRequest{
		ObjectMeta: metav1.ObjectMeta{GenerateName: "csr-"},
		Spec: certificatesv1.CertificateSigningRequestSpec{
			SignerName: signer, Usages: []certificatesv1.KeyUsage{certificatesv1.UsageDigitalSignature, purpose},
			Request: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}),
		},
	}
	w.must(asker.Create(w.Context(), csr))
	return csr.Name
}

func (w *world) untilRuled(why, name string, want certificatesv1.RequestConditionType) {
	w.Helper()
	csr := &certificatesv1.CertificateSigningRequest{ObjectMeta: metav1.ObjectMeta{Name: name}}
	w.until(why, func(ctx context.Context) bool { return w.exists(ctx, csr) && len(csr.Status.Conditions) > 0 })
	if got := csr.Status.Conditions[0]; got.Type != want || len(csr.Status.Conditions) != 1 {
		w.Errorf("%s: %s %s (%s), want %s", why, got.Type, got.Reason, got.Message, want)
	}
}
