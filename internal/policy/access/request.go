package access

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// Request is a request to an API server, as its authorizer sees it.
type Request struct {
	// Verb is RBAC's.
	Verb string
	// Group, Resource, Subresource, Namespace and Name are empty for what is no resource.
	Group, Resource, Subresource, Namespace, Name string
	// Path is that of what is no resource, or what follows a proxy.
	Path string
	// Upgrade: the connection is to become a stream.
	Upgrade bool
	// Query: something follows the path.
	Query bool
}

// resource is the resource with its subresource, as RBAC spells them.
func (q Request) resource() string {
	if q.Subresource == "" {
		return q.Resource
	}
	return q.Resource + "/" + q.Subresource
}

// FullResource is the resource with its subresource and group, as kubectl spells them.
func (q Request) FullResource() string {
	if q.Group == "" || q.Resource == "" {
		return q.resource()
	}
	return q.resource() + "." + q.Group
}

// String is how people name a request.
func (q Request) String() string {
	if q.Resource == "" {
		return q.Verb + " " + q.Path
	}
	return q.Verb + " " + q.FullResource()
}

var verbs = map[string]string{
	http.MethodGet: "get", http.MethodHead: "get", http.MethodPost: "create", http.MethodPut: "update", http.MethodPatch: "patch", http.MethodDelete: "delete",
}

// ParseRequest reads what a request asks of an API server. It is false for what an API
// server might read in another way: then nothing can be said of it.
func ParseRequest(method string, target *url.URL, upgrade bool) (Request, bool) {
	verb, known := verbs[method]
	q := Request{Verb: verb, Upgrade: upgrade, Query: target.RawQuery != ""}
	path := target.Path
	if !known || target.EscapedPath() != path || !plain(path) {
		return q, false
	}
	segments := strings.Split(strings.TrimPrefix(path, "/"), "/")
	rest := resourceSegments(&q, segments)
	if rest == nil {
		q.Path = path
		return q, true
	}
	if slices.Contains([]string{"watch", "proxy"}, rest[0]) {
		return q, false // older forms of what is asked for in another way
	}
	if !q.name(rest) {
		return q, false
	}
	if q.Name == "" {
		q.collection(target.Query())
	}
	return q, true
}

// plain says whether a path is one that everybody reads alike.
func plain(path string) bool {
	if !strings.HasPrefix(path, "/") || strings.ContainsFunc(path, func(r rune) bool { return r <= ' ' || r > '~' || strings.ContainsRune(`\;%`, r) }) {
		return false
	}
	segments := strings.Split(path[1:], "/")
	for i, segment := range segments {
		if segment == "." || segment == ".." || segment == "" && (i == 0 || i < len(segments)-1) {
			return false
		}
	}
	return true
}

// resourceSegments are what follows the group and the version, nil if nothing does: then
// the path is no resource.
func resourceSegments(q *Request, segments []string) []string {
	skip := 0
	switch segments[0] {
	case "api":
		skip = 2
	case "apis":
		skip = 3
	}
	if skip == 0 || len(segments) <= skip || segments[skip] == "" {
		return nil
	}
	if skip == 3 {
		q.Group = segments[1]
	}
	return segments[skip:]
}

// name reads namespace, resource, name, subresource and what follows it.
func (q *Request) name(rest []string) bool {
	if rest[0] == "namespaces" && len(rest) > 2 && !slices.Contains([]string{"status", "finalize"}, rest[2]) {
		q.Namespace, rest = rest[1], rest[2:]
	}
	parts := [3]string{}
	copy(parts[:], rest)
	q.Resource, q.Name, q.Subresource = parts[0], parts[1], parts[2]
	if q.Resource == "namespaces" && q.Namespace == "" {
		q.Namespace = q.Name
	}
	tail := rest[min(3, len(rest)):]
	switch {
	case strings.Contains(q.Name, ":") && (q.Resource == "nodes" || q.Subresource == "proxy"):
		return false // a scheme and a port, which an API server would go to
	case q.Subresource == "proxy":
		q.Path = strings.Join(tail, "/")
	case len(tail) > 0, rest[len(rest)-1] == "":
		return false
	}
	return true
}

// collection are the verbs of what has no name.
func (q *Request) collection(query url.Values) {
	switch q.Verb {
	case "get":
		q.Verb = "list"
		if watches := query["watch"]; len(watches) > 0 && watches[0] != "false" && watches[0] != "0" {
			q.Verb = "watch"
		}
	case "delete":
		q.Verb = "deletecollection"
	}
}
