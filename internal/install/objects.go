package install

import (
	"crypto/sha256"
	"encoding/hex"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/identity"
)

// Objects renders everything but the webhooks, in the order to apply it.
func Objects(c Config) []client.Object {
	objects := []client.Object{
		&corev1.Namespace{TypeMeta: core("Namespace"), ObjectMeta: metav1.ObjectMeta{
			Name: Namespace,
			// The registry may serve a directory of its node, which the stricter levels refuse.
			Labels: map[string]string{labelName: Name, "pod-security.kubernetes.io/enforce": "privileged"},
		}},
	}
	objects = append(objects, rights()...)
	objects = append(objects, data(c)...)
	if c.Registry.HostPath == "" {
		objects = append(objects, claim(registryClaim, registryCapacity))
	}
	if c.BackupHostPath == "" {
		objects = append(objects, claim(backupClaim, backupCapacity))
	}
	objects = append(objects, management(c.Management)...)
	return append(append(objects, services(c)...), deployment(c))
}

func core(kind string) metav1.TypeMeta { return metav1.TypeMeta{APIVersion: "v1", Kind: kind} }

func meta(name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Name: name, Namespace: Namespace, Labels: map[string]string{labelName: Name}}
}

func data(c Config) []client.Object {
	return []client.Object{
		&corev1.Secret{TypeMeta: core("Secret"), ObjectMeta: meta(TLSSecret), Type: corev1.SecretTypeTLS,
			Data: map[string][]byte{corev1.TLSCertKey: c.Cert, corev1.TLSPrivateKeyKey: c.Key}},
		&corev1.Secret{TypeMeta: core("Secret"), ObjectMeta: meta(IdentitySecret), Type: corev1.SecretTypeOpaque,
			Data: map[string][]byte{
				identity.FileTenantID:         []byte(c.Identity.TenantID),
				identity.FileClientID:         []byte(c.Identity.ClientID),
				identity.FileClientSecretHash: []byte(c.Identity.ClientSecretHash),
				identity.FileUserName:         []byte(c.Identity.UserName),
				identity.FileUserPasswordHash: []byte(c.Identity.UserPasswordHash),
				identity.FileEngineers:        c.Identity.Engineers,
				identity.FileSigningKey:       c.Identity.SigningKey,
			}},
		&corev1.ConfigMap{TypeMeta: core("ConfigMap"), ObjectMeta: meta(CAConfigMap), Data: map[string]string{CAKey: string(c.CA)}},
		&corev1.ConfigMap{TypeMeta: core("ConfigMap"), ObjectMeta: meta(CatalogueMap), Data: map[string]string{CatalogueKey: string(c.Catalogue)}},
	}
}

// management is what Berth's own backups need. Nothing of it is read at start alone.
func management(m *Management) []client.Object {
	if m == nil {
		return nil
	}
	return []client.Object{
		&corev1.Secret{TypeMeta: core("Secret"), ObjectMeta: meta(v1beta1.ManagementBackupSecret), Type: corev1.SecretTypeOpaque,
			Data: map[string][]byte{
				CAKey: m.CA, corev1.TLSCertKey: m.Cert, corev1.TLSPrivateKeyKey: m.Key,
				v1beta1.ManagementEndpointKey: []byte(m.Endpoint), v1beta1.ManagementPublicKeyKey: []byte(m.PublicKey),
				v1beta1.ManagementBundleKey: m.Bundle, v1beta1.ManagementDigestKey: []byte(m.Digest),
			}},
		&v1beta1.ManagementCluster{
			TypeMeta:   metav1.TypeMeta{APIVersion: v1beta1.GroupVersion.String(), Kind: "ManagementCluster"},
			ObjectMeta: metav1.ObjectMeta{Name: v1beta1.ManagementClusterName, Labels: map[string]string{labelName: Name}},
		},
	}
}

// revision changes with everything that the pod reads only when it starts.
func revision(c Config) string {
	sum := sha256.New()
	for _, part := range [][]byte{c.Catalogue, c.CA, c.Cert, c.Key, c.Identity.SigningKey,
		[]byte(c.Identity.TenantID), []byte(c.Identity.ClientID), []byte(c.Identity.ClientSecretHash),
		[]byte(c.Identity.UserName), []byte(c.Identity.UserPasswordHash), c.Identity.Engineers} {
		sum.Write(part)
		sum.Write([]byte{0})
	}
	return hex.EncodeToString(sum.Sum(nil)[:8])
}

func claim(name, capacity string) client.Object {
	return &corev1.PersistentVolumeClaim{TypeMeta: core("PersistentVolumeClaim"), ObjectMeta: meta(name),
		Spec: corev1.PersistentVolumeClaimSpec{
			AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
			Resources: corev1.VolumeResourceRequirements{Requests: corev1.ResourceList{
				corev1.ResourceStorage: resource.MustParse(capacity),
			}},
		}}
}

func services(c Config) []client.Object {
	public := service(Name, servicePort("arm", portARM, portARM), servicePort("gateway", portGateway, portGateway))
	public.Spec.Type = corev1.ServiceTypeNodePort
	// The gateway must see who calls (authorised IP ranges), not the node's address.
	public.Spec.ExternalTrafficPolicy = corev1.ServiceExternalTrafficPolicyLocal
	public.Spec.Ports[0].NodePort, public.Spec.Ports[1].NodePort = ARMNodePort, GatewayNodePort
	registry := service(RegistryService, servicePort("registry", RegistryPort, RegistryPort))
	registry.Spec.ClusterIP = c.Registry.ClusterIP
	backup := service(backupService, servicePort("backup", portBackup, portBackup))
	return []client.Object{public, registry, backup, service(WebhookService, servicePort("webhook", 443, portWebhook))}
}

func service(name string, ports ...corev1.ServicePort) *corev1.Service {
	return &corev1.Service{TypeMeta: core("Service"), ObjectMeta: meta(name),
		Spec: corev1.ServiceSpec{Selector: map[string]string{labelName: Name}, Ports: ports}}
}

func servicePort(name string, port, target int32) corev1.ServicePort {
	return corev1.ServicePort{Name: name, Port: port, TargetPort: intstr.FromInt32(target), Protocol: corev1.ProtocolTCP}
}
