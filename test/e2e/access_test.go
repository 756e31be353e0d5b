package e2e

import (
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"berth.dev/berth/test/harness"
)

const (
	accessEngineer = "support@berth.internal"
	accessName     = "aaaaaaaa-0000-4000-8000-000000000001"
)

// supportAccess has an engineer of support look into c1 with the customer's consent, and
// no longer than that (C7, B2, X5).
func supportAccess(e *harness.Env) {
	pod := strings.TrimSpace(e.Cluster("c1", "get", "pods", "-l", "app=web", "-o", "jsonpath={.items[0].metadata.name}"))
	node := e.ReadyNodes("c1")[0]
	e.Run("berth", "support", "ticket", "create", "--ticket-name", "t1", "--title", "a node is slow", "--description", "since noon", "--severity", "moderate",
		"--problem-classification", "node-not-ready", "--resource-id", "/subscriptions/"+e.Variable("AZURE_SUBSCRIPTION_ID")+"/resourceGroups/rg1/providers/Microsoft.ContainerService/managedClusters/c1",
		"--contact-first-name", "A", "--contact-last-name", "L", "--contact-method", "email", "--contact-email", "a@example.com",
		"--contact-timezone", "UTC", "--contact-country", "DEU", "--contact-language", "en-us")
	engineer := e.Engineer(accessEngineer)
	ask := []string{"support", "access", "create", "--ticket-name", "t1", "--access-name", accessName, "--reason", "to see why", "--scopes", "Diagnose,NodeLogs,Exec"}
	if out, err := engineer(ask...); err == nil || !strings.Contains(out, "C7") {
		e.T.Errorf("access without consent: %v\n%s", err, out)
	}
	e.Run("berth", "support", "consent", "create", "--ticket-name", "t1", "--scopes", "Diagnose,NodeLogs,Exec")
	if out, err := engineer(ask...); err != nil {
		e.T.Fatalf("access with consent: %v\n%s", err, out)
	}
	e.Eventually("the access is active", time.Minute, func() error {
		if out := e.Run("berth", "support", "access", "show", "--ticket-name", "t1", "-n", accessName); !strings.Contains(out, "Active") {
			return fmt.Errorf("%s", out)
		}
		return nil
	})
	file := filepath.Join(e.State, "engineer.kubeconfig")
	if out, err := engineer("support", "access", "get-credentials", "--ticket-name", "t1", "-n", accessName, "-f", file); err != nil {
		e.T.Fatalf("credentials: %v\n%s", err, out)
	}
	kubectl := func(args ...string) (string, error) {
		return e.Try("kubectl", append([]string{"--kubeconfig", file}, args...)...)
	}
	for _, args := range [][]string{
		{"get", "pods", "-A"}, {"describe", "node", node}, {"logs", "-n", "kube-system", "deployment/coredns"}, {"get", "--raw", "/api/v1/nodes/" + node + "/proxy/logs/"},
		{"exec", pod, "--", "berth-demo", "get", "http://127.0.0.1:8080/hostname"},
	} {
		e.Eventually("kubectl "+strings.Join(args, " "), 30*time.Second, func() error {
			out, err := kubectl(args...)
			if err != nil {
				return fmt.Errorf("%w: %s", err, out)
			}
			return nil
		})
	}
	for _, args := range [][]string{
		{"get", "secrets", "-A"}, {"logs", pod}, {"create", "clusterrolebinding", "mine", "--clusterrole=cluster-admin", "--user=me"}, {"delete", "pod", pod},
		{"get", "--raw", "/api/v1/nodes/" + node + "/proxy/pods"}, {"get", "--raw", "/api/v1/nodes/" + node + "/proxy/logs/pods/"}, {"get", "secrets", "-A", "--as=admin", "--as-group=system:masters"},
	} {
		if out, err := kubectl(args...); err == nil || !strings.Contains(out, "support policy") {
			e.T.Errorf("kubectl %s as support: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
	if out, err := e.TryCluster("c1", "create", "clusterrolebinding", "aks-service-rolebinding", "--clusterrole=cluster-admin", "--user=me"); err == nil {
		e.T.Errorf("a customer makes support's binding: %s", out)
	}
	accessIsWithdrawn(e, kubectl)
	log := e.Run("berth", "support", "access", "log", "--ticket-name", "t1", "-n", accessName)
	for _, want := range []string{"pods/exec", "secrets", "nodes/proxy", accessEngineer} {
		if !strings.Contains(log, want) {
			e.T.Errorf("the record lacks %s:\n%s", want, log)
		}
	}
	e.Run("berth", "support", "ticket", "update", "--ticket-name", "t1", "--status", "closed")
}

// accessIsWithdrawn withdraws the consent while a stream is open.
func accessIsWithdrawn(e *harness.Env, kubectl func(...string) (string, error)) {
	ended := make(chan string, 1)
	go func() {
		out, err := kubectl("logs", "-f", "-n", "kube-system", "deployment/coredns")
		ended <- fmt.Sprint(err, "\n", out)
	}()
	e.Eventually("the stream is recorded", time.Minute, func() error {
		if log := e.Run("berth", "support", "access", "log", "--ticket-name", "t1", "-n", accessName, "-o", "json"); !strings.Contains(log, "follow=true") {
			return fmt.Errorf("%s", log)
		}
		return nil
	})
	e.Run("berth", "support", "consent", "delete", "--ticket-name", "t1")
	if out, err := kubectl("get", "pods"); err == nil || !strings.Contains(out, "C7") {
		e.T.Errorf("a request after the withdrawal: %v\n%s", err, out)
	}
	select {
	case <-ended:
	case <-time.After(30 * time.Second):
		e.T.Error("the stream goes on after the withdrawal")
	}
	e.Eventually("the rights are gone", 30*time.Second, func() error {
		if out, err := e.TryCluster("c1", "get", "clusterrolebinding", "aks-service-rolebinding"); err == nil {
			return fmt.Errorf("%s", out)
		}
		return nil
	})
}
