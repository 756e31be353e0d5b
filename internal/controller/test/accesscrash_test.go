package test

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"berth.dev/berth/api/v1beta1"
)

// Killed after every side effect or two, the controllers still give support its rights,
// and take them back: no death leaves a role or a binding behind.
func TestCrashDuringSupportAccess(t *testing.T) {
	d := newDesk(t)
	d.start(d.nextGuard())
	d.create()
	d.stop()
	gentle := d.nextGuard
	d.nextGuard = func() *guard { return newGuard(2, d.client) }
	d.start(d.nextGuard())
	now := metav1.NewTime(time.Now().Truncate(time.Second))
	scopes := []v1beta1.SupportScope{v1beta1.ScopeDiagnose}
	ticket := &v1beta1.SupportTicket{ObjectMeta: metav1.ObjectMeta{Namespace: d.namespace, Name: "t1"}, Spec: v1beta1.SupportTicketSpec{
		Name: "t1", TicketID: "ticket", Problem: "node-not-ready", Title: "t", Description: "d", Severity: v1beta1.SeverityMinimal, Status: v1beta1.TicketOpen, Created: now, Modified: now,
		ResourceID: deskCluster, AdvancedDiagnosticConsent: true, Consent: &v1beta1.SupportConsent{Scopes: scopes, GivenBy: "x"},
	}}
	d.ensure(ticket)
	for _, name := range []string{accessOne, accessTwo, accessThree} {
		d.ensure(&v1beta1.SupportAccess{ObjectMeta: metav1.ObjectMeta{Namespace: d.namespace, Name: name}, Spec: v1beta1.SupportAccessSpec{
			Ticket: "t1", TicketID: "ticket", Cluster: d.clusterName(), ClusterID: clusterID, ResourceID: deskCluster, Engineer: deskEngineer, Reason: "x",
			Scopes: scopes, Created: now, Expires: metav1.NewTime(now.Add(time.Hour)),
		}})
		d.eventually("the access "+name+" has its rights", func() bool { return d.state(name).Status.Granted != nil })
	}
	d.change(ticket, func() { ticket.Spec.Status = v1beta1.TicketClosed })
	for _, name := range []string{accessOne, accessTwo, accessThree} {
		d.eventually("the access "+name+" has ended", func() bool { s := d.state(name).Status; return s.Reason == "TicketClosed" && s.Removed != nil })
	}
	if role, binding := d.rightsAre(); role || binding {
		t.Errorf("left: role %v, binding %v", role, binding)
	}
	if len(d.deaths) < 4 {
		t.Errorf("only %d deaths: the guard does not see the side effects", len(d.deaths))
	}
	d.stop()
	d.nextGuard = gentle
	d.start(d.nextGuard())
	d.delete()
	d.checkGone()
}
