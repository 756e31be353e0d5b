package policy

import (
	"slices"
	"time"

	"berth.dev/berth/api/v1beta1"
)

const (
	// DefaultArchiveAfter is ServicePolicy.spec.archiveAfter when nothing is set (J5).
	DefaultArchiveAfter = 30 * 24 * time.Hour
	// archiveLimit is how long the final backup, and its proof, may each take.
	archiveLimit = 30 * time.Minute
	// archiveAgain is how long after an attempt that failed the next begins.
	archiveAgain = time.Hour
)

// ArchiveAfter reads ServicePolicy; zero is never.
func ArchiveAfter(spec v1beta1.ServicePolicySpec) time.Duration {
	set := spec.ArchiveAfter
	if set == nil || set.Duration < 0 {
		return DefaultArchiveAfter
	}
	return set.Duration
}

// ArchiveDue says whether the time after which a stopped cluster is archived was seen to
// pass, and notice was given (J5).
func ArchiveDue(status *v1beta1.SupportStatus) bool {
	return status != nil && slices.ContainsFunc(status.Clocks, func(clock v1beta1.SupportClock) bool {
		return clock.Act == v1beta1.ActArchive && clock.Due
	})
}

// ArchiveFacts are what is known of a cluster that may be archived.
type ArchiveFacts struct {
	// Stopped: it is asked to be stopped, and is.
	Stopped bool
	// Due: the support policy's clock for it has run out.
	Due bool
	// BackedUp: all that its etcd held when the archiving began is stored.
	BackedUp bool
	// Proof is what came of the proof of that; empty while there is nothing.
	Proof v1beta1.ProofResult
	// VolumeGone: nothing of etcd's is left on a disk.
	VolumeGone bool
	// Recovered: its etcd has data again since it was archived, so that it may hold more than
	// the backups; Answered: its API server was seen to answer.
	Recovered, Answered bool
}

// NextArchivePhase decides how far the archiving of a control plane is, and when that
// may change by itself: zero is when a fact does. The volume goes only after its backups
// were proven; one that is on its way is gone before the cluster starts (J5, X2).
func NextArchivePhase(now *v1beta1.ClusterArchive, f ArchiveFacts, at time.Time) (v1beta1.ArchivePhase, time.Time) {
	phase, since := v1beta1.ArchiveNone, time.Time{}
	if now != nil {
		phase, since = now.Phase, now.PhaseTime.Time
	}
	until := func(wait time.Duration, next v1beta1.ArchivePhase) (v1beta1.ArchivePhase, time.Time) {
		if due := since.Add(wait); at.Before(due) {
			return phase, due
		}
		return next, time.Time{}
	}
	switch {
	case phase == v1beta1.ArchiveRelease, phase == v1beta1.Archived:
		return releasedPhase(phase, f), time.Time{}
	case !f.Stopped:
		return v1beta1.ArchiveNone, time.Time{}
	}
	switch phase {
	case v1beta1.ArchiveBackup:
		if f.BackedUp {
			return v1beta1.ArchiveProve, time.Time{}
		}
		return until(archiveLimit, v1beta1.ArchiveFailed)
	case v1beta1.ArchiveProve:
		switch f.Proof {
		case v1beta1.ProofEqual:
			return v1beta1.ArchiveRelease, time.Time{}
		case v1beta1.ProofUnequal, v1beta1.ProofFailed:
			return v1beta1.ArchiveFailed, time.Time{}
		}
		return until(archiveLimit, v1beta1.ArchiveFailed)
	case v1beta1.ArchiveFailed:
		return until(archiveAgain, v1beta1.ArchiveBackup)
	default:
		if f.Due {
			return v1beta1.ArchiveBackup, time.Time{}
		}
		return v1beta1.ArchiveNone, time.Time{}
	}
}

// releasedPhase is the phase after one in which the backups hold all that there is.
func releasedPhase(phase v1beta1.ArchivePhase, f ArchiveFacts) v1beta1.ArchivePhase {
	switch {
	case phase == v1beta1.ArchiveRelease && f.VolumeGone:
		return v1beta1.Archived
	case phase == v1beta1.ArchiveRelease:
		return phase
	case f.Stopped && f.Recovered && !f.VolumeGone:
		// Somebody may have written before it was seen to answer.
		return v1beta1.ArchiveBackup
	case f.Stopped && !f.VolumeGone:
		// A start that came to nothing left volumes, on which no etcd has run.
		return v1beta1.ArchiveRelease
	case !f.Stopped && f.Answered:
		return v1beta1.ArchiveNone
	default:
		return phase
	}
}
