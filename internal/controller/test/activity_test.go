package test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1beta1"
)

// The activity log says who asked for what and how that ended, and what Berth did by
// itself, once each, though lives end after what is written into it. It keeps to its limits.
func TestActivityLog(t *testing.T) {
	w := newWorld(t)
	left := []string{"create ActivityLogEntry", "patch status ActivityLogEntry", "delete ActivityLogEntry"}
	w.nextGuard = func() *guard {
		g := newGuard(0, w.client)
		g.killAfter = func(what string) bool {
			n := slices.IndexFunc(left, func(part string) bool { return strings.HasPrefix(what, part) })
			if n < 0 {
				return false
			}
			left = slices.Delete(left, n, n+1)
			return true
		}
		return g
	}
	w.servicePolicy(supportFigures(time.Hour, time.Hour))
	w.start(w.nextGuard())
	w.create()
	w.until("the end of a request is known", func() bool {
		entry := w.entry(func(e *v1beta1.ActivityLogEntry) bool { return e.Name == "op-create" })
		return entry != nil && entry.Status.End != nil
	})
	if entry := w.entry(func(e *v1beta1.ActivityLogEntry) bool { return e.Name == "op-create" }); entry.Status.End.Code != v1beta1.ActivitySucceeded {
		t.Errorf("the entry of the creation: %+v", entry)
	}

	w.subscribe(v1beta1.SubscriptionSuspended)
	w.untilSupport("the cluster is stopped", func(s *v1beta1.SupportStatus) bool { return clauses(s) == "J2 J6" })
	stopped := func(e *v1beta1.ActivityLogEntry) bool { return strings.HasSuffix(e.Spec.Operation, "/stop/action") }
	w.until("the end of Berth's own act is known", func() bool { return w.entry(stopped) != nil && w.entry(stopped).Status.End != nil })
	if entry := w.entry(stopped); entry.Spec.Caller != "berth/support" || entry.Status.End.Code != v1beta1.ActivitySucceeded || entry.Spec.Request != nil {
		t.Errorf("the entry of the stop: %+v", entry)
	}
	for _, reason := range []string{"SubscriptionSuspended", "Stopped"} {
		w.until("why is told", func() bool { return w.told(reason) > 0 })
		if count := w.told(reason); count != 1 {
			t.Errorf("%s was told %d times", reason, count)
		}
	}

	w.subscribe(v1beta1.SubscriptionEnabled)
	one := int32(1)
	spec := supportFigures(time.Hour, time.Hour)
	spec.ActivityLog = &v1beta1.ActivityLogPolicy{Entries: &one}
	w.servicePolicy(spec)
	w.until("the newest alone is left", func() bool { return len(w.log()) == 1 })
	w.delete()
	w.eventuallyGone(&v1beta1.ManagedCluster{}, client.ObjectKey{Namespace: w.namespace, Name: w.clusterName()})
	w.checkGone()
	for _, part := range left {
		t.Errorf("no life ended after %s", part)
	}
}

// log is the activity log of the only subscription.
func (w *world) log() []v1beta1.ActivityLogEntry {
	w.t.Helper()
	var list v1beta1.ActivityLogEntryList
	if err := w.client.List(w.t.Context(), &list, client.InNamespace(w.namespace)); err != nil {
		w.t.Fatal(err)
	}
	return list.Items
}

// entry is the first that is wanted, nil if there is none.
func (w *world) entry(wanted func(*v1beta1.ActivityLogEntry) bool) *v1beta1.ActivityLogEntry {
	w.t.Helper()
	entries := w.log()
	for i := range entries {
		if wanted(&entries[i]) {
			return &entries[i]
		}
	}
	return nil
}

// told counts the notices with a reason.
func (w *world) told(reason string) int {
	w.t.Helper()
	count := 0
	for _, entry := range w.log() {
		if entry.Spec.Notice != nil && entry.Spec.Notice.Reason == reason {
			count++
		}
	}
	return count
}
