package long

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
	"k8s.io/apimachinery/pkg/api/meta"

	"berth.dev/berth/api/v1beta1"
)

const (
	// odd is the member whose disk lies: it says wrong, where all have stored right.
	odd   = "etcd-1"
	right = "what-was-acknowledged"
	wrong = "what-was-never-written"
	// comparedWithin is how long it may take until the members compare what they hold: the API
	// server compacts every five minutes.
	comparedWithin = 30 * time.Minute
)

// diskLies changes what one member of three stores, beneath it, which nobody tells Berth.
func diskLies(h *hosted) {
	threeReady(h)
	h.makes("compared", right)
	database := databaseOf(h.EtcdData(h.id, odd))
	h.stores(database, right)
	// What is written later is in the file when all that came before it is, and counts.
	h.makes("later", "later-than-that")
	h.stores(database, "later-than-that")
	uid, _ := h.pod(odd)
	h.Halt(uid, etcdCommand)
	held, err := os.ReadFile(database)
	if err == nil {
		err = os.WriteFile(database, bytes.ReplaceAll(held, []byte(right), []byte(wrong[:len(right)])), 0o600) // and stays its owner's
	}
	if err := errors.Join(err, h.Signal(uid, etcdCommand, unix.SIGKILL)); err != nil {
		h.T.Fatal(err)
	}
}

// oddMadeAnew waits until the member is found out, and looks at what became of it and of what
// it stored.
func oddMadeAnew(h *hosted) {
	var kept *v1beta1.KeptMember
	h.Eventually(odd+" is made anew", comparedWithin, func() error {
		status := h.found().Status
		if status.Replicas == nil || status.Replicas.Kept == nil || status.Replicas.Replacing != nil || !meta.IsStatusConditionTrue(status.Conditions, v1beta1.ConditionHighlyAvailable) {
			return fmt.Errorf("replicas %+v, conditions %+v", status.Replicas, status.Conditions)
		}
		kept = status.Replicas.Kept
		return nil
	})
	threeReady(h)
	for reason, message := range map[string]string{"EtcdMemberLost": "holds other data than the two others", "EtcdMemberReplaced": odd, "EtcdAgrees": "the alarm CORRUPT was taken back"} {
		h.told("berth/cluster", reason, message)
	}
	if kept.Name != odd {
		h.T.Errorf("of %s is kept what it held, and not of %s", kept.Name, odd)
	}
	volume := h.Management("get", "pv", kept.Volume, "-o", "jsonpath={.spec.persistentVolumeReclaimPolicy} {.status.phase}")
	if volume != "Retain Released" {
		h.T.Errorf("the volume that is kept is %s", volume)
	}
	if held, err := os.ReadFile(databaseOf(h.VolumeData(kept.Volume))); err != nil || !bytes.Contains(held, []byte(wrong[:len(right)])) {
		h.T.Errorf("the volume that is kept does not hold what was wrong: %v", err)
	}
	h.has("compared", right)
	h.makes("after-the-alarm", "the-alarm-has-gone")
	for _, member := range []string{"etcd-0", "etcd-1", "etcd-2"} {
		database := databaseOf(h.EtcdData(h.id, member))
		h.stores(database, "the-alarm-has-gone")
		if held, err := os.ReadFile(database); err != nil || !bytes.Contains(held, []byte(right)) || bytes.Contains(held, []byte(wrong[:len(right)])) {
			h.T.Errorf("%s does not hold what was acknowledged: %v", member, err)
		}
	}
	h.Eventually("what is backed up is beyond doubt", healedWithin, func() error {
		if backup := h.found().Status.Backup; backup == nil || backup.Doubtful || backup.Time == nil || backup.Time.Time.Before(kept.Time.Time) {
			return fmt.Errorf("%+v", backup)
		}
		return nil
	})
	h.serves()
}

func databaseOf(data string) string { return filepath.Join(data, "member", "snap", "db") }

// stores waits until a member has a text in its database.
func (h *hosted) stores(database, text string) {
	h.T.Helper()
	h.Eventually("it is stored", longEnough, func() error {
		held, err := os.ReadFile(database)
		if err == nil && !bytes.Contains(held, []byte(text)) {
			err = fmt.Errorf("%q is not in %s", text, database)
		}
		return err
	})
}

// threeReady waits until three members of etcd and three API servers are.
func threeReady(h *hosted) {
	h.T.Helper()
	h.Eventually("all replicas are ready", healedWithin, func() error {
		out := h.Management("-n", v1beta1.ControlPlaneNamespace(h.id), "get", "pods", "--no-headers", "-l", "berth.dev/component in (etcd,kube)")
		if strings.Count(out, "1/1") != 3 || strings.Count(out, "2/2") != 3 {
			return fmt.Errorf("pods\n%s", out)
		}
		return nil
	})
}

// keptGoesToo deletes the cluster, and what was kept of its member goes with it.
func keptGoesToo(h *hosted) {
	volume := h.found().Status.Replicas.Kept.Volume
	h.Run("berth", "cluster", "delete", "-g", "rg1", "-n", h.name, "-y")
	h.Eventually("the volume that was kept is gone", healedWithin, func() error {
		if left := h.Management("get", "pv", volume, "--ignore-not-found", "-o", "name"); left != "" {
			return errors.New(left)
		}
		return nil
	})
}
