package bench

import (
	"errors"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	typedv1 "k8s.io/client-go/kubernetes/typed/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/test/harness"
)

// recoveryPatience is how long a recovery may take before the flow has failed.
const recoveryPatience = 3 * time.Minute

// pointEvery is how often a write is made whose loss shows how far the recovery point is back, and
// pointFor how long: longer than the minute that the aim is.
const pointEvery, pointFor = 100 * time.Millisecond, 65 * time.Second

// recoverTo is recoverCluster, and then once more where Berth is killed at once and nobody hears
// what etcd has written last: with writes, of which it measures by how long those that came back
// were made before the loss (X2: 60 s).
func recoverTo(e *harness.Env, results *table, size, name string, maps typedv1.ConfigMapInterface) {
	e.T.Helper()
	recoverCluster(e, results, "etcd's data lost to /readyz, "+size, lossOf{name: name, lose: e.LoseEtcd, aim: "≤ 10"})
	const point = "point"
	e.Eventually("no point of the measure before", recoveryPatience, func() error {
		return client.IgnoreNotFound(maps.Delete(e.T.Context(), point, metav1.DeleteOptions{}))
	})
	last := write(e, maps, nil, point)
	for began := time.Now(); time.Since(began) < pointFor; {
		<-time.After(pointEvery)
		last = write(e, maps, last, point)
	}
	size += ", with Berth killed at once"
	recoverCluster(e, results, "etcd's data lost to /readyz, "+size, lossOf{name: name, lose: e.LoseEtcdAndBerth})
	back, at := 0.0, timeIn(e, last)
	found, err := maps.Get(e.T.Context(), point, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		back = pointFor.Seconds()
	case err != nil:
		e.T.Fatal(err)
	default:
		back = at.Sub(timeIn(e, found)).Seconds()
	}
	results.add("recovery point, "+size, "s back", "≤ 60", back)
}

// write makes an object that says when, or changes it.
func write(e *harness.Env, maps typedv1.ConfigMapInterface, last *corev1.ConfigMap, name string) (written *corev1.ConfigMap) {
	e.T.Helper()
	now := map[string]string{"at": time.Now().Format(time.RFC3339Nano)}
	var err error
	if last == nil {
		written, err = maps.Create(e.T.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name}, Data: now}, metav1.CreateOptions{})
	} else {
		last.Data = now
		written, err = maps.Update(e.T.Context(), last, metav1.UpdateOptions{})
	}
	if err != nil {
		e.T.Fatal(err)
	}
	return written
}

func timeIn(e *harness.Env, object *corev1.ConfigMap) time.Time {
	e.T.Helper()
	at, err := time.Parse(time.RFC3339Nano, object.Data["at"])
	if err != nil {
		e.T.Fatal(err)
	}
	return at
}

// lossOf says whose etcd is lost, how, and what is aimed at in seconds.
type lossOf struct {
	name string
	lose func(id string)
	aim  string
}

// recoverCluster removes what an etcd stores and measures until the API server answers
// again with what was backed up.
func recoverCluster(e *harness.Env, results *table, what string, of lossOf) {
	e.T.Helper()
	cluster, err := e.ManagedCluster(of.name)
	if err != nil {
		e.T.Fatal(err)
	}
	id, since := cluster.Spec.ID, cluster.CreationTimestamp.Time
	if last := cluster.Status.Recovery; last != nil && last.EndTime != nil {
		since = last.EndTime.Time // what was put back has a history of its own
	}
	e.Eventually("a backup", recoveryPatience, func() error { return e.BackedUpAfter(id, "full", since) })
	lost := time.Now()
	began := metav1.NewTime(lost.Truncate(time.Second))
	of.lose(id)
	e.Eventually("the recovery", recoveryPatience, func() error {
		c, err := e.ManagedCluster(of.name)
		if err != nil {
			return err
		}
		if c.Status.Recovery == nil || c.Status.Recovery.StartTime.Before(&began) || c.Status.Recovery.UnderWay() || c.Status.APIServerReady == nil {
			return errors.New("it goes on")
		}
		return nil
	})
	results.add(what, "s", of.aim, time.Since(lost).Seconds())
}
