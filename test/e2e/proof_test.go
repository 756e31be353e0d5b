package e2e

import (
	"errors"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/test/harness"
)

// backupsAreProven has the backups of c1 restored into a scratch etcd and compared with
// the one that runs, at a revision that they both have (X2).
func backupsAreProven(e *harness.Env) {
	began := time.Now()
	e.Management("patch", "servicepolicies", "default", "--type=merge", "-p", `{"spec":{"backupProofInterval":"10s"}}`)
	defer e.Management("patch", "servicepolicies", "default", "--type=merge", "-p", `{"spec":{"backupProofInterval":null}}`)
	var proof *v1beta1.BackupProof
	e.Eventually("a proof of what etcd held after the loss", 3*time.Minute, func() error {
		c, err := e.ManagedCluster("c1")
		if err != nil {
			return err
		}
		proof = c.Status.Proof
		switch {
		case proof == nil || proof.UnderWay() || proof.StartTime.Time.Before(began.Truncate(time.Second)):
			return fmt.Errorf("no proof has ended: %+v", proof)
		case proof.Result != v1beta1.ProofEqual:
			return fmt.Errorf("the proof is %+v", proof)
		case !meta.IsStatusConditionTrue(c.Status.Conditions, v1beta1.ConditionBackupsProven):
			return fmt.Errorf("conditions %+v", c.Status.Conditions)
		case c.Status.Proof.Keys == 0:
			return errors.New("an empty etcd was compared")
		}
		return nil
	})
	e.T.Logf("proven in %.0f s: %s", proof.EndTime.Sub(proof.StartTime.Time).Seconds(), proof.Message)
}
