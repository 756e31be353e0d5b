package addon

import (
	"fmt"
	"strings"
	"testing"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	rbacv1 "k8s.io/api/rbac/v1"

	"berth.dev/berth/internal/addon"
	"berth.dev/berth/internal/controlplane"
)

// Both ends of a connection are rendered by different packages and must agree.
func TestBothEndsAgree(t *testing.T) {
	objects, err := addon.Render(addon.Input{ControlPlaneAddress: "100.65.0.20"})
	if err != nil {
		t.Fatal(err)
	}
	granted, agent, exempt := map[string]string{}, "", ""
	for _, object := range objects {
		switch o := object.(type) {
		case *rbacv1.ClusterRoleBinding:
			for _, subject := range o.Subjects {
				granted[subject.Name] = o.RoleRef.Name
			}
		case *admissionregistrationv1.ValidatingAdmissionPolicy:
			exempt = o.Spec.MatchConditions[0].Expression
		case *appsv1.Deployment:
			if o.Name == "konnectivity-agent" {
				agent = strings.Join(o.Spec.Template.Spec.Containers[0].Args, " ") + " " +
					o.Spec.Template.Spec.Volumes[0].Projected.Sources[0].ServiceAccountToken.Audience
			}
		}
	}
	for user, role := range map[string]string{
		controlplane.KubeletClientUser: "system:kubelet-api-admin", controlplane.KonnectivityUser: "system:auth-delegator",
	} {
		if granted[user] != role {
			t.Errorf("%s has %q, needs %s", user, granted[user], role)
		}
	}
	if !strings.Contains(exempt, fmt.Sprintf("%q", controlplane.PlatformUser)) {
		t.Errorf("the admission policy would refuse Berth itself: %s", exempt)
	}
	for _, want := range []string{fmt.Sprintf("--proxy-server-port=%d", controlplane.KonnectivityPort), controlplane.KonnectivityAudience} {
		if !strings.Contains(agent, want) {
			t.Errorf("the agent lacks %q: %s", want, agent)
		}
	}
}
