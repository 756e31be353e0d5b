package harness

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

// Load is a web service on a pool of a managed cluster, which probers in other pods
// ask steadily: three servers under a disruption budget, and two probers of which
// one is always left.
type Load struct {
	pods kubernetes.Interface

	mu sync.Mutex
	// logs are the probers' as they were last read: a prober is gone with its node.
	logs map[string]string
}

// loadReads is how often the probers' logs are read.
const loadReads = time.Second

var proberCount = regexp.MustCompile(`asked (\d+) failed (\d+)`)

// StartLoad makes the service and returns when it is asked.
func (e *Env) StartLoad(cluster, pool string) *Load {
	e.T.Helper()
	l := &Load{logs: map[string]string{}}
	l.pods = e.Clientset(cluster)
	manifest := strings.NewReplacer("IMAGE", e.DemoImage(), "POOL", pool).Replace(loadManifest)
	path := filepath.Join(e.State, cluster+"-load.yaml")
	if err := os.WriteFile(path, []byte(manifest), 0o600); err != nil {
		e.T.Fatal(err)
	}
	e.Cluster(cluster, "apply", "-f", path)
	e.Cluster(cluster, "rollout", "status", "deployment/web", "--timeout=120s")
	e.Cluster(cluster, "rollout", "status", "deployment/prober", "--timeout=180s")
	e.running.Go(func() { l.follow(e.life) })
	return l
}

// follow reads the probers' logs until the test ends.
func (l *Load) follow(ctx context.Context) {
	ticker := time.NewTicker(loadReads)
	defer ticker.Stop()
	for ; ctx.Err() == nil; <-ticker.C {
		l.read(ctx)
	}
}

// read keeps what was read before of a prober that does not answer now.
func (l *Load) read(ctx context.Context) {
	pods, err := l.pods.CoreV1().Pods("default").List(ctx, metav1.ListOptions{LabelSelector: "app=prober"})
	if err != nil {
		return
	}
	for _, pod := range pods.Items {
		raw, err := l.pods.CoreV1().Pods(pod.Namespace).GetLogs(pod.Name, &corev1.PodLogOptions{}).DoRaw(ctx)
		if err == nil && proberCount.Match(raw) {
			l.mu.Lock()
			l.logs[pod.Name] = string(raw)
			l.mu.Unlock()
		}
	}
}

// Check waits until the service was asked more than it had been, complains about
// every request that failed, and returns how many were made.
func (l *Load) Check(e *Env, before int) (asked int) {
	e.T.Helper()
	failed := 0
	e.Eventually("the probers ask", time.Minute, func() error {
		if asked, failed = l.counts(); asked <= before {
			return fmt.Errorf("asked %d times, %d before", asked, before)
		}
		return nil
	})
	e.T.Logf("%d requests, %d failed", asked, failed)
	l.mu.Lock()
	defer l.mu.Unlock()
	for pod, log := range l.logs {
		for _, line := range strings.Split(log, "\n") {
			switch {
			case strings.Contains(line, "FAILED"):
				e.T.Errorf("%s: %s", pod, line)
			case strings.Contains(line, "SLOW"):
				e.T.Logf("%s: %s", pod, line)
			}
		}
	}
	return asked
}

func (l *Load) counts() (asked, failed int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, log := range l.logs {
		all := proberCount.FindAllStringSubmatch(log, -1)
		a, _ := strconv.Atoi(all[len(all)-1][1])
		asked += a
		failed += strings.Count(log, "FAILED")
	}
	return asked, failed
}

// The web servers answer for some seconds after their end is asked for, as whoever
// wants no request to fail has to see to. A prober begins when its node reaches the
// service.
const loadManifest = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: default}
spec:
  replicas: 3
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      nodeSelector: {agentpool: POOL}
      topologySpreadConstraints:
      - {maxSkew: 1, topologyKey: kubernetes.io/hostname, whenUnsatisfiable: ScheduleAnyway, labelSelector: {matchLabels: {app: web}}}
      containers:
      - name: web
        image: IMAGE
        args: [serve]
        ports: [{containerPort: 8080}]
        readinessProbe: {httpGet: {path: /healthz, port: 8080}, periodSeconds: 1}
        lifecycle: {preStop: {sleep: {seconds: 5}}}
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: default}
spec:
  selector: {app: web}
  ports: [{port: 80, targetPort: 8080}]
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: {name: web, namespace: default}
spec: {minAvailable: 2, selector: {matchLabels: {app: web}}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: prober, namespace: default}
spec:
  replicas: 2
  selector: {matchLabels: {app: prober}}
  template:
    metadata: {labels: {app: prober}}
    spec:
      terminationGracePeriodSeconds: 1
      topologySpreadConstraints:
      - {maxSkew: 1, topologyKey: kubernetes.io/hostname, whenUnsatisfiable: ScheduleAnyway, labelSelector: {matchLabels: {app: prober}}}
      initContainers:
      - {name: reach, image: IMAGE, args: [get, "http://web.default.svc.cluster.local/hostname"]}
      containers:
      - {name: prober, image: IMAGE, args: [watch, "http://web.default.svc.cluster.local/hostname"]}
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: {name: prober, namespace: default}
spec: {minAvailable: 1, selector: {matchLabels: {app: prober}}}
`
