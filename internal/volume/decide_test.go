package volume

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
)

func TestDecideClaim(t *testing.T) {
	ours := claim{namespace: "n", name: "c", uid: "1", class: "berth-local", provisioner: Provisioner}
	with := func(change func(*claim)) claim {
		c := ours
		change(&c)
		return c
	}
	for _, c := range []struct {
		why    string
		claim  claim
		exists bool
		want   step
	}{
		{"no consumer chosen: any node may offer", ours, false, offer},
		{"the consumer goes here", with(func(c *claim) { c.selectedNode = "here" }), false, provision},
		{"the consumer goes elsewhere", with(func(c *claim) { c.selectedNode = "there" }), false, nothing},
		{"provisioned already, not bound yet", with(func(c *claim) { c.selectedNode = "here" }), true, nothing},
		{"bound", with(func(c *claim) { c.selectedNode, c.bound = "here", true }), false, nothing},
		{"its owner has given it up", with(func(c *claim) { c.selectedNode, c.deleting = "here", true }), false, nothing},
		{"another class", with(func(c *claim) { c.selectedNode, c.class = "here", "managed-csi" }), false, nothing},
		{"the volume controller has not asked us yet", with(func(c *claim) { c.provisioner = "" }), false, nothing},
		{"another provisioner of a class with our name", with(func(c *claim) { c.provisioner = "x" }), false, nothing},
	} {
		if got := decideClaim(c.claim, "berth-local", "here", c.exists); got != c.want {
			t.Errorf("%s: %s, want %s", c.why, got, c.want)
		}
	}
}

// Every state of a volume is decided, only ours on this node below our directory is touched, no data go while the claim
// lives or the policy is Retain, and every row is of use.
func TestDecideVolumeEverywhere(t *testing.T) {
	used := map[string]bool{}
	phases := []corev1.PersistentVolumePhase{corev1.VolumePending, corev1.VolumeAvailable, corev1.VolumeBound, corev1.VolumeReleased, corev1.VolumeFailed}
	policies := []corev1.PersistentVolumeReclaimPolicy{corev1.PersistentVolumeReclaimDelete, corev1.PersistentVolumeReclaimRetain}
	for _, phase := range phases {
		for _, policy := range policies {
			for bits := range 32 {
				v := volume{
					name: "pvc-1", path: "/volumes/pvc-1", node: "here", phase: phase, reclaim: policy,
					owned: bits&1 > 0, deleting: bits&2 > 0, guarded: bits&4 > 0,
				}
				if bits&8 > 0 {
					v.node = "there"
				}
				if bits&16 > 0 {
					v.path = "/etc"
				}
				got := decideVolume(v, "/volumes", "here")
				mine := v.owned && v.node == "here" && v.path == "/volumes/pvc-1"
				safe := phase != corev1.VolumeBound && policy == corev1.PersistentVolumeReclaimDelete
				switch {
				case !mine && got != nothing:
					t.Errorf("%+v: %s, although it is not ours", v, got)
				case got == discard && !safe:
					t.Errorf("%+v: data discarded", v)
				case got == relinquish && (phase == corev1.VolumeBound || !v.deleting):
					t.Errorf("%+v: let go in use", v)
				case mine && v.deleting && v.guarded && phase != corev1.VolumeBound && got == nothing:
					t.Errorf("%+v: never goes away", v)
				case orphaned(v, "/volumes", "here") && (v.node != "there" || got != nothing || phase == corev1.VolumeBound || !v.owned):
					t.Errorf("%+v: taken for another node's that nobody uses", v)
				}
				for _, row := range removals() {
					if row.matches(v) {
						used[row.why] = true
						break
					}
				}
			}
		}
	}
	for _, row := range removals() {
		if !used[row.why] {
			t.Errorf("row %q is unreachable", row.why)
		}
	}
}

func TestValidName(t *testing.T) {
	for name, want := range map[string]bool{
		"pvc-0b5c9d5e-1f63-4d0a-9a55-3c1f0c7a5e21": true,
		"pvc-": false,
		"..":   false,
		"pvc-0b5c9d5e-1f63-4d0a-9a55-3c1f0c7a5e21/..":        false,
		"pvc-0b5c9d5e-1f63-4d0a-9a55-3c1f0c7a5e21\n":         false,
		"PVC-0B5C9D5E-1F63-4D0A-9A55-3C1F0C7A5E21":           false,
		".deleting-pvc-0b5c9d5e-1f63-4d0a-9a55-3c1f0c7a5e21": false,
		"lost+found": false,
	} {
		if validName(name) != want {
			t.Errorf("%q: want %t", name, want)
		}
	}
}
