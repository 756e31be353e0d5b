package chaos

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/preflight"
)

// settle waits until everything is well after a fault that ended at a time, and looks
// whether every acknowledged write is there.
func (c *chaos) settle(after string, ended time.Time) {
	t := c.env.T
	t.Helper()
	for _, one := range c.clusters {
		cluster := c.env.Clientset(one.name)
		wellSince := time.Time{}
		c.env.Eventually(one.name+" is well after "+after, wellWithin, func() error {
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			err := errors.Join(one.load.AnsweredSince(ended), c.served(one), c.membersReady(ctx, one), c.machinesReady(ctx, one), nodesReady(ctx, cluster, one.nodes), podsReady(ctx, cluster))
			if err != nil {
				wellSince = time.Time{}
				return err
			}
			if wellSince.IsZero() {
				wellSince = time.Now()
			}
			if steady := time.Since(wellSince); steady < wellFor {
				return fmt.Errorf("it is well for %s", steady)
			}
			return nil
		})
		c.complete(one, after)
	}
}

// complete looks whether every acknowledged write of a cluster is there, and was whenever a
// writer looked. What may be lost is known by then: whoever takes data away says so before it
// returns.
func (c *chaos) complete(one *cluster, after string) {
	t := c.env.T
	t.Helper()
	lost, err := one.load.Lost(t.Context())
	if err != nil {
		t.Fatalf("read what %s has: %v", one.name, err)
	}
	if len(lost) > 0 {
		t.Fatalf("%s, after %s, has lost acknowledged writes (%d were acknowledged):\n%s", one.name, after, one.load.Acknowledged(), strings.Join(lost, "\n"))
	}
}

// served says whether Berth itself is done with a cluster.
func (c *chaos) served(one *cluster) error {
	found, err := c.env.ManagedCluster(one.name)
	if err != nil {
		return err
	}
	status := found.Status
	if status.ProvisioningState != v1beta1.StateSucceeded || status.APIServerReady == nil || status.Recovery.UnderWay() {
		return fmt.Errorf("it is %s, its API server ready since %v, its recovery %+v", status.ProvisioningState, status.APIServerReady, status.Recovery)
	}
	return nil
}

// membersReady says whether every replica of a control plane is: the cluster may do without.
func (c *chaos) membersReady(ctx context.Context, one *cluster) error {
	var pods corev1.PodList
	if err := c.management.List(ctx, &pods, client.InNamespace(v1beta1.ControlPlaneNamespace(one.id))); err != nil {
		return err
	}
	ready := map[string]int{}
	for _, pod := range pods.Items {
		if kind, _, _ := strings.Cut(pod.Name, "-"); pod.DeletionTimestamp == nil && slices.ContainsFunc(pod.Status.Conditions, podReady) {
			ready[kind]++
		}
	}
	if ready["etcd"] != one.members || ready["kube"] != one.members {
		return fmt.Errorf("%d etcds and %d API servers are Ready, want %d", ready["etcd"], ready["kube"], one.members)
	}
	return nil
}

func podReady(c corev1.PodCondition) bool {
	return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue
}

func (c *chaos) machinesReady(ctx context.Context, one *cluster) error {
	var machines v1beta1.MachineList
	if err := c.management.List(ctx, &machines); err != nil {
		return err
	}
	own := slices.DeleteFunc(machines.Items, func(m v1beta1.Machine) bool { return m.Spec.ClusterID != one.id })
	if len(own) != one.nodes {
		return fmt.Errorf("%d machines, want %d", len(own), one.nodes)
	}
	for _, m := range own {
		if m.Status.Phase != v1beta1.MachineReady || m.Status.Repair != nil && m.Status.Repair.Stage != "" {
			return fmt.Errorf("machine %s is %s, its repair %+v", m.Name, m.Status.Phase, m.Status.Repair)
		}
	}
	return nil
}

func nodesReady(ctx context.Context, cluster kubernetes.Interface, want int) error {
	nodes, err := cluster.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	ready := 0
	for _, node := range nodes.Items {
		for _, condition := range node.Status.Conditions {
			if condition.Type == corev1.NodeReady && condition.Status == corev1.ConditionTrue {
				ready++
			}
		}
	}
	if ready != want || len(nodes.Items) != want {
		return fmt.Errorf("%d of %d nodes are Ready, want %d", ready, len(nodes.Items), want)
	}
	return nil
}

// podsReady looks at the managed components: they are what runs on every node.
func podsReady(ctx context.Context, cluster kubernetes.Interface) error {
	pods, err := cluster.CoreV1().Pods(metav1.NamespaceSystem).List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	if len(pods.Items) == 0 {
		return errors.New("there are no managed components")
	}
	for _, pod := range pods.Items {
		if !slices.ContainsFunc(pod.Status.Conditions, podReady) {
			return fmt.Errorf("pod %s on %s is %s and not Ready", pod.Name, pod.Spec.NodeName, pod.Status.Phase)
		}
	}
	return nil
}

// inventory counts what Berth has made: by kind and namespace, the processes of control
// planes and machines, and what is on the disk of volumes.
func (c *chaos) inventory() (string, error) {
	counts, volumes := map[string]int{}, &corev1.PersistentVolumeList{}
	for kind, list := range map[string]client.ObjectList{
		"pods": &corev1.PodList{}, "claims": &corev1.PersistentVolumeClaimList{}, "services": &corev1.ServiceList{}, "machines": &v1beta1.MachineList{},
		"secrets": &corev1.SecretList{}, "config maps": &corev1.ConfigMapList{}, "volumes": volumes,
	} {
		if err := c.management.List(c.env.T.Context(), list); err != nil {
			return "", err
		}
		if err := count(counts, kind, list); err != nil {
			return "", err
		}
	}
	for _, command := range []string{"etcd --name", "kube control-plane", "proxy-server --mode", "kubelet --config", "containerd --config", "berth serve"} {
		found, err := c.env.Processes("", command)
		if err != nil {
			return "", err
		}
		counts["processes "+command] = len(found)
	}
	strays, err := c.strays(volumes.Items)
	var lines []string
	for _, what := range slices.Sorted(maps.Keys(counts)) {
		lines = append(lines, fmt.Sprintf("%s %d", what, counts[what]))
	}
	return strings.Join(append(lines, strays...), ", "), err
}

// count adds the objects of a list, those aside that are kept on purpose of what was hit, and
// those that come when they come.
func count(counts map[string]int, kind string, list client.ObjectList) error {
	return meta.EachListItem(list, func(object runtime.Object) error {
		o, err := meta.Accessor(object)
		if err != nil {
			return err
		}
		_, evidence := o.GetLabels()[v1beta1.LabelEvidence]
		_, kept := o.GetAnnotations()[v1beta1.AnnotationKeptFrom]
		mirror := kind == "pods" && o.GetNamespace() == metav1.NamespaceSystem
		record := kind == "config maps" && o.GetName() == preflight.RecordName // of each hour, and of each Berth's start
		if !evidence && !kept && !mirror && !record {
			counts[kind+" of "+o.GetNamespace()]++
		}
		return nil
	})
}

// strays are directories on the disk of volumes that are no volume's, and what is in those but
// data: data.lost is kept on purpose of an etcd that was put back.
func (c *chaos) strays(volumes []corev1.PersistentVolume) ([]string, error) {
	known := map[string]bool{}
	for _, volume := range volumes {
		known[volume.Name] = true
	}
	entries, err := os.ReadDir(c.volumes)
	if err != nil {
		return nil, err
	}
	var strays []string
	for _, entry := range entries {
		if !known[entry.Name()] {
			strays = append(strays, entry.Name())
			continue
		}
		inside, err := os.ReadDir(filepath.Join(c.volumes, entry.Name()))
		if err != nil {
			return nil, err
		}
		for _, one := range inside {
			if one.IsDir() && !slices.Contains([]string{"data", "data.lost"}, one.Name()) {
				strays = append(strays, filepath.Join(entry.Name(), one.Name()))
			}
		}
	}
	return strays, nil
}

// plantLoss takes two acknowledged writes back behind the writers' backs, and has both be
// found: at once by who compares everything while they are held, and by the writers
// themselves when they go on and write over it.
func (c *chaos) plantLoss() {
	t := c.env.T
	t.Helper()
	one := c.clusters[0].load
	planted, err := one.Plant(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	told := func(lost []string) error {
		text := strings.Join(lost, "\n")
		if len(lost) != 2 || !strings.Contains(text, planted.Entry+" is absent,") || !strings.Contains(text, planted.Counter+" is ") {
			return fmt.Errorf("an entry (%s) was removed and a counter (%s) set back, and what is told is:\n%s", planted.Entry, planted.Counter, text)
		}
		return nil
	}
	if err := told(planted.Found); err != nil {
		t.Errorf("nobody writes: %v", err)
	}
	c.env.Eventually("the writers come upon what was taken back", wellWithin, func() error { return told(one.Seen()) })
}
