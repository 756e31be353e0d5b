package triage

import (
	"slices"
	"strings"
)

// kind is what a third party's component is.
type kind int

const (
	mesh kind = iota
	ingress
	policyEngine
	openSource
	closedSource
)

// component is software that is not shipped with the control plane or the cluster.
type component struct {
	title string
	kind  kind
	// words are what customers call it, in lower case.
	words []string
}

// components are those that tickets name most.
var components = []component{
	{"Istio", mesh, []string{"istio", "istiod"}},
	{"Linkerd", mesh, []string{"linkerd"}},
	{"Consul", mesh, []string{"consul"}},
	{"Envoy", mesh, []string{"envoy"}},
	{"ingress-nginx", ingress, []string{"ingress-nginx", "nginx-ingress", "nginx"}},
	{"Traefik", ingress, []string{"traefik"}},
	{"HAProxy", ingress, []string{"haproxy"}},
	{"Contour", ingress, []string{"contour"}},
	{"Kong", ingress, []string{"kong"}},
	{"Ambassador", ingress, []string{"ambassador"}},
	{"Calico", policyEngine, []string{"calico", "globalnetworkpolicy"}},
	{"Cilium", policyEngine, []string{"cilium", "ciliumnetworkpolicy"}},
	{"Antrea", policyEngine, []string{"antrea"}},
	{"Helm", openSource, []string{"helm"}},
	{"Argo CD", openSource, []string{"argo", "argocd"}},
	{"Flux", openSource, []string{"flux"}},
	{"Prometheus", openSource, []string{"prometheus"}},
	{"cert-manager", openSource, []string{"cert-manager"}},
	{"Velero", openSource, []string{"velero"}},
	{"Prisma Cloud", closedSource, []string{"prisma", "twistlock"}},
	{"Aqua", closedSource, []string{"aqua"}},
	{"Dynatrace", closedSource, []string{"dynatrace", "oneagent"}},
	{"Datadog", closedSource, []string{"datadog"}},
	{"CrowdStrike Falcon", closedSource, []string{"crowdstrike", "falcon"}},
	{"Splunk", closedSource, []string{"splunk"}},
}

// named are the components of a kind that a text names, whole words alone.
func named(text string, of kind) []string {
	words := strings.FieldsFunc(strings.ToLower(text), func(r rune) bool {
		return r != '-' && (r < 'a' || r > 'z') && (r < '0' || r > '9')
	})
	var found []string
	for _, c := range components {
		if c.kind == of && slices.ContainsFunc(c.words, func(word string) bool { return slices.Contains(words, word) }) {
			found = append(found, c.title)
		}
	}
	return found
}
