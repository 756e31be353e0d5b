package policy

import (
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"berth.dev/berth/api/v1beta1"
)

// PowerPhase says whether a cluster or pool runs, and which way it is going.
type PowerPhase string

// The power phases. Stopping and Starting last until all is as asked, also after
// an attempt that failed.
const (
	PhaseRunning  PowerPhase = "Running"
	PhaseStopping PowerPhase = "Stopping"
	PhaseStopped  PowerPhase = "Stopped"
	PhaseStarting PowerPhase = "Starting"
	// PhaseArchived is stopped, with nothing left of the control plane but its backups (J5).
	PhaseArchived PowerPhase = "Archived"
	// PhaseStartFailed is a start that came to nothing, perhaps for what it was asked with.
	PhaseStartFailed PowerPhase = "StartFailed"
)

// ComesBackByPut says whether a PUT starts a cluster of that phase together with what it
// changes.
func (p PowerPhase) ComesBackByPut() bool { return p == PhaseArchived || p == PhaseStartFailed }

// PowerPhaseOf is the phase of what is asked to have one code and has another. What
// has no code yet is being made, and runs.
func PowerPhaseOf(asked *v1beta1.PowerState, has v1beta1.PowerState) PowerPhase {
	stop, stopped := asked.Wanted() == v1beta1.PowerStopped, has.Code == v1beta1.PowerStopped
	switch {
	case stop && stopped:
		return PhaseStopped
	case stop:
		return PhaseStopping
	case stopped:
		return PhaseStarting
	default:
		return PhaseRunning
	}
}

// NodesAway says whether all nodes of a cluster shall be away: it is to be stopped,
// or its certificates are to be replaced, which its nodes cannot survive.
func NodesAway(cluster *v1beta1.ManagedCluster) bool {
	return cluster.Spec.PowerState.Wanted() == v1beta1.PowerStopped ||
		cluster.Spec.Rotations.Asked().Certificates > cluster.Status.Rotations.Certificates
}

// PowerAction is something asked of a cluster that its power phase may forbid.
// Reading, listing credentials and deleting are always allowed.
type PowerAction string

// The actions that depend on a cluster's power phase.
const (
	ActionStart PowerAction = "start"
	ActionStop  PowerAction = "stop"
	// ActionPut is a PUT of a cluster or of one of its pools.
	ActionPut PowerAction = "put"
	// ActionChange is every other change of a cluster or its pools, and every other action on it.
	ActionChange PowerAction = "change"
	// ActionConfigure is a change of what belongs to a cluster beside its spec and its pools,
	// such as when it may be maintained.
	ActionConfigure PowerAction = "configure"
)

// PowerInput is a cluster that something is asked of.
type PowerInput struct {
	// Name is the cluster's, for the text.
	Name  string
	Phase PowerPhase
	// StoppedSince is when the cluster was stopped; zero if it is not known.
	StoppedSince, Now time.Time
}

// PowerOf is what ValidatePower must know of a cluster as it is.
func PowerOf(cluster *v1beta1.ManagedCluster, now time.Time) PowerInput {
	in := PowerInput{
		Name: cluster.Spec.Name, Now: now,
		Phase: PowerPhaseOf(cluster.Spec.PowerState, cluster.Status.PowerState),
	}
	switch {
	case in.Phase == PhaseStopped && cluster.Status.Archive != nil && cluster.Status.Archive.Phase == v1beta1.Archived:
		in.Phase = PhaseArchived
	case in.Phase == PhaseStarting && cluster.Status.ProvisioningState == v1beta1.StateFailed:
		in.Phase = PhaseStartFailed
	}
	stopped := meta.FindStatusCondition(cluster.Status.Conditions, v1beta1.ConditionStopped)
	if stopped != nil && stopped.Status == metav1.ConditionTrue {
		in.StoppedSince = stopped.LastTransitionTime.Time
	}
	return in
}

// What a cluster that does not run says to those who would change it.
const (
	beingStopped = "is being stopped; only starting and deleting it are possible. Start it before you change it"
	isStopped    = "is stopped; only starting and deleting it are possible. Start it before you change it"
	beingStarted = "is being started; wait until it runs, or start it again if starting it failed"
	isArchived   = "is archived; starting and deleting it are possible, and every PUT of it or of a pool starts it"
	startFailed  = "could not be started; start it again, by itself or by a PUT of it or of a pool that asks for what can be had"
	stopsNothing = "is stopped already; there is nothing to stop"
)

// powerRefusals is what each phase refuses, and with which words after the
// cluster's name (AKS: start-stop-cluster; J1, J5). What is not here is allowed: an
// attempt to stop or start that failed can be repeated or turned round.
var powerRefusals = map[PowerPhase]map[PowerAction]string{
	PhaseRunning: {
		ActionStart: "is running already; there is nothing to start",
	},
	PhaseStopping: {
		ActionPut:       beingStopped,
		ActionChange:    beingStopped,
		ActionConfigure: beingStopped,
	},
	PhaseStopped: {
		ActionStop:      stopsNothing,
		ActionPut:       isStopped,
		ActionChange:    isStopped,
		ActionConfigure: isStopped,
	},
	PhaseStarting: {
		ActionPut:    beingStarted,
		ActionChange: beingStarted,
	},
	PhaseArchived: {
		ActionStop:      stopsNothing,
		ActionChange:    isArchived,
		ActionConfigure: isArchived,
	},
	PhaseStartFailed: {
		ActionChange: startFailed,
	},
}

// ValidatePower returns the reason why a cluster's power phase forbids an action,
// none when it does not.
func ValidatePower(action PowerAction, in PowerInput) []Violation {
	why, refused := powerRefusals[in.Phase][action]
	if !refused {
		return nil
	}
	if action == ActionStop && !in.StoppedSince.IsZero() {
		why += fmt.Sprintf(". It was stopped at %s, %s ago", in.StoppedSince.UTC().Format(time.RFC3339), in.Now.Sub(in.StoppedSince).Round(time.Minute))
	}
	var out violations
	out.add(CodeOperationNotAllowed, "powerState", "Operation is not allowed: managed cluster '%s' %s.", in.Name, why)
	return out
}
