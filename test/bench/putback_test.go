package bench

import (
	"context"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"berth.dev/berth/test/harness"
)

// putBackPatience is how long it may take to put a component back before the flow has
// failed.
const putBackPatience = time.Minute

// measurePutBack does to components of a cluster what a customer must not, and measures
// until they are put back (A7; aim: 5 s).
func measurePutBack(e *harness.Env, results *table, name string) {
	e.T.Helper()
	e.Run("berth", "cluster", "get-credentials", "-g", "bench", "-n", name)
	apps, ctx := e.Clientset(name).AppsV1(), context.Background()
	proxy, err := apps.DaemonSets(metav1.NamespaceSystem).Get(ctx, "kube-proxy", metav1.GetOptions{})
	if err != nil {
		e.T.Fatal(err)
	}
	image := proxy.Spec.Template.Spec.Containers[0].Image
	patch := []byte(`[{"op": "replace", "path": "/spec/template/spec/containers/0/image", "value": "mine"}]`)
	if _, err := apps.DaemonSets(metav1.NamespaceSystem).Patch(ctx, proxy.Name, types.JSONPatchType, patch, metav1.PatchOptions{}); err != nil {
		e.T.Fatal(err)
	}
	waitPutBack(e, results, "change of an add-on put back", func() bool {
		now, err := apps.DaemonSets(metav1.NamespaceSystem).Get(ctx, "kube-proxy", metav1.GetOptions{})
		return err == nil && now.Spec.Template.Spec.Containers[0].Image == image
	})
	if err := apps.Deployments(metav1.NamespaceSystem).Delete(ctx, "metrics-server", metav1.DeleteOptions{}); err != nil {
		e.T.Fatal(err)
	}
	waitPutBack(e, results, "deleted add-on made again", func() bool {
		_, err := apps.Deployments(metav1.NamespaceSystem).Get(ctx, "metrics-server", metav1.GetOptions{})
		return err == nil
	})
}

func waitPutBack(e *harness.Env, results *table, what string, done func() bool) {
	e.T.Helper()
	started := time.Now()
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for ; !done(); <-ticker.C {
		if time.Since(started) > putBackPatience {
			e.T.Fatalf("%s: not within %s", what, putBackPatience)
		}
	}
	results.add(what, "s", "≤ 5", time.Since(started).Seconds())
}
