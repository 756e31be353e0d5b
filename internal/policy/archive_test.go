package policy

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"berth.dev/berth/api/v1beta1"
)

func TestArchiveAfter(t *testing.T) {
	if got := ArchiveAfter(v1beta1.ServicePolicySpec{}); got != 30*24*time.Hour {
		t.Errorf("J5: archived after %s", got)
	}
	if got := ArchiveAfter(v1beta1.ServicePolicySpec{ArchiveAfter: &metav1.Duration{}}); got != 0 {
		t.Errorf("never is %s", got)
	}
}

// Every phase with every fact that moves it (J5).
func TestNextArchivePhase(t *testing.T) {
	stopped := ArchiveFacts{Stopped: true, Due: true}
	with := func(change func(*ArchiveFacts)) ArchiveFacts { f := stopped; change(&f); return f }
	backedUp := with(func(f *ArchiveFacts) { f.BackedUp = true })
	proof := func(result v1beta1.ProofResult) ArchiveFacts { return with(func(f *ArchiveFacts) { f.Proof = result }) }
	volumeGone := with(func(f *ArchiveFacts) { f.VolumeGone = true })
	recovered := with(func(f *ArchiveFacts) { f.Recovered = true })
	started, startedGone, answers := ArchiveFacts{}, ArchiveFacts{VolumeGone: true}, ArchiveFacts{Answered: true}
	for _, c := range []struct {
		why   string
		phase v1beta1.ArchivePhase
		held  time.Duration
		facts ArchiveFacts
		want  v1beta1.ArchivePhase
	}{
		{"it runs", v1beta1.ArchiveNone, 0, started, v1beta1.ArchiveNone},
		{"stopped, not for long", v1beta1.ArchiveNone, 0, with(func(f *ArchiveFacts) { f.Due = false }), v1beta1.ArchiveNone},
		{"stopped for long", v1beta1.ArchiveNone, 0, stopped, v1beta1.ArchiveBackup},
		{"being backed up", v1beta1.ArchiveBackup, time.Minute, stopped, v1beta1.ArchiveBackup},
		{"backed up", v1beta1.ArchiveBackup, time.Minute, backedUp, v1beta1.ArchiveProve},
		{"no backup in time", v1beta1.ArchiveBackup, time.Hour, stopped, v1beta1.ArchiveFailed},
		{"started meanwhile", v1beta1.ArchiveBackup, 0, started, v1beta1.ArchiveNone},
		{"being proven", v1beta1.ArchiveProve, time.Minute, backedUp, v1beta1.ArchiveProve},
		{"proven", v1beta1.ArchiveProve, time.Minute, proof(v1beta1.ProofEqual), v1beta1.ArchiveRelease},
		{"disproven", v1beta1.ArchiveProve, time.Minute, proof(v1beta1.ProofUnequal), v1beta1.ArchiveFailed},
		{"not comparable", v1beta1.ArchiveProve, time.Minute, proof(v1beta1.ProofFailed), v1beta1.ArchiveFailed},
		{"no proof in time", v1beta1.ArchiveProve, time.Hour, backedUp, v1beta1.ArchiveFailed},
		{"started while it is proven", v1beta1.ArchiveProve, 0, started, v1beta1.ArchiveNone},
		{"the volume goes", v1beta1.ArchiveRelease, time.Hour, stopped, v1beta1.ArchiveRelease},
		{"started while the volume goes", v1beta1.ArchiveRelease, 0, started, v1beta1.ArchiveRelease},
		{"started when the volume is gone", v1beta1.ArchiveRelease, 0, startedGone, v1beta1.Archived},
		{"the volume is gone", v1beta1.ArchiveRelease, 0, volumeGone, v1beta1.Archived},
		{"archived", v1beta1.Archived, 1000 * time.Hour, volumeGone, v1beta1.Archived},
		{"being allocated again", v1beta1.Archived, time.Hour, started, v1beta1.Archived},
		{"allocated again", v1beta1.Archived, time.Hour, answers, v1beta1.ArchiveNone},
		{"stopped before it was", v1beta1.Archived, time.Hour, stopped, v1beta1.ArchiveRelease},
		{"stopped when it may have been written to, though nobody saw it answer", v1beta1.Archived, time.Hour, recovered, v1beta1.ArchiveBackup},
		{"failed just now", v1beta1.ArchiveFailed, time.Minute, stopped, v1beta1.ArchiveFailed},
		{"failed a while ago", v1beta1.ArchiveFailed, 2 * time.Hour, stopped, v1beta1.ArchiveBackup},
	} {
		var now *v1beta1.ClusterArchive
		if c.phase != v1beta1.ArchiveNone {
			now = &v1beta1.ClusterArchive{Phase: c.phase, PhaseTime: *ago(c.held)}
		}
		got, due := NextArchivePhase(now, c.facts, proofNow)
		if got != c.want {
			t.Errorf("%s: %q, want %q", c.why, got, c.want)
		}
		if !due.IsZero() {
			if later, _ := NextArchivePhase(now, c.facts, due); later == got {
				t.Errorf("%s: nothing changes at %s", c.why, due)
			}
		}
	}
}

// Whoever keeps control planes archives by the clock of the support policy alone.
func TestArchiveDue(t *testing.T) {
	clock := v1beta1.SupportClock{Clause: "J5", Act: v1beta1.ActArchive, Due: true}
	early, deletion := clock, clock
	early.Due, deletion.Act = false, v1beta1.ActDelete
	for _, c := range []struct {
		why    string
		status *v1beta1.SupportStatus
		want   bool
	}{
		{"nobody has looked yet", nil, false},
		{"another clock has run out", &v1beta1.SupportStatus{Clocks: []v1beta1.SupportClock{deletion}}, false},
		{"it runs", &v1beta1.SupportStatus{Clocks: []v1beta1.SupportClock{early}}, false},
		{"it has run out", &v1beta1.SupportStatus{Clocks: []v1beta1.SupportClock{deletion, clock}}, true},
	} {
		if got := ArchiveDue(c.status); got != c.want {
			t.Errorf("%s: %v", c.why, got)
		}
	}
}
