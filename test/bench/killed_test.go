package bench

import (
	"context"
	"time"

	"golang.org/x/sys/unix"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/test/harness"
)

// measureKilled kills an API server and measures until a write is acknowledged again
// (aim: 5 s).
func measureKilled(e *harness.Env, results *table, name string) {
	e.T.Helper()
	found, err := e.ManagedCluster(name)
	if err != nil {
		e.T.Fatal(err)
	}
	var pods corev1.PodList
	selector := client.MatchingLabels{"berth.dev/component": "kube"}
	if err := e.ManagementClient().List(context.Background(), &pods, client.InNamespace(v1beta1.ControlPlaneNamespace(found.Spec.ID)), selector); err != nil || len(pods.Items) == 0 {
		e.T.Fatalf("%d API servers: %v", len(pods.Items), err)
	}
	maps := e.Clientset(name).CoreV1().ConfigMaps("default")
	if err := e.Signal(string(pods.Items[0].UID), "kube control-plane", unix.SIGKILL); err != nil {
		e.T.Fatal(err)
	}
	killed := time.Now()
	e.Eventually("the API server is back", recoveryPatience, func() error {
		_, err := maps.Create(context.Background(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{GenerateName: "after-"}}, metav1.CreateOptions{})
		return err
	})
	results.add("API server killed to the first write", "s", "≤ 5", time.Since(killed).Seconds())
}
