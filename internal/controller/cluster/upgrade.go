package cluster

import (
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"berth.dev/berth/api/v1beta1"
)

// upgradeWorld is what is seen of a control plane that changes its version.
type upgradeWorld struct {
	// saved and saveFailed: the pod that saves etcd's content has ended.
	saved, saveFailed bool
	// trialReady: the API server beside the control plane answers.
	trialReady bool
	// newRuns and oldRuns: the control plane itself is of that version and answers.
	newRuns, oldRuns bool
	// applied: the new version's components are in the cluster.
	applied bool
	// refused: some of them were not let in when they were last brought.
	refused bool
	// unwanted: the old version is asked for again.
	unwanted bool
	// late: the phase takes longer than ServicePolicy.upgradeTimeout.
	late bool
	// tried: the control plane's process was started; it is not only waiting for a
	// place or an image.
	tried bool
	// etcdIll: etcd does not answer, or has raised an alarm: no version can come up on it.
	etcdIll bool
	// unsaved: there is no snapshot any more of before the upgrade.
	unsaved bool
}

// upgradeRule leads from one phase to the next when what it names was seen.
type upgradeRule struct {
	seen string
	when func(upgradeWorld) bool
	to   v1beta1.UpgradePhase
}

func saved(w upgradeWorld) bool      { return w.saved }
func saveFailed(w upgradeWorld) bool { return w.saveFailed }
func trialReady(w upgradeWorld) bool { return w.trialReady }
func newRuns(w upgradeWorld) bool    { return w.newRuns }
func oldRuns(w upgradeWorld) bool    { return w.oldRuns }
func applied(w upgradeWorld) bool    { return w.applied }
func unwanted(w upgradeWorld) bool   { return w.unwanted }
func late(w upgradeWorld) bool       { return w.late }
func deadAgain(w upgradeWorld) bool  { return w.late && w.tried && !w.etcdIll && !w.unsaved }
func unsaved(w upgradeWorld) bool    { return w.unsaved }
func keptOut(w upgradeWorld) bool    { return w.late && w.refused }

// What a rule saw, as an upgrade's message says it.
const (
	sawUnwanted   = "the version that ran was asked for again"
	sawSaveFailed = "etcd's content could not be saved, so that nothing was changed"
	sawLateSave   = "etcd's content was not saved in time, so that nothing was changed"
	sawUnsaved    = "a member of etcd was made anew, and what was saved before may be of that one"
	sawLate       = "the new version did not come up in time"
	sawKeptOut    = "the new version runs, but the cluster did not let its managed components in"
)

// upgradeRules are the life of a change of version; in each phase the first rule
// that holds counts. The control plane is untouched until an API server of the new
// version answers beside it. What customers wrote is given up, for the snapshot of
// before the upgrade, only if the version that ran does not come up on what etcd
// holds now, and etcd itself is well: an etcd that is full, or whose members differ, has
// what was written, and no version comes up on it.
var upgradeRules = map[v1beta1.UpgradePhase][]upgradeRule{
	v1beta1.UpgradeSnapshot: {
		{sawUnwanted, unwanted, v1beta1.UpgradeFailed},
		{"", saved, v1beta1.UpgradeTrial},
		{sawSaveFailed, saveFailed, v1beta1.UpgradeFailed},
		{sawLateSave, late, v1beta1.UpgradeFailed},
	},
	v1beta1.UpgradeTrial: {
		{sawUnwanted, unwanted, v1beta1.UpgradeRollBack},
		{sawUnsaved, unsaved, v1beta1.UpgradeRollBack},
		{"", trialReady, v1beta1.UpgradeRollOut},
		{sawLate, late, v1beta1.UpgradeRollBack},
	},
	v1beta1.UpgradeRollOut: {
		{"", newRuns, v1beta1.UpgradeComponents},
		{sawUnwanted, unwanted, v1beta1.UpgradeRollBack},
		{sawLate, late, v1beta1.UpgradeRollBack},
	},
	v1beta1.UpgradeComponents: {
		{"", applied, v1beta1.UpgradeSucceeded},
		{sawKeptOut, keptOut, v1beta1.UpgradeIncomplete},
	},
	v1beta1.UpgradeIncomplete: {
		{"", applied, v1beta1.UpgradeSucceeded},
	},
	v1beta1.UpgradeRollBack: {
		{"", oldRuns, v1beta1.UpgradeFailed},
		{"", deadAgain, v1beta1.UpgradeRestore},
	},
	v1beta1.UpgradeRestore: {
		{"", oldRuns, v1beta1.UpgradeFailed},
	},
	v1beta1.UpgradeSucceeded: {},
	v1beta1.UpgradeFailed:    {},
}

// nextPhase is the phase after the given one, and why if the upgrade goes wrong.
func nextPhase(phase v1beta1.UpgradePhase, w upgradeWorld) (v1beta1.UpgradePhase, string) {
	for _, rule := range upgradeRules[phase] {
		if rule.when(w) {
			return rule.to, rule.seen
		}
	}
	return phase, ""
}

// upgradeShape is how a control plane is to look in a phase.
type upgradeShape struct {
	// target: it is of the new version.
	target bool
	// snapshot, trial and restore are the pods that stand beside it.
	snapshot, trial, restore bool
	// trialServes: clients are sent to the trial's API server.
	trialServes bool
}

// upgradeShapes belong to the phases. In RollOut the control plane is replaced
// only when clients have had the time to go to the trial's API server.
var upgradeShapes = map[v1beta1.UpgradePhase]upgradeShape{
	v1beta1.UpgradeSnapshot:   {snapshot: true},
	v1beta1.UpgradeTrial:      {trial: true},
	v1beta1.UpgradeRollOut:    {target: true, trial: true, trialServes: true},
	v1beta1.UpgradeComponents: {target: true},
	v1beta1.UpgradeIncomplete: {target: true},
	v1beta1.UpgradeSucceeded:  {target: true},
	v1beta1.UpgradeRollBack:   {},
	v1beta1.UpgradeRestore:    {restore: true},
	v1beta1.UpgradeFailed:     {},
}

// newUpgrade begins a change of version, in a name that no snapshot had before.
func newUpgrade(cluster *v1beta1.ManagedCluster, to string, now time.Time) *v1beta1.ControlPlaneUpgrade {
	from, since := cluster.Status.CurrentKubernetesVersion, metav1.NewTime(now)
	return &v1beta1.ControlPlaneUpgrade{
		From: from, To: to, Operation: cluster.Annotations[v1beta1.AnnotationOperation], Generation: cluster.Generation,
		Phase: v1beta1.UpgradeSnapshot, Snapshot: snapshotName(from, to, now),
		StartTime: since, PhaseSince: since,
	}
}

func snapshotName(from, to string, now time.Time) string {
	return fmt.Sprintf("upgrade-%s-%s-%d.db", from, to, now.UnixMilli())
}

// advance writes down that the upgrade is in another phase now. Detail is what is
// known of why the new version did not come up, or its components not in.
func advance(up *v1beta1.ControlPlaneUpgrade, to v1beta1.UpgradePhase, why, detail string, now time.Time) *v1beta1.ControlPlaneUpgrade {
	next, since := up.DeepCopy(), metav1.NewTime(now)
	if why != "" {
		next.Message = fmt.Sprintf("The upgrade of the control plane from Kubernetes %s to %s failed: %s", up.From, up.To, why)
		if detail != "" {
			next.Message += " (" + detail + ")"
		}
		next.Message += "."
	}
	switch {
	case to == v1beta1.UpgradeSucceeded:
		next.Message = ""
	case to == v1beta1.UpgradeIncomplete:
		next.Message += " They are brought as soon as it does; what was asked for besides goes on when it is asked for again."
	case to != v1beta1.UpgradeFailed:
	case up.Phase == v1beta1.UpgradeRollBack:
		next.Message += fmt.Sprintf(" Kubernetes %s runs, with everything that was written.", up.From)
	case up.Phase == v1beta1.UpgradeRestore:
		next.Message += fmt.Sprintf(" Kubernetes %s runs again, with what etcd held at %s.", up.From, up.StartTime.UTC().Format(time.RFC3339))
	}
	next.Phase, next.PhaseSince = to, since
	if !next.UnderWay() {
		next.EndTime = &since
	}
	return next
}

// resumed is an incomplete upgrade of which somebody asks once more that it be completed.
func resumed(cluster *v1beta1.ManagedCluster, now time.Time) *v1beta1.ControlPlaneUpgrade {
	next, since := cluster.Status.Upgrade.DeepCopy(), metav1.NewTime(now)
	next.Operation, next.Generation = cluster.Annotations[v1beta1.AnnotationOperation], cluster.Generation
	next.Phase, next.StartTime, next.PhaseSince, next.EndTime, next.Message = v1beta1.UpgradeComponents, since, since, nil, ""
	return next
}

// incomplete says whether the version that runs has not all of its components.
func incomplete(cluster *v1beta1.ManagedCluster) bool {
	up := cluster.Status.Upgrade
	return up != nil && up.Phase == v1beta1.UpgradeIncomplete && up.To == cluster.Status.CurrentKubernetesVersion
}

// tried says whether this very request was tried already, and failed.
func tried(cluster *v1beta1.ManagedCluster, to string) bool {
	up := cluster.Status.Upgrade
	if up == nil || up.To != to || up.Generation != cluster.Generation || up.Operation != cluster.Annotations[v1beta1.AnnotationOperation] {
		return false
	}
	return up.Phase == v1beta1.UpgradeFailed && up.From == cluster.Status.CurrentKubernetesVersion || incomplete(cluster)
}
