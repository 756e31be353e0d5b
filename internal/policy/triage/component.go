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
	// words are what customers call it, in lower case; one of beside is something else as
	// well, and means it next to a word such as ingress or controller alone.
	words, beside []string
}

// components are those that tickets name most.
var components = []component{
	{"Istio", mesh, []string{"istio", "istiod"}, nil},
	{"Linkerd", mesh, []string{"linkerd"}, nil},
	{"Consul", mesh, []string{"consul"}, nil},
	{"Envoy", mesh, []string{"envoy"}, nil},
	{"ingress-nginx", ingress, []string{"ingress-nginx", "nginx-ingress"}, []string{"nginx"}},
	{"Traefik", ingress, []string{"traefik"}, nil},
	{"HAProxy", ingress, []string{"haproxy-ingress"}, []string{"haproxy"}},
	{"Contour", ingress, []string{"contour"}, nil},
	{"Kong", ingress, []string{"kong"}, nil},
	{"Ambassador", ingress, []string{"ambassador"}, nil},
	{"Calico", policyEngine, []string{"calico", "globalnetworkpolicy"}, nil},
	{"Cilium", policyEngine, []string{"cilium", "ciliumnetworkpolicy"}, nil},
	{"Antrea", policyEngine, []string{"antrea"}, nil},
	{"Helm", openSource, []string{"helm"}, nil},
	{"Argo CD", openSource, []string{"argo", "argocd"}, nil},
	{"Flux", openSource, []string{"flux"}, nil},
	{"Prometheus", openSource, []string{"prometheus"}, nil},
	{"cert-manager", openSource, []string{"cert-manager"}, nil},
	{"Velero", openSource, []string{"velero"}, nil},
	{"Prisma Cloud", closedSource, []string{"prisma", "twistlock"}, nil},
	{"Aqua", closedSource, []string{"aqua"}, nil},
	{"Dynatrace", closedSource, []string{"dynatrace", "oneagent"}, nil},
	{"Datadog", closedSource, []string{"datadog"}, nil},
	{"CrowdStrike Falcon", closedSource, []string{"crowdstrike", "falcon"}, nil},
	{"Splunk", closedSource, []string{"splunk"}, nil},
}

// named are the components of a kind that a text names, whole words alone, and does not say
// are not used.
func named(text string, of kind) []string {
	text = strings.NewReplacer("'", "", "\u2019", "").Replace(strings.ToLower(text)) // don't
	words := strings.FieldsFunc(text, func(r rune) bool {
		return r != '-' && (r < 'a' || r > 'z') && (r < '0' || r > '9')
	})
	var found []string
	for _, c := range components {
		if c.kind == of && c.in(words) {
			found = append(found, c.title)
		}
	}
	return found
}

// in says whether some words name the component.
func (c component) in(words []string) bool {
	for i := range words {
		if c.at(words, i) && !denied(words, i) {
			return true
		}
	}
	return false
}

// at says whether a word means the component.
func (c component) at(words []string, i int) bool {
	if slices.Contains(c.words, words[i]) {
		return true
	}
	role := func(i int) bool {
		return i >= 0 && i < len(words) && slices.Contains([]string{"ingress", "controller", "ingressclass", "ingresscontroller"}, words[i])
	}
	return slices.Contains(c.beside, words[i]) && (role(i-1) || role(i+1))
}

// What a denial is made of: "we do not use any Istio", "without Istio", "no longer run it".
var (
	fillers = []string{"a", "an", "any", "the", "and", "or", "own"}
	uses    = []string{"use", "using", "used", "run", "running", "have", "having", "install", "installed", "installing"}
	without = []string{"no", "without", "neither", "nor"}
	denials = []string{"not", "dont", "doesnt", "didnt", "havent", "arent", "isnt", "never", "longer"}
)

// denied says whether the words before one say that it is not used. What does not work with
// a component is no denial of it.
func denied(words []string, i int) bool {
	for i--; i >= 0 && (slices.Contains(fillers, words[i]) || isComponent(words[i])); i-- {
	}
	if i < 0 {
		return false
	}
	if slices.Contains(without, words[i]) {
		return true
	}
	return i > 0 && slices.Contains(uses, words[i]) && slices.Contains(denials, words[i-1])
}

func isComponent(word string) bool {
	return slices.ContainsFunc(components, func(c component) bool { return slices.Contains(c.words, word) || slices.Contains(c.beside, word) })
}
