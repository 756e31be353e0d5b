package addon

import (
	"testing"

	appsv1 "k8s.io/api/apps/v1"

	"berth.dev/berth/internal/addon"
	"berth.dev/berth/internal/network"
	"berth.dev/berth/internal/release"
)

// A cluster that waits for its wave has an agent of an earlier build, which cannot tell whether
// it hangs: to ask it would have it ended again and again.
func TestAnAgentOfAnEarlierBuildIsNotAsked(t *testing.T) {
	catalogue := &release.Catalogue{Images: map[string]string{"berth-node": "berth-node:v2"}}
	for image, want := range map[string]bool{"berth-node:v2": true, "berth-node:v1": false} {
		objects, err := addon.Render(addon.Input{
			Images: imagesOf("kube:v1", map[string]string{"berth-node": image}, catalogue), ControlPlaneAddress: "100.65.0.20", NetworkAgent: true,
		})
		if err != nil {
			t.Fatal(err)
		}
		found := false
		for _, object := range objects {
			if set, is := object.(*appsv1.DaemonSet); is && set.Name == network.Name {
				found = true
				agent := set.Spec.Template.Spec.Containers[0]
				if agent.Image != image || (agent.LivenessProbe != nil) != want {
					t.Errorf("%s: image %s, liveness %v", image, agent.Image, agent.LivenessProbe)
				}
			}
		}
		if !found {
			t.Errorf("%s: no agent", image)
		}
	}
}
