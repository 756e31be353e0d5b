package cluster

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/controlplane"
	"berth.dev/berth/internal/policy"
)

const (
	// atStart is how soon an etcd ends that does not start. One that ran for longer gets
	// another try before its data are looked at, which changes nothing where one comes up.
	atStart = 10 * time.Second
	// recoverAgain is how long after a recovery another one may begin that the control
	// plane was not put right by: it must not be stopped over and over.
	recoverAgain = 2 * time.Minute
)

// recovery puts back what etcd held if its data are lost (C3): etcd does not run meanwhile, or
// waits for them, and the cluster's nodes stay, since they are in what comes back. So does an API server
// that is alone: its start takes longer than all the rest, and what it remembers it lists
// anew, since the revisions that it knows count as compacted. Of several, the
// controller-managers would end, as they cannot renew their leases: they all end.
func (r *reconciler) recovery(ctx context.Context, p *pass) (bool, error) {
	status := &p.cluster.Status
	p.input.Initialized, p.input.BackupCA = status.Initialized, string(r.BackupCA)
	switch {
	case p.cluster.Spec.PowerState.Wanted() == v1beta1.PowerStopped && !makesAlone(status.Recovery):
		return true, r.giveUpRecovery(ctx, p)
	case status.Recovery.UnderWay():
		if late, err := r.tooLate(ctx, p); err != nil || late {
			return err == nil, err
		}
	default:
		begun, err := r.beginRecovery(ctx, p)
		if err != nil || !begun {
			return true, err
		}
	}
	pods, err := r.podsOf(ctx, p.cluster)
	if err != nil {
		return false, err
	}
	if known, err := r.examineMembers(ctx, p, pods); err != nil || !known {
		return err == nil, err
	}
	if pods.ended(controlplane.RecoverPod, status.Recovery.ID) {
		return r.concludeRecovery(ctx, p, pods)
	}
	if beside, err := r.recoverBeside(ctx, p, pods); err != nil || beside {
		return err == nil, err
	}
	p.stopForRecovery()
	if err := r.backupAddress(ctx, p); err != nil {
		return false, err
	}
	return true, r.recoverPod(ctx, p, pods, controlplane.EtcdRecoverPod(p.input, status.Recovery.ID, status.Recovery.Member, complete(status.Recovery.Examined)))
}

// concludeRecovery ends a recovery whose pod has done its work, once nothing is left of what
// other members hold.
func (r *reconciler) concludeRecovery(ctx context.Context, p *pass, pods upgradePods) (bool, error) {
	alone, err := r.onlyMember(ctx, p, p.cluster.Status.Recovery.Member)
	if err != nil {
		return false, err
	}
	if alone {
		return false, r.endRecovery(ctx, p, pods)
	}
	p.stopForRecovery()
	return true, nil
}

// tooLate ends a recovery of an etcd that still runs for long after it was decided to end,
// because Berth was away: what it has taken meanwhile nobody has looked at.
func (r *reconciler) tooLate(ctx context.Context, p *pass) (bool, error) {
	now := p.cluster.Status.Recovery
	if !now.Running || p.now.Sub(now.StartTime.Time).Abs() <= policy.RollbackKnown {
		return false, nil
	}
	if asked, err := r.etcdIsAskedFor(ctx, p); err != nil || !asked {
		return false, err
	}
	return true, r.goOn(ctx, p, "it was not ended in time, and may have taken since what somebody counts on")
}

// stopForRecovery leaves nothing of the control plane running that a recovery must not meet.
func (p *pass) stopForRecovery() {
	p.input.Stopped, p.input.KubeStays = true, !p.input.Replicated && !p.found.upgrading
	p.lookIn(upgradeAgain)
}

// recoverPod keeps a pod that looks at data or recovers. Nothing may write to the data while they are
// replaced, so that etcd must not be asked for any more, nor be there.
func (r *reconciler) recoverPod(ctx context.Context, p *pass, pods upgradePods, wanted *corev1.Pod) error {
	if ending := endingFor(pods.own, p.input.KubeStays); len(ending) > 0 {
		return r.endAtOnce(ctx, ending)
	}
	var set appsv1.StatefulSet
	err := r.reader.Get(ctx, client.ObjectKey{Namespace: namespaceOf(p.cluster), Name: controlplane.EtcdStatefulSet}, &set)
	if apierrors.IsNotFound(err) {
		r.applier.Forget(p.input.ID) // somebody deleted it
		return nil
	}
	if err != nil {
		return fmt.Errorf("read etcd's StatefulSet: %w", err)
	}
	if set.Spec.Replicas == nil || *set.Spec.Replicas > 0 || set.Status.ObservedGeneration < set.Generation || set.Status.Replicas > 0 {
		return nil
	}
	stored := pods.pods[controlplane.RecoverPod]
	if wait, err := r.failedRecovery(ctx, p, stored); err != nil || wait > 0 {
		p.again = max(wait, upgradeAgain)
		return err
	}
	return r.keepPod(ctx, stored, wanted)
}

// endingFor are the pods that a recovery does not begin before the end of.
func endingFor(own []*corev1.Pod, kubeStays bool) []*corev1.Pod {
	return slices.DeleteFunc(slices.Clone(own), func(pod *corev1.Pod) bool {
		return kubeStays && pod.Labels[controlplane.LabelComponent] != controlplane.ComponentEtcd
	})
}

// waiting are the pods that have ended and that the kubelet starts again only after a pause,
// of up to five minutes: API servers whose etcd was away for too long, and an etcd that found
// no data more than once.
func waiting(own []*corev1.Pod) []*corev1.Pod {
	return slices.DeleteFunc(slices.Clone(own), func(pod *corev1.Pod) bool {
		return !slices.ContainsFunc(pod.Status.ContainerStatuses, func(container corev1.ContainerStatus) bool {
			return container.State.Running == nil && container.RestartCount > 0
		})
	})
}

// endAtOnce gives pods no time: their etcd is dead, so that they have nothing to save. It
// comes before their owners do, who would give them all of it, which a kubelet does not
// take back; a pod that is made again meanwhile costs less.
func (r *reconciler) endAtOnce(ctx context.Context, pods []*corev1.Pod) error {
	for _, pod := range pods {
		if err := r.hasten(ctx, pod); err != nil {
			return err
		}
	}
	return nil
}

// failedAgain is how long after a failed attempt the next begins.
const failedAgain = 15 * time.Second

// failedRecovery says why an attempt failed, and how long the next has to wait.
func (r *reconciler) failedRecovery(ctx context.Context, p *pass, pod *corev1.Pod) (time.Duration, error) {
	if pod == nil || pod.Status.Phase != corev1.PodFailed {
		return 0, nil
	}
	if p.cluster.Status.Recovery.Running {
		return 0, r.goOn(ctx, p, complaintOf(pod))
	}
	said := "an attempt failed and is repeated: " + complaintOf(pod)
	if next := p.cluster.Status.Recovery.DeepCopy(); next.Message != said {
		next.Message = said
		if err := r.persistRecovery(ctx, p, next); err != nil {
			return 0, err
		}
		r.events.Event(p.cluster, corev1.EventTypeWarning, "EtcdRecoveryFailed", "Recover", said)
	}
	for _, container := range pod.Status.ContainerStatuses {
		if ended := container.State.Terminated; ended != nil {
			return failedAgain - p.now.Sub(ended.FinishedAt.Time), nil
		}
	}
	return 0, nil
}

// makesAlone says whether the last pod of a recovery of several members may have made one of
// them the only one: with the others it would be two etcds from then on.
func makesAlone(recovery *v1beta1.ControlPlaneRecovery) bool {
	return recovery.UnderWay() && recovery.Examine > 0 && int32(len(recovery.Examined)) >= recovery.Examine
}

// goOn ends a recovery of an etcd that ran when it began: without what the backups have is
// better than not at all.
func (r *reconciler) goOn(ctx context.Context, p *pass, complaint string) error {
	next, ended := p.cluster.Status.Recovery.DeepCopy(), metav1.NewTime(p.now)
	next.EndTime, next.Message = &ended, "nothing was put back, and etcd goes on with what it has: "+complaint
	if err := r.persistRecovery(ctx, p, next); err != nil {
		return err
	}
	r.events.Event(p.cluster, corev1.EventTypeWarning, "EtcdRecoveryFailed", "Recover", next.Message)
	p.lookIn(atOnce)
	return nil
}

// giveUpRecovery ends a recovery of a cluster that is to stop. Etcd does not start before
// the pod is gone; when the cluster starts, its data are examined anew.
func (r *reconciler) giveUpRecovery(ctx context.Context, p *pass) error {
	if p.cluster.Status.Recovery == nil {
		return nil
	}
	pods, err := r.podsOf(ctx, p.cluster)
	if err != nil {
		return err
	}
	if done, err := r.endBeside(ctx, p, pods); err != nil || done {
		p.lookIn(atOnce)
		return err
	}
	if pod := pods.pods[controlplane.RecoverPod]; pod != nil {
		p.input.Stopped = true
		p.lookIn(upgradeAgain)
		return r.removePod(ctx, pod)
	}
	if !p.cluster.Status.Recovery.UnderWay() {
		return nil
	}
	next, ended := p.cluster.Status.Recovery.DeepCopy(), metav1.NewTime(p.now)
	next.EndTime, next.Message = &ended, "the cluster was stopped meanwhile; etcd's data are looked at when it starts"
	return r.persistRecovery(ctx, p, next)
}

// beginRecovery writes down that one begins, if etcd does not start on its data, or came
// back without what was recorded and nobody counts on what it has taken since.
func (r *reconciler) beginRecovery(ctx context.Context, p *pass) (bool, error) {
	status := &p.cluster.Status
	if !status.Initialized || len(r.BackupCA) == 0 || !recoverable(status.Upgrade) {
		return false, nil
	}
	wentBack, err := r.wentBack(ctx, p)
	if err != nil {
		return false, err
	}
	// Else a control plane that answered at the last look, and whose etcd serves, has its data.
	if wentBack == "" && meta.IsStatusConditionTrue(status.Conditions, v1beta1.ConditionControlPlaneReady) && r.etcdServes(ctx, p) {
		return false, nil
	}
	pods, err := r.podsOf(ctx, p.cluster)
	if err != nil {
		return false, err
	}
	if left := pods.pods[controlplane.RecoverPod]; left != nil {
		if err := r.removePod(ctx, left); err != nil {
			return false, err
		}
	}
	last, reason := status.Recovery, wentBack
	if reason == "" {
		if reason, err = r.lossOf(ctx, p, pods.own); err != nil {
			return false, err
		}
	}
	if reason == "" || tooSoon(last, status.APIServerReady, p.now) {
		return false, nil
	}
	now := metav1.NewTime(p.now)
	return true, r.persistRecovery(ctx, p, &v1beta1.ControlPlaneRecovery{ID: fmt.Sprintf("recovery-%d", p.now.UnixMilli()), Reason: reason, Running: wentBack != "", StartTime: now, Examine: p.input.Members})
}

// wentBack says why the backups are put in the place of what an etcd holds that runs; empty
// if they are not. What a cache has of that may be old, and etcd has taken more since. Several
// members are the operator's: one that was made the only one cannot go on as it was.
func (r *reconciler) wentBack(ctx context.Context, p *pass) (string, error) {
	if p.input.Members > 0 || policy.RollbackLoss(p.cluster.Status, p.now) == "" {
		return "", nil
	}
	var live v1beta1.ManagedCluster
	if err := r.reader.Get(ctx, client.ObjectKeyFromObject(p.cluster), &live); err != nil {
		return "", fmt.Errorf("read cluster: %w", err)
	}
	return policy.RollbackLoss(live.Status, p.now), nil
}

// lossOf says why the data of etcd are to be looked at; empty if they are not.
func (r *reconciler) lossOf(ctx context.Context, p *pass, own []*corev1.Pod) (string, error) {
	if released, err := r.releaseStranded(ctx, p, own); released || err != nil {
		return "", err
	}
	reason := deadEtcd(own, p.cluster.Status.Recovery)
	if reason == "" || p.input.Members == 0 {
		return reason, nil
	}
	return r.majorityLost(ctx, p, own)
}

// helped says whether a recovery put back what was lost, and the API server has answered
// since: what is lost now is another loss.
func helped(last *v1beta1.ControlPlaneRecovery, apiServerReady *metav1.Time) bool {
	return last.Restored && apiServerReady != nil && !apiServerReady.Before(last.EndTime)
}

// tooSoon says whether the last recovery did not help, and another one has to wait.
func tooSoon(last *v1beta1.ControlPlaneRecovery, apiServerReady *metav1.Time, now time.Time) bool {
	return last != nil && !helped(last, apiServerReady) && now.Sub(last.EndTime.Time) < recoverAgain
}

// recoverable says whether data may be recovered now. The other phases of an upgrade end
// in time in one of these; the upgrade waits meanwhile.
func recoverable(up *v1beta1.ControlPlaneUpgrade) bool {
	return !up.UnderWay() || up.Phase == v1beta1.UpgradeComponents || up.Phase == v1beta1.UpgradeRollBack
}

// deadEtcd says why etcd ended that does not start any more; empty if it does. What
// ran out of memory, or was ended from outside, has its data. Last is the last recovery.
func deadEtcd(own []*corev1.Pod, last *v1beta1.ControlPlaneRecovery) string {
	for _, pod := range own {
		if pod.Labels[controlplane.LabelComponent] != controlplane.ComponentEtcd || !pod.DeletionTimestamp.IsZero() {
			continue
		}
		for _, container := range pod.Status.ContainerStatuses {
			if foundNoData(container, last) {
				return "etcd found no data"
			}
			ended := container.State.Terminated
			if ended == nil {
				ended = container.LastTerminationState.Terminated
			}
			if container.State.Running != nil || ended == nil || ended.Reason == "OOMKilled" || ended.ExitCode == 0 || ended.ExitCode > 128 {
				continue
			}
			if container.RestartCount == 0 && ended.FinishedAt.Sub(ended.StartedAt.Time) > atStart {
				continue
			}
			return fmt.Sprintf("etcd ended with exit code %d in %d starts", ended.ExitCode, container.RestartCount+1)
		}
	}
	return ""
}

// recoveryReport is what `etcd-snapshot recover` says.
type recoveryReport struct {
	Restored bool       `json:"restored"`
	Reason   string     `json:"reason"`
	Revision int64      `json:"revision"`
	Time     *time.Time `json:"time"`
	Damaged  []string   `json:"damaged"`
	Keys     int64      `json:"keys"`
	// Recorded is how far backups had come, also those that turned out to be damaged.
	Recorded int64 `json:"recorded"`
	// Kept is why the data stayed where backups had more, or may have had.
	Kept string `json:"kept"`
}

// message says what is back, and what is not: what was written after the last delta.
// Recorded is how far the newest full backup reached that was known before.
func (s recoveryReport) message(recorded int64) string {
	recorded = max(recorded, s.Recorded)
	if !s.Restored && s.Kept != "" {
		return fmt.Sprintf("etcd comes up on its data, revision %d, and goes on with them: %s", s.Revision, s.Kept)
	}
	if !s.Restored && len(s.Damaged) > 0 {
		return fmt.Sprintf("etcd comes up on its data, revision %d, and goes on with them: backups are named to reach %d, but %d are damaged, and the rest has less", s.Revision, recorded, len(s.Damaged))
	}
	if !s.Restored {
		return fmt.Sprintf("etcd comes up on its data, revision %d: nothing was lost", s.Revision)
	}
	said := fmt.Sprintf("etcd had lost its data (%s). Everything up to revision %d is back, %d keys", s.Reason, s.Revision, s.Keys)
	if s.Time != nil {
		said += "; what was written after " + s.Time.UTC().Format(time.RFC3339) + " is lost"
	}
	if recorded > s.Revision {
		said += fmt.Sprintf(", at least %d revisions", recorded-s.Revision)
	}
	if len(s.Damaged) > 0 {
		said += fmt.Sprintf("; %d damaged backups were passed over", len(s.Damaged))
	}
	return said
}

// endRecovery reads the pod's report, and lets the control plane start.
func (r *reconciler) endRecovery(ctx context.Context, p *pass, pods upgradePods) error {
	if err := r.endAtOnce(ctx, waiting(pods.own)); err != nil {
		return err
	}
	pod := pods.pods[controlplane.RecoverPod]
	next := p.cluster.Status.Recovery.DeepCopy()
	ended := metav1.NewTime(p.now)
	next.EndTime = &ended
	var said recoveryReport
	for _, container := range pod.Status.ContainerStatuses {
		if container.State.Terminated == nil {
			continue
		}
		if err := json.Unmarshal([]byte(container.State.Terminated.Message), &said); err != nil {
			// What nobody can tell counts as put back: who asks must not take data for none.
			next.Restored, next.Message = true, "etcd's data were examined; the report cannot be read"
			continue
		}
		var recorded int64
		if b := p.cluster.Status.Backup; b != nil {
			recorded = b.Revision
		}
		next.Restored, next.Message = said.Restored, said.message(recorded)+alone(next)
	}
	if err := r.persistRecovery(ctx, p, next); err != nil {
		return err
	}
	kind := corev1.EventTypeNormal
	if said.Restored {
		kind = corev1.EventTypeWarning
	}
	r.events.Event(p.cluster, kind, "EtcdRecovered", "Recover", next.Message)
	p.lookIn(atOnce)
	return nil
}

// persistRecovery writes down how far a recovery is before anything is done for it.
func (r *reconciler) persistRecovery(ctx context.Context, p *pass, recovery *v1beta1.ControlPlaneRecovery) error {
	next := ownPart(p.cluster.Status)
	next.Recovery = recovery
	if err := r.applyStatus(ctx, p.cluster, next); err != nil {
		return err
	}
	p.cluster.Status.Recovery = recovery
	return nil
}

// backupAddress finds where backups are given back.
func (r *reconciler) backupAddress(ctx context.Context, p *pass) error {
	var service corev1.Service
	err := r.reader.Get(ctx, client.ObjectKey{Namespace: v1beta1.SystemNamespace, Name: controlplane.BackupService}, &service)
	if err != nil {
		return fmt.Errorf("find where backups are given back: %w", err)
	}
	p.input.BackupAddress = service.Spec.ClusterIP
	return nil
}

// onlyMember deletes what the members of a highly available etcd hold, but for one, whose
// data were put back: they would go on without it. It says whether all of it is gone.
func (r *reconciler) onlyMember(ctx context.Context, p *pass, member int32) (bool, error) {
	if p.input.Members == 0 {
		return true, nil
	}
	return r.dropClaims(ctx, p, func(ordinal int32) bool { return ordinal == member })
}
