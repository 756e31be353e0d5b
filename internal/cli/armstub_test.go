package cli

import (
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

const (
	stubTenant       = "22222222-2222-2222-2222-222222222222"
	stubSubscription = "00000000-0000-0000-0000-000000000001"
	stubClient       = "berth-admin"
	stubSecret       = "s3cret"
)

// armStub is a small ARM: a store of bodies by path, whose writes are asynchronous operations that end after two looks.
type armStub struct {
	*httptest.Server
	t *testing.T

	mu         sync.Mutex
	resources  map[string]map[string]any // by lower-case path
	operations map[string]int            // looks left
	failures   map[string]string         // "METHOD path" → "status code message", for one request
	failing    string                    // "code message" with which the next operation ends
	requests   []string                  // "METHOD path", without tokens and polls
	ifMatch    []string
	bodies     []map[string]any
	serial     int
	polled     func() // called at every look at an operation
}

func newARMStub(t *testing.T) *armStub {
	s := &armStub{t: t, resources: map[string]map[string]any{}, operations: map[string]int{}, failures: map[string]string{}}
	s.Server = httptest.NewUnstartedServer(http.HandlerFunc(s.handle))
	s.Config.ErrorLog = log.New(io.Discard, "", 0) // a test refuses the certificate on purpose
	s.StartTLS()
	t.Cleanup(s.Close)
	return s
}

// environment is what `berth env` would print for the stub.
func (s *armStub) environment(t *testing.T) map[string]string {
	ca := filepath.Join(t.TempDir(), "ca.crt")
	block := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
	if err := os.WriteFile(ca, block, 0o600); err != nil {
		t.Fatal(err)
	}
	return map[string]string{
		"BERTH_ENDPOINT": s.URL, "BERTH_CA": ca, "AZURE_AUTHORITY_HOST": s.URL + "/", "AZURE_TENANT_ID": stubTenant,
		"AZURE_CLIENT_ID": stubClient, "AZURE_CLIENT_SECRET": stubSecret, "AZURE_SUBSCRIPTION_ID": stubSubscription,
		"HOME": t.TempDir(),
	}
}

func (s *armStub) handle(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	path := strings.ToLower(r.URL.Path)
	switch {
	case path == "/metadata/endpoints":
		reply(w, 200, map[string]any{"galleryEndpoint": s.URL, "graphEndpoint": s.URL, "portalEndpoint": s.URL,
			"authentication": map[string]any{"loginEndpoint": s.URL + "/adfs", "audiences": []any{s.URL + "/"}}})
	case path == "/adfs/.well-known/openid-configuration":
		reply(w, 200, map[string]any{"issuer": s.URL + "/adfs", "authorization_endpoint": s.URL + "/adfs/oauth2/authorize", "token_endpoint": s.URL + "/adfs/oauth2/token"})
	case path == "/adfs/oauth2/token":
		s.token(w, r)
	case path == "/subscriptions":
		reply(w, 200, map[string]any{"value": []any{map[string]any{"id": "/subscriptions/" + stubSubscription,
			"subscriptionId": stubSubscription, "tenantId": stubTenant, "displayName": "Berth", "state": "Enabled"}}})
	case strings.HasSuffix(path, "/.well-known/openid-configuration"):
		base := s.URL + "/" + stubTenant
		reply(w, 200, map[string]any{"issuer": base + "/v2.0", "authorization_endpoint": base + "/oauth2/v2.0/authorize", "token_endpoint": base + "/oauth2/v2.0/token"})
	case strings.HasSuffix(path, "/oauth2/v2.0/token"):
		s.token(w, r)
	case r.Header.Get("Authorization") != "Bearer good":
		fail(w, 401, "AuthenticationFailed", "no token")
	case strings.Contains(path, "/operations/"):
		s.poll(w, path)
	default:
		s.requests = append(s.requests, r.Method+" "+r.URL.Path)
		if planned, ok := s.failures[r.Method+" "+path]; ok {
			parts := strings.SplitN(planned, " ", 3)
			status := 0
			fmt.Sscan(parts[0], &status)
			fail(w, status, parts[1], parts[2])
			return
		}
		s.resource(w, r, path)
	}
}

func (s *armStub) token(w http.ResponseWriter, r *http.Request) {
	if r.FormValue("client_secret") != stubSecret || r.FormValue("client_id") != stubClient {
		reply(w, 401, map[string]any{"error": "invalid_client", "error_description": "AADSTS7000215: Invalid client secret provided.\r\nTrace ID: x"})
		return
	}
	reply(w, 200, map[string]any{"token_type": "Bearer", "expires_in": 3599, "access_token": "good"})
}

func (s *armStub) poll(w http.ResponseWriter, path string) {
	id := path[strings.LastIndex(path, "/")+1:]
	w.Header().Set("Retry-After", "0")
	if s.polled != nil {
		s.polled()
	}
	if s.operations[id]--; s.operations[id] >= 0 {
		reply(w, 200, map[string]any{"name": id, "status": "InProgress"})
		return
	}
	if s.failing != "" {
		code, message, _ := strings.Cut(s.failing, " ")
		reply(w, 200, map[string]any{"name": id, "status": "Failed", "error": map[string]any{"code": code, "message": message}})
		return
	}
	for _, resource := range s.resources {
		properties := resource["properties"].(map[string]any)
		properties["provisioningState"] = "Succeeded"
	}
	reply(w, 200, map[string]any{"name": id, "status": "Succeeded"})
}

// begin starts an operation and says where it is followed.
func (s *armStub) begin(w http.ResponseWriter) {
	s.serial++
	id := fmt.Sprintf("op-%d", s.serial)
	s.operations[id] = 2
	url := s.URL + "/subscriptions/x/providers/Microsoft.ContainerService/locations/west/operations/" + id + "?api-version=2017-08-31"
	w.Header().Set("Azure-AsyncOperation", url)
	w.Header().Set("Location", url)
	w.Header().Set("Retry-After", "0")
}

func (s *armStub) resource(w http.ResponseWriter, r *http.Request, path string) {
	if r.Method == http.MethodPost && strings.Contains(path, "/listcluster") {
		s.credentials(w, path)
		return
	}
	if r.Method == http.MethodPut {
		s.put(w, r, path)
		return
	}
	if r.Method == http.MethodGet && (strings.HasSuffix(path, "/kubernetesversions") || strings.HasSuffix(path, "/upgradeprofiles/default")) {
		s.fixture(w, path)
		return
	}
	if r.Method == http.MethodGet && isCollection(path) {
		s.list(w, path)
		return
	}
	if found := s.resources[path]; found != nil {
		s.existing(w, r, path, found)
		return
	}
	switch {
	case r.Method == http.MethodDelete:
		w.WriteHeader(204)
	case strings.Count(path, "/") == 4:
		fail(w, 404, "ResourceGroupNotFound", "Resource group '"+lastOf(r.URL.Path)+"' could not be found.")
	default:
		fail(w, 404, "ResourceNotFound", "The Resource '"+lastOf(r.URL.Path)+"' was not found.")
	}
}

// existing reads, tags or deletes what is there.
func (s *armStub) existing(w http.ResponseWriter, r *http.Request, path string, found map[string]any) {
	switch r.Method {
	case http.MethodHead:
		w.WriteHeader(204)
	case http.MethodGet:
		reply(w, 200, found)
	case http.MethodPatch:
		var body map[string]any
		json.NewDecoder(r.Body).Decode(&body)
		found["tags"] = body["tags"]
		reply(w, 200, found)
	case http.MethodDelete:
		for other := range s.resources {
			if other == path || strings.HasPrefix(other, path+"/") {
				delete(s.resources, other)
			}
		}
		s.begin(w)
		w.WriteHeader(202)
	}
}

// put stores a body, with what ARM adds to it.
func (s *armStub) put(w http.ResponseWriter, r *http.Request, path string) {
	var body map[string]any
	if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
		fail(w, 400, "InvalidRequestContent", err.Error())
		return
	}
	s.bodies, s.ifMatch = append(s.bodies, body), append(s.ifMatch, r.Header.Get("If-Match"))
	if match := r.Header.Get("If-Match"); match != "" && match != s.etag(path) {
		fail(w, 412, "PreconditionFailed", "The condition 'If-Match' was not met.")
		return
	}
	id := strings.Replace(r.URL.Path, "/resourcegroups/", "/resourceGroups/", 1)
	body["id"], body["name"] = id, lastOf(id)
	properties, _ := body["properties"].(map[string]any)
	if properties == nil {
		properties = map[string]any{}
		body["properties"] = properties
	}
	status := 200
	if s.resources[path] == nil {
		status = 201
	}
	s.serial++
	tag := fmt.Sprintf(`"%d"`, s.serial)
	switch {
	case strings.Contains(path, "/agentpools/"):
		defaults(properties, map[string]any{"mode": "User", "vmSize": "Standard_D2s_v3", "maxPods": 110, "osDiskSizeGB": 128, "orchestratorVersion": "1.37.2"})
		properties["eTag"], properties["provisioningState"] = tag, "Creating"
		s.begin(w)
	case strings.Contains(path, "/managedclusters/"):
		defaults(properties, map[string]any{"kubernetesVersion": "1.37.2", "currentKubernetesVersion": "1.37.2", "fqdn": lastOf(path) + "-0.hcp.west.berth.internal"})
		body["eTag"], properties["provisioningState"] = tag, "Creating"
		pools, _ := properties["agentPoolProfiles"].([]any)
		for _, one := range pools {
			s.addPool(id, one.(map[string]any))
		}
		s.begin(w)
	default:
		properties["provisioningState"] = "Succeeded"
	}
	s.resources[path] = body
	reply(w, status, body)
}

// etag is where ARM has it: on top of a cluster, in the properties of a pool.
func (s *armStub) etag(path string) string {
	resource := s.resources[path]
	if resource == nil {
		return ""
	}
	if tag, ok := resource["eTag"].(string); ok {
		return tag
	}
	tag, _ := resource["properties"].(map[string]any)["eTag"].(string)
	return tag
}

func (s *armStub) addPool(cluster string, profile map[string]any) {
	id := cluster + "/agentPools/" + profile["name"].(string)
	if s.resources[strings.ToLower(id)] != nil {
		return
	}
	properties := maps.Clone(profile)
	delete(properties, "name")
	defaults(properties, map[string]any{"vmSize": "Standard_D2s_v3", "maxPods": 110, "osDiskSizeGB": 128, "orchestratorVersion": "1.37.2", "provisioningState": "Creating"})
	s.resources[strings.ToLower(id)] = map[string]any{"id": id, "name": profile["name"], "properties": properties}
}

func defaults(into, from map[string]any) {
	for key, value := range from {
		if into[key] == nil {
			into[key] = value
		}
	}
}

func isCollection(path string) bool {
	return slices.Contains([]string{"resourcegroups", "managedclusters", "agentpools", "machines"}, lastOf(path))
}

// list answers with what lies directly in a collection.
func (s *armStub) list(w http.ResponseWriter, path string) {
	page := []any{}
	kind := "/" + lastOf(path) + "/"
	for _, other := range slices.Sorted(maps.Keys(s.resources)) {
		at := strings.LastIndex(other, kind)
		if at >= 0 && !strings.Contains(other[at+len(kind):], "/") && strings.HasPrefix(other, strings.TrimSuffix(strings.TrimSuffix(path, kind[:len(kind)-1]), "/providers/microsoft.containerservice")) {
			page = append(page, s.resources[other])
		}
	}
	reply(w, 200, map[string]any{"value": page})
}

func (s *armStub) credentials(w http.ResponseWriter, path string) {
	cluster := path[:strings.LastIndex(path, "/")]
	if s.resources[cluster] == nil {
		fail(w, 404, "ResourceNotFound", "The Resource '"+lastOf(cluster)+"' was not found.")
		return
	}
	user := "clusterUser_rg1_" + lastOf(cluster)
	if strings.Contains(path, "admin") {
		user = "clusterAdmin_rg1_" + lastOf(cluster)
	}
	value := base64.StdEncoding.EncodeToString([]byte(kubeconfigFor(lastOf(cluster), user, "token-of-"+user)))
	reply(w, 200, map[string]any{"kubeconfigs": []any{map[string]any{"name": "clusterUser", "value": value}}})
}

func (s *armStub) fixture(w http.ResponseWriter, path string) {
	upgrade := []any{map[string]any{"kubernetesVersion": "1.37.2"}}
	profile := map[string]any{"kubernetesVersion": "1.36.3", "osType": "Linux", "upgrades": upgrade, "latestNodeImageVersion": "BerthDebian-12containerd-202608.01.0"}
	switch {
	case strings.HasSuffix(path, "/kubernetesversions"):
		patches := func(versions ...string) map[string]any {
			out := map[string]any{}
			for i, version := range versions {
				out[version] = map[string]any{"upgrades": versions[i+1:]}
			}
			return out
		}
		plan := map[string]any{"supportPlan": []any{"KubernetesOfficial"}}
		reply(w, 200, map[string]any{"values": []any{
			map[string]any{"version": "1.9", "capabilities": plan, "patchVersions": patches("1.9.3", "1.9.10")},
			map[string]any{"version": "1.38", "isPreview": true, "capabilities": plan, "patchVersions": patches("1.38.0")},
			map[string]any{"version": "1.37", "isDefault": true, "capabilities": plan, "patchVersions": patches("1.37.2")},
		}})
	case strings.Contains(path, "/agentpools/"):
		if strings.Contains(path, "/agentpools/two/") {
			profile["recentlyUsedVersions"] = []any{map[string]any{
				"orchestratorVersion": "1.35.4", "nodeImageVersion": "BerthDebian-12containerd-202607.01.0", "timestamp": "2026-08-01T00:00:00Z",
			}}
		}
		reply(w, 200, map[string]any{"id": path, "name": "default", "properties": profile})
	default:
		reply(w, 200, map[string]any{"id": "/subscriptions/x/resourcegroups/rg1/y", "name": "default", "properties": map[string]any{
			"controlPlaneProfile": profile, "agentPoolProfiles": []any{},
		}})
	}
}

func lastOf(path string) string { return path[strings.LastIndex(path, "/")+1:] }

func reply(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Date", time.Now().UTC().Format(http.TimeFormat))
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(body)
}

func fail(w http.ResponseWriter, status int, code, message string) {
	reply(w, status, map[string]any{"error": map[string]any{"code": code, "message": message}})
}

func kubeconfigFor(cluster, user, token string) string {
	return fmt.Sprintf(`apiVersion: v1
kind: Config
clusters: [{name: %[1]s, cluster: {server: "https://127.0.0.1:6443", tls-server-name: %[1]s.hcp.west.berth.internal}}]
users: [{name: %[2]s, user: {token: %[3]s}}]
contexts: [{name: %[1]s, context: {cluster: %[1]s, user: %[2]s}}]
current-context: %[1]s
`, cluster, user, token)
}
