package long

import (
	"fmt"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/test/harness"
)

// tamper is something that a customer may not do.
type tamper struct {
	why string
	// act does it, and returns what its evidence must name.
	act func(c *customer) []string
	// clause and reason are those of what is found.
	clause, reason string
	// back ends it.
	back func(c *customer)
}

// tampers are all ways to tamper that are found afterwards. What is refused, and what costs
// no support, have steps of their own.
var tampers = []tamper{
	{"a file of the node image is changed by a run command", changesFile, "G2", "NodeFilesChanged", makesAnew},
	{"a label of the system's on a node is changed", changesLabel, "B4", "SystemMetadataChanged", forgets},
	{"a label of the system's on a node is removed", removesLabel, "B4", "SystemMetadataChanged", forgets},
	{"the system's record on a node is removed", removesRecord, "B4", "SystemMetadataChanged", forgets},
	{"a tag of the system's on the node resource group is removed", removesGroupTag, "B4", "SystemTagsChanged", putsGroupTagBack},
	{"a tag of the system's on the scale set is changed", changesSetTag, "B4", "SystemTagsChanged", updatesPool},
	{"a machine is stopped", stopsMachine, "B3", "MachinesStopped", updatesPool},
	{"a machine is deallocated", deallocatesMachine, "B3", "MachinesStopped", startsMachines},
	{"the scale set is scaled down", scalesSet, "G4", "MachinesDeleted", scalesPool},
	{"a machine is deleted", deletesMachine, "G4", "MachinesDeleted", updatesPool},
}

// tampering goes over all of them, one after the other.
func tampering(c *customer) {
	const ticket = "tampered"
	c.metrics()
	if answer := c.Ask(ticket, "node-not-ready", c.id); answer.Answer != "InScope" {
		c.T.Fatalf("before anything is done a ticket is answered %+v", answer)
	}
	for _, one := range tampers {
		began := time.Now()
		c.found(one, one.act(c), ticket, began.Truncate(time.Second))
		caught := time.Since(began)
		one.back(c)
		c.supported("the way back: " + one.why)
		c.ended(one)
		c.T.Logf("%s: told of after %.1f s, with the way back %.1f s", one.why, caught.Seconds(), time.Since(began).Seconds())
	}
	if answer := c.Ask(ticket, "node-not-ready", c.id); answer.Answer != "InScope" {
		c.T.Errorf("with everything as it was a ticket is answered %+v", answer)
	}
	// Whoever did it is in the log, by what they asked for.
	var asked []string
	for _, entry := range c.ActivityLog(c.group, c.Variable("AZURE_CLIENT_ID")) {
		asked = append(asked, entry.Operation)
	}
	for _, want := range []string{"/virtualMachines/runCommand/action", "resourceGroups/write", "virtualMachineScaleSets/write", "/poweroff/action", "/deallocate/action", "/delete/action"} {
		if !strings.Contains(strings.ToLower(strings.Join(asked, "\n")), strings.ToLower(want)) {
			c.T.Errorf("the activity log has no %s of the customer's: %v", want, asked)
		}
	}
}

// found waits until a cluster is out of support for one reason alone, and looks for that
// reason wherever it is told: to the customer in the CLI, in ARM, in the activity log and on
// tickets, to the operator as a condition, an event and a metric.
func (c *customer) found(t tamper, evidence []string, ticket string, began time.Time) {
	c.T.Helper()
	var told harness.Support
	c.Eventually("a finding: "+t.why, longEnough, func() error {
		if told = c.Support("rg1", c.name); told.Clauses() != t.clause || told.State != "OutOfSupport" || told.Findings[0].Reason != t.reason {
			return fmt.Errorf("%+v", told)
		}
		return nil
	})
	finding := told.Findings[0]
	for _, part := range evidence {
		if !strings.Contains(finding.Message, part) {
			c.T.Errorf("%s: the evidence does not name %s: %s", t.why, part, finding.Message)
		}
	}
	if finding.State != "OutOfSupport" || finding.WayBack == "" || finding.Since.Before(began) || finding.Since.After(time.Now()) || finding.Ends != nil || len(told.Clocks) > 0 {
		c.T.Errorf("%s: %+v, clocks %+v", t.why, finding, told.Clocks)
	}
	cluster, err := c.ManagedCluster(c.name)
	if err != nil {
		c.T.Fatal(err)
	}
	condition := meta.FindStatusCondition(cluster.Status.Conditions, v1beta1.ConditionSupported)
	if condition == nil || condition.Status != "False" || condition.Reason != "OutOfSupport" || !strings.HasPrefix(condition.Message, t.clause+": ") {
		c.T.Errorf("%s: condition %+v", t.why, condition)
	}
	var body struct {
		Properties struct{ Supportability struct{ State string } }
	}
	c.Decode(c.Run("az", "rest", "--method", "get", "--url", c.id+"?api-version=2025-02-01"), &body)
	if body.Properties.Supportability.State != "OutOfSupport" {
		c.T.Errorf("%s: ARM says %+v", t.why, body)
	}
	if _, err := c.metric(`berth_cluster_support_state\{cluster="rg1\.` + c.name + `",namespace="[^"]*",state="OutOfSupport"\}`); err != nil {
		c.T.Errorf("%s: %v", t.why, err)
	}
	c.recorded(t.why, t.reason, t.clause+": "+finding.Message+". "+finding.WayBack)
	answer := c.Ask(ticket, "node-not-ready", c.id)
	if answer.Answer != "OutOfScope" || answer.Reasons[0].Clause != t.clause || !strings.Contains(answer.Reasons[0].Evidence, finding.Message) || answer.Reasons[0].Next == "" {
		c.T.Errorf("%s: a ticket is answered %+v", t.why, answer)
	}
}

// ended looks for the end of a finding where its beginning was told.
func (c *customer) ended(t tamper) {
	c.T.Helper()
	c.recorded(t.why+", and its end", t.reason+"Ended", t.clause+" does not apply any more; the cluster is Supported")
}

// recorded waits for something that Berth told of the cluster by itself: in the activity
// log, and as an event.
func (c *customer) recorded(why, reason, message string) {
	c.T.Helper()
	c.Eventually("in the activity log: "+why, longEnough, func() error {
		entries := c.ActivityLog("rg1", "berth/support")
		for _, entry := range entries {
			if strings.HasSuffix(entry.Operation, "/events/"+reason+"/action") && strings.HasPrefix(message, strings.TrimSuffix(entry.Message, "…")) {
				return nil
			}
		}
		return fmt.Errorf("no %s %q among %+v", reason, message, entries)
	})
	c.Eventually("an event of the cluster: "+why, longEnough, func() error {
		out := c.Management("-n", v1beta1.SubscriptionNamespace(c.Variable("AZURE_SUBSCRIPTION_ID")), "get", "events",
			"--field-selector", "reason="+reason+",involvedObject.name=rg1."+c.name, "-o", `jsonpath={range .items[*]}{.message}{"\n"}{end}`)
		if !strings.Contains(out, message) {
			return fmt.Errorf("no %s %q among %s", reason, message, out)
		}
		return nil
	})
}

// touched is a line that the run command adds to a file of the node image.
const touched = "# tuned by hand"

func changesFile(c *customer) []string {
	id, node := c.instance()
	c.vmss("run-command invoke", "--command-id", "RunShellScript", "--instance-id", id, "--scripts", "echo '"+touched+"' >> /etc/containerd/config.toml")
	return []string{c.Variable("AZURE_CLIENT_ID"), node, "/etc/containerd/config.toml"}
}

func makesAnew(c *customer) {
	id, node := c.instance()
	c.reimages(id, node)
	c.InMachines([]string{node}, "sh", "-c", "! grep -q '"+touched+"' /etc/containerd/config.toml")
}

const systemLabel = "kubernetes.azure.com/role"

func changesLabel(c *customer) []string {
	node := c.ReadyNodes(c.name)[0]
	c.kubectl("label", "node", node, systemLabel+"=boss", "--overwrite")
	c.putBack(node, `{.metadata.labels.kubernetes\.azure\.com/role}`, "agent")
	return []string{"kubectl-label", node, systemLabel}
}

func removesLabel(c *customer) []string {
	node := c.ReadyNodes(c.name)[0]
	c.kubectl("label", "node", node, systemLabel+"-")
	c.putBack(node, `{.metadata.labels.kubernetes\.azure\.com/role}`, "agent")
	return []string{node, systemLabel}
}

func removesRecord(c *customer) []string {
	node := c.ReadyNodes(c.name)[0]
	const record = `{.metadata.annotations.berth\.dev/node-marks}`
	before := c.kubectl("get", "node", node, "-o", "jsonpath="+record)
	c.kubectl("annotate", "node", node, "berth.dev/node-marks-")
	c.putBack(node, record, before)
	return []string{node, "berth.dev/node-marks"}
}

// putBack waits until the service has put something of a node's back. From then on that
// counts: an earlier change does not any more, as a machine's last one alone is known.
func (c *customer) putBack(node, what, value string) {
	c.T.Helper()
	c.Eventually("what was changed is put back", longEnough, func() error {
		if now := c.kubectl("get", "node", node, "-o", "jsonpath="+what); now != value {
			return fmt.Errorf("%s is %q", what, now)
		}
		return nil
	})
	forgets(c)
	c.supported("what was changed for a moment is forgotten") // so that what is found next stays
	c.figures(`"changedMetadata":"24h"`)
}

// forgets lets the time pass that a change counts after it was put back.
func forgets(c *customer) { c.figures(`"changedMetadata":"1s"`) }

func removesGroupTag(c *customer) []string {
	c.Run("az", "group", "update", "-n", c.group, "--tags", "aks-managed-cluster-rg=rg1")
	return []string{c.Variable("AZURE_CLIENT_ID"), "aks-managed-cluster-name", c.group}
}

func putsGroupTagBack(c *customer) {
	c.Run("az", "group", "update", "-n", c.group, "--tags", "aks-managed-cluster-rg=rg1", "aks-managed-cluster-name="+c.name)
}

func changesSetTag(c *customer) []string {
	c.vmss("update", "--set", "tags.aks-managed-poolName=mine")
	return []string{c.Variable("AZURE_CLIENT_ID"), "aks-managed-poolName", c.set}
}

// updatesPool changes nothing of the pool, and with it all that was done behind the service.
func updatesPool(c *customer) {
	c.Run("berth", "nodepool", "update", "-g", "rg1", "--cluster-name", c.name, "-n", "nodepool1")
	c.ready(2)
}

func stopsMachine(c *customer) []string {
	id, node := c.instance()
	c.vmss("stop", "--instance-ids", id)
	return []string{c.Variable("AZURE_CLIENT_ID") + " made " + node + " stopped at "}
}

func deallocatesMachine(c *customer) []string {
	id, node := c.instance()
	c.vmss("deallocate", "--instance-ids", id)
	return []string{c.Variable("AZURE_CLIENT_ID") + " made " + node + " deallocated at "}
}

func startsMachines(c *customer) {
	c.vmss("start")
	c.ready(2)
}

func scalesSet(c *customer) []string {
	c.vmss("scale", "--new-capacity", "1")
	return []string{c.Variable("AZURE_CLIENT_ID") + " deleted aks-nodepool1-"}
}

func scalesPool(c *customer) {
	c.Run("berth", "nodepool", "scale", "-g", "rg1", "--cluster-name", c.name, "-n", "nodepool1", "-c", "2")
	c.ready(2)
}

func deletesMachine(c *customer) []string {
	id, node := c.instance()
	c.vmss("delete-instances", "--instance-ids", id)
	return []string{c.Variable("AZURE_CLIENT_ID") + " deleted " + node + " at "}
}
