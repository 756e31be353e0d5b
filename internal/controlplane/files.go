package controlplane

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// The files of the ConfigMap that the API server reads.
const (
	fileAudit          = "audit-policy.yaml"
	fileAuthentication = "authentication.yaml"
	fileEgress         = "egress-selector.yaml"
)

func configMap(in Input) client.Object {
	return &corev1.ConfigMap{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "ConfigMap"},
		ObjectMeta: in.meta(KubeConfigMap),
		Data: map[string]string{
			fileAudit:          auditPolicy,
			fileAuthentication: authenticationConfig,
			fileEgress:         egressSelector,
		},
	}
}

// auditPolicy records who did what to which object, never its content. What the
// cluster's own machinery reads and renews all day is left out, as it would hide
// the rest. Of support nothing is (X5).
const auditPolicy = `apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: Metadata
  userGroups: ["` + SupportGroup + `"]
- level: None
  nonResourceURLs: ["/healthz*", "/livez*", "/readyz*", "/version", "/openapi*"]
- level: None
  users: ["system:kube-controller-manager", "system:kube-scheduler", "system:apiserver"]
  verbs: ["get", "list", "watch"]
- level: None
  userGroups: ["system:nodes", "system:serviceaccounts:kube-system"]
  verbs: ["get", "list", "watch"]
- level: None
  resources: [{group: coordination.k8s.io, resources: [leases]}, {group: "", resources: [events]}, {group: events.k8s.io, resources: [events]}]
- level: Metadata
`

// authenticationConfig lets strangers ask for health only: the kubelet's probes
// carry no credentials.
const authenticationConfig = `apiVersion: apiserver.config.k8s.io/v1
kind: AuthenticationConfiguration
anonymous:
  enabled: true
  conditions:
  - path: /healthz
  - path: /livez
  - path: /readyz
`

// egressSelector sends what is meant for nodes, pods and Services through the
// tunnel: the API server has no route to them.
const egressSelector = `apiVersion: apiserver.k8s.io/v1beta1
kind: EgressSelectorConfiguration
egressSelections:
- name: cluster
  connection:
    proxyProtocol: GRPC
    transport:
      uds:
        udsName: ` + konnectivitySocket + `
- name: controlplane
  connection:
    proxyProtocol: Direct
- name: etcd
  connection:
    proxyProtocol: Direct
`
