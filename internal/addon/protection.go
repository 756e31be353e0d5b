package addon

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/internal/policy"
)

// protectionName is the name of the admission policy and of its binding.
const protectionName = "aks-managed-components"

// platformUser is Berth itself in a managed cluster; a test holds it equal to package controlplane's.
const platformUser = "aksService"

// resourceOf is the plural of the kinds that customers are refused to change.
var resourceOf = map[string]string{
	"ClusterRole": "clusterroles", "ClusterRoleBinding": "clusterrolebindings", "Role": "roles", "RoleBinding": "rolebindings",
	"ServiceAccount": "serviceaccounts", "Service": "services",
}

// protection renders what refuses customers' changes where to put them back would come
// too late (A7): policy.ManagedRefusals, as an admission policy. Kubernetes lets no such
// policy rule on policies, so that these two objects are put back like the rest.
func protection(managed []client.Object) []client.Object {
	object := &admissionregistrationv1.ValidatingAdmissionPolicy{
		TypeMeta:   metav1.TypeMeta{APIVersion: admissionregistrationv1.SchemeGroupVersion.String(), Kind: "ValidatingAdmissionPolicy"},
		ObjectMeta: clusterMeta(protectionName, ""),
		Spec: admissionregistrationv1.ValidatingAdmissionPolicySpec{
			FailurePolicy:    ptr(admissionregistrationv1.Fail),
			MatchConstraints: &admissionregistrationv1.MatchResources{},
			MatchConditions: []admissionregistrationv1.MatchCondition{{
				Name:       "customers",
				Expression: "!(request.userInfo.username in " + celList(append([]string{platformUser}, policy.ManagedWriters()...)) + ")",
			}},
			Variables: []admissionregistrationv1.Variable{
				// A deletion of a whole collection has no name in the request.
				{Name: "name", Expression: "oldObject != null ? oldObject.metadata.name : has(object.metadata.name) ? object.metadata.name : ''"},
				{Name: "owners", Expression: "oldObject != null && has(oldObject.metadata.ownerReferences) ? oldObject.metadata.ownerReferences : []"},
				{Name: "id", Expression: "request.resource.resource + '/' + (has(request.namespace) ? request.namespace : '') + '/' + variables.name"},
			},
		},
	}
	for _, refusal := range policy.ManagedRefusals() {
		object.Spec.MatchConstraints.ResourceRules = append(object.Spec.MatchConstraints.ResourceRules, rulesOf(refusal))
		object.Spec.Validations = append(object.Spec.Validations, admissionregistrationv1.Validation{
			Expression: fmt.Sprintf("!(request.operation in %s && %s%s)", celList(refusal.Operations), whose(refusal, managed), changes(refusal.Fields)),
			MessageExpression: "request.kind.kind + ' ' + variables.name + " + strconv.Quote(fmt.Sprintf(
				" is a managed component, which customers do not change (support policy %s): %s", refusal.Clause, refusal.Why)),
			Reason: ptr(metav1.StatusReasonForbidden),
		})
	}
	return []client.Object{object, &admissionregistrationv1.ValidatingAdmissionPolicyBinding{
		TypeMeta:   metav1.TypeMeta{APIVersion: admissionregistrationv1.SchemeGroupVersion.String(), Kind: "ValidatingAdmissionPolicyBinding"},
		ObjectMeta: clusterMeta(protectionName, ""),
		Spec: admissionregistrationv1.ValidatingAdmissionPolicyBindingSpec{
			PolicyName: protectionName, ValidationActions: []admissionregistrationv1.ValidationAction{admissionregistrationv1.Deny},
		},
	}}
}

func rulesOf(refusal policy.ManagedRefusal) admissionregistrationv1.NamedRuleWithOperations {
	rule := admissionregistrationv1.NamedRuleWithOperations{}
	rule.APIGroups, rule.APIVersions, rule.Resources = []string{refusal.Group}, []string{"*"}, refusal.Resources
	for _, operation := range refusal.Operations {
		rule.Operations = append(rule.Operations, admissionregistrationv1.OperationType(operation))
	}
	return rule
}

// whose asks whether the object is one that a refusal holds for.
func whose(refusal policy.ManagedRefusal, managed []client.Object) string {
	if slices.Contains(refusal.Resources, "pods") {
		return podOf(managed)
	}
	return "variables.id in " + celList(protected(refusal, managed))
}

// podOf asks whether a pod is a component's. Its name tells nothing and its labels may be a
// customer's: what counts is the workload that controls it, the ReplicaSet of a Deployment
// by the name that Kubernetes gives it.
func podOf(managed []client.Object) string {
	var sets, deployments []string
	for _, object := range managed {
		switch object.(type) {
		case *appsv1.DaemonSet:
			sets = append(sets, object.GetName())
		case *appsv1.Deployment:
			deployments = append(deployments, regexp.QuoteMeta(object.GetName()))
		}
	}
	slices.Sort(sets)
	slices.Sort(deployments)
	return fmt.Sprintf(`request.namespace == %q && variables.owners.exists(o, o.apiVersion == "apps/v1" && has(o.controller) && o.controller && `+
		`(o.kind == "DaemonSet" && o.name in %s || o.kind == "ReplicaSet" && o.name.matches(%q)))`,
		systemNamespace, celList(sets), "^("+strings.Join(deployments, "|")+")-[bcdfghjklmnpqrstvwxz2456789]+$") // apimachinery's rand.SafeEncodeString
}

// changes asks whether an update changes one of these fields, which not every kind has.
func changes(fields []string) string {
	if len(fields) == 0 {
		return ""
	}
	differ := make([]string, 0, len(fields))
	for _, field := range fields {
		path := ".?" + strings.ReplaceAll(field, ".", ".?")
		differ = append(differ, "dyn(object)"+path+" != dyn(oldObject)"+path)
	}
	return " && (" + strings.Join(differ, " || ") + ")"
}

// protected are the objects that a refusal holds for, as resource/namespace/name. They
// are named one by one, since what carries their labels may be the customer's.
func protected(refusal policy.ManagedRefusal, managed []client.Object) []string {
	var ids []string
	for _, object := range managed {
		resource := resourceOf[object.GetObjectKind().GroupVersionKind().Kind]
		if slices.Contains(refusal.Resources, resource) && (len(refusal.Names) == 0 || slices.Contains(refusal.Names, object.GetName())) {
			ids = append(ids, resource+"/"+object.GetNamespace()+"/"+object.GetName())
		}
	}
	if slices.Contains(refusal.Operations, string(admissionregistrationv1.Create)) {
		// Reserved names, whose objects are none of the components'.
		for _, resource := range refusal.Resources {
			for _, name := range refusal.Names {
				ids = append(ids, resource+"//"+name)
			}
		}
	}
	slices.Sort(ids)
	return ids
}

// celList writes strings as a list of CEL.
func celList(items []string) string {
	quoted := make([]string, 0, len(items))
	for _, item := range items {
		quoted = append(quoted, strconv.Quote(item))
	}
	return "[" + strings.Join(quoted, ", ") + "]"
}
