package host

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// Variable is one environment variable.
type Variable struct {
	Name, Value string
}

// Environment is what clients need to find Berth and to log in: az, the Azure
// SDKs, and Berth's own command line. It holds the client secret.
func Environment(stateDir string) ([]Variable, error) {
	paths, err := NewPaths(stateDir)
	if err != nil {
		return nil, err
	}
	instance, err := loadInstance(paths)
	if err != nil {
		return nil, err
	}
	secret, err := os.ReadFile(filepath.Join(paths.berthPKI(), "client-secret"))
	if err != nil {
		return nil, fmt.Errorf("read client secret: %w", err)
	}
	endpoint := "https://" + ARMAddress
	ca := filepath.Join(paths.berthPKI(), "ca.crt")
	return []Variable{
		{"AZURE_CONFIG_DIR", paths.azureConfig()},
		{"AZURE_CORE_COLLECT_TELEMETRY", "0"},
		{"AZURE_TENANT_ID", instance.TenantID},
		{"AZURE_CLIENT_ID", instance.ClientID},
		{"AZURE_CLIENT_SECRET", strings.TrimSpace(string(secret))},
		{"AZURE_SUBSCRIPTION_ID", instance.SubscriptionID},
		{"AZURE_AUTHORITY_HOST", endpoint + "/"},
		{"REQUESTS_CA_BUNDLE", paths.caBundle()},
		{"NODE_EXTRA_CA_CERTS", ca},
		{"BERTH_ENDPOINT", endpoint},
		{"BERTH_CA", ca},
	}, nil
}

// exports writes variables as a shell reads them.
func exports(variables []Variable) string {
	var out strings.Builder
	for _, v := range variables {
		fmt.Fprintf(&out, "export %s=%s\n", v.Name, quote(v.Value))
	}
	return out.String()
}

// quote protects a value from every POSIX shell.
func quote(value string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-_./:@%+=", r)
	}
	if value != "" && strings.TrimFunc(value, plain) == "" && !strings.ContainsFunc(value, func(r rune) bool { return !plain(r) }) {
		return value
	}
	return "'" + strings.ReplaceAll(value, "'", `'\''`) + "'"
}
