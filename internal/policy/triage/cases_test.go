package triage

import (
	"time"

	"berth.dev/berth/api/v1beta1"
)

// aDay is one day.
const aDay = 24 * time.Hour

// noon is when every ticket comes.
var noon = time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)

// scene is a ticket in a customer's words, what is found, and what the policy says.
type scene struct {
	words  string
	topic  Topic
	found  []change
	answer v1beta1.SupportAnswer
	// clause and reason are those that decide.
	clause, reason string
	// why says what the case is there for.
	why string
}

// change is something else about a ticket on a healthy cluster.
type change func(*Ticket, *Evidence)

// healthy is a cluster within the policy that a ticket names.
func healthy() Evidence { return Evidence{Cluster: true, PolicyEngine: true} }

func told1(clause string, state v1beta1.SupportState, message, back string) change {
	return func(_ *Ticket, e *Evidence) {
		e.Findings = append(e.Findings, v1beta1.SupportFinding{Clause: clause, State: state, Message: message, WayBack: back})
	}
}

// What may be found.
var (
	nothing     = func(_ *Ticket, e *Evidence) { *e = Evidence{} }
	retired     = told1("F4", v1beta1.SupportOutOfSupport, "the control plane runs 1.32.9, which is out of support", "Upgrade.")
	platform    = told1("F4", v1beta1.SupportPlatformOnly, "the control plane runs 1.36.1, which has platform support only", "Upgrade.")
	previewed   = told1("L3", v1beta1.SupportBestEffort, "node pool p runs 1.39.0, which is a preview", "Wait.")
	oldImage    = told1("F1", v1beta1.SupportOutOfSupport, "node pool a has an image older than 90 days", "Upgrade the image.")
	relabelled  = told1("B4", v1beta1.SupportOutOfSupport, "kubectl-label changed kubernetes.azure.com/role of node n1", "Leave it alone.")
	resized     = told1("B3", v1beta1.SupportOutOfSupport, "machine m1 was resized behind the service's back", "Replace it.")
	rebaked     = told1("G2", v1beta1.SupportOutOfSupport, "/usr/bin/containerd of node n1 is not the image's", "Reimage it.")
	extended    = told1("G3", v1beta1.SupportOutOfSupport, "extension x was added to pool a", "Remove it.")
	rescaled    = told1("G4", v1beta1.SupportOutOfSupport, "the scale set of pool a was edited by hand", "Scale the pool.")
	loggedIn    = told1("I1", v1beta1.SupportOutOfSupport, "/etc/sysctl.conf of node n1 was changed over SSH", "Reimage it.")
	allOff      = told1("J3", v1beta1.SupportOutOfSupport, "all 2 machines were stopped through the IaaS view", "Start them.")
	noNodes     = told1("J4", v1beta1.SupportOutOfSupport, "no node is Ready and no machine runs, of 2", "Have a node run.")
	suspended   = told1("J6", v1beta1.SupportOutOfSupport, "its subscription is Suspended", "Have it enabled.")
	warned      = told1("J6", v1beta1.SupportSupported, "its subscription is Warned", "Settle it.")
	deleted     = told1("J7", v1beta1.SupportOutOfSupport, "its subscription is Deleted", "None.")
	unknown     = told1("J9", v1beta1.SupportOutOfSupport, "something that no row knows", "Ask.")
	halted      = func(_ *Ticket, e *Evidence) { e.Stopped = true }
	ownNetwork  = func(_ *Ticket, e *Evidence) { e.OwnCNI, e.PolicyEngine = true, false }
	noPolicies  = func(_ *Ticket, e *Evidence) { e.PolicyEngine = false }
	ownPolicies = func(_ *Ticket, e *Evidence) { e.OwnPolicyEngines = []string{"calico-node"} }
	ownNginx    = func(_ *Ticket, e *Evidence) { e.Ingresses = append(e.Ingresses, Controller{Name: "nginx-internal"}) }
	managed     = func(_ *Ticket, e *Evidence) {
		e.Ingresses = append(e.Ingresses, Controller{Name: "app-routing", Managed: true})
	}
	fought  = func(_ *Ticket, e *Evidence) { e.Contested = []string{"Deployment kube-system/coredns"} }
	broken  = func(_ *Ticket, e *Evidence) { e.Faults = []string{"node n1 is ill: KubeletProblem"} }
	mending = func(_ *Ticket, e *Evidence) { e.Repairs = []string{"machine m1: Reboot since 11:58"} }
	blocks  = func(_ *Ticket, e *Evidence) {
		e.Webhooks = []string{"policy.example.com: its Service has no endpoints"}
	}
	lagging = func(_ *Ticket, e *Evidence) { e.Behind = []string{"a has 202610.01.0"} }
	selfish = func(_ *Ticket, e *Evidence) { e.SelfPatched = []string{"a"} }
	closed  = func(_ *Ticket, e *Evidence) { e.Unread = "its API server does not answer" }
	consent = func(t *Ticket, _ *Evidence) { t.Consent = true }
	urgent  = func(t *Ticket, _ *Evidence) { t.Severity = v1beta1.SeverityCritical }
	notYet  = func(t *Ticket, _ *Evidence) { t.Unregistered = []string{"Microsoft.ContainerService/FancyPreview"} }
)

// tuned is a DaemonSet that came to all nodes at once.
func tuned(started, ill time.Duration, with, without int) change {
	tuner := Tuner{Name: "tools/sysctl", Reach: "privileged", Node: "n1", Started: noon.Add(-started), IllSince: noon.Add(-ill), HealthyWith: with, HealthyWithout: without}
	if with > 0 {
		tuner.HealthySince = tuner.Started
	}
	return func(_ *Ticket, e *Evidence) { e.Tuners = append(e.Tuners, tuner) }
}

// joined is a DaemonSet of long ago on a node that came half an hour ago.
func joined(_ *Ticket, e *Evidence) {
	e.Tuners = append(e.Tuners, Tuner{
		Name: "tools/sysctl", Reach: "privileged", Node: "n9", Started: noon.Add(-30 * time.Minute), IllSince: noon.Add(-20 * time.Minute),
		HealthyWith: 2, HealthySince: noon.Add(-40 * aDay),
	})
}

var cases = []scene{
	// C: what support is for.
	{"kubectl times out since this morning, from two different offices", APIServer, nil, in, "C1", "Connectivity", "the plain case"},
	{"The API server answers 500 to every second request", ControlPlane, nil, in, "C2", "ControlPlane", "its operation is the service's"},
	{"My upgrade to 1.37 stopped half way", ClusterOperations, nil, in, "C2", "ControlPlane", "an operation of the service's"},
	{"Is my etcd backed up? I need it for an audit", EtcdBackup, nil, in, "C3", "Backup", "the backups are the service's"},
	{"Please roll my etcd back to yesterday evening", EtcdRestore, nil, out, "C3", "RestoreOnRequest", "restores on demand are not offered"},
	{"My Service of type LoadBalancer stays pending", LoadBalancer, nil, in, "C4", "Integration", "an integration point"},
	{"Pods wait for their disk for ten minutes", Volumes, nil, in, "C4", "Integration", "another one"},
	{"May I raise max-requests-inflight of the API server?", Customising, nil, in, "C5", "Customising", "questions on it are in scope"},
	{"metrics-server restarts all the time", ManagedComponents, nil, in, "A6", "ManagedComponents", "it is managed"},
	{"Names outside the cluster do not resolve from pods", DNS, nil, in, "C6", "Networking", "DNS is part of C6"},
	{"We lose one packet in fifty between nodes", PodNetwork, nil, in, "C6", "Networking", "packet loss is part of C6"},
	{"Latency between pods on different nodes has doubled", PodNetwork, nil, in, "C6", "Networking", "performance is part of C6"},
	{"Pods cannot reach our database in another network", Egress, nil, in, "C6", "Networking", "connections to other services"},
	{"A NetworkPolicy that allows port 80 lets nothing through", NetworkPolicy, nil, in, "C6", "Networking", "policies that the service enforces"},
	{"The managed ingress answers 502 since the last update", Ingress, []change{managed}, in, "C6", "Networking", "a managed controller"},
	{"Who of you has looked into my cluster?", SupportAccess, []change{nothing}, in, "C7", "SupportAccess", "needs no cluster"},
	{"Please look into the kubelet's log of node n1", NodeDiagnosis, []change{consent}, in, "C7", "Consented", "consent is given"},
	{"Please look into the kubelet's log of node n1", NodeDiagnosis, nil, customer, "B2", "NoConsent", "without consent nobody looks"},

	// D: what it is not for.
	{"How do I write a Deployment with two containers?", HowTo, []change{nothing}, out, "D1", "HowTo", "how to use Kubernetes"},
	{"Which tier suits forty nodes, and does the autoscaler help?", Advice, []change{nothing}, in, "D1", "Advice", "advice on the service itself is in scope"},
	{"My Istio gateway drops connections after an upgrade of Istio", OpenSource, []change{nothing}, best, "D2", "OpenSource", "best effort"},
	{"helm rollback leaves two releases behind", OpenSource, nil, best, "D2", "OpenSource", "the policy names Helm"},
	{"Requests between pods fail with 503, the envoy sidecar says NR", PodNetwork, nil, best, "D2", "Mesh", "a mesh between the pods and the network"},
	{"Names do not resolve in pods. We do not use Istio or Linkerd.", DNS, nil, in, "C6", "Networking", "what is not used is not to blame"},
	{"Names do not resolve; it doesn't work with Istio, and we don't use any other mesh", DNS, nil, best, "D2", "Mesh", "what does not work with it is not done without it"},
	{"Helm says that the API server does not answer", APIServer, nil, in, "C1", "Connectivity", "a tool that is merely named decides nothing"},
	{"The appliance that scans our images stopped", ClosedSource, []change{nothing}, out, "D3", "ClosedSource", "closed software"},
	{"The Dynatrace OneAgent does not come up", OpenSource, nil, out, "D3", "ClosedSourceNamed", "it is not open source, whatever the customer chose"},
	{"My Java service runs out of memory", Application, nil, out, "D4", "Application", "nothing points at the platform"},
	{"My pods vanish, on one node only", Application, []change{broken}, in, "C2", "PlatformFault", "the platform is the cause"},
	{"Creating any pod fails with a timeout", ClusterOperations, []change{blocks}, customer, "D4", "Webhook", "a webhook of the customer's that does not answer"},
	{"coredns cannot be scheduled", ManagedComponents, []change{blocks}, customer, "D4", "Webhook", "it blocks kube-system too"},
	{"The certificate of our shop runs out tomorrow", Certificates, []change{nothing}, out, "D5", "ApplicationCertificates", "the customer's own certificates"},
	{"The tunnel to our office through a VPN appliance flaps", Appliance, nil, out, "D6", "Appliance", "customisation beyond what is documented"},
	{"Which rules does the platform's firewall need?", PlatformFirewall, nil, best, "D6", "PlatformFirewall", "advice, for this firewall only"},
	{"Cilium does not come up after I created the cluster without a network", OwnCNI, []change{ownNetwork}, out, "D7", "OwnCNI", "their plugin"},
	{"Names do not resolve in pods", DNS, []change{ownNetwork}, out, "D7", "OwnCNIInCluster", "the evidence decides, not the customer's words"},
	{"Pods on n2 cannot reach pods on n1", PodNetwork, []change{ownNetwork}, out, "D7", "OwnCNIInCluster", "routing with an own CNI"},
	{"kubectl times out", APIServer, []change{ownNetwork}, in, "C1", "Connectivity", "an own CNI takes only the network out of scope"},
	{"My policies are not enforced", NetworkPolicy, []change{ownPolicies}, out, "D8", "OwnPolicyEngine", "found in the cluster"},
	{"My GlobalNetworkPolicy is not enforced", NetworkPolicy, nil, out, "D8", "OwnPolicyEngine", "named in the ticket"},
	{"My policies are not enforced", NetworkPolicy, []change{noPolicies}, out, "D8", "NoPolicyEngine", "the service enforces none here"},
	{"Our ingress answers 404 for everything", Ingress, []change{ownNginx}, out, "D9", "OwnIngress", "found in the cluster"},
	{"Since you upgraded Kubernetes our ingress is broken", Ingress, []change{ownNginx}, out, "D9", "OwnIngress", "even when an upgrade broke it"},
	{"Traefik does not pick up my routes", Ingress, []change{closed}, out, "D9", "OwnIngress", "named, where the cluster cannot be read"},
	{"The Ingress to our nginx Deployment answers 404", Ingress, nil, in, "C6", "Networking", "a web server of that name is no controller"},
	{"The nginx ingress controller answers 404", Ingress, []change{closed}, out, "D9", "OwnIngress", "that is one"},
	{"The ingress answers 502", Ingress, []change{managed, ownNginx}, customer, "D9", "WhichIngress", "both kinds are there"},
	{"The class nginx-internal answers 502", Ingress, []change{managed, ownNginx}, out, "D9", "OwnIngress", "the ticket says which"},
	{"The class app-routing answers 502", Ingress, []change{managed, ownNginx}, in, "C6", "Networking", "the ticket says the managed one"},
	{"Our ingress answers 404", Ingress, []change{closed}, in, "X4", "ClusterUnread", "what cannot be seen is not held against the customer"},
	{"Our DaemonSet that sets sysctls does not work", NodeTuning, nil, out, "D10", "NodeTuning", "what it does is the customer's"},
	{"Please have an engineer stand by on Black Friday", Proactive, []change{nothing}, out, "D11", "Proactive", "support is reactive"},
	{"Trivy lists 212 findings for my nodes", Vulnerability, nil, customer, "D12", "FilterFirst", "the customer filters first"},
	{"CVE-2026-1234 is in openssl on my nodes", Vulnerability, []change{lagging}, customer, "D12", "UpdateFirst", "the customer updates first"},
	{"Please write us a script that drains nodes at night", Bespoke, []change{nothing}, out, "D13", "Bespoke", "bespoke code"},

	// B, G, I: nodes and what is done to them.
	{"n1 is NotReady", NodeNotReady, nil, in, "C2", "ControlPlane", "kubelets are the service's"},
	{"n1 is NotReady", NodeNotReady, []change{broken, mending}, in, "E4", "Repairing", "Berth is at it"},
	{"n1 is NotReady", NodeNotReady, []change{tuned(30*time.Minute, 20*time.Minute, 2, 0)}, customer, "G6", "NodeTunedIll", "ill ten minutes after the DaemonSet came"},
	{"n1 is NotReady", NodeNotReady, []change{tuned(40*aDay, 20*time.Minute, 0, 2)}, customer, "G6", "NodeTunedIll", "only the ill node has it"},
	{"n1 is NotReady", NodeNotReady, []change{tuned(40*aDay, 20*time.Minute, 2, 0)}, in, "G5", "NodeTuned", "it ran for weeks, and runs elsewhere: no proof"},
	{"All nodes are NotReady", NodeNotReady, []change{tuned(40*aDay, 20*time.Minute, 0, 0)}, in, "G5", "NodeTuned", "no healthy node to compare with: no proof"},
	{"n1 is NotReady since before I put my agent on it", NodeNotReady, []change{tuned(20*time.Minute, 30*time.Minute, 2, 0)}, in, "G5", "NodeTuned", "it came after the illness"},
	{"n1 is NotReady, so I put a debugger on it", NodeNotReady, []change{tuned(20*time.Minute, 30*time.Minute, 0, 2)}, in, "G5", "NodeTuned", "it came after the illness, though no other node has it"},
	{"The new node n9 is NotReady", NodeNotReady, []change{joined}, in, "G5", "NodeTuned", "the others bear the same DaemonSet for weeks"},
	{"My pods on n1 die", Application, []change{broken, tuned(30*time.Minute, 20*time.Minute, 2, 0)}, customer, "G6", "NodeTunedIll", "the fault has a cause of the customer's"},
	{"When will my nodes get the openssl patch?", NodeImage, nil, in, "E2", "NodeImage", "patches are the service's"},
	{"When will my nodes get the openssl patch?", NodeImage, []change{selfish}, customer, "E2", "SelfPatched", "patches of an unmanaged operating system are not"},
	{"We want our own kernel in the image", NodeBaseImage, nil, out, "G2", "BaseImage", "the image cannot be changed"},
	{"How do I add the antivirus extension to the scale set?", NodeExtensions, nil, out, "G3", "Extensions", "forbidden"},
	{"I resized one VM of the scale set and it went back", NodeIaaS, nil, out, "G4", "ScaleSet", "unsupported, and B3 says why"},
	{"What are these resources in MC_rg1_c1_westus2?", NodeResources, nil, in, "G1", "NodeResources", "a question"},
	{"I want to remove kubernetes.azure.com/role from my nodes", SystemMetadata, nil, out, "B4", "SystemMetadata", "asked for, not yet done"},
	{"I changed containerd's config over SSH and pods fail", NodeAccess, nil, customer, "I1", "NodeLogin", "a reimage mends it"},

	// K, L: features.
	{"Please switch on the alpha gate InPlacePodLevelResources", Alpha, []change{nothing}, out, "K1", "Alpha", "alpha is off"},
	{"The fancy preview does not work", Preview, nil, hours, "L3", "PreviewFeature", "best effort in business hours"},
	{"The fancy preview takes our shop down", Preview, []change{urgent}, hours, "L2", "PreviewInProduction", "not for production"},
	{"The fancy preview is refused", Preview, []change{notYet}, customer, "L1", "NotRegistered", "behind a flag"},
	{"kubectl times out", APIServer, []change{previewed}, hours, "L3", "VersionPreview", "the whole cluster runs a preview"},

	// What takes a cluster out of support takes its tickets along.
	{"My upgrade hangs", ClusterOperations, []change{retired}, customer, "F4", "VersionOutOfSupport", "upgrade first"},
	{"Names do not resolve", DNS, []change{platform}, customer, "F4", "VersionPlatformSupport", "Kubernetes itself is not supported any more"},
	{"My Service of type LoadBalancer stays pending", LoadBalancer, []change{platform}, in, "C4", "Integration", "the platform still is"},
	{"n1 is NotReady", NodeNotReady, []change{oldImage}, customer, "F1", "NodeImageTooOld", "upgrade the image first"},
	{"n1 is NotReady", NodeNotReady, []change{relabelled}, out, "B4", "SystemMetadataChanged", "tampered"},
	{"n1 is NotReady", NodeNotReady, []change{resized}, out, "B3", "ChangedThroughIaaS", "tampered"},
	{"n1 is NotReady", NodeNotReady, []change{rebaked}, out, "G2", "BaseImageChanged", "tampered"},
	{"n1 is NotReady", NodeNotReady, []change{extended}, out, "G3", "ExtensionsChanged", "tampered"},
	{"Scaling pool a fails", ClusterOperations, []change{rescaled}, out, "G4", "ScaleSetChanged", "tampered"},
	{"n1 is NotReady", NodeNotReady, []change{loggedIn}, customer, "I1", "ChangedByLogin", "a reimage mends it"},
	{"No pod starts", ClusterOperations, []change{allOff}, customer, "J3", "AllMachinesStopped", "that is no way to stop a cluster"},
	{"Scaling fails", ClusterOperations, []change{noNodes}, customer, "J4", "NoNodes", "no node at all"},
	{"My cluster is gone", ClusterOperations, []change{suspended}, customer, "J6", "SubscriptionSuspended", "the subscription comes first"},
	{"kubectl times out", APIServer, []change{warned}, in, "C1", "Connectivity", "a warning takes nothing away"},
	{"My cluster is gone", ClusterOperations, []change{deleted}, out, "J7", "SubscriptionDeleted", "nothing to support"},
	{"kubectl times out", APIServer, []change{unknown}, out, "X1", "OutOfSupport", "a clause without a row of its own still counts"},
	{"kubectl times out", APIServer, []change{halted}, customer, "J1", "Stopped", "nothing answers that is stopped"},
	{"My cluster does not start", ClusterOperations, []change{halted}, in, "C2", "ControlPlane", "a start that fails is the service's"},
	{"coredns goes back to one replica", ManagedComponents, []change{fought}, customer, "A7", "Contested", "somebody fights with the service"},
	{"kubectl times out", APIServer, []change{nothing}, customer, "X4", "ClusterNotNamed", "evidence comes from a cluster"},
}
