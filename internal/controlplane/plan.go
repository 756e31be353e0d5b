package controlplane

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"berth.dev/berth/internal/pki"
)

const (
	// leafLife is how long a certificate below the roots is valid (AKS:
	// D:certificate-rotation, two years), and renewBefore how long before its end
	// it is issued again.
	leafLife    = 2 * 365 * 24 * time.Hour
	renewBefore = 90 * 24 * time.Hour

	annotationIssuedFor  = "berth.dev/issued-for"
	annotationRenewAfter = "berth.dev/renew-after"
)

// Plan describes one Secret of certificates below the roots. Its content is
// random, so what it was made from is written beside it and compared instead.
type Plan struct {
	Name  string
	files []file
	in    Input
	roots *Roots
}

// file is what a plan puts into its Secret: a certificate with its key
// (name.crt, name.key), or a kubeconfig with them inside (name).
type file struct {
	name       string
	authority  *pki.Authority
	request    pki.Request
	kubeconfig *pki.KubeconfigRequest
}

// Plans lists the Secrets of a control plane's namespace besides the roots.
func Plans(in Input, roots *Roots) ([]Plan, error) {
	serviceIP, err := in.firstServiceIP()
	if err != nil {
		return nil, err
	}
	local := fmt.Sprintf("https://127.0.0.1:%d", APIServerPort)
	ca, etcd := roots.CA, roots.EtcdCA
	plan := func(name string, files ...file) Plan { return Plan{Name: name, files: files, in: in, roots: roots} }
	plans := []Plan{
		plan(EtcdSecret, file{name: "server", authority: etcd, request: etcdServer(in)}),
		plan(KubeSecret,
			file{name: "apiserver", authority: ca, request: apiServer(in, serviceIP)},
			file{name: "apiserver-etcd-client", authority: etcd, request: clientOf("kube-apiserver-etcd-client")},
			file{name: "kubelet-client", authority: ca, request: clientOf(KubeletClientUser)},
			file{name: "front-proxy-client", authority: roots.FrontProxyCA, request: clientOf(frontProxyUser)},
			kubeconfigFile("controller-manager.kubeconfig", ca, clientOf("system:kube-controller-manager"), pki.KubeconfigRequest{Server: local}),
			kubeconfigFile("scheduler.kubeconfig", ca, clientOf("system:kube-scheduler"), pki.KubeconfigRequest{Server: local})),
		plan(KonnectivitySecret,
			file{name: "server", authority: ca, request: konnectivityServer(in)},
			kubeconfigFile(KubeconfigKey, ca, clientOf(KonnectivityUser), pki.KubeconfigRequest{Server: local})),
		plan(BackupSecret, file{name: "client", authority: etcd, request: clientOf(BackupUser)}),
		plan(MetricsSecret, file{name: "server", authority: ca, request: metricsServer()}),
		plan(ControllerKubeconfig, kubeconfigFile(KubeconfigKey, ca, clientOf(PlatformUser, mastersGroup), pki.KubeconfigRequest{
			Server: fmt.Sprintf("https://%s:%d", in.APIServerAddress, APIServerPort),
		})),
		plan(AdminKubeconfig, customerKubeconfig(in, ca, "clusterAdmin")),
		plan(UserKubeconfig, customerKubeconfig(in, ca, "clusterUser")),
	}
	if in.highlyAvailable() {
		plans = append(plans, plan(MembersSecret,
			file{name: "server", authority: etcd, request: memberServer(in)},
			file{name: "peer", authority: etcd, request: memberPeer()}))
	}
	return plans, nil
}

// customerKubeconfig names its entries as AKS does; clients add -admin to an admin's context. Without a directory behind
// the cluster the user's file holds the admin's rights (D:control-kubeconfig-access).
func customerKubeconfig(in Input, ca *pki.Authority, prefix string) file {
	return kubeconfigFile(KubeconfigKey, ca, clientOf(adminUser, mastersGroup), pki.KubeconfigRequest{
		Cluster:       in.ClusterName,
		User:          fmt.Sprintf("%s_%s_%s", prefix, in.ResourceGroup, in.ClusterName),
		Context:       in.ClusterName,
		Server:        in.GatewayURL,
		TLSServerName: in.FQDN,
	})
}

func kubeconfigFile(name string, ca *pki.Authority, request pki.Request, kubeconfig pki.KubeconfigRequest) file {
	if kubeconfig.Cluster == "" {
		kubeconfig.Cluster, kubeconfig.User = "cluster", request.CommonName
	}
	return file{name: name, authority: ca, request: request, kubeconfig: &kubeconfig}
}

// Current says whether the stored Secret, nil if there is none, still fits. What was
// issued while the clock was ahead does not, once the clock is back: it is not valid yet.
func (p Plan) Current(stored *corev1.Secret, now time.Time) bool {
	if stored == nil || stored.Annotations[annotationIssuedFor] != p.fingerprint() {
		return false
	}
	renewAfter, err := time.Parse(time.RFC3339, stored.Annotations[annotationRenewAfter])
	if err != nil {
		return false
	}
	issued := renewAfter.Add(renewBefore - leafLife)
	return now.Before(renewAfter) && !now.Before(issued.Add(-pki.ClockSkew))
}

// Issue makes the Secret with new keys.
func (p Plan) Issue(now time.Time) (*corev1.Secret, error) {
	secret := &corev1.Secret{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Secret"},
		ObjectMeta: p.in.meta(p.Name),
		Type:       corev1.SecretTypeOpaque,
		Data:       map[string][]byte{},
	}
	secret.Annotations[annotationIssuedFor] = p.fingerprint()
	secret.Annotations[annotationRenewAfter] = now.Add(leafLife - renewBefore).UTC().Format(time.RFC3339)
	for _, f := range p.files {
		cert, key, err := f.authority.Issue(f.request, now)
		if err != nil {
			return nil, fmt.Errorf("issue %s of secret %s: %w", f.name, p.Name, err)
		}
		if f.kubeconfig == nil {
			secret.Data[f.name+".crt"], secret.Data[f.name+".key"] = cert, key
			continue
		}
		request := *f.kubeconfig
		request.CA, request.Cert, request.Key = p.roots.CA.CertPEM, cert, key
		if secret.Data[f.name], err = pki.Kubeconfig(request); err != nil {
			return nil, fmt.Errorf("write %s of secret %s: %w", f.name, p.Name, err)
		}
	}
	return secret, nil
}

// fingerprint is a hash of everything that decides the content but the keys drawn.
func (p Plan) fingerprint() string {
	hash := sha256.New()
	for _, f := range p.files {
		// Every field is a plain value, so encoding cannot fail.
		raw, _ := json.Marshal([]any{f.name, f.request, f.kubeconfig})
		hash.Write(raw)
		hash.Write(f.authority.CertPEM)
		hash.Write(p.roots.CA.CertPEM)
	}
	return hex.EncodeToString(hash.Sum(nil)[:16])
}

// Revision is a hash over the signing keys and the content of Secrets, for
// Input.SecretRevision.
func Revision(roots *Roots, secrets ...*corev1.Secret) string {
	hash := sha256.New()
	hash.Write(roots.ServiceAccountPublic)
	for _, secret := range secrets {
		// A map is encoded in the order of its keys.
		raw, _ := json.Marshal(secret.Data)
		hash.Write(raw)
	}
	return hex.EncodeToString(hash.Sum(nil)[:8])
}
