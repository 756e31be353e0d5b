package triage

import (
	"berth.dev/berth/api/v1beta1"
)

// table is the policy on tickets: what is out of scope by its topic, what the customer
// brought to the network and the nodes, what the cluster has to be rid of first, and
// what is in scope. Every topic has a row that holds without
// any evidence.
var table = concat(outOfScope(), networks(), nodes(), clusters(), features(), vulnerabilities(), inScope())

const (
	in       = v1beta1.AnswerInScope
	best     = v1beta1.AnswerBestEffort
	hours    = v1beta1.AnswerBusinessHours
	customer = v1beta1.AnswerCustomersPart
	out      = v1beta1.AnswerOutOfScope
)

// outOfScope is what support does not do, whatever the cluster is like (C3, D).
func outOfScope() []row {
	return []row{
		{clause: "C3", reason: "RestoreOnRequest", topics: []Topic{EtcdRestore}, answer: out, found: about("a restore of etcd at the customer's request"),
			next: "Etcd is backed up for disaster recovery, and nobody reaches the backups. A cluster that was deleted can be recovered: `berth cluster recover`. Back up what is yours with a tool of your own."},
		{clause: "D1", reason: "HowTo", topics: []Topic{HowTo}, answer: out, found: about("how to use Kubernetes"),
			next: "See https://kubernetes.io/docs. Advice on the service's own features is in scope: choose service-advice for that."},
		{clause: "D3", reason: "ClosedSource", topics: []Topic{ClosedSource}, answer: out, found: about("closed software of a third party"),
			next: "Ask its vendor. If the vendor shows that the platform is the cause, choose the part of the platform that fails."},
		{clause: "D3", reason: "ClosedSourceNamed", topics: []Topic{OpenSource}, answer: out, found: names(closedSource, "is closed software of a third party"),
			next: "Ask its vendor."},
		{clause: "D4", reason: "Application", topics: []Topic{Application}, answer: out, found: applicationAlone,
			next: "Look at the application's events and logs: `kubectl describe pod`, `kubectl logs`. If they point at the platform, choose the part of it that fails."},
		{clause: "D5", reason: "ApplicationCertificates", topics: []Topic{Certificates}, answer: out, found: about("certificates of applications in the cluster"),
			next: "Issue and renew them with your authority's own tools. Certificates of the cluster itself are the service's: `berth cluster rotate-certs`."},
		{clause: "D11", reason: "Proactive", topics: []Topic{Proactive}, answer: out, found: about("help before anything has failed"),
			next: "Support is reactive. `berth cluster support` shows what the policy says of a cluster before anything fails; open a ticket when it does."},
		{clause: "D13", reason: "Bespoke", topics: []Topic{Bespoke}, answer: out, found: about("code or scripts to be written"),
			next: "Write it yourself; small samples are in the guide and can be asked for as service-advice."},
		{clause: "D2", reason: "OpenSource", topics: []Topic{OpenSource}, answer: best, found: about("open source software that is not shipped with the control plane or the cluster"),
			next: "Ask its community as well. Support helps as far as the integration with the platform goes, with samples."},
	}
}

// networks is what the customer brought to the network (D2, D6-D9).
func networks() []row {
	return []row{
		{clause: "D7", reason: "OwnCNI", topics: []Topic{OwnCNI}, answer: out, found: about("a CNI plugin of the customer's"),
			next: "Ask the plugin's vendor or community."},
		{clause: "D7", reason: "OwnCNIInCluster", topics: networking, answer: out, found: ownCNI,
			next: "Ask the plugin's vendor or community. Support covers the network of clusters that were created with a network plugin of the service."},
		{clause: "D8", reason: "OwnPolicyEngine", topics: []Topic{NetworkPolicy}, answer: out, found: ownPolicyEngine,
			next: "Ask the engine's vendor or community, or have the service enforce policies: create the cluster with `--network-policy azure`."},
		{clause: "D8", reason: "NoPolicyEngine", topics: []Topic{NetworkPolicy}, answer: out, found: noPolicyEngine,
			next: "Nothing of the service's enforces policies in this cluster. Create one with `--network-policy azure`."},
		{clause: "D9", reason: "OwnIngress", topics: []Topic{Ingress}, answer: out, found: ownIngress,
			next: "Ask the controller's vendor or community, also where a Kubernetes upgrade broke it. If its Service gets no address or no traffic, choose load-balancer."},
		{clause: "D9", reason: "WhichIngress", topics: []Topic{Ingress}, answer: customer, found: whichIngress,
			next: "Say in the ticket which controller it is about, and ask for the triage again."},
		{clause: "D6", reason: "Appliance", topics: []Topic{Appliance}, answer: out, found: about("network customisation beyond what is documented"),
			next: "Ask the appliance's vendor. The endpoints that nodes must reach are documented; let those pass first."},
		{clause: "D6", reason: "PlatformFirewall", topics: []Topic{PlatformFirewall}, answer: best, found: about("the platform's own firewall"),
			next: "Support advises. Compare the rules with the documented list of endpoints."},
		{clause: "D2", reason: "Mesh", topics: []Topic{APIServer, DNS, PodNetwork, Egress, Ingress}, answer: best, found: names(mesh, "is open source that is not shipped with the cluster"),
			next: "Try it between two pods outside the mesh. If it fails there too, say so without naming the mesh and ask for the triage again."},
	}
}

// clusters is what holds of a cluster before its ticket is looked at.
func clusters() []row {
	return []row{
		{clause: "J7", reason: "SubscriptionDeleted", answer: out, found: finding(v1beta1.SupportOutOfSupport, "J7"), next: "None: the cluster is being deleted."},
		{clause: "B3", reason: "ChangedThroughIaaS", answer: out, found: finding(v1beta1.SupportOutOfSupport, "B3"), next: "Replace the machines that were changed."},
		{clause: "B4", reason: "SystemMetadataChanged", answer: out, found: finding(v1beta1.SupportOutOfSupport, "B4"), next: "Leave what the system made alone."},
		{clause: "G2", reason: "BaseImageChanged", answer: out, found: finding(v1beta1.SupportOutOfSupport, "G2"), next: "Reimage the nodes."},
		{clause: "G3", reason: "ExtensionsChanged", answer: out, found: finding(v1beta1.SupportOutOfSupport, "G3"), next: "Reimage the nodes."},
		{clause: "G4", reason: "ScaleSetChanged", answer: out, found: finding(v1beta1.SupportOutOfSupport, "G4"), next: "Scale and change pools through the service."},
		{clause: "I1", reason: "ChangedByLogin", answer: customer, found: finding(v1beta1.SupportOutOfSupport, "I1"), next: "Reimage the node, then ask for the triage again."},
		{clause: "F1", reason: "NodeImageTooOld", answer: customer, found: finding(v1beta1.SupportOutOfSupport, "F1"), next: "Upgrade the node image."},
		{clause: "F4", reason: "VersionOutOfSupport", answer: customer, found: finding(v1beta1.SupportOutOfSupport, "F4"), next: "Upgrade to a supported version."},
		{clause: "F4", reason: "VersionPlatformSupport", topics: kubernetes, answer: customer, found: finding(v1beta1.SupportPlatformOnly, "F4"), next: "Upgrade to a supported version."},
		{clause: "J3", reason: "AllMachinesStopped", answer: customer, found: finding(v1beta1.SupportOutOfSupport, "J3"), next: "Start the machines."},
		{clause: "J4", reason: "NoNodes", answer: customer, found: finding(v1beta1.SupportOutOfSupport, "J4"), next: "Have a node run."},
		{clause: "J6", reason: "SubscriptionSuspended", answer: customer, found: finding(v1beta1.SupportOutOfSupport, "J6"), next: "Have the subscription enabled."},
		{clause: "X1", reason: "OutOfSupport", answer: out, found: otherFinding, next: "See `berth cluster support`."},
		{clause: "J1", reason: "Stopped", topics: running, answer: customer, found: stopped,
			next: "Start the cluster, `berth cluster start`, and ask for the triage again if the problem is still there."},
		{clause: "A7", reason: "Contested", topics: []Topic{ManagedComponents, DNS, PodNetwork, APIServer}, answer: customer, found: contested,
			next: "Stop what changes them: the managed fields name it. Berth puts them back as they belong."},
		{clause: "D4", reason: "Webhook", topics: hooked, answer: customer, found: webhooks,
			next: "Mend the webhook's service, or leave kube-system out of it with a namespaceSelector."},
		{clause: "X4", reason: "ClusterNotNamed", answer: customer, found: notNamed,
			next: "Open a ticket that names the cluster's resource id, as `berth cluster show` has it."},
		{clause: "X4", reason: "ClusterUnread", topics: []Topic{Ingress, NetworkPolicy, NodeNotReady, ManagedComponents}, answer: in, found: unread,
			next: "This is decided on what is known from outside. Ask for the triage again once the cluster can be reached."},
	}
}

// nodes is what customers do to nodes (B2-B4, D10, G, I1).
func nodes() []row {
	return []row{
		{clause: "D10", reason: "NodeTuning", topics: []Topic{NodeTuning}, answer: out, found: about("a DaemonSet or a script that customises nodes"),
			next: "DaemonSets are the way to tune nodes, and what they do there is yours. Try it on one node first."},
		{clause: "G6", reason: "NodeTunedIll", topics: []Topic{NodeNotReady, Application}, answer: customer, found: suspects,
			next: "Take the DaemonSet off the node, with an affinity or by deleting it. If the node stays ill without it, ask for the triage again."},
		{clause: "G5", reason: "NodeTuned", topics: []Topic{NodeNotReady}, answer: in, found: bystanders,
			next: "DaemonSets are the way to tune nodes: nothing speaks against this one."},
		{clause: "G2", reason: "BaseImage", topics: []Topic{NodeBaseImage}, answer: out, found: about("a change of the base image of nodes"),
			next: "Use a DaemonSet, which outlives upgrades and reboots."},
		{clause: "G3", reason: "Extensions", topics: []Topic{NodeExtensions}, answer: out, found: about("extensions of nodes"),
			next: "Use a DaemonSet for agents."},
		{clause: "G4", reason: "ScaleSet", topics: []Topic{NodeIaaS}, answer: out, found: about("a change of a pool's IaaS resources"),
			next: "Change the pool through the service: `berth nodepool scale`, `berth nodepool update`."},
		{clause: "B3", reason: "IaaSChange", topics: []Topic{NodeIaaS}, answer: out, found: about("a change of nodes straight through the IaaS APIs, which makes a cluster unsupportable"),
			next: "Undo it, or replace the machines. Kubernetes' own means, such as DaemonSets, never cost support."},
		{clause: "B4", reason: "SystemMetadata", topics: []Topic{SystemMetadata}, answer: out, found: about("metadata that the system made"),
			next: "Add labels and tags of your own: those are yours."},
		{clause: "I1", reason: "NodeLogin", topics: []Topic{NodeAccess}, answer: customer, found: about("something that was changed while logged in to a node"),
			next: "Reimage the node: what was changed does not outlive it. Then ask for the triage again if the problem is still there."},
		{clause: "B2", reason: "NoConsent", topics: []Topic{NodeDiagnosis}, answer: customer, found: noConsent,
			next: "Consent to it on the ticket: `berth support consent create --scopes NodeLogs`; or send the logs yourself."},
		{clause: "C7", reason: "Consented", topics: []Topic{NodeDiagnosis}, answer: in, found: consented,
			next: "Support may look, and change nothing, while the ticket is open; logs of nodes and commands need their scopes: `berth support consent create`. Take the consent back at any time."},
		{clause: "E2", reason: "SelfPatched", topics: []Topic{NodeImage}, answer: customer, found: selfPatched,
			next: "Patches come from the sources of the operating system, daily from 06:00 UTC on, and reboots are yours: see the nodes' events NodePatched and NodePatchFailed. To have the service patch nodes, `berth cluster update --node-os-upgrade-channel NodeImage`. A node image that cannot be upgraded by hand is the service's: open the ticket about operations of the cluster."},
		{clause: "E4", reason: "Repairing", topics: []Topic{NodeNotReady}, answer: in, found: repairs,
			next: "Berth is at it: see the node's events. If it gives up, it says why."},
	}
}

// features is what is not for production (K1, L).
func features() []row {
	return []row{
		{clause: "K1", reason: "Alpha", topics: []Topic{Alpha}, answer: out, found: about("an alpha feature of Kubernetes"),
			next: "Alpha features are off. Use what is beta or stable."},
		{clause: "L1", reason: "NotRegistered", topics: []Topic{Preview}, answer: customer, found: unregistered,
			next: "Register it with the subscription, then try again."},
		{clause: "L2", reason: "PreviewInProduction", topics: []Topic{Preview}, answer: hours, found: critical,
			next: "Previews are not for production; they may change and break. Go back to what is generally available."},
		{clause: "L3", reason: "PreviewFeature", topics: []Topic{Preview}, answer: hours, found: about("a preview"),
			next: "Wait for an answer in business hours. There is no promise on when."},
		{clause: "L3", reason: "VersionPreview", answer: hours, found: finding(v1beta1.SupportBestEffort, "L3"), next: "Do not use previews in production."},
	}
}

// vulnerabilities is what a ticket itself is told of flaws (D12). Whose turn each one is
// says a triage of the scanner's report (package vulnerability), which a ticket has no room for.
func vulnerabilities() []row {
	topics := []Topic{Vulnerability}
	return []row{
		{clause: "D12", reason: "UpdateFirst", topics: topics, answer: customer, found: behind,
			next: "Upgrade the node images, `berth nodepool upgrade --node-image-only`, and scan again."},
		{clause: "D12", reason: "FilterFirst", topics: topics, answer: customer, found: about("vulnerabilities, whose reports are triaged apart from tickets"),
			next: "See with `berth vulnerability triage --report` whose turn each finding is. What is the service's there is fixed in its newest images without a ticket."},
	}
}

// inScope is what support is for (C).
func inScope() []row {
	return []row{
		{clause: "C1", reason: "Connectivity", topics: []Topic{APIServer}, answer: in, found: about("connectivity to a component of the service"), next: "Support looks at the gateway and the control plane."},
		{clause: "C2", reason: "ControlPlane", topics: []Topic{ControlPlane, ClusterOperations, NodeNotReady}, answer: in, found: about("what the service operates"), next: "Support looks at the control plane and the last operations."},
		{clause: "A6", reason: "ManagedComponents", topics: []Topic{ManagedComponents}, answer: in, found: about("a managed component"), next: "Support looks at the component. Changes of it are put back."},
		{clause: "C2", reason: "PlatformFault", topics: []Topic{Application}, answer: in, found: faults, next: "Support looks at the platform first. If the application still fails when that is mended, it is the application's own."},
		{clause: "C3", reason: "Backup", topics: []Topic{EtcdBackup}, answer: in, found: about("the backups of etcd"), next: "Support looks at the recorder and the last proof of the backups."},
		{clause: "C4", reason: "Integration", topics: []Topic{LoadBalancer, Volumes}, answer: in, found: about("an integration of the platform with Kubernetes"), next: "Support looks at the Service or the volume and its events."},
		{clause: "C5", reason: "Customising", topics: []Topic{Customising}, answer: in, found: about("how to customise a component of the control plane"), next: "Support says which settings there are. Others are not the customer's."},
		{clause: "C6", reason: "Networking", topics: networking, answer: in, found: about("the cluster's network"), next: "Support looks at the network of the nodes and of the service."},
		{clause: "C7", reason: "SupportAccess", topics: []Topic{SupportAccess}, answer: in, found: about("support's own access"), next: "Support answers. It acts with consent only, and while a ticket is open."},
		{clause: "D1", reason: "Advice", topics: []Topic{Advice}, answer: in, found: about("a feature of the service"), next: "Support advises on it."},
		{clause: "E2", reason: "NodeImage", topics: []Topic{NodeImage}, answer: in, found: about("node images and their patches"), next: "Support looks at the pool's channel and its last upgrades."},
		{clause: "G1", reason: "NodeResources", topics: []Topic{NodeResources}, answer: in, found: about("the resources in the node resource group"), next: "Support says what they are. Change them through the service alone."},
	}
}

func concat(parts ...[]row) []row {
	var all []row
	for _, part := range parts {
		all = append(all, part...)
	}
	return all
}
