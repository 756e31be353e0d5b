package host

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/arm"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/containerservice/armcontainerservice/v6"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/resources/armresources"
)

// armClients are Azure's own clients, pointed at Berth.
type armClients struct {
	groups   *armresources.ResourceGroupsClient
	clusters *armcontainerservice.ManagedClustersClient
}

// newARMClients logs in as the application that `berth env` names.
func newARMClients(paths Paths, instance Instance) (*armClients, error) {
	ca, err := os.ReadFile(filepath.Join(paths.berthPKI(), "ca.crt"))
	if err != nil {
		return nil, fmt.Errorf("read Berth's authority: %w", err)
	}
	secret, err := os.ReadFile(filepath.Join(paths.berthPKI(), "client-secret"))
	if err != nil {
		return nil, fmt.Errorf("read client secret: %w", err)
	}
	endpoint := "https://" + ARMAddress
	options := policy.ClientOptions{
		Cloud: cloud.Configuration{
			ActiveDirectoryAuthorityHost: endpoint,
			Services: map[cloud.ServiceName]cloud.ServiceConfiguration{
				cloud.ResourceManager: {Endpoint: endpoint, Audience: endpoint + "/"},
			},
		},
		Transport: armTransport(ca),
	}
	var credential azcore.TokenCredential
	credential, err = azidentity.NewClientSecretCredential(instance.TenantID, instance.ClientID, strings.TrimSpace(string(secret)),
		&azidentity.ClientSecretCredentialOptions{ClientOptions: options, DisableInstanceDiscovery: true})
	if err != nil {
		return nil, fmt.Errorf("make credential: %w", err)
	}
	clientOptions := &arm.ClientOptions{ClientOptions: options, DisableRPRegistration: true}
	var clients armClients
	if clients.groups, err = armresources.NewResourceGroupsClient(instance.SubscriptionID, credential, clientOptions); err != nil {
		return nil, fmt.Errorf("make resource group client: %w", err)
	}
	if clients.clusters, err = armcontainerservice.NewManagedClustersClient(instance.SubscriptionID, credential, clientOptions); err != nil {
		return nil, fmt.Errorf("make cluster client: %w", err)
	}
	return &clients, nil
}

// armTransport is httpClient for a client that asks often.
func armTransport(ca []byte) *http.Client {
	made := httpClient(ca)
	made.Timeout = 0
	made.Transport.(*http.Transport).DisableKeepAlives = false
	return made
}
