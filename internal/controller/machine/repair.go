package machine

import (
	"context"
	"fmt"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/machine"
	"berth.dev/berth/internal/policy"
)

// judge decides whether the node is ill and what is done about it (E4). What it
// decides is in the object's status, to be written before anything is done.
func (r *Reconciler) judge(ctx context.Context, s *scene) error {
	s.repairedBefore = s.object.Status.Repair.DeepCopy()
	if s.situation.Intent == Discard {
		return nil
	}
	plan, err := r.repairPlan(ctx)
	if err != nil {
		return err
	}
	in, err := r.repairInput(ctx, s, plan, r.client)
	if err != nil {
		return err
	}
	s.repairPlan, s.repair = plan, policy.Repair(in)
	if s.repair.Step != policy.RepairBegin {
		s.object.Status.Repair = s.repair.Record
	}
	if s.repair.Step == policy.RepairCarryOn && s.repair.Record.Action != v1beta1.RepairReboot && !s.repair.Record.Replaced {
		s.situation.Intent = Repair
	}
	return nil
}

func (r *Reconciler) repairPlan(ctx context.Context) (policy.RepairPlan, error) {
	found, err := r.servicePolicy(ctx)
	if err != nil {
		return policy.RepairPlan{}, err
	}
	return policy.Repairs(found.Spec), nil
}

// servicePolicy is the operator's policy, an empty one where there is none.
func (r *Reconciler) servicePolicy(ctx context.Context) (*v1beta1.ServicePolicy, error) {
	found := &v1beta1.ServicePolicy{}
	err := r.client.Get(ctx, client.ObjectKey{Name: v1beta1.ServicePolicyName}, found)
	if client.IgnoreNotFound(err) != nil {
		return nil, fmt.Errorf("read service policy: %w", err)
	}
	return found, nil
}

// repairInput is what a repair depends on, the cluster's other machines as reader has them.
func (r *Reconciler) repairInput(ctx context.Context, s *scene, plan policy.RepairPlan, reader client.Reader) (policy.RepairInput, error) {
	facts, err := r.repairFacts(ctx, s, reader)
	if err != nil {
		return policy.RepairInput{}, err
	}
	bar, held := policy.RepairBarOf(facts, plan)
	return policy.RepairInput{
		Record: s.object.Status.Repair, Illness: policy.IllnessOf(r.nodeSight(ctx, s, plan), plan, r.Now()),
		Bar: bar, Held: held, Plan: plan, Now: r.Now(),
		Machine: policy.MachineSight{
			Incarnation: s.seen.Incarnation, Boots: s.seen.Boots, Host: s.seen.Host, Running: s.seen.State == machine.Running,
		},
	}, nil
}

func (r *Reconciler) nodeSight(ctx context.Context, s *scene, plan policy.RepairPlan) policy.NodeSight {
	sight := policy.NodeSight{Node: s.node, Answers: s.tenant != nil}
	if s.node == nil {
		return sight
	}
	sight.Foreign = s.situation.Node == NodeNotReady
	if policy.AskLease(s.node, plan, r.Now()) {
		ctx, cancel := context.WithTimeout(ctx, observeTimeout)
		defer cancel()
		lease := &coordinationv1.Lease{}
		err := s.tenant.Get(ctx, client.ObjectKey{Namespace: corev1.NamespaceNodeLease, Name: s.ref.Name}, lease)
		if err == nil && lease.Spec.RenewTime != nil {
			sight.Renewed = lease.Spec.RenewTime.Time
		}
	}
	return sight
}

func (r *Reconciler) repairFacts(ctx context.Context, s *scene, reader client.Reader) (policy.RepairFacts, error) {
	status := s.object.Status
	facts := policy.RepairFacts{
		Cluster: s.cluster, Node: s.node,
		Busy:       s.situation.Intent == Drain || s.situation.Intent == Reimage,
		Instance:   instanceBusy(s.object),
		Registered: status.FirstReady != nil || status.ReadySince != nil,
		Begun:      status.Repair != nil && status.Repair.Began != nil,
	}
	pool := &v1beta1.AgentPool{}
	err := r.client.Get(ctx, client.ObjectKey{Namespace: s.object.Namespace, Name: s.object.Spec.AgentPool}, pool)
	if client.IgnoreNotFound(err) != nil {
		return facts, fmt.Errorf("read pool of machine %s: %w", s.object.Name, err)
	}
	if err == nil {
		facts.Pool = pool
		// A drain that ended and is not forgotten is that of an upgrade: its node has yet to
		// come back, and is ill if it has not when the upgrade gives up.
		upgrade := pool.Status.Upgrade
		facts.Busy = facts.Busy || status.DrainEnded != nil && upgrade != nil && upgrade.EndTime == nil
	}
	// Most nodes are well, and what the others are matters to none of them.
	if status.Repair == nil || status.Repair.Stage == "" {
		return facts, nil
	}
	machines, err := machinesOf(ctx, reader, s.ref.ClusterID)
	if err != nil {
		return facts, err
	}
	for i := range machines {
		countIll(&facts, s, &machines[i])
	}
	return facts, nil
}

// countIll adds one machine of the cluster to the facts. One that was given up says
// nothing about the others any more.
func countIll(facts *policy.RepairFacts, s *scene, other *v1beta1.Machine) {
	if !other.DeletionTimestamp.IsZero() || other.Status.FirstReady == nil {
		return
	}
	facts.Nodes++
	repair := other.Status.Repair
	if repair == nil || repair.Stage == "" || repair.Stage == v1beta1.RepairGaveUp {
		return
	}
	if repair.HealthySince == nil {
		facts.Ill++
	}
	if repair.Began != nil && repair.HealthySince == nil && other.Name != s.object.Name {
		facts.Other = other.Spec.NodeName
	}
}

// begin notes that an action begins. Two nodes of a cluster never begin at the same
// time: the others are looked at as they are, and not as a cache has them.
func (r *Reconciler) begin(ctx context.Context, s *scene) (ctrl.Result, error) {
	r.turn.Lock()
	defer r.turn.Unlock()
	in, err := r.repairInput(ctx, s, s.repairPlan, r.reader)
	if err != nil {
		return ctrl.Result{}, err
	}
	s.repair = policy.Repair(in)
	s.object.Status.Repair = s.repair.Record
	if err := r.client.Status().Update(ctx, s.object); err != nil {
		return ctrl.Result{}, fmt.Errorf("note the repair of machine %s: %w", s.object.Name, err)
	}
	r.tellRepair(ctx, s)
	return ctrl.Result{RequeueAfter: time.Millisecond}, nil
}

// mend carries out an action that was noted: evidence is saved before a machine is
// made anew, and the rest is the table's (intent Repair) or the provider's.
func (r *Reconciler) mend(ctx context.Context, s *scene) error {
	if s.repair.Step != policy.RepairCarryOn {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, actTimeout)
	defer cancel()
	record := s.object.Status.Repair
	if s.situation.Intent == Repair {
		if err := r.saveEvidence(ctx, s); err != nil {
			return err
		}
	}
	r.tellRepair(ctx, s)
	if record.Action != v1beta1.RepairReboot {
		return nil
	}
	return r.Provider.Reboot(ctx, s.ref, machine.Observation{Incarnation: record.Incarnation, Boots: record.Boots})
}
