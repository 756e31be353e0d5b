package preflight

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/controlplane"
	"berth.dev/berth/internal/policy"
)

// count asks every API server of a cluster what was written to APIs that are to be
// removed: each counts its own requests alone. One that is not ready, and so gets no
// requests, is asked later; a ready one that does not answer is an error.
func (r Reader) count(ctx context.Context, cluster *v1beta1.ManagedCluster) ([]policy.APICount, error) {
	var pods corev1.PodList
	err := r.Management.List(ctx, &pods, client.InNamespace(v1beta1.ControlPlaneNamespace(cluster.Spec.ID)), client.MatchingLabels{controlplane.LabelComponent: controlplane.ComponentKube})
	if err != nil {
		return nil, fmt.Errorf("list API servers of %s: %w", cluster.Name, err)
	}
	var counts []policy.APICount
	asked := 0
	for i := range pods.Items {
		pod := &pods.Items[i]
		count := policy.APICount{Server: processOf(pod)}
		if serves(pod) {
			if count.Uses, err = r.countOne(ctx, cluster, pod); err != nil {
				return nil, err
			}
			asked++
		}
		counts = append(counts, count)
	}
	if asked == 0 {
		return nil, fmt.Errorf("read metrics of %s: no API server is ready", cluster.Name)
	}
	return counts, nil
}

// processOf names the process that counts: a container that was started anew, in
// whatever pod, begins at nothing.
func processOf(pod *corev1.Pod) string {
	for _, container := range pod.Status.ContainerStatuses {
		if container.Name == controlplane.ComponentKube {
			return fmt.Sprintf("%s/%s/%d", pod.Name, pod.UID, container.RestartCount)
		}
	}
	return fmt.Sprintf("%s/%s/0", pod.Name, pod.UID)
}

// serves says whether an API server gets requests.
func serves(pod *corev1.Pod) bool {
	if pod.DeletionTimestamp != nil || pod.Status.PodIP == "" {
		return false
	}
	for _, condition := range pod.Status.Conditions {
		if condition.Type == corev1.PodReady {
			return condition.Status == corev1.ConditionTrue
		}
	}
	return false
}

func (r Reader) countOne(ctx context.Context, cluster *v1beta1.ManagedCluster, pod *corev1.Pod) ([]policy.APIUse, error) {
	address := net.JoinHostPort(pod.Status.PodIP, strconv.Itoa(controlplane.APIServerPort))
	response, err := r.Tenants.GetFrom(ctx, cluster.Spec.ID, address, "/metrics")
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("read metrics of %s: API server %s answers %s", cluster.Name, pod.Name, response.Status)
	}
	uses, err := parseUses(response.Body)
	if err != nil {
		return nil, fmt.Errorf("read metrics of %s, API server %s: %w", cluster.Name, pod.Name, err)
	}
	return uses, nil
}
