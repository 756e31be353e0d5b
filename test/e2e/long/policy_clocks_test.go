package long

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/test/harness"
)

// lastNotice is how long before the end of a clock the last notice is given.
const lastNotice = 6 * time.Second

// TestSupportClocks lets every clock of the support policy run out on real clusters, with
// short figures, and stops each by the act that clears it: J2, J3, J4, J6, J7.
func TestSupportClocks(t *testing.T) {
	e := harness.New(t)
	e.Up()
	one, two, three := newCustomer(e, "one"), newCustomer(e, "two"), newCustomer(e, "three")
	e.Journey(t, []harness.Step{
		{Name: "a customer has two clusters", Run: func(e *harness.Env) { twoClusters(e, one, two) }},
		{Name: "a cluster all of whose machines were stopped is out of support, until they start", Run: one.with(allStopped)},
		{Name: "when its time is over it is stopped, and kept", Run: one.with(stoppedInTime)},
		{Name: "a start ends the time of a stopped cluster", Run: one.with(startsAgain)},
		{Name: "a cluster without any machine is out of support, until it has one", Run: one.with(noneLeft)},
		{Name: "when its time is over it is stopped too", Run: one.with(noneInTime)},
		{Name: "a cluster that is stopped for too long is deleted", Run: one.with(stoppedTooLong)},
		{Name: "a suspended subscription stops its clusters at once, and lets them be started when it is enabled", Run: two.with(suspended)},
		{Name: "a subscription that is suspended for too long has its clusters deleted", Run: two.with(suspendedTooLong)},
		{Name: "a deleted subscription has its clusters deleted at once", Run: three.with(subscriptionDeleted)},
	})
}

// twoClusters has clusters whose clocks never run out for now. Nothing of a deleted one is
// kept, and none is archived.
func twoClusters(e *harness.Env, one, two *customer) {
	one.Env, two.Env = e, e
	e.Management("patch", "servicepolicy", "default", "--type=merge", "-p", fmt.Sprintf(
		`{"spec":{"archiveAfter":"0s","deletedClusterRetention":"0s","support":{"interval":"1s","settle":"2s","noNodesStop":"24h","stoppedDelete":"24h","suspendedDelete":"24h","notices":["12s","%s"]}}}`, lastNotice))
	e.Run("berth", "login", "az", "--state-dir", e.State)
	e.Run("az", "cloud", "update", "-n", "Berth", "--profile", "2020-09-01-hybrid")
	e.Run("berth", "group", "create", "-n", "rg1", "-l", "westus2")
	e.Run("berth", "cluster", "create", "-g", "rg1", "-n", two.name, "-c", "1", "--no-wait")
	e.Run("berth", "cluster", "create", "-g", "rg1", "-n", one.name, "-c", "1")
	e.Run("berth", "cluster", "wait", "-g", "rg1", "-n", two.name, "--created", "--timeout", "600")
	for _, c := range []*customer{one, two} {
		c.knows()
		c.supported("a new cluster is supported")
	}
}

// ticking waits until these clauses are found, and the clock of one of them is told.
func (c *customer) ticking(what, clauses, clause, act string, state v1beta1.SupportState) {
	c.T.Helper()
	c.Eventually(what, longEnough, func() error {
		told := c.Support("rg1", c.name)
		clock := told.Clock(clause)
		if told.State != string(state) || told.Clauses() != clauses || clock == nil || clock.Act != act {
			return fmt.Errorf("%+v", told)
		}
		for _, finding := range told.Findings {
			if finding.Clause != clause {
				continue
			}
			if finding.Act != act || finding.Ends == nil || !finding.Ends.Equal(clock.Ends) || finding.WayBack == "" {
				return fmt.Errorf("%+v", told)
			}
			if left := time.Until(clock.Ends); left < 23*time.Hour || left > 25*time.Hour {
				return fmt.Errorf("%s are left: %+v", left, told)
			}
		}
		return nil
	})
}

// runsOut sets a figure of the policy so that the clock ends soon, waits for its act, and
// sees that notice was given before.
func (c *customer) runsOut(clause, figure, reason, notice string) {
	c.T.Helper()
	started := time.Now()
	c.figures(`"` + figure + `":"20s"`)
	var act, told time.Time
	c.Eventually("the act of clause "+clause, 5*time.Minute, func() error {
		act, told = time.Time{}, time.Time{}
		var seen []string
		for _, entry := range c.ActivityLog("rg1", "berth/support") {
			switch {
			case entry.EventTimestamp.Before(started.Add(-time.Minute)):
			case strings.HasSuffix(entry.Operation, "/events/"+reason+"/action") && strings.Contains(entry.Message, "clause "+clause+" "):
				act = entry.EventTimestamp
			case strings.HasSuffix(entry.Operation, "/events/SupportNotice/action") && strings.HasPrefix(entry.Message, clause+": "+notice) && told.IsZero():
				told = entry.EventTimestamp // the newest comes first
			}
			seen = append(seen, entry.Message)
		}
		if act.IsZero() {
			return fmt.Errorf("so far: %s", strings.Join(seen, "\n"))
		}
		return nil
	})
	// Times of the policy are in whole seconds.
	if told.IsZero() || act.Sub(told) < lastNotice-2*time.Second {
		c.T.Errorf("clause %s acted at %s, and its last notice was at %s", clause, act, told)
	}
	c.T.Logf("clause %s acted %.1f s after the figure was set, and %.1f s after its last notice", clause, time.Since(started).Seconds(), act.Sub(told).Seconds())
}

// rests waits until the cluster is stopped, with nothing of it that runs.
func (c *customer) rests() {
	c.T.Helper()
	c.Eventually("it is stopped", 5*time.Minute, func() error {
		cluster, err := c.ManagedCluster(c.name)
		if err != nil {
			return err
		}
		if code := cluster.Status.PowerState.Code; code != v1beta1.PowerStopped || cluster.Status.ProvisioningState != v1beta1.StateSucceeded {
			return fmt.Errorf("it is %s, %s", code, cluster.Status.ProvisioningState)
		}
		for _, namespace := range []string{"cp-" + cluster.Spec.ID, "mc-" + cluster.Spec.ID} {
			if pods := c.Management("get", "pods", "-n", namespace, "-o", "name"); pods != "" {
				return fmt.Errorf("in %s there are %s", namespace, pods)
			}
		}
		return nil
	})
}

// starts starts the cluster, whose clocks are gone with that.
func (c *customer) starts() {
	c.Run("berth", "cluster", "start", "-g", "rg1", "-n", c.name)
	c.supported("a cluster that was started is supported, without a clock")
	c.ready(1)
}

// gone waits until there is nothing of the cluster with an id any more.
func (c *customer) gone(id string) {
	c.T.Helper()
	c.Eventually("nothing of it is left", 5*time.Minute, func() error {
		left := c.Management("get", "managedclusters,agentpools,machines,deletedclusters", "-A", "-o", `jsonpath={range .items[*]}{.kind}/{.metadata.name} {.spec.id} {end}`)
		if strings.Contains(left, "rg1."+c.name) || strings.Contains(left, id) {
			return fmt.Errorf("%s", left)
		}
		if namespaces := c.Management("get", "namespaces", "-o", "name"); strings.Contains(namespaces, id) {
			return fmt.Errorf("%s", namespaces)
		}
		return nil
	})
}

// allStopped deallocates every machine, which is no way to stop a cluster (J3).
func allStopped(c *customer) {
	c.deallocatesAll()
	c.vmss("start")
	c.ready(1)
	c.supported("machines that were started end the clock")
}

func (c *customer) deallocatesAll() {
	c.T.Helper()
	c.vmss("deallocate")
	c.ticking("the clock of machines that are all stopped", "B3 J3 J4", "J3", "Stop", v1beta1.SupportOutOfSupport)
}

func stoppedInTime(c *customer) {
	c.deallocatesAll()
	c.runsOut("J3", "noNodesStop", "SupportStop", "the cluster will be stopped at ")
	c.figures(`"noNodesStop":"24h"`)
	c.rests()
	c.ticking("it is kept for a while", "J2", "J2", "Delete", v1beta1.SupportSupported)
	if last := c.Support("rg1", c.name).LastAct; last.Clause != "J3" || last.Act != "Stop" {
		c.T.Errorf("the last act: %+v", last)
	}
	c.asked("/managedClusters/stop/action")
}

// asked looks in the activity log for an operation that the policy itself began.
func (c *customer) asked(operation string) {
	c.T.Helper()
	entries := c.ActivityLog("rg1", "berth/support")
	for _, entry := range entries {
		if strings.HasSuffix(entry.Operation, operation) {
			return
		}
	}
	c.T.Errorf("no %s of the policy's in the activity log: %+v", operation, entries)
}

func startsAgain(c *customer) { c.starts() }

// noneLeft deletes the only machine behind the service's back (J4).
func noneLeft(c *customer) {
	c.deletesAll()
	c.Run("berth", "nodepool", "update", "-g", "rg1", "--cluster-name", c.name, "-n", "nodepool1")
	c.ready(1)
	c.supported("a machine that runs ends the clock")
}

func (c *customer) deletesAll() {
	c.T.Helper()
	id, _ := c.instance()
	c.vmss("delete-instances", "--instance-ids", id)
	c.ticking("the clock of a cluster without machines", "G4 J4", "J4", "Stop", v1beta1.SupportOutOfSupport)
}

func noneInTime(c *customer) {
	c.deletesAll()
	c.runsOut("J4", "noNodesStop", "SupportStop", "the cluster will be stopped at ")
	c.figures(`"noNodesStop":"24h"`)
	c.rests()
	c.ticking("it is kept for a while", "J2", "J2", "Delete", v1beta1.SupportSupported)
}

func stoppedTooLong(c *customer) {
	cluster, err := c.ManagedCluster(c.name)
	if err != nil {
		c.T.Fatal(err)
	}
	c.runsOut("J2", "stoppedDelete", "SupportDelete", "the cluster will be deleted with all its resources at ")
	c.figures(`"stoppedDelete":"24h"`)
	c.gone(cluster.Spec.ID)
	if out, err := c.Try("berth", "cluster", "show", "-g", "rg1", "-n", c.name); err == nil || !strings.Contains(out, "ResourceNotFound") {
		c.T.Errorf("a cluster that was deleted: %v, %s", err, out)
	}
	c.asked("/managedClusters/delete")
}

// subscription sets its state, as the operator does.
func (c *customer) subscription(state v1beta1.SubscriptionState) {
	c.Management("patch", "subscription", c.Variable("AZURE_SUBSCRIPTION_ID"), "--type=merge", "-p", fmt.Sprintf(`{"spec":{"state":%q}}`, state))
}

func suspended(c *customer) {
	c.subscription(v1beta1.SubscriptionWarned)
	c.Eventually("a warned subscription is told", longEnough, func() error {
		if told := c.Support("rg1", c.name); told.State != "Supported" || told.Clauses() != "J6" || told.Findings[0].Reason != "SubscriptionWarned" || len(told.Clocks) > 0 {
			return fmt.Errorf("%+v", told)
		}
		return nil
	})
	c.subscription(v1beta1.SubscriptionSuspended)
	c.rests()
	c.ticking("a suspended subscription's cluster is kept for a while", "J2 J6", "J6", "Delete", v1beta1.SupportOutOfSupport)
	if out, err := c.Try("berth", "cluster", "start", "-g", "rg1", "-n", c.name); err == nil || !strings.Contains(out, "ReadOnlyDisabledSubscription") {
		c.T.Errorf("a start in a suspended subscription: %v, %s", err, out)
	}
	if answer := c.Ask("suspended", "cluster-operations", c.id); answer.Answer != "CustomersPart" || answer.Reasons[0].Clause != "J6" {
		c.T.Errorf("a ticket is answered %+v", answer)
	}
	c.subscription(v1beta1.SubscriptionEnabled)
	c.ticking("what is left is that it is stopped", "J2", "J2", "Delete", v1beta1.SupportSupported)
	c.starts()
}

func suspendedTooLong(c *customer) {
	cluster, err := c.ManagedCluster(c.name)
	if err != nil {
		c.T.Fatal(err)
	}
	c.subscription(v1beta1.SubscriptionSuspended)
	c.rests()
	c.runsOut("J6", "suspendedDelete", "SupportDelete", "the cluster will be deleted with all its resources at ")
	c.gone(cluster.Spec.ID)
	c.figures(`"suspendedDelete":"24h"`)
	c.subscription(v1beta1.SubscriptionEnabled)
}

func subscriptionDeleted(c *customer) {
	c.Run("berth", "cluster", "create", "-g", "rg1", "-n", c.name, "-c", "1")
	cluster, err := c.ManagedCluster(c.name)
	if err != nil {
		c.T.Fatal(err)
	}
	c.subscription(v1beta1.SubscriptionDeleted)
	c.gone(cluster.Spec.ID)
	if out, err := c.Try("berth", "cluster", "list"); err == nil {
		c.T.Errorf("a deleted subscription is there: %s", out)
	}
}
