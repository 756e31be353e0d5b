package test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/machine"
	"berth.dev/berth/internal/policy"
)

// hasty is how long repairs wait: longer than a machine that boots needs to be Ready.
const hasty = 2 * time.Second

// What is done to machines through the IaaS view is real, is not undone by the service
// on its own, counts against the cluster while it lasts (B3, B4, G2, G4, J3), and is over
// with the next change through the service (G2).
func TestIaaS(t *testing.T) {
	w := newWorld(t)
	w.servicePolicy(supportFigures(time.Hour, time.Hour))
	w.start(w.nextGuard())
	w.create()
	w.hastyRepairs(hasty)
	w.machineLife(true)
	w.runScripts()
	w.changeTags()
	w.delete()
	w.checkGone()
}

// Killed over and over, the controllers do each action once.
func TestCrashDuringIaaS(t *testing.T) {
	w := newWorld(t)
	w.start(w.nextGuard())
	w.create()
	w.stop()
	w.nextGuard = func() *guard { return newGuard(2, w.client) }
	w.start(w.nextGuard())
	w.machineLife(false)
	t.Logf("died %d times: %q", len(w.deaths), w.deaths)
	if len(w.deaths) < 8 {
		t.Errorf("only %d deaths: the guard does not see the side effects", len(w.deaths))
	}
	w.stop()
	w.nextGuard = func() *guard { return newGuard(0, w.client) }
	w.start(w.nextGuard())
	w.delete()
	w.checkGone()
}

// instances asks for an action on the only machine, and waits for its end.
func (w *world) instances(name string, action v1beta1.InstanceAction) {
	w.t.Helper()
	w.request(&v1beta1.Operation{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: name},
		Spec: v1beta1.OperationSpec{
			Type: v1beta1.OperationInstances, State: v1beta1.StateUpdating, RequestedBy: "someone",
			Target:    v1beta1.OperationTarget{Kind: v1beta1.TargetScaleSet, Name: w.poolName(), ResourceID: "/set/0"},
			Instances: &v1beta1.InstancesOperation{Action: action, Machines: []string{w.machineObjects()[0].Name}},
		},
	})
	w.succeed(name)
}

// machineLife takes the only machine through every action. Supportability is looked at
// where the policy's clocks are short.
func (w *world) machineLife(judged bool) {
	w.t.Helper()
	expect := func(why, want string) {
		w.t.Helper()
		if judged {
			w.untilSupport(why, func(s *v1beta1.SupportStatus) bool { return clauses(s) == want })
		}
	}
	first := incarnation(w.machine())

	w.instances("op-deallocate", v1beta1.InstanceDeallocate)
	if n := len(w.machines.Machines()); n != 0 {
		w.t.Fatalf("%d machines run after a deallocation", n)
	}
	expect("a deallocated machine is a finding, and no node at all another", "B3 J3 J4")
	w.until("its node says so", func() bool {
		node := w.node()
		return policy.ShutDown(node) && node.Status.Conditions[0].Status == corev1.ConditionUnknown
	})
	w.quiet("a deallocated machine is left alone", func() bool { return len(w.machines.Machines()) == 0 })

	w.instances("op-start", v1beta1.InstanceStart)
	w.until("it serves again", func() bool { return w.ready() && !policy.ShutDown(w.node()) })
	if now := incarnation(w.machine()); now != first+1 {
		w.t.Errorf("incarnation %d after %d was started once", now, first)
	}
	expect("a machine that was started is as it was", "")

	boots := w.machine().Boots
	w.instances("op-restart", v1beta1.InstanceRestart)
	if seen := w.machine(); seen.Boots != boots+1 || incarnation(seen) != first+1 {
		w.t.Errorf("after a restart %+v, before it had booted %d times", seen, boots)
	}
	w.instances("op-reimage", v1beta1.InstanceReimage)
	w.until("it serves again", w.ready)
	w.instances("op-redeploy", v1beta1.InstanceRedeploy)
	w.until("it serves again", w.ready)
	if now := incarnation(w.machine()); now != first+3 {
		w.t.Errorf("incarnation %d, want %d after a reimage and a redeploy", now, first+3)
	}
	expect("what leaves nothing changed is no finding", "")

	w.instances("op-stop", v1beta1.InstancePowerOff)
	expect("a machine that is stopped is one", "B3 J3 J4")
	w.request(w.scaleOperation("op-update", 1))
	w.succeed("op-update")
	if !w.ready() {
		w.t.Errorf("a change of the pool did not start the machine: %s", w.dump())
	}
	expect("it is over", "")

	name := w.machineObjects()[0].Spec.NodeName
	w.instances("op-remove", v1beta1.InstanceDelete)
	w.until("the machine is gone, and its node", func() bool { return len(w.machines.Machines()) == 0 && len(w.machineObjects()) == 0 })
	if removed := w.pool().Status.Removed; len(removed) != 1 || removed[0].NodeName != name || removed[0].RequestedBy != "someone" {
		w.t.Errorf("removed: %+v", removed)
	}
	expect("a deleted machine is a finding", "G4 J4")
	w.quiet("a deleted machine is not made again", func() bool { return len(w.machines.Machines()) == 0 })
	w.request(w.scaleOperation("op-again", 1))
	w.succeed("op-again")
	if !w.ready() || len(w.pool().Status.Removed) != 0 || w.machineObjects()[0].Spec.NodeName == name {
		w.t.Errorf("a change of the pool did not make a new machine: %s", w.dump())
	}
	expect("it is over", "")
	if repair := w.machineObjects()[0].Status.Repair; repair != nil && repair.Count > 0 {
		w.t.Errorf("something was repaired: %+v", repair)
	}
}

// quiet looks for a while whether something stays true.
func (w *world) quiet(what string, holds func() bool) {
	w.t.Helper()
	end := time.Now().Add(hasty + time.Second)
	w.until(what, func() bool {
		if !holds() {
			w.t.Fatalf("%s: %s", what, w.dump())
		}
		return time.Now().After(end)
	})
}

// ready says whether the only machine serves.
func (w *world) ready() bool {
	all := w.machineObjects()
	return len(all) == 1 && all[0].Status.Phase == v1beta1.MachineReady && all[0].Status.Off == nil
}

// runScripts runs scripts in the only machine: one that only looks, one that changes its
// files, and one beside a DaemonSet that could have changed them just as well (G5).
func (w *world) runScripts() {
	w.t.Helper()
	w.machines.Script = func(_ machine.Ref, command machine.Command) (machine.Result, error) {
		if command.Settle {
			if command.Name == "run-vanish" {
				return machine.Result{Changed: []string{"/etc/passwd"}, ChangedCount: 1}, nil
			}
			return machine.Result{}, nil
		}
		if command.Script == "break" {
			return machine.Result{}, fmt.Errorf("the stream broke")
		}
		if command.Script == "leave" {
			tuner := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: metav1.NamespaceDefault, Name: "tuner"}}
			if err := w.client.Delete(context.Background(), tuner, client.GracePeriodSeconds(0)); err != nil {
				return machine.Result{}, err
			}
		}
		if command.Script == "look" {
			return machine.Result{Stdout: "seen " + strings.Join(command.Arguments, " ")}, nil
		}
		return machine.Result{Changed: []string{"/etc/sysctl.conf"}, ChangedCount: 1}, nil
	}
	if output := w.runScript("run-look", "look", v1beta1.OperationSucceeded); output.Stdout != "seen it" {
		w.t.Errorf("output: %+v", output)
	}
	w.runScript("run-break", "break", v1beta1.OperationFailed)
	w.untilSupport("a script that only looks is no finding", supported)
	w.runScript("run-change", "change", v1beta1.OperationSucceeded)
	w.untilSupport("one that changes the image's files is", func(s *v1beta1.SupportStatus) bool {
		return clauses(s) == "G2" && strings.Contains(s.Findings[0].Message, "someone ran on") && strings.Contains(s.Findings[0].Message, "/etc/sysctl.conf")
	})
	w.runScript("run-vanish", "break", v1beta1.OperationFailed)
	w.untilSupport("and so does one whose end nobody saw", func(s *v1beta1.SupportStatus) bool {
		return clauses(s) == "G2" && strings.Contains(s.Findings[0].Message, "/etc/passwd")
	})
	w.instances("op-restart-2", v1beta1.InstanceRestart)
	w.untilSupport("its file system does not outlive a restart", supported)
	w.until("it serves again", w.ready)
	w.bring(&corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: metav1.NamespaceDefault, Name: "tuner"},
		Spec: corev1.PodSpec{NodeName: w.node().Name, Containers: []corev1.Container{{
			Name: "tuner", Image: "tuner", SecurityContext: &corev1.SecurityContext{Privileged: ptr(true)},
		}}},
	})
	w.runScript("run-beside", "change", v1beta1.OperationSucceeded)
	if files := w.machineObjects()[0].Status.ChangedFiles; files != nil {
		w.t.Errorf("what a DaemonSet may have changed counts: %+v", files)
	}
	w.runScript("run-leave", "leave", v1beta1.OperationSucceeded)
	if files := w.machineObjects()[0].Status.ChangedFiles; files != nil {
		w.t.Errorf("what a pod may have changed that has gone meanwhile counts: %+v", files)
	}
}

func (w *world) runScript(name, script string, want v1beta1.OperationStatusCode) v1beta1.RunCommandOutput {
	w.t.Helper()
	op := &v1beta1.Operation{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: name},
		Spec: v1beta1.OperationSpec{
			Type: v1beta1.OperationInstances, State: v1beta1.StateUpdating, RequestedBy: "someone",
			Target:    v1beta1.OperationTarget{Kind: v1beta1.TargetScaleSet, Name: w.poolName(), ResourceID: "/set/0"},
			Instances: &v1beta1.InstancesOperation{Action: v1beta1.InstanceRunCommand, Machines: []string{w.machineObjects()[0].Name}},
		},
	}
	w.request(op)
	text, err := json.Marshal(v1beta1.RunCommand{Script: script, Arguments: []string{"it"}})
	if err != nil {
		w.t.Fatal(err)
	}
	secret := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: v1beta1.RunCommandSecret(name)}, Data: map[string][]byte{v1beta1.RunCommandScript: text},
	}
	w.bring(secret)
	if op := w.finish(name); op.Status.Status != want {
		w.t.Fatalf("%s: %s %+v", name, op.Status.Status, op.Status.Error)
	}
	if err := w.client.Get(w.t.Context(), client.ObjectKeyFromObject(secret), secret); err != nil {
		w.t.Fatal(err)
	}
	if _, there := secret.Data[v1beta1.RunCommandScript]; there {
		w.t.Errorf("%s: the script is kept after its end", name)
	}
	var output v1beta1.RunCommandOutput
	if err := json.Unmarshal(secret.Data[v1beta1.RunCommandResult], &output); err != nil && want == v1beta1.OperationSucceeded {
		w.t.Fatal(err)
	}
	return output
}

// changeTags changes the tags of the node resource group and of the scale set: one's own
// are one's own, the system's count until they are back (B4).
func (w *world) changeTags() {
	w.t.Helper()
	key := client.ObjectKey{Namespace: w.namespace, Name: v1beta1.ObjectName("MC_Group_Demo_westeurope")}
	tag := func(change func(map[string]string)) {
		w.t.Helper()
		w.until("the tags are written", func() bool {
			group := w.get(&v1beta1.ResourceGroup{}, key).(*v1beta1.ResourceGroup)
			change(group.Spec.Tags)
			err := w.client.Update(context.Background(), group)
			if err != nil && !apierrors.IsConflict(err) {
				w.t.Fatal(err)
			}
			return err == nil
		})
	}
	tag(func(tags map[string]string) { tags["mine"] = "yes" })
	w.untilSupport("a tag of one's own is no finding", supported)
	tag(func(tags map[string]string) { delete(tags, policy.TagClusterName) })
	w.untilSupport("the system's is", func(s *v1beta1.SupportStatus) bool {
		return clauses(s) == "B4" && s.Findings[0].Reason == "SystemTagsChanged" && strings.Contains(s.Findings[0].Message, policy.TagClusterName)
	})
	tag(func(tags map[string]string) { tags[policy.TagClusterName] = "Demo" })
	w.untilSupport("until it is back", supported)
	tag(func(tags map[string]string) { tags[policy.TagClusterGroup] = "other" })
	w.untilSupport("a changed one is too", func(s *v1beta1.SupportStatus) bool { return clauses(s) == "B4" })

	pool := w.pool()
	w.bring(&v1beta1.VirtualMachineScaleSet{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: pool.Name, OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(pool, v1beta1.GroupVersion.WithKind("AgentPool"))}},
		Spec:       v1beta1.VirtualMachineScaleSetSpec{Tags: map[string]string{}, Changed: v1beta1.TagsChanged{Time: metav1.Now(), By: "someone"}, PoolOperation: policy.PoolAttempt(pool)},
	})
	w.untilSupport("so do those of a scale set", func(s *v1beta1.SupportStatus) bool {
		return clauses(s) == "B4" && strings.Contains(s.Findings[0].Message, "someone changed tags aks-managed-poolName, aks-managed-resourceNameSuffix of scale set")
	})
	w.request(w.updateOperation("op-tags"))
	w.succeed("op-tags")
	w.untilSupport("a change of the cluster puts all of them back", supported)
	group := w.get(&v1beta1.ResourceGroup{}, key).(*v1beta1.ResourceGroup)
	if group.Spec.Tags["mine"] != "yes" || group.Spec.Tags[policy.TagClusterGroup] != "Group" {
		w.t.Errorf("tags: %v", group.Spec.Tags)
	}
}

// updateOperation asks for the cluster and its pool as they are.
func (w *world) updateOperation(name string) *v1beta1.Operation {
	spec := clusterSpec()
	return &v1beta1.Operation{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: name},
		Spec: v1beta1.OperationSpec{
			Type: v1beta1.OperationPut, State: v1beta1.StateUpdating,
			Target:  v1beta1.OperationTarget{Kind: v1beta1.TargetManagedCluster, Name: w.clusterName(), ResourceID: "/demo"},
			Desired: &v1beta1.DesiredState{Cluster: &spec, AgentPools: []v1beta1.AgentPoolSpec{poolSpec(1)}},
		},
	}
}
