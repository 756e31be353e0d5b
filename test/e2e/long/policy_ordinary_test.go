package long

import (
	"strings"
)

// ordinaryUse is what customers do: workloads of every kind, DaemonSets that reach into
// nodes and tune them, labels, taints and tags of their own, and what they may do to
// components and to machines. None of it is found, not for a moment, nothing of it is put
// back, and a ticket is answered as if there were none (B4, C6, G5).
func ordinaryUse(c *customer) {
	c.metrics()
	end := c.WatchFindings(c.name)
	workloads(c)
	onNodes(c)
	throughARM(c)
	withoutTrace(c)
	c.looked(rounds)
	for _, found := range end() {
		c.T.Errorf("a false alarm: %s", found)
	}
	if out := c.kubectl("get", "events", "-A", "--field-selector", "reason=PutBack", "-o", `jsonpath={range .items[*]}{.involvedObject.name} {.message}{"\n"}{end}`); out != "" {
		c.T.Errorf("what a customer may change was put back: %s", out)
	}
	for _, topic := range []string{
		"api-server-connectivity", "control-plane", "cluster-operations", "load-balancer", "persistent-volumes", "managed-components", "cluster-dns",
		"pod-networking", "network-policy", "node-not-ready", "node-resource-group",
	} {
		if answer := c.Ask("ordinary-"+topic, topic, c.id); answer.Answer != "InScope" {
			c.T.Errorf("a ticket on %s is answered %+v", topic, answer)
		}
	}
}

func workloads(c *customer) {
	c.apply(ordinaryManifest)
	for _, one := range []string{"deployment/web", "statefulset/db", "daemonset/agent", "daemonset/tuner"} {
		c.kubectl("-n", "shop", "rollout", "status", one, "--timeout=180s")
	}
	c.kubectl("-n", "kube-system", "rollout", "status", "daemonset/collector", "--timeout=180s")
	c.kubectl("-n", "shop", "wait", "--for=condition=Complete", "job/once", "--timeout=180s")
	c.apply("apiVersion: shop.example.com/v1\nkind: Order\nmetadata: {name: first, namespace: shop}\n")
	if out, err := c.TryCluster(c.name, "-n", "shop", "create", "configmap", "refused", "--from-literal=a=b"); err == nil || !strings.Contains(out, "strict.example.com") {
		c.T.Errorf("the customer's own webhook does not answer, and a write in its namespace is let through: %v, %s", err, out)
	}
}

// onNodes is what kubectl can do to nodes.
func onNodes(c *customer) {
	node := c.ReadyNodes(c.name)[0]
	for _, args := range [][]string{
		{"label", "node", node, "team=shop", "example.com/rack=7", "node-role.kubernetes.io/shop="},
		{"label", "node", node, "team=stock", "--overwrite"},
		{"annotate", "node", node, "example.com/note=ours", "cluster-autoscaler.kubernetes.io/scale-down-disabled=true"},
		{"taint", "node", node, "team=shop:PreferNoSchedule"},
		{"debug", "node/" + node, "--image=" + c.DemoImage(), "--profile=sysadmin", "--", "berth-demo", "sleep"},
		{"cordon", node},
		{"drain", node, "--ignore-daemonsets", "--delete-emptydir-data", "--force", "--timeout=300s"},
		{"uncordon", node},
		{"taint", "node", node, "team=shop:PreferNoSchedule-"},
		{"label", "node", node, "team-", "node-role.kubernetes.io/shop-"},
		// What is the customer's of components.
		{"-n", "kube-system", "annotate", "deployment", "coredns", "kubernetes.azure.com/override-requests-limits=enabled", "example.com/note=ours"},
		{"-n", "kube-system", "set", "resources", "deployment", "coredns", "-c", "coredns", "--requests=memory=80Mi"},
		{"-n", "kube-system", "rollout", "restart", "deployment", "coredns"},
		{"-n", "kube-system", "rollout", "status", "deployment", "coredns", "--timeout=300s"},
		{"-n", "kube-system", "delete", "pod", "-l", "k8s-app=kube-dns"},
		{"-n", "shop", "scale", "deployment", "web", "--replicas=3"},
		{"-n", "shop", "rollout", "status", "deployment", "web", "--timeout=300s"},
	} {
		c.kubectl(args...)
	}
	if kept := c.kubectl("-n", "kube-system", "get", "deployment", "coredns", "-o", "jsonpath={.spec.template.spec.containers[0].resources.requests.memory}"); kept != "80Mi" {
		c.T.Errorf("what the customer asked for of the DNS is %s", kept)
	}
}

// throughARM is what the service's own API and the view of the nodes' resource group let
// a customer have: tags, labels and taints of their own.
func throughARM(c *customer) {
	c.Run("berth", "cluster", "update", "-g", "rg1", "-n", c.name, "--tags", "cost=shop", "--tags", "owner=ada")
	c.Run("berth", "nodepool", "update", "-g", "rg1", "--cluster-name", c.name, "-n", "nodepool1", "--tags", "cost=shop", "--labels", "tier=front", "--node-taints", "shop=open:PreferNoSchedule")
	c.Run("az", "group", "update", "-n", "rg1", "--tags", "cost=shop")
	c.Run("az", "group", "update", "-n", c.group, "--set", "tags.mine=yes")
	c.vmss("update", "--set", "tags.mine=yes")
	c.Run("berth", "nodepool", "scale", "-g", "rg1", "--cluster-name", c.name, "-n", "nodepool1", "-c", "3")
	c.Run("berth", "nodepool", "scale", "-g", "rg1", "--cluster-name", c.name, "-n", "nodepool1", "-c", "2")
	c.ready(2)
}

// withoutTrace is what leaves nothing changed, though it goes past the service.
func withoutTrace(c *customer) {
	// Beside pods that reach into the node nothing would count, whatever it was.
	c.kubectl("-n", "shop", "delete", "daemonset", "agent", "tuner", "--cascade=foreground", "--timeout=120s")
	c.kubectl("-n", "kube-system", "delete", "daemonset", "collector", "--cascade=foreground", "--timeout=120s")
	c.kubectl("delete", "pods", "-n", "default", "--all", "--timeout=120s")
	id, node := c.instance()
	out := c.vmss("run-command invoke", "--command-id", "RunShellScript", "--instance-id", id, "--scripts", "uname -n; cat /etc/passwd; ls -R /etc /opt > /tmp/seen; echo 1 > /var/tmp/mine")
	if !strings.Contains(out, node) {
		c.T.Errorf("a script that prints the machine's name: %s", out)
	}
	c.vmss("restart", "--instance-ids", id)
	c.ready(2)
	c.reimages(id, node)
	c.kubectl("-n", "shop", "rollout", "status", "deployment/web", "--timeout=300s")
}

// ordinaryManifest is what a shop brings. Its DaemonSets have no programs of their own: they
// use the node's.
const ordinaryManifest = `
apiVersion: v1
kind: Namespace
metadata: {name: shop, labels: {team: shop}}
---
apiVersion: v1
kind: ResourceQuota
metadata: {name: limits, namespace: shop}
spec: {hard: {pods: "50", configmaps: "20", requests.cpu: "8"}}
---
apiVersion: v1
kind: LimitRange
metadata: {name: defaults, namespace: shop}
spec: {limits: [{type: Container, defaultRequest: {cpu: 10m, memory: 16Mi}}]}
---
apiVersion: scheduling.k8s.io/v1
kind: PriorityClass
metadata: {name: shop-first}
value: 1000
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: shop, namespace: shop}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: shop-reader}
rules: [{apiGroups: [""], resources: [nodes, pods], verbs: [get, list, watch]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: shop-reader}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: shop-reader}
subjects: [{kind: ServiceAccount, name: shop, namespace: shop}]
---
apiVersion: v1
kind: Secret
metadata: {name: shop, namespace: shop}
stringData: {password: secret}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop, labels: {kubernetes.azure.com/mine: "yes"}}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      serviceAccountName: shop
      priorityClassName: shop-first
      containers:
      - name: web
        image: IMAGE
        args: [serve]
        ports: [{containerPort: 8080}]
        readinessProbe: {httpGet: {path: /healthz, port: 8080}, periodSeconds: 1}
        volumeMounts: [{name: scratch, mountPath: /scratch}, {name: secret, mountPath: /secret}]
      volumes: [{name: scratch, emptyDir: {}}, {name: secret, secret: {secretName: shop}}]
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec: {type: NodePort, selector: {app: web}, ports: [{port: 80, targetPort: 8080}]}
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: {name: web, namespace: shop}
spec: {maxUnavailable: 1, selector: {matchLabels: {app: web}}}
---
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: web, namespace: shop}
spec:
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: web}
  minReplicas: 2
  maxReplicas: 4
  metrics: [{type: Resource, resource: {name: cpu, target: {type: Utilization, averageUtilization: 90}}}]
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: closed, namespace: shop}
spec:
  podSelector: {}
  policyTypes: [Ingress]
  ingress: [{from: [{podSelector: {}}]}]
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: web, namespace: shop}
spec: {defaultBackend: {service: {name: web, port: {number: 80}}}}
---
apiVersion: v1
kind: PersistentVolume
metadata: {name: shop-db}
spec:
  capacity: {storage: 1Gi}
  accessModes: [ReadWriteOnce]
  storageClassName: by-hand
  hostPath: {path: /mnt/shop-db, type: DirectoryOrCreate}
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db, namespace: shop}
spec:
  serviceName: db
  selector: {matchLabels: {app: db}}
  template:
    metadata: {labels: {app: db}}
    spec:
      containers: [{name: db, image: IMAGE, args: [serve], volumeMounts: [{name: data, mountPath: /data}]}]
  volumeClaimTemplates:
  - metadata: {name: data}
    spec: {accessModes: [ReadWriteOnce], storageClassName: by-hand, resources: {requests: {storage: 1Gi}}}
---
apiVersion: v1
kind: Service
metadata: {name: db, namespace: shop}
spec: {clusterIP: None, selector: {app: db}, ports: [{port: 8080}]}
---
apiVersion: batch/v1
kind: Job
metadata: {name: once, namespace: shop}
spec:
  template:
    spec: {restartPolicy: OnFailure, containers: [{name: once, image: IMAGE, args: [lookup, kubernetes.default.svc.cluster.local]}]}
---
apiVersion: batch/v1
kind: CronJob
metadata: {name: often, namespace: shop}
spec:
  schedule: "* * * * *"
  jobTemplate: {spec: {template: {spec: {restartPolicy: Never, containers: [{name: often, image: IMAGE, args: [lookup, kubernetes.default.svc.cluster.local]}]}}}}
---
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: agent, namespace: shop}
spec:
  selector: {matchLabels: {app: agent}}
  template:
    metadata: {labels: {app: agent}}
    spec:
      hostPID: true
      hostNetwork: true
      tolerations: [{operator: Exists}]
      containers:
      - name: agent
        image: IMAGE
        command: [/bin/sh, -c, "while true; do cat /host/etc/passwd /host/proc/1/cmdline /host/etc/containerd/config.toml > /dev/null; ls -R /host/etc > /dev/null; sleep 5; done"]
        securityContext: {privileged: true}
        volumeMounts: [{name: host, mountPath: /host, readOnly: true}, PROGRAM-MOUNTS]
      volumes: [{name: host, hostPath: {path: /}}, PROGRAM-VOLUMES]
---
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: tuner, namespace: shop}
spec:
  selector: {matchLabels: {app: tuner}}
  template:
    metadata: {labels: {app: tuner}}
    spec:
      hostNetwork: true
      initContainers:
      - name: tune
        image: IMAGE
        command: [/bin/sh, -c, "echo 4096 > /proc/sys/net/core/somaxconn && mkdir -p /host/etc/containerd/certs.d/registry.example.com && echo 'server = \"https://mirror.example.com\"' > /host/etc/containerd/certs.d/registry.example.com/hosts.toml && echo net.core.somaxconn=4096 > /host/etc/sysctl.d/99-shop.conf"]
        securityContext: {privileged: true}
        volumeMounts: [{name: host, mountPath: /host}, PROGRAM-MOUNTS]
      containers: [{name: rest, image: IMAGE, args: [sleep]}]
      volumes: [{name: host, hostPath: {path: /}}, PROGRAM-VOLUMES]
---
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: collector, namespace: kube-system, labels: {app: collector}}
spec:
  selector: {matchLabels: {app: collector}}
  template:
    metadata: {labels: {app: collector}}
    spec:
      tolerations: [{operator: Exists}]
      containers: [{name: collector, image: IMAGE, args: [sleep], volumeMounts: [{name: logs, mountPath: /logs, readOnly: true}]}]
      volumes: [{name: logs, hostPath: {path: /var/log}}]
---
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: orders.shop.example.com}
spec:
  group: shop.example.com
  scope: Namespaced
  names: {kind: Order, plural: orders}
  versions: [{name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object}}}]
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingWebhookConfiguration
metadata: {name: strict}
webhooks:
- name: strict.example.com
  sideEffects: None
  admissionReviewVersions: [v1]
  failurePolicy: Fail
  timeoutSeconds: 1
  clientConfig: {service: {namespace: shop, name: nobody}}
  namespaceSelector: {matchLabels: {team: shop}}
  rules: [{operations: [CREATE], apiGroups: [""], apiVersions: [v1], resources: [configmaps]}]
---
apiVersion: admissionregistration.k8s.io/v1
kind: MutatingWebhookConfiguration
metadata: {name: lenient}
webhooks:
- name: lenient.example.com
  sideEffects: None
  admissionReviewVersions: [v1]
  failurePolicy: Ignore
  timeoutSeconds: 1
  clientConfig: {service: {namespace: shop, name: nobody}}
  rules: [{operations: [CREATE], apiGroups: [apps], apiVersions: [v1], resources: [deployments]}]
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: {name: shop-owners}
spec:
  matchConstraints: {resourceRules: [{operations: [CREATE], apiGroups: [apps], apiVersions: [v1], resources: [deployments]}]}
  validations: [{expression: "object.metadata.name != 'forbidden'"}]
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata: {name: shop-owners}
spec: {policyName: shop-owners, validationActions: [Deny], matchResources: {namespaceSelector: {matchLabels: {team: shop}}}}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: coredns-custom, namespace: kube-system}
data:
  shop.server: |
    shop.example:53 {
      hosts {
        192.0.2.30 till.shop.example
      }
    }
---
apiVersion: v1
kind: ConfigMap
metadata: {name: shop-settings, namespace: kube-system}
data: {a: b}
`
