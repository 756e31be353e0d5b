package volume

import (
	"path/filepath"
	"regexp"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
)

// Provisioner is the name of this provisioner in StorageClasses, claims and volumes.
const Provisioner = "berth.dev/local"

// finalizer keeps a PersistentVolume until its directory has been dealt with, even if somebody deletes it by hand.
const finalizer = "berth.dev/local-volume"

// The annotations that Kubernetes' volume controller, its scheduler and provisioners agree on.
const (
	annotationProvisioner   = "volume.kubernetes.io/storage-provisioner"
	annotationSelectedNode  = "volume.kubernetes.io/selected-node"
	annotationProvisionedBy = "pv.kubernetes.io/provisioned-by"
)

// claim is what is kept of a PersistentVolumeClaim.
type claim struct {
	namespace, name string
	uid             types.UID
	class           string
	provisioner     string // who is asked for the volume; empty until the volume controller has decided
	selectedNode    string // where the first consumer goes; empty without one
	bound           bool
	deleting        bool
}

// volumeName is the name of the claim's PersistentVolume and of its directory.
func (c claim) volumeName() string { return "pvc-" + string(c.uid) }

// step is what to do about a claim or a volume.
type step string

const (
	nothing    step = "nothing"
	provision  step = "provision"  // make directory and PersistentVolume
	offer      step = "offer"      // the same, if the claim's class binds at once: any node may take it
	discard    step = "discard"    // remove the directory, delete the PersistentVolume
	relinquish step = "relinquish" // let the PersistentVolume go, keep the directory
)

// decideClaim says what the provisioner of node does about a claim of class. exists says whether the claim's volume does.
func decideClaim(c claim, class, node string, exists bool) step {
	switch {
	case c.deleting, c.bound, exists, c.class != class, c.provisioner != Provisioner:
		return nothing
	case c.selectedNode == node:
		return provision
	case c.selectedNode == "":
		return offer
	}
	return nothing
}

// volume is what is kept of a PersistentVolume.
type volume struct {
	name     string
	path     string
	node     string // that its node affinity names; empty: not a volume of ours
	owned    bool   // provisioned by us
	phase    corev1.PersistentVolumePhase
	reclaim  corev1.PersistentVolumeReclaimPolicy
	deleting bool
	guarded  bool // has our finalizer
}

// removal is one row of the table that decides about a volume. Empty fields match anything.
type removal struct {
	why      string
	phase    corev1.PersistentVolumePhase
	deleting *bool
	reclaim  corev1.PersistentVolumeReclaimPolicy
	step     step
}

// removals lists, first match wins, what becomes of a volume. The clauses are those of the Kubernetes documentation of
// PersistentVolumes, "Reclaiming" and "PersistentVolume deletion protection finalizer".
func removals() []removal {
	yes, no := true, false
	return []removal{
		{"in use: a deleted volume stays until its claim has gone", corev1.VolumeBound, nil, "", nothing},
		{"claim gone, policy Delete", corev1.VolumeReleased, &no, corev1.PersistentVolumeReclaimDelete, discard},
		{"deleted by hand, policy Delete", "", &yes, corev1.PersistentVolumeReclaimDelete, discard},
		{"deleted by hand, policy Retain: the data stay", "", &yes, "", relinquish},
		{"claim gone, policy Retain: somebody decides by hand", "", nil, "", nothing},
	}
}

// decideVolume says what the provisioner of node, with its volumes below dir, does about a volume. One that lies
// elsewhere is left to whoever put it there.
func decideVolume(v volume, dir, node string) step {
	if !v.owned || v.node != node || v.path != filepath.Join(dir, v.name) || v.deleting && !v.guarded {
		return nothing
	}
	for _, row := range removals() {
		if row.matches(v) {
			return row.step
		}
	}
	return nothing
}

// orphaned says that a volume waits for the provisioner of another node than this one, which
// ends it only if it exists. Its data, which are nobody's any more, are where that node is.
func orphaned(v volume, dir, node string) bool {
	return v.node != "" && v.node != node && decideVolume(v, dir, v.node) != nothing
}

func (r *removal) matches(v volume) bool {
	return (r.phase == "" || r.phase == v.phase) &&
		(r.deleting == nil || *r.deleting == v.deleting) &&
		(r.reclaim == "" || r.reclaim == v.reclaim)
}

// validName says whether name is one that volumeName gives: a directory with another name is nobody's to delete.
func validName(name string) bool { return volumeNames().MatchString(name) }

func volumeNames() *regexp.Regexp {
	return regexp.MustCompile(`^pvc-[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$`)
}
