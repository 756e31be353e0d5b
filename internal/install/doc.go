// Package install renders the objects that make Berth run in a Kubernetes
// cluster. It does no I/O: keys, hashes and the catalogue come in, objects go
// out, ready for server-side apply in the order given.
//
//	Namespace berth-system
//	ServiceAccount, ClusterRole, ClusterRoleBinding, Role, RoleBinding berth
//	Secret berth-tls         tls.crt, tls.key: what ARM, registry and webhook answer with
//	Secret berth-identity    the directory's files, which package identity names
//	ConfigMap berth-ca       ca.crt: what clients trust
//	ConfigMap berth-catalogue catalogue.json (package release)
//	Deployment berth         `berth serve`
//	Service berth            ARM and gateway, by node port
//	Service berth-registry   the registry that machines pull from
//	Service berth-webhook    admission of group berth.dev
//	MutatingWebhookConfiguration, ValidatingWebhookConfiguration berth
//
// Webhooks applies last, once the Deployment answers: until then it would
// refuse every write to Berth's own kinds.
package install
