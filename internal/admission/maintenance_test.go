package admission

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	admissionv1 "k8s.io/api/admission/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/operation"
)

var savedAt = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

func maintenanceWorld(t *testing.T) *maintenanceRules {
	t.Helper()
	scheme := runtime.NewScheme()
	if err := v1beta1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	cluster := &v1beta1.ManagedCluster{
		ObjectMeta: metav1.ObjectMeta{Namespace: "sub-1", Name: "rg1.c1", UID: "c-1"},
		Spec:       v1beta1.ManagedClusterSpec{ResourceGroup: "rg1", Name: "c1"},
	}
	reader := fake.NewClientBuilder().WithScheme(scheme).WithObjects(cluster).Build()
	return &maintenanceRules{Rules{Reader: reader, Now: func() time.Time { return savedAt }}}
}

func maintenanceObject() *v1beta1.MaintenanceConfiguration {
	return &v1beta1.MaintenanceConfiguration{
		ObjectMeta: metav1.ObjectMeta{Namespace: "sub-1", Name: v1beta1.ObjectName("rg1", "c1", v1beta1.MaintenanceNodeOS)},
		Spec: v1beta1.MaintenanceConfigurationSpec{
			ResourceGroup: "rg1", ClusterName: "c1", Name: v1beta1.MaintenanceNodeOS,
			MaintenanceWindow: &v1beta1.MaintenanceWindow{
				Schedule: v1beta1.MaintenanceSchedule{Daily: &v1beta1.DailySchedule{IntervalDays: 1}}, StartTime: "01:00",
			},
		},
	}
}

// writes is the context of a create, or of an update of an object.
func writes(t *testing.T, old *v1beta1.MaintenanceConfiguration) context.Context {
	t.Helper()
	request := admission.Request{AdmissionRequest: admissionv1.AdmissionRequest{Operation: admissionv1.Create}}
	if old != nil {
		raw, err := json.Marshal(old)
		if err != nil {
			t.Fatal(err)
		}
		request.Operation, request.OldObject.Raw = admissionv1.Update, raw
	}
	return admission.NewContextWithRequest(t.Context(), request)
}

// What kubectl writes becomes what a PUT through ARM writes: found by its labels,
// deleted with its cluster, and known to be saved now.
func TestMaintenanceBecomesItsClusters(t *testing.T) {
	rules, config := maintenanceWorld(t), maintenanceObject()
	config.Annotations = map[string]string{v1beta1.AnnotationSaved: "2020-01-01T00:00:00Z"} // as if it had been there for long
	if err := rules.Default(writes(t, nil), config); err != nil {
		t.Fatal(err)
	}
	if _, err := rules.ValidateCreate(t.Context(), config); err != nil {
		t.Error(err)
	}
	if len(config.OwnerReferences) != 1 || config.OwnerReferences[0].UID != "c-1" || config.Labels[v1beta1.LabelCluster] != "rg1.c1" ||
		!operation.Saved(config).Equal(savedAt) || config.Spec.MaintenanceWindow.DurationHours != 24 {
		t.Errorf("%+v", config)
	}
}

// Only a change of the window starts its notice anew.
func TestMaintenanceSaved(t *testing.T) {
	rules, old := maintenanceWorld(t), maintenanceObject()
	if err := rules.Default(writes(t, nil), old); err != nil {
		t.Fatal(err)
	}
	before := savedAt.AddDate(0, -1, 0)
	operation.MarkSaved(old, before)
	same := old.DeepCopy()
	same.Labels["mine"] = "yes"
	operation.MarkSaved(same, savedAt)
	changed := old.DeepCopy()
	changed.Spec.MaintenanceWindow.StartTime = "02:00"
	for _, c := range []struct {
		config *v1beta1.MaintenanceConfiguration
		want   time.Time
	}{{same, before}, {changed, savedAt}} {
		if err := rules.Default(writes(t, old), c.config); err != nil {
			t.Fatal(err)
		}
		if got := operation.Saved(c.config); !got.Equal(c.want) {
			t.Errorf("saved %s, want %s", got, c.want)
		}
	}
}

func TestMaintenanceRefusals(t *testing.T) {
	rules := maintenanceWorld(t)
	for _, c := range []struct {
		why, says string
		change    func(*v1beta1.MaintenanceConfiguration)
	}{
		{"the object's name finds it", "is named", func(m *v1beta1.MaintenanceConfiguration) { m.Name = "mine" }},
		{"a window of no cluster", "does not exist", func(m *v1beta1.MaintenanceConfiguration) {
			m.Spec.ClusterName, m.Name = "c2", v1beta1.ObjectName("rg1", "c2", m.Spec.Name)
		}},
		{"what ARM refuses", "startTime", func(m *v1beta1.MaintenanceConfiguration) { m.Spec.MaintenanceWindow.StartTime = "25:00" }},
	} {
		config := maintenanceObject()
		c.change(config)
		if err := rules.Default(writes(t, nil), config); err != nil {
			t.Fatal(err)
		}
		if _, err := rules.ValidateCreate(t.Context(), config); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", c.why, err)
		}
	}
	moved := maintenanceObject()
	moved.Spec.Name = v1beta1.MaintenanceAutoUpgrade
	if _, err := rules.ValidateUpdate(t.Context(), maintenanceObject(), moved); err == nil {
		t.Error("a configuration took another one's name")
	}
}

// A cluster that does not run keeps its windows as they are, until it goes.
func TestMaintenanceOfAStoppedCluster(t *testing.T) {
	for _, c := range []struct {
		why     string
		change  func(*v1beta1.ManagedCluster)
		refused bool
	}{
		{"it runs", func(*v1beta1.ManagedCluster) {}, false},
		{"it is stopped", func(m *v1beta1.ManagedCluster) {
			m.Spec.PowerState, m.Status.PowerState.Code = &v1beta1.PowerState{Code: v1beta1.PowerStopped}, v1beta1.PowerStopped
		}, true},
		{"it comes back as it was, its windows first (X3)", func(m *v1beta1.ManagedCluster) {
			m.Spec.PowerState, m.Status.Initialized = &v1beta1.PowerState{Code: v1beta1.PowerStopped}, false
		}, false},
		{"it goes, and its windows with it", func(m *v1beta1.ManagedCluster) {
			m.Spec.PowerState, m.Status.PowerState.Code = &v1beta1.PowerState{Code: v1beta1.PowerStopped}, v1beta1.PowerStopped
			m.DeletionTimestamp, m.Finalizers = &metav1.Time{Time: savedAt}, []string{v1beta1.Finalizer}
		}, false},
	} {
		scheme := runtime.NewScheme()
		if err := v1beta1.AddToScheme(scheme); err != nil {
			t.Fatal(err)
		}
		cluster := &v1beta1.ManagedCluster{ObjectMeta: metav1.ObjectMeta{Namespace: "sub-1", Name: "rg1.c1"}, Spec: v1beta1.ManagedClusterSpec{ResourceGroup: "rg1", Name: "c1"}}
		cluster.Status.Initialized = true
		c.change(cluster)
		rules := &maintenanceRules{Rules{Reader: fake.NewClientBuilder().WithScheme(scheme).WithObjects(cluster).Build(), Now: func() time.Time { return savedAt }}}
		config := maintenanceObject()
		if err := rules.Default(writes(t, nil), config); err != nil {
			t.Fatal(err)
		}
		changed := config.DeepCopy()
		changed.Spec.MaintenanceWindow.StartTime = "02:00"
		_, made := rules.ValidateCreate(t.Context(), config)
		_, updated := rules.ValidateUpdate(t.Context(), config, changed)
		_, labelled := rules.ValidateUpdate(t.Context(), config, config.DeepCopy())
		_, deleted := rules.ValidateDelete(t.Context(), config)
		if (made != nil) != c.refused || (updated != nil) != c.refused || deleted != nil || labelled != nil {
			t.Errorf("%s: create %v, change %v, delete %v, no change %v", c.why, made, updated, deleted, labelled)
		}
	}
}
