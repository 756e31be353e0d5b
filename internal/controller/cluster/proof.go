package cluster

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/controlplane"
	"berth.dev/berth/internal/policy"
)

const (
	// proofsAtOnce bounds the scratch etcds of all clusters: each may take as much
	// memory as a cluster's own.
	proofsAtOnce = 2
	// lookAtProof is how often a running proof is looked at.
	lookAtProof = 2 * time.Second
)

// proof has the newest backups restored into a scratch etcd and compared with the
// running one, on a schedule (X2). It comes after everything that a cluster needs.
func (r *reconciler) proof(ctx context.Context, p *pass) (bool, error) {
	status := &p.cluster.Status
	switch {
	case status.Proof.UnderWay():
		return true, r.followProof(ctx, p)
	case !provable(p):
		return true, nil
	}
	service, err := r.servicePolicy(ctx)
	if err != nil {
		return false, err
	}
	interval, since := policy.BackupProofInterval(service), status.APIServerReady.Time
	verdict := policy.Proven(status.Proof, since, interval, p.now)
	p.found.proven = &verdict
	if left := policy.NextProof(status.Proof, since, interval).Sub(p.now); left > 0 {
		p.lookIn(left)
		return true, nil
	}
	return true, r.beginProof(ctx, p)
}

// provable says whether there is something to compare, and nothing that matters more.
func provable(p *pass) bool {
	status := &p.cluster.Status
	return status.Backup != nil && status.APIServerReady != nil && p.found.controlPlaneReady() && !p.found.stop && !p.found.upgrading &&
		meta.IsStatusConditionTrue(status.Conditions, v1beta1.ConditionBackedUp)
}

// beginProof writes down that one begins, and leaves the rest to the next pass.
func (r *reconciler) beginProof(ctx context.Context, p *pass) error {
	var clusters v1beta1.ManagedClusterList
	if err := r.client.List(ctx, &clusters); err != nil {
		return fmt.Errorf("list clusters: %w", err)
	}
	running := 0
	for i := range clusters.Items {
		if clusters.Items[i].Status.Proof.UnderWay() {
			running++
		}
	}
	if running >= proofsAtOnce {
		p.lookIn(lookAtProof)
		return nil
	}
	next := &v1beta1.BackupProof{}
	if last := p.cluster.Status.Proof; last != nil {
		next = last.DeepCopy()
	}
	next.ID, next.StartTime, next.EndTime = fmt.Sprintf("proof-%d", p.now.UnixMilli()), metav1.NewTime(p.now), nil
	p.lookIn(atOnce)
	return r.persistProof(ctx, p, next)
}

// followProof keeps the pod that proves, until it has ended or must.
func (r *reconciler) followProof(ctx context.Context, p *pass) error {
	p.lookIn(lookAtProof)
	now := p.cluster.Status.Proof
	pods, err := r.podsOf(ctx, p.cluster)
	if err != nil {
		return err
	}
	pod := pods.pods[controlplane.ProvePod]
	switch {
	case pods.ended(controlplane.ProvePod, now.ID), pods.failed(controlplane.ProvePod, now.ID):
		return r.endProof(ctx, p, pod, proofOf(now, pod))
	case p.input.Stopped || p.found.stop || p.found.upgrading || p.found.recovering:
		return r.endProof(ctx, p, pod, failedProof(now, "the control plane was stopped or changed meanwhile"))
	case p.now.Sub(now.StartTime.Time) > policy.ProofLimit:
		return r.endProof(ctx, p, pod, failedProof(now, fmt.Sprintf("it did not end within %s: %s", policy.ProofLimit, complaintOf(pod))))
	}
	if err := r.backupAddress(ctx, p); err != nil {
		return err
	}
	return r.keepPod(ctx, pod, controlplane.EtcdProvePod(p.input, now.ID))
}

// endProof writes down what was found before the pod goes that found it.
func (r *reconciler) endProof(ctx context.Context, p *pass, pod *corev1.Pod, next *v1beta1.BackupProof) error {
	last, ended := p.cluster.Status.Proof, metav1.NewTime(p.now)
	next.EndTime = &ended
	if next.Result == v1beta1.ProofEqual {
		next.LastEqual = &ended
	}
	if err := r.persistProof(ctx, p, next); err != nil {
		return err
	}
	r.tellProof(p.cluster, last, next)
	p.lookIn(atOnce)
	if pod == nil {
		return nil
	}
	return r.hasten(ctx, pod)
}

// tellProof records an event for what is bad, and for what is good again.
func (r *reconciler) tellProof(cluster *v1beta1.ManagedCluster, last, next *v1beta1.BackupProof) {
	switch {
	case next.Result == v1beta1.ProofUnequal:
		r.events.Event(cluster, corev1.EventTypeWarning, "BackupUnequal", "Prove", next.Message)
	case next.Result == v1beta1.ProofFailed:
		r.events.Event(cluster, corev1.EventTypeWarning, "BackupProofFailed", "Prove", fmt.Sprintf("the backups could not be compared with etcd: %s", next.Message))
	case last.Result != v1beta1.ProofEqual:
		r.events.Event(cluster, corev1.EventTypeNormal, "BackupProven", "Prove", next.Message)
	}
}

func (r *reconciler) persistProof(ctx context.Context, p *pass, proof *v1beta1.BackupProof) error {
	next := ownPart(p.cluster.Status)
	next.Proof = proof
	if err := r.applyStatus(ctx, p.cluster, next); err != nil {
		return err
	}
	p.cluster.Status.Proof = proof
	return nil
}

// proofReport is what `etcd-snapshot prove` says.
type proofReport struct {
	Equal bool `json:"equal"`
	// Live is the revision that etcd had reached when the proof began.
	Live      int64 `json:"live"`
	Revision  int64 `json:"revision"`
	Keys      int64 `json:"keys"`
	Differing *struct {
		Missing int `json:"missing"`
		Extra   int `json:"extra"`
		Changed int `json:"changed"`
	} `json:"differing"`
	Damaged []string `json:"damaged"`
}

// proofOf reads what an ended pod found.
func proofOf(now *v1beta1.BackupProof, pod *corev1.Pod) *v1beta1.BackupProof {
	if said, ok := reportOf(pod); ok {
		return said.proof(now)
	}
	return failedProof(now, strings.TrimSpace(complaintOf(pod)+" "+pod.Status.Message))
}

// finalProofOf is proofOf for the last backups of a volume that goes: what does not say how
// far etcd was proves nothing.
func finalProofOf(pod *corev1.Pod) *v1beta1.BackupProof {
	if said, ok := reportOf(pod); ok && said.Live <= 0 {
		return failedProof(&v1beta1.BackupProof{}, "the proof does not say which revision etcd had reached")
	}
	return proofOf(&v1beta1.BackupProof{}, pod)
}

func reportOf(pod *corev1.Pod) (proofReport, bool) {
	for _, container := range pod.Status.ContainerStatuses {
		var said proofReport
		if ended := container.State.Terminated; ended != nil && json.Unmarshal([]byte(ended.Message), &said) == nil {
			return said, true
		}
	}
	return proofReport{}, false
}

func (s proofReport) proof(now *v1beta1.BackupProof) *v1beta1.BackupProof {
	next := now.DeepCopy()
	next.Revision, next.Keys = s.Revision, s.Keys
	// What is damaged, or ends before etcd did, is no whole backup, whatever it gives.
	short := s.Revision < s.Live
	switch d := s.Differing; {
	case s.Equal && !short && len(s.Damaged) == 0:
		next.Result = v1beta1.ProofEqual
		next.Message = fmt.Sprintf("a new etcd made from the backups holds what the running one held at revision %d, %d keys", s.Revision, s.Keys)
		return next
	case !s.Equal && d != nil:
		next.Message = fmt.Sprintf("a new etcd made from the backups does not hold what the running one held at revision %d: of %d keys %d are missing and %d differ, %d are too many",
			s.Revision, s.Keys, d.Missing, d.Changed, d.Extra)
	case short:
		next.Message = fmt.Sprintf("the backups end at revision %d, and the running etcd had reached %d", s.Revision, s.Live)
	case len(s.Damaged) > 0:
		next.Message = fmt.Sprintf("what is left of the backups reaches revision %d", s.Revision)
	default:
		next.Message = fmt.Sprintf("a new etcd made from the backups does not hold what the running one held at revision %d", s.Revision)
	}
	next.Result = v1beta1.ProofUnequal
	if len(s.Damaged) > 0 {
		next.Message += fmt.Sprintf("; %d damaged backups were passed over", len(s.Damaged))
	}
	return next
}

func failedProof(now *v1beta1.BackupProof, why string) *v1beta1.BackupProof {
	next := now.DeepCopy()
	next.Result, next.Message = v1beta1.ProofFailed, why
	return next
}
