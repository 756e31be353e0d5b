package backup

import (
	"log/slog"
	"testing"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/backup"
	"berth.dev/berth/internal/policy"
)

// Customers' clusters take turns with their snapshots. Berth's own waits for none of them.
func TestOwnBackupHasTurnsOfItsOwn(t *testing.T) {
	r := &reconciler{Config: Config{Log: slog.New(slog.DiscardHandler)}, running: newFleet()}
	if r.recorder(&v1beta1.ManagedCluster{}, "", policy.BackupPlan{}).Turns != r.running.turns {
		t.Error("a customer's cluster takes no turns")
	}
	own := &management{reconciler: r}
	if own.recorder(&v1beta1.ManagementCluster{}, "", backup.Bundle{}, policy.BackupPlan{}).Turns == r.running.turns {
		t.Error("Berth's own backup waits for those of customers' clusters")
	}
}
