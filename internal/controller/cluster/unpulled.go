package cluster

import (
	"context"
	"fmt"
	"slices"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/internal/controlplane"
)

// unpulledAfter is how long an image is not there before a pod is made anew that waits for it:
// by then a kubelet has asked for it twice.
const unpulledAfter = 20 * time.Second

// unpulled makes the pods of etcd anew that wait for an image which cannot be pulled, where
// etcd has another one by now: the image of an earlier build, which the registry of a machine
// that was restored by a newer one does not have (C3). Their StatefulSet alone would not come
// to it: it replaces one of three, waits until that is ready, and without a majority it never
// is (A3). Such a pod has nothing to lose, since what it held is in its volume; members that
// run are not touched.
func (r *reconciler) unpulled(ctx context.Context, p *pass) (bool, error) {
	if p.input.Stopped {
		return true, nil
	}
	var set appsv1.StatefulSet
	key := client.ObjectKey{Namespace: namespaceOf(p.cluster), Name: controlplane.EtcdStatefulSet}
	if err := r.client.Get(ctx, key, &set); client.IgnoreNotFound(err) != nil {
		return false, fmt.Errorf("read etcd's StatefulSet: %w", err)
	}
	if status := set.Status; status.UpdatedReplicas >= status.Replicas || status.ReadyReplicas >= status.Replicas {
		return true, nil
	}
	var pods corev1.PodList
	err := r.reader.List(ctx, &pods, client.InNamespace(key.Namespace), client.MatchingLabels{controlplane.LabelComponent: controlplane.ComponentEtcd})
	if err != nil {
		return false, fmt.Errorf("list the pods of etcd: %w", err)
	}
	gone, next := withoutImage(pods.Items, p.input.Images.Etcd, p.now)
	if next > 0 {
		p.lookIn(next)
	}
	for _, pod := range gone {
		ended, err := r.endPod(ctx, pod)
		if err != nil {
			return false, err
		}
		if !ended {
			continue
		}
		image, _ := waitsForImage(pod)
		r.events.Event(p.cluster, corev1.EventTypeNormal, "EtcdPodReplaced", "Replace",
			fmt.Sprintf("%s waited for the image %s, which cannot be pulled; it comes up with %s", pod.Name, image, p.input.Images.Etcd))
	}
	return true, nil
}

// endPod says whether it was there and is ended by this.
func (r *reconciler) endPod(ctx context.Context, pod *corev1.Pod) (bool, error) {
	uid := pod.UID
	err := r.client.Delete(ctx, pod, client.GracePeriodSeconds(deletedGrace), client.Preconditions{UID: &uid})
	if apierrors.IsConflict(err) || apierrors.IsNotFound(err) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("delete pod %s: %w", pod.Name, err)
	}
	return true, nil
}

// withoutImage are the pods that have waited for long enough for another image than the one of
// now, and when to look again where one may come to it.
func withoutImage(pods []corev1.Pod, now string, at time.Time) (gone []*corev1.Pod, next time.Duration) {
	for i := range pods {
		image, since := waitsForImage(&pods[i])
		if image == "" || image == now || !pods[i].DeletionTimestamp.IsZero() {
			continue
		}
		left := unpulledAfter - at.Sub(since)
		switch {
		case left <= 0:
			gone = append(gone, &pods[i])
		case next == 0 || left < next:
			next = left
		}
	}
	return gone, next
}

// etcdContainer is the container of a pod of etcd that has etcd's image.
const etcdContainer = "etcd"

// imageAway are the reasons for which a kubelet has a container wait for its image that could
// not be pulled.
var imageAway = []string{"ErrImagePull", "ImagePullBackOff", "RegistryUnavailable", "SignatureValidationFailed"}

// waitsForImage is the image that etcd cannot start for in a pod, and since when that is not
// ready; empty if there is none. One that is being pulled for the first time is not meant.
func waitsForImage(pod *corev1.Pod) (image string, since time.Time) {
	for _, container := range pod.Status.ContainerStatuses {
		waiting := container.State.Waiting
		if container.Name != etcdContainer || waiting == nil || !slices.Contains(imageAway, waiting.Reason) {
			continue
		}
		at := slices.IndexFunc(pod.Spec.Containers, func(c corev1.Container) bool { return c.Name == etcdContainer })
		if at >= 0 {
			image = pod.Spec.Containers[at].Image
		}
	}
	since = pod.CreationTimestamp.Time
	for _, condition := range pod.Status.Conditions {
		// What a restored API server says of a pod is of the machine before, until its kubelet says another thing.
		if condition.Type == corev1.PodReady && condition.LastTransitionTime.After(since) {
			since = condition.LastTransitionTime.Time
		}
	}
	return image, since
}
