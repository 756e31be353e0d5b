package backup_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// An etcd that is full says so by an alarm, which is seen, and whose end is.
func TestAlarmOfAFullEtcd(t *testing.T) {
	b := newBed(t, 1)
	b.stopEtcd()
	b.flags = []string{"--quota-backend-bytes=1000000"}
	b.startEtcd()
	b.record()
	sees := func(want ...string) {
		t.Helper()
		b.eventually(fmt.Sprintf("alarms %v", want), func() error {
			if got := b.recorder.State().Alarms; !slices.Equal(got, want) {
				return fmt.Errorf("it sees %v", got)
			}
			return nil
		})
	}
	for range 100 {
		if _, err := b.etcd.Put(t.Context(), "/a", strings.Repeat("x", 100_000)); err != nil {
			break
		}
	}
	sees("NOSPACE")
	if _, err := b.etcd.AlarmDisarm(t.Context(), &clientv3.AlarmMember{}); err != nil {
		t.Fatal(err)
	}
	sees()
}

// A full etcd has the API server delete what needs no write before it, and nothing else: that
// is what a customer is told to do about it.
func TestWhatAFullEtcdLetsTheAPIServerDo(t *testing.T) {
	b := newBed(t, 1)
	b.stopEtcd()
	b.flags = []string{"--quota-backend-bytes=16000000"}
	b.startEtcd()
	api := b.startAPIServer()
	core, named := api.CoreV1(), func(name string) metav1.ObjectMeta { return metav1.ObjectMeta{Name: name} }
	b.eventually("the namespace is there", func() error {
		_, err := core.ConfigMaps("default").Create(t.Context(), &corev1.ConfigMap{ObjectMeta: named("a")}, metav1.CreateOptions{})
		return err
	})
	if _, err := core.Namespaces().Create(t.Context(), &corev1.Namespace{ObjectMeta: named("n")}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	pod := &corev1.Pod{ObjectMeta: named("p"), Spec: corev1.PodSpec{NodeName: "node", Containers: []corev1.Container{{Name: "c", Image: "c"}}}}
	if _, err := core.Pods("default").Create(t.Context(), pod, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	full := false
	for range 1000 {
		if _, err := b.etcd.Put(t.Context(), "/a", strings.Repeat("x", 500_000)); err != nil {
			full = errors.Is(err, rpctypes.ErrNoSpace)
			break
		}
	}
	if !full {
		t.Fatal("etcd was not filled")
	}
	now := int64(0)
	for _, c := range []struct {
		what    string
		err     error
		refused bool
	}{
		{"create", func() error {
			_, err := core.ConfigMaps("default").Create(t.Context(), &corev1.ConfigMap{ObjectMeta: named("b")}, metav1.CreateOptions{})
			return err
		}(), true},
		{"delete a ConfigMap", core.ConfigMaps("default").Delete(t.Context(), "a", metav1.DeleteOptions{}), false},
		{"delete a pod with grace", core.Pods("default").Delete(t.Context(), "p", metav1.DeleteOptions{}), true},
		{"delete a pod at once", core.Pods("default").Delete(t.Context(), "p", metav1.DeleteOptions{GracePeriodSeconds: &now}), true},
		{"delete a namespace", core.Namespaces().Delete(t.Context(), "n", metav1.DeleteOptions{}), true},
	} {
		if refused := c.err != nil && strings.Contains(c.err.Error(), "database space exceeded"); refused != c.refused || c.err != nil && !refused {
			t.Errorf("%s: %v", c.what, c.err)
		}
	}
}
