package long

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/test/harness"
)

// extensions tries to give the nodes one, which changes nothing (G3).
func extensions(c *customer) {
	url := "/subscriptions/" + c.Variable("AZURE_SUBSCRIPTION_ID") + "/resourceGroups/" + c.group + "/providers/Microsoft.Compute/virtualMachineScaleSets/" + c.set + "/extensions/agent?api-version=2024-07-01"
	for _, args := range [][]string{
		{"--method", "put", "--body", `{"properties":{"publisher":"Example","type":"Agent","typeHandlerVersion":"1.0"}}`},
		{"--method", "delete"},
	} {
		if out, err := c.Try("az", append([]string{"rest", "--url", url}, args...)...); err == nil || !strings.Contains(out, "G3") {
			c.T.Errorf("an extension, %s: %v, %s", args[1], err, out)
		}
	}
	if answer := c.Ask("extensions", "node-extensions", c.id); answer.Answer != "OutOfScope" || answer.Reasons[0].Clause != "G3" {
		c.T.Errorf("a ticket is answered %+v", answer)
	}
	c.supported("what was refused is no finding")
}

// login has somebody with the cluster's key log in to a node, from a pod of the customer's.
// It is told on the Node, what they try does not get at the image, and costs no support; a
// ticket about it is the customer's part (I1, G2).
func login(c *customer) {
	path := filepath.Join(c.State, "ssh.key")
	if err := os.WriteFile(path, c.key.private, 0o600); err != nil {
		c.T.Fatal(err)
	}
	c.kubectl("create", "secret", "generic", "ssh", "--from-file=key="+path)
	c.apply(loginManifest)
	var node string
	c.Eventually("somebody logs in and looks around", longEnough, func() error {
		out, err := c.TryCluster(c.name, "logs", "job/login")
		if err != nil || !strings.Contains(out, "as azureuser\n") || !strings.Contains(out, "the end\n") {
			return fmt.Errorf("%w: %s", err, out)
		}
		if strings.Contains(out, "changed") {
			c.T.Errorf("whoever logs in can change the image: %s", out)
		}
		node = c.kubectl("get", "pods", "-l", "job-name=login", "-o", "jsonpath={.items[0].spec.nodeName}")
		return nil
	})
	c.Eventually("the login is told", longEnough, func() error {
		out := c.kubectl("get", "events", "-n", "default", "--field-selector", "reason=NodeLogin,involvedObject.name="+node, "-o", "jsonpath={.items[*].message}")
		for _, part := range []string{"azureuser logged in over SSH from 127.0.0.1", "ssh-ed25519", "I1"} {
			if !strings.Contains(out, part) {
				return fmt.Errorf("no %q in %q", part, out)
			}
		}
		return nil
	})
	if answer := c.Ask("login", "node-access", c.id); answer.Answer != "CustomersPart" || answer.Reasons[0].Clause != "I1" {
		c.T.Errorf("a ticket is answered %+v", answer)
	}
	c.kubectl("delete", "job/login", "secret/ssh", "--cascade=foreground", "--timeout=120s")
	c.supported("a login is no finding")
}

// webhookOnSystem has a webhook of the customer's, which nobody answers for, catch the pods of
// kube-system: those of the DNS do not come back, the cluster stays supported, and the finding
// and tickets say whose turn it is (D4).
func webhookOnSystem(c *customer) {
	c.apply(webhookManifest)
	c.Eventually("the webhook is a finding", longEnough, func() error {
		told := c.Support("rg1", c.name)
		if told.State != "Supported" || told.Clauses() != "D4" || told.Findings[0].Reason != "WebhookOnSystem" || told.Findings[0].WayBack == "" ||
			!strings.Contains(told.Findings[0].Message, "gate.example.com of gate must answer for pods of the system, and cannot: its Service default/nobody has no ready endpoint") {
			return fmt.Errorf("%+v", told)
		}
		return nil
	})
	pods := c.kubectl("-n", "kube-system", "get", "pods", "-l", "k8s-app=kube-dns", "-o", "jsonpath={.items[*].metadata.uid}")
	c.kubectl("-n", "kube-system", "delete", "pods", "-l", "k8s-app=kube-dns", "--wait=false")
	c.Eventually("the DNS has no pods any more", longEnough, func() error {
		if left := c.kubectl("-n", "kube-system", "get", "pods", "-l", "k8s-app=kube-dns", "-o", "jsonpath={.items[*].metadata.uid}"); left != "" {
			return fmt.Errorf("%s of %s", left, pods)
		}
		return nil
	})
	answer := c.Ask("webhook", "cluster-dns", c.id)
	if answer.Answer != "CustomersPart" || answer.Reasons[0].Clause != "D4" || !strings.Contains(answer.Reasons[0].Evidence, "gate.example.com") {
		c.T.Errorf("a ticket is answered %+v", answer)
	}
	c.kubectl("delete", "validatingwebhookconfiguration", "gate")
	c.supported("a webhook that is gone is no finding")
	c.kubectl("-n", "kube-system", "rollout", "status", "deployment/coredns", "--timeout=300s")
	if answer := c.Ask("webhook", "cluster-dns", c.id); answer.Answer != "InScope" {
		c.T.Errorf("without it a ticket is answered %+v", answer)
	}
}

// contested changes a managed component until it waits to be put back, which a ticket about
// it is told, and then leaves it alone (A4 to A7).
func contested(c *customer) {
	c.Management("patch", "servicepolicy", "default", "--type=merge", "-p", `{"spec":{"addonPutBack":{"delay":"2s","maxDelay":"2s","calm":"20s"}}}`)
	defer c.Management("patch", "servicepolicy", "default", "--type=merge", "-p", `{"spec":{"addonPutBack":null}}`)
	condition := func() (string, error) {
		cluster, err := c.ManagedCluster(c.name)
		if err != nil {
			return "", err
		}
		if found := meta.FindStatusCondition(cluster.Status.Conditions, v1beta1.ConditionAddonsContested); found != nil {
			return found.Message, nil
		}
		return "", nil
	}
	changes := 0
	c.Eventually("the component is contested", longEnough, func() error {
		changes++
		c.kubectl("-n", "kube-system", "set", "env", "daemonset/kube-proxy", fmt.Sprintf("MINE=%d", changes))
		message, err := condition()
		if err == nil && !strings.Contains(message, "kube-proxy") {
			err = fmt.Errorf("after %d changes: %q", changes, message)
		}
		return err
	})
	if answer := c.Ask("contested", "managed-components", c.id); answer.Answer != "CustomersPart" || answer.Reasons[0].Clause != "A7" || !strings.Contains(answer.Reasons[0].Evidence, "kube-proxy") {
		c.T.Errorf("a ticket is answered %+v", answer)
	}
	c.Eventually("it is put back, and not contested any more", longEnough, func() error {
		spec := c.kubectl("-n", "kube-system", "get", "daemonset", "kube-proxy", "-o", "jsonpath={.spec.template.spec}")
		message, err := condition()
		if err == nil && (strings.Contains(spec, "MINE") || message != "") {
			err = fmt.Errorf("%q, %s", message, spec)
		}
		return err
	})
	c.kubectl("-n", "kube-system", "rollout", "status", "daemonset/kube-proxy", "--timeout=300s")
	c.supported("a component that was put back costs no support")
	if answer := c.Ask("contested", "managed-components", c.id); answer.Answer != "InScope" {
		c.T.Errorf("when it is left alone a ticket is answered %+v", answer)
	}
}

// tunedIll has a DaemonSet of the customer's break the kubelet of the node that it is on. The
// node is the customer's to mend, the cluster stays supported (G5, G6).
func tunedIll(c *customer) {
	_, node := c.instance()
	c.kubectl("label", "node", node, "tuned=yes")
	c.apply(tunedManifest)
	c.Eventually("the node is ill", longEnough, func() error {
		out, err := c.TryCluster(c.name, "get", "node", node, "-o", `jsonpath={.status.conditions[?(@.type=="KubeletProblem")].status} {.status.conditions[?(@.type=="Ready")].status}`)
		if err != nil || !strings.HasPrefix(out, "True") && !strings.HasSuffix(out, "Unknown") {
			return fmt.Errorf("%w: %s", err, out)
		}
		return nil
	})
	answer := c.Ask("tuned", "node-not-ready", c.id)
	if answer.Answer != "CustomersPart" || answer.Reasons[0].Clause != "G6" || !strings.Contains(answer.Reasons[0].Evidence, "default/tuned (privileged) on "+node) {
		c.T.Errorf("a ticket is answered %+v", answer)
	}
	c.supported("what a DaemonSet does costs no support")
	c.kubectl("delete", "daemonset", "tuned", "--wait=false")
	c.kubectl("label", "node", node, "tuned-")
	var instances []harness.ScaleSetInstance
	c.Decode(c.vmss("list-instances", "-o", "json"), &instances)
	at := slices.IndexFunc(instances, func(i harness.ScaleSetInstance) bool { return i.OSProfile.ComputerName == node })
	c.reimages(instances[at].InstanceID, node)
	c.Eventually("the node is well again", 5*time.Minute, func() error {
		out, err := c.TryCluster(c.name, "get", "node", node, "-o", `jsonpath={.status.conditions[?(@.type=="KubeletProblem")].status} {.status.conditions[?(@.type=="Ready")].status}`)
		if err != nil || strings.HasPrefix(out, "True") || !strings.HasSuffix(out, " True") {
			return fmt.Errorf("%w: %s", err, out)
		}
		return nil
	})
	if answer := c.Ask("tuned", "node-not-ready", c.id); answer.Answer != "InScope" {
		c.T.Errorf("without it a ticket is answered %+v", answer)
	}
	c.supported("nor does its way back")
}

// sshKey is a pair of keys for SSH.
type sshKey struct {
	// public is as OpenSSH writes it, and private as dropbear keeps it.
	public  string
	private []byte
}

func newSSHKey(t testing.TB) sshKey {
	t.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	const kind = "ssh-ed25519"
	fields := func(content []byte) (out []byte) {
		for _, field := range [][]byte{[]byte(kind), content} {
			out = binary.BigEndian.AppendUint32(out, uint32(len(field)))
			out = append(out, field...)
		}
		return out
	}
	return sshKey{kind + " " + base64.StdEncoding.EncodeToString(fields(public)), fields(private)}
}

// nodeDirs have the node's own programs.
var nodeDirs = []string{"/usr", "/bin", "/lib", "/lib64"}

// withNodePrograms puts the mounts and the volumes of the node's programs in their places.
func withNodePrograms(manifest string) string {
	var mounts, volumes []string
	for _, dir := range nodeDirs {
		name := strings.TrimPrefix(dir, "/")
		mounts = append(mounts, fmt.Sprintf("{name: %s, mountPath: %s}", name, dir))
		volumes = append(volumes, fmt.Sprintf("{name: %s, hostPath: {path: %s}}", name, dir))
	}
	return strings.NewReplacer("PROGRAM-MOUNTS", strings.Join(mounts, ", "), "PROGRAM-VOLUMES", strings.Join(volumes, ", ")).Replace(manifest)
}

// loginManifest is a job on a node's network that logs in there.
const loginManifest = `
apiVersion: batch/v1
kind: Job
metadata: {name: login, namespace: default}
spec:
  backoffLimit: 20
  template:
    spec:
      restartPolicy: OnFailure
      hostNetwork: true
      containers:
      - name: login
        image: IMAGE
        command: [/bin/sh, -c]
        args:
        - |
          dbclient -y -y -i /keys/key azureuser@127.0.0.1 '
            echo as $(id -un)
            for file in /etc/passwd /usr/bin/env /opt/cni/bin/ptp /etc/containerd/config.toml; do echo x >> $file && echo changed $file; done
            touch mine
            echo the end'
        volumeMounts: [{name: keys, mountPath: /keys}, PROGRAM-MOUNTS]
      volumes: [{name: keys, secret: {secretName: ssh, defaultMode: 0400}}, PROGRAM-VOLUMES]
`

const webhookManifest = `
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingWebhookConfiguration
metadata: {name: gate}
webhooks:
- name: gate.example.com
  sideEffects: None
  admissionReviewVersions: [v1]
  failurePolicy: Fail
  timeoutSeconds: 1
  clientConfig: {service: {namespace: default, name: nobody}}
  rules: [{operations: [CREATE], apiGroups: [""], apiVersions: [v1], resources: [pods]}]
`

// tunedManifest breaks its node as harness.BreakKubelet does.
const tunedManifest = `
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: tuned, namespace: default}
spec:
  selector: {matchLabels: {app: tuned}}
  template:
    metadata: {labels: {app: tuned}}
    spec:
      hostPID: true
      nodeSelector: {tuned: "yes"}
      containers:
      - name: tuned
        image: IMAGE
        command: [/bin/sh, -c]
        args:
        - |
          echo '{' > /host/var/lib/kubelet/allocated_pods_state
          for p in /proc/[0-9]*; do
            if tr '\0' ' ' < $p/cmdline | grep -q 'kubelet.*--hostname[-]override'; then kill -9 ${p#/proc/}; fi
          done
          exec sleep infinity
        securityContext: {privileged: true}
        volumeMounts: [{name: host, mountPath: /host}, PROGRAM-MOUNTS]
      volumes: [{name: host, hostPath: {path: /}}, PROGRAM-VOLUMES]
`
