package machine

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"berth.dev/berth/api/v1beta1"
)

// The files of a set of evidence.
const (
	fileLog    = "machine.log.gz" // of the machine's init, containerd and kubelet
	fileNode   = "node.json"      // the Node, with its conditions
	fileRepair = "repair.json"    // what was done until then
	fileGap    = "missing.txt"    // what could not be had, and why
)

const (
	// evidenceLog is how much of a log is looked at, and evidenceFile the most that a
	// compressed file of it takes: an object holds 1 MiB.
	evidenceLog  = 4 << 20
	evidenceFile = 640 << 10
	// logsWithin bounds reading a log: the host may be what is ill.
	logsWithin = 8 * time.Second
)

// saveEvidence keeps what is known of a machine in a Secret beside it before the
// machine is made anew (X8), once for each action. Where even that cannot be written,
// the repair goes on without after a quarter of its time.
func (r *Reconciler) saveEvidence(ctx context.Context, s *scene) error {
	record := s.object.Status.Repair
	name := fmt.Sprintf("evidence-%s-%.8s-%d", s.ref.Name, s.object.UID, record.Count)
	if record.Evidence == name {
		return nil
	}
	secret := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: v1beta1.MachineNamespace(s.ref.ClusterID), Name: name,
			Labels: map[string]string{v1beta1.LabelClusterID: s.ref.ClusterID, v1beta1.LabelMachine: s.ref.Name, v1beta1.LabelEvidence: "true"},
		},
		Data: r.evidence(ctx, s),
	}
	err := r.client.Create(ctx, secret)
	if err != nil && !apierrors.IsAlreadyExists(err) {
		if r.Now().Sub(record.ActionStarted.Time) < s.repairPlan.Timeout/4 {
			return fmt.Errorf("save evidence of machine %s: %w", s.object.Name, err)
		}
		log.FromContext(ctx).Info("a machine is made anew without evidence", "machine", s.object.Name, "error", err.Error())
		return nil
	}
	record.Evidence = name
	return r.forgetEvidence(ctx, s)
}

func (r *Reconciler) evidence(ctx context.Context, s *scene) map[string][]byte {
	files, gaps := map[string][]byte{}, ""
	note := func(name string, content []byte, err error) {
		if err != nil {
			gaps += name + ": " + err.Error() + "\n"
			return
		}
		files[name] = content
	}
	reading, cancel := context.WithTimeout(ctx, logsWithin)
	defer cancel()
	text, err := r.Provider.Logs(reading, s.ref, evidenceLog)
	if err == nil {
		text, err = compressed(text)
	}
	note(fileLog, text, err)
	if s.node != nil {
		node := s.node.DeepCopy()
		node.ManagedFields = nil
		text, err = json.MarshalIndent(node, "", "  ")
		note(fileNode, text, err)
	}
	text, err = json.MarshalIndent(s.object.Status, "", "  ")
	note(fileRepair, text, err)
	if gaps != "" {
		files[fileGap] = []byte(gaps)
	}
	return files
}

// compressed is the end of a text, as much as one file takes.
func compressed(text []byte) ([]byte, error) {
	for {
		var out bytes.Buffer
		writer := gzip.NewWriter(&out)
		if _, err := writer.Write(text); err != nil {
			return nil, fmt.Errorf("compress: %w", err)
		}
		if err := writer.Close(); err != nil {
			return nil, fmt.Errorf("compress: %w", err)
		}
		if out.Len() <= evidenceFile {
			return out.Bytes(), nil
		}
		text = text[len(text)/2:]
	}
}

// forgetEvidence keeps the newest sets of the cluster. What cannot be deleted now is
// with the next one.
func (r *Reconciler) forgetEvidence(ctx context.Context, s *scene) error {
	var secrets corev1.SecretList
	err := r.reader.List(ctx, &secrets, client.InNamespace(v1beta1.MachineNamespace(s.ref.ClusterID)), client.MatchingLabels{v1beta1.LabelEvidence: "true"})
	if err != nil {
		return fmt.Errorf("list evidence of cluster %s: %w", s.ref.ClusterID, err)
	}
	slices.SortFunc(secrets.Items, func(a, b corev1.Secret) int {
		return cmp.Or(b.CreationTimestamp.Compare(a.CreationTimestamp.Time), cmp.Compare(b.Name, a.Name))
	})
	for i := s.repairPlan.Evidence; i < len(secrets.Items); i++ {
		if err := r.client.Delete(ctx, &secrets.Items[i]); client.IgnoreNotFound(err) != nil {
			return fmt.Errorf("delete old evidence %s: %w", secrets.Items[i].Name, err)
		}
	}
	return nil
}
