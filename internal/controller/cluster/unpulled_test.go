package cluster

import (
	"context"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
)

// A pod is made anew that waits for an image which is not etcd's any more and cannot be pulled,
// and no other.
func TestWithoutImage(t *testing.T) {
	now := time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)
	ago := func(d time.Duration) metav1.Time { return metav1.NewTime(now.Add(-d)) }
	waiting := func(reason string) corev1.ContainerState {
		return corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason}}
	}
	pod := func(image string, state corev1.ContainerState, made, unready metav1.Time) corev1.Pod {
		p := corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "etcd-0", CreationTimestamp: made}}
		p.Spec.Containers = []corev1.Container{{Name: "etcd", Image: image}}
		p.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: "etcd", State: state}}
		if !unready.IsZero() {
			p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionFalse, LastTransitionTime: unready}}
		}
		return p
	}
	beside := pod("etcd:v2", corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}, ago(time.Hour), ago(time.Minute))
	beside.Spec.Containers = append(beside.Spec.Containers, corev1.Container{Name: "recover", Image: "etcd-snapshot:v1"})
	beside.Status.ContainerStatuses = append(beside.Status.ContainerStatuses, corev1.ContainerStatus{Name: "recover", State: waiting("ImagePullBackOff")})
	ending := pod("etcd:v1", waiting("ImagePullBackOff"), ago(time.Hour), ago(time.Minute))
	deleted := ago(time.Second)
	ending.DeletionTimestamp = &deleted
	for why, c := range map[string]struct {
		pod  corev1.Pod
		gone bool
		next time.Duration
	}{
		"its image is gone":                   {pod("etcd:v1", waiting("ImagePullBackOff"), ago(time.Hour), ago(time.Minute)), true, 0},
		"as another word has it":              {pod("etcd:v1", waiting("ErrImagePull"), ago(time.Hour), ago(time.Minute)), true, 0},
		"it was never ready":                  {pod("etcd:v1", waiting("ErrImagePull"), ago(time.Minute), metav1.Time{}), true, 0},
		"the registry may be away":            {pod("etcd:v1", waiting("ErrImagePull"), ago(time.Hour), ago(5*time.Second)), false, 15 * time.Second},
		"it is etcd's own still":              {pod("etcd:v2", waiting("ImagePullBackOff"), ago(time.Hour), ago(time.Minute)), false, 0},
		"it is being pulled":                  {pod("etcd:v1", waiting("ContainerCreating"), ago(time.Hour), ago(time.Minute)), false, 0},
		"it ends over and over":               {pod("etcd:v1", waiting("CrashLoopBackOff"), ago(time.Hour), ago(time.Minute)), false, 0},
		"it runs, if not ready":               {pod("etcd:v1", corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}, ago(time.Hour), ago(time.Minute)), false, 0},
		"it has ended":                        {pod("etcd:v1", corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{}}, ago(time.Hour), ago(time.Minute)), false, 0},
		"its kubelet has said nothing of it":  {corev1.Pod{Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "etcd", Image: "etcd:v1"}}}}, false, 0},
		"it is on its way to be made anew":    {ending, false, 0},
		"what is waited for is another's":     {corev1.Pod{Status: corev1.PodStatus{ContainerStatuses: []corev1.ContainerStatus{{Name: "x", State: waiting("ErrImagePull")}}}}, false, 0},
		"a container beside etcd waits":       {beside, false, 0},
		"it waits since the restored machine": {pod("etcd:v1", waiting("ErrImagePull"), ago(24*time.Hour), ago(time.Second)), false, 19 * time.Second},
	} {
		gone, next := withoutImage([]corev1.Pod{c.pod}, "etcd:v2", now)
		if len(gone) > 0 != c.gone || next != c.next {
			t.Errorf("%s: %d are made anew, next look in %s", why, len(gone), next)
		}
	}
}

// A pod that is gone, or another one by now, was not ended.
func TestEndPod(t *testing.T) {
	there := corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "n", Name: "etcd-0", UID: "1"}}
	gone, another := there, there
	gone.Name, another.UID = "etcd-1", "2"
	for _, c := range []struct {
		why    string
		pod    corev1.Pod
		answer error
		want   bool
	}{
		{"there is none of that name", gone, nil, false},
		{"there is another one", another, apierrors.NewConflict(schema.GroupResource{Resource: "pods"}, "etcd-0", nil), false},
		{"it is there", there, nil, true},
	} {
		made := fake.NewClientBuilder().WithObjects(there.DeepCopy()).WithInterceptorFuncs(interceptor.Funcs{
			Delete: func(ctx context.Context, in client.WithWatch, object client.Object, options ...client.DeleteOption) error {
				if c.answer != nil {
					return c.answer
				}
				return in.Delete(ctx, object, options...)
			},
		}).Build()
		r := &reconciler{client: made}
		if ended, err := r.endPod(t.Context(), &c.pod); ended != c.want || err != nil {
			t.Errorf("%s: %t, %v", c.why, ended, err)
		}
	}
}
