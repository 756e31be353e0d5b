// Command terraform does to a cluster what Terraform's provider azurerm does, with
// the provider's own client layer: discovery, log-in, requests, pollers. The
// provider itself is a binary that is not built here.
//
// It reads the provider's environment variables and prints each step.
package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/hashicorp/go-azure-sdk/sdk/auth"
	"github.com/hashicorp/go-azure-sdk/sdk/client"
	"github.com/hashicorp/go-azure-sdk/sdk/client/resourcemanager"
	"github.com/hashicorp/go-azure-sdk/sdk/environments"
)

const (
	clusterVersion  = "2025-10-01"
	resourceVersion = "2021-04-01"
	contentType     = "application/json; charset=utf-8"
)

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// object is a body as Terraform's typed models put it on the wire.
type object = map[string]any

// run is a first apply, a plan, an apply of changes and a destroy.
func run(ctx context.Context) error {
	subscription := "/subscriptions/" + os.Getenv("ARM_SUBSCRIPTION_ID")
	group := subscription + "/resourceGroups/tf"
	resources, err := newProvider(ctx, resourceVersion)
	if err != nil {
		return err
	}
	clusters, err := newProvider(ctx, clusterVersion)
	if err != nil {
		return err
	}
	for _, step := range []func(context.Context) error{
		func(ctx context.Context) error { return resources.register(ctx, subscription) },
		func(ctx context.Context) error { return resources.put(ctx, group, object{"location": "westus2"}) },
		func(ctx context.Context) error { return clusters.create(ctx, group) },
		func(ctx context.Context) error { return clusters.refresh(ctx, group) },
		func(ctx context.Context) error { return clusters.change(ctx, group) },
		func(ctx context.Context) error { return clusters.refused(ctx, group) },
		func(ctx context.Context) error { return clusters.destroy(ctx, group+clusterPath) },
		func(ctx context.Context) error { return resources.destroy(ctx, group) },
	} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

// provider is a client of one api-version.
type provider struct{ *resourcemanager.Client }

// newProvider finds the cloud by its metadata and logs in, as the provider's
// block with metadata_host and a client secret does.
func newProvider(ctx context.Context, version string) (provider, error) {
	cloud, err := environments.FromEndpoint(ctx, "https://"+os.Getenv("ARM_METADATA_HOSTNAME"))
	if err != nil {
		return provider{}, fmt.Errorf("discover the cloud: %w", err)
	}
	if cloud.Name != "Berth" || cloud.IsAzureStack() {
		return provider{}, fmt.Errorf("the cloud is %q, an Azure Stack: %v", cloud.Name, cloud.IsAzureStack())
	}
	login, err := auth.NewAuthorizerFromCredentials(ctx, auth.Credentials{
		Environment: *cloud, TenantID: os.Getenv("ARM_TENANT_ID"), ClientID: os.Getenv("ARM_CLIENT_ID"),
		ClientSecret: os.Getenv("ARM_CLIENT_SECRET"), EnableAuthenticatingUsingClientSecret: true,
	}, cloud.ResourceManager)
	if err != nil {
		return provider{}, fmt.Errorf("log in: %w", err)
	}
	made, err := resourcemanager.NewClient(cloud.ResourceManager, "berth", version)
	if err != nil {
		return provider{}, fmt.Errorf("make client: %w", err)
	}
	made.SetAuthorizer(login)
	return provider{made}, nil
}

// do sends one request and reads the answer into a value if there is one.
func (p provider) do(ctx context.Context, method, path string, body, into any) (*client.Response, error) {
	fmt.Println(method, path)
	request, err := p.NewRequest(ctx, client.RequestOptions{
		ContentType: contentType, HttpMethod: method, Path: path,
		ExpectedStatusCodes: []int{http.StatusOK, http.StatusCreated, http.StatusAccepted, http.StatusNoContent},
	})
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", method, path, err)
	}
	if body != nil {
		if err := request.Marshal(body); err != nil {
			return nil, fmt.Errorf("%s %s: %w", method, path, err)
		}
	}
	response, err := request.Execute(ctx)
	if err == nil && into != nil {
		err = response.Unmarshal(into)
	}
	if err != nil {
		return response, fmt.Errorf("%s %s: %w", method, path, err)
	}
	return response, nil
}

// follow sends a request and polls until what it began has ended.
func (p provider) follow(ctx context.Context, method, path string, body any) error {
	response, err := p.do(ctx, method, path, body, nil)
	if err != nil {
		return err
	}
	poller, err := resourcemanager.PollerFromResponse(response, p.Client)
	if err != nil {
		return fmt.Errorf("%s %s: %w", method, path, err)
	}
	if err := poller.PollUntilDone(ctx); err != nil {
		return fmt.Errorf("%s %s: poll: %w", method, path, err)
	}
	return nil
}

func (p provider) put(ctx context.Context, path string, body any) error {
	_, err := p.do(ctx, http.MethodPut, path, body, nil)
	return err
}

// missing expects a 404: the provider asks before it creates, and for what a
// configuration does not have.
func (p provider) missing(ctx context.Context, path string) error {
	response, err := p.do(ctx, http.MethodGet, path, nil, nil)
	if err == nil || response == nil || response.StatusCode != http.StatusNotFound {
		return fmt.Errorf("GET %s: want 404, got %v", path, err)
	}
	return nil
}

// register is the provider's automatic registration of resource providers.
func (p provider) register(ctx context.Context, subscription string) error {
	var list struct {
		Value []struct{ Namespace, RegistrationState string }
	}
	if _, err := p.do(ctx, http.MethodGet, subscription+"/providers", nil, &list); err != nil {
		return err
	}
	if len(list.Value) == 0 {
		return errors.New("no resource provider is listed")
	}
	_, err := p.do(ctx, http.MethodPost, subscription+"/providers/Microsoft.ContainerService/register", nil, nil)
	return err
}

// destroy deletes and polls the resource until it is gone.
func (p provider) destroy(ctx context.Context, path string) error {
	if err := p.follow(ctx, http.MethodDelete, path, nil); err != nil {
		return err
	}
	return p.missing(ctx, path)
}

// refused sees the service's own error in what Terraform prints.
func (p provider) refused(ctx context.Context, group string) error {
	body := minimal()
	body["properties"].(object)["kubernetesVersion"] = "1.99.0"
	err := p.put(ctx, group+clustersPath+"/other", body)
	if err == nil || !strings.Contains(err.Error(), "K8sVersionNotSupported") {
		return fmt.Errorf("a version that does not exist answers %v", err)
	}
	return nil
}
