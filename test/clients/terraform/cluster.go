package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
)

const (
	clustersPath = "/providers/Microsoft.ContainerService/managedClusters"
	clusterPath  = clustersPath + "/c1"
	poolPath     = clusterPath + "/agentPools/default"
)

// minimal is modelled on what azurerm_kubernetes_cluster sends for a configuration
// that has only what it must have: its Create fills in what it takes for defaults.
func minimal() object {
	return object{
		"location": "westus2",
		"identity": object{"type": "SystemAssigned", "userAssignedIdentities": nil},
		"sku":      object{"name": "Base", "tier": "Free"},
		"tags":     object{},
		"properties": object{
			"addonProfiles": object{}, "securityProfile": object{}, "metricsProfile": object{"costAnalysis": object{"enabled": false}},
			"apiServerAccessProfile": object{"disableRunCommand": false, "enablePrivateCluster": false, "enablePrivateClusterPublicFQDN": false},
			"autoUpgradeProfile":     object{"upgradeChannel": "none", "nodeOSUpgradeChannel": "NodeImage"},
			"disableLocalAccounts":   false, "dnsPrefix": "tf", "enableRBAC": true, "kubernetesVersion": "", "nodeResourceGroup": "",
			"servicePrincipalProfile": object{"clientId": "msi"}, "supportPlan": "KubernetesOfficial",
			"agentPoolProfiles": []object{{
				"name": "default", "count": 1, "vmSize": "Standard_D2s_v5", "mode": "System", "type": "VirtualMachineScaleSets", "osType": "Linux",
				"osDiskType": "Managed", "kubeletDiskType": "", "scaleDownMode": "Delete", "nodeLabels": object{}, "tags": object{},
				"enableAutoScaling": false, "enableEncryptionAtHost": false, "enableFIPS": false, "enableNodePublicIP": false, "enableUltraSSD": false,
				"upgradeSettings": object{"maxSurge": "10%", "drainTimeoutInMinutes": 0, "nodeSoakDurationInMinutes": 0},
			}},
		},
	}
}

// cluster is what the steps look at.
type cluster struct {
	Tags       map[string]string
	Properties struct {
		ProvisioningState, CurrentKubernetesVersion, FQDN string
		AgentPoolProfiles                                 []struct {
			Name  string
			Count int
		}
	}
}

func (p provider) create(ctx context.Context, group string) error {
	if err := p.missing(ctx, group+clusterPath); err != nil {
		return err
	}
	if err := p.follow(ctx, http.MethodPut, group+clusterPath, minimal()); err != nil {
		return err
	}
	var made cluster
	if _, err := p.do(ctx, http.MethodGet, group+clusterPath, nil, &made); err != nil {
		return err
	}
	if made.Properties.ProvisioningState != "Succeeded" || made.Properties.CurrentKubernetesVersion == "" || made.Properties.FQDN == "" {
		return fmt.Errorf("the cluster is %+v", made)
	}
	return nil
}

// refresh reads what the resource's Read reads, and the data source's list.
func (p provider) refresh(ctx context.Context, group string) error {
	for _, action := range []string{"/listClusterUserCredential", "/listClusterAdminCredential"} {
		var answer struct {
			Kubeconfigs []struct{ Value string }
		}
		if _, err := p.do(ctx, http.MethodPost, group+clusterPath+action, nil, &answer); err != nil {
			return err
		}
		if len(answer.Kubeconfigs) != 1 || answer.Kubeconfigs[0].Value == "" {
			return fmt.Errorf("%s answers %d kubeconfigs", action, len(answer.Kubeconfigs))
		}
	}
	for _, name := range []string{"default", "aksManagedAutoUpgradeSchedule", "aksManagedNodeOSUpgradeSchedule"} {
		if err := p.missing(ctx, group+clusterPath+"/maintenanceConfigurations/"+name); err != nil {
			return err
		}
	}
	var list struct{ Value []object }
	if _, err := p.do(ctx, http.MethodGet, group+clustersPath, nil, &list); err != nil {
		return err
	}
	if len(list.Value) != 1 {
		return fmt.Errorf("%d clusters are listed", len(list.Value))
	}
	return nil
}

// change sends back the cluster as it was read with other tags, and then the node
// pool with another count: azurerm's Update has both halves.
func (p provider) change(ctx context.Context, group string) error {
	var read, pool object
	if _, err := p.do(ctx, http.MethodGet, group+clusterPath, nil, &read); err != nil {
		return err
	}
	read["tags"] = object{"env": "test"}
	if err := p.follow(ctx, http.MethodPut, group+clusterPath, read); err != nil {
		return err
	}
	if _, err := p.do(ctx, http.MethodGet, group+poolPath, nil, &pool); err != nil {
		return err
	}
	properties, ok := pool["properties"].(object)
	if !ok {
		return errors.New("the pool has no properties")
	}
	properties["count"] = 2
	if err := p.follow(ctx, http.MethodPut, group+poolPath, pool); err != nil {
		return err
	}
	var changed cluster
	if _, err := p.do(ctx, http.MethodGet, group+clusterPath, nil, &changed); err != nil {
		return err
	}
	if pools := changed.Properties.AgentPoolProfiles; changed.Tags["env"] != "test" || len(pools) != 1 || pools[0].Count != 2 {
		return fmt.Errorf("after the change the cluster is %+v", changed)
	}
	return nil
}
