package containerservice

import (
	"context"

	"berth.dev/berth/internal/arm"
)

// operations are the actions that the provider knows, as role definitions name them.
var operations = []struct{ name, resource, operation string }{
	{"managedClusters/read", "Managed cluster", "Get a managed cluster"},
	{"managedClusters/write", "Managed cluster", "Create or update a managed cluster"},
	{"managedClusters/delete", "Managed cluster", "Delete a managed cluster"},
	{"managedClusters/start/action", "Managed cluster", "Start a managed cluster"},
	{"managedClusters/stop/action", "Managed cluster", "Stop a managed cluster"},
	{"managedClusters/rotateClusterCertificates/action", "Managed cluster", "Replace a managed cluster's certificates"},
	{"managedClusters/rotateServiceAccountSigningKeys/action", "Managed cluster", "Replace the keys that sign service accounts' tokens"},
	{"managedClusters/listClusterAdminCredential/action", "Managed cluster", "List the administrator's credential"},
	{"managedClusters/listClusterUserCredential/action", "Managed cluster", "List the user's credential"},
	{"managedClusters/accessProfiles/read", "Access profile", "Get an access profile"},
	{"managedClusters/accessProfiles/listCredential/action", "Access profile", "Get an access profile's credential"},
	{"managedClusters/upgradeProfiles/read", "Upgrade profile", "Get a cluster's upgrade profile"},
	{"managedClusters/abort/action", "Managed cluster", "Abort the latest operation"},
	{"managedClusters/supportability/read", "Supportability", "Get whether the support policy covers a managed cluster"},
	{"managedClusters/triageVulnerabilities/action", "Managed cluster", "Say whose turn each vulnerability of a scanner's report is"},
	{"managedClusters/advisories/read", "Advisory", "List the advisories that affect a managed cluster"},
	{"managedClusters/knownIssues/read", "Known issue", "List the known issues that touch a managed cluster"},
	{"advisories/read", "Advisory", "List the advisories that affect managed clusters"},
	{"knownIssues/read", "Known issue", "List the known issues"},
	{"releases/read", "Release", "List the releases with their notes"},
	{"roadmap/read", "Roadmap", "List previews, dates and plans"},
	{"triageVulnerabilities/action", "Subscription", "Say for every managed cluster whose turn each vulnerability of a scanner's report is"},
	{"managedClusters/availableAgentPoolVersions/read", "Agent pool versions", "List the versions of new agent pools"},
	{"managedClusters/agentPools/read", "Agent pool", "Get an agent pool"},
	{"managedClusters/agentPools/write", "Agent pool", "Create or update an agent pool"},
	{"managedClusters/agentPools/delete", "Agent pool", "Delete an agent pool"},
	{"managedClusters/agentPools/upgradeNodeImageVersion/action", "Agent pool", "Upgrade an agent pool's node image"},
	{"managedClusters/agentPools/abort/action", "Agent pool", "Abort the latest operation"},
	{"managedClusters/agentPools/upgradeProfiles/read", "Upgrade profile", "Get an agent pool's upgrade profile"},
	{"managedClusters/agentPools/machines/read", "Machine", "Get a machine"},
	{"locations/kubernetesVersions/read", "Kubernetes versions", "List the versions of new clusters"},
	{"locations/orchestrators/read", "Orchestrators", "List the versions of new clusters"},
	{"locations/operations/read", "Operation", "Get an asynchronous operation's status"},
	{"locations/operationresults/read", "Operation", "Get an asynchronous operation's result"},
	{"operations/read", "Operation", "List the provider's operations"},
}

func listOperations(_ context.Context, r *arm.Request) (*arm.Response, error) {
	value := make([]any, 0, len(operations))
	for _, one := range operations {
		value = append(value, map[string]any{
			"name": namespace + "/" + one.name, "origin": "user,system", "isDataAction": false,
			"display": map[string]any{"provider": "Berth", "resource": one.resource, "operation": one.operation, "description": one.operation + "."},
		})
	}
	return arm.OK(map[string]any{"value": value})
}
