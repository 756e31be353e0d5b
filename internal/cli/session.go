package cli

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/arm"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/containerservice/armcontainerservice/v6"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/resources/armresources"
	"github.com/spf13/cobra"
)

// session is one run of the command line.
type session struct {
	program      Program
	streams      Streams
	started      bool // a command is running: failures are not usage errors any more
	output       string
	subscription string
	stateDir     string
	transport    *transport
}

// clients are what the commands call.
type clients struct {
	subscription string
	groups       *armresources.ResourceGroupsClient
	clusters     *armcontainerservice.ManagedClustersClient
	pools        *armcontainerservice.AgentPoolsClient
	machines     *armcontainerservice.MachinesClient
	snapshots    *armcontainerservice.SnapshotsClient
	maintenance  *armcontainerservice.MaintenanceConfigurationsClient
	// own is for what the SDK does not know.
	own *arm.Client
}

// settings are what it takes to reach ARM, all from the environment that `berth env` prints.
type settings struct {
	endpoint, authority            string
	tenant, clientID, clientSecret string
	subscription, caFile           string
}

const defaultStateDir = "/var/lib/berth"

// environment is the process's own if it names an endpoint, and else the host's: mixing the two could send one cloud's
// secret to another.
func (s *session) environment() (func(string) string, error) {
	getenv := s.program.Getenv
	if getenv("BERTH_ENDPOINT") != "" {
		return getenv, nil
	}
	if s.program.HostEnvironment == nil {
		return nil, errors.New("BERTH_ENDPOINT is not set")
	}
	dir := firstOf(s.stateDir, getenv("BERTH_STATE_DIR"), defaultStateDir)
	host, err := s.program.HostEnvironment(dir)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return nil, errNoBerth
	case errors.Is(err, os.ErrPermission):
		return nil, errNoAccess
	case err != nil:
		return nil, err
	}
	return func(name string) string { return host[name] }, nil
}

var (
	errNoBerth  = errors.New(`there is no Berth on this host and BERTH_ENDPOINT is not set`)
	errNoAccess = errors.New(`only root may read how to log in to the Berth on this host, and BERTH_ENDPOINT is not set`)
)

func (s *session) settings() (settings, error) {
	getenv, err := s.environment()
	if err != nil {
		return settings{}, err
	}
	endpoint := strings.TrimRight(getenv("BERTH_ENDPOINT"), "/")
	out := settings{
		endpoint:     endpoint,
		authority:    strings.TrimRight(firstOf(getenv("AZURE_AUTHORITY_HOST"), endpoint), "/") + "/",
		tenant:       getenv("AZURE_TENANT_ID"),
		clientID:     getenv("AZURE_CLIENT_ID"),
		clientSecret: getenv("AZURE_CLIENT_SECRET"),
		subscription: firstOf(s.subscription, getenv("AZURE_SUBSCRIPTION_ID")),
		caFile:       firstOf(getenv("BERTH_CA"), getenv("REQUESTS_CA_BUNDLE")),
	}
	for _, needed := range []struct{ name, value string }{
		{"AZURE_TENANT_ID", out.tenant}, {"AZURE_CLIENT_ID", out.clientID},
		{"AZURE_CLIENT_SECRET", out.clientSecret}, {"AZURE_SUBSCRIPTION_ID", out.subscription},
	} {
		if needed.value == "" {
			return out, fmt.Errorf("BERTH_ENDPOINT is set but %s is not", needed.name)
		}
	}
	return out, nil
}

// connect makes the clients. Nothing is sent yet.
func (s *session) connect() (*clients, error) {
	settings, err := s.settings()
	if err != nil {
		return nil, err
	}
	if s.transport, err = newTransport(settings.caFile); err != nil {
		return nil, err
	}
	options := policy.ClientOptions{
		Cloud: cloud.Configuration{
			ActiveDirectoryAuthorityHost: settings.authority,
			Services: map[cloud.ServiceName]cloud.ServiceConfiguration{
				cloud.ResourceManager: {Endpoint: settings.endpoint, Audience: settings.endpoint},
			},
		},
		Transport:       s.transport,
		Retry:           policy.RetryOptions{MaxRetries: 4, RetryDelay: 500 * time.Millisecond, ShouldRetry: worthRetrying},
		Telemetry:       policy.TelemetryOptions{ApplicationID: "berth"},
		PerCallPolicies: []policy.Policy{extraPolicy{}},
	}
	credential, err := azidentity.NewClientSecretCredential(settings.tenant, settings.clientID, settings.clientSecret,
		&azidentity.ClientSecretCredentialOptions{ClientOptions: options, DisableInstanceDiscovery: true})
	if err != nil {
		return nil, fmt.Errorf("log in: %w", err)
	}
	armOptions := &arm.ClientOptions{ClientOptions: options, DisableRPRegistration: true}
	containers, err := armcontainerservice.NewClientFactory(settings.subscription, credential, armOptions)
	if err != nil {
		return nil, fmt.Errorf("make client: %w", err)
	}
	resources, err := armresources.NewClientFactory(settings.subscription, credential, armOptions)
	if err != nil {
		return nil, fmt.Errorf("make client: %w", err)
	}
	own, err := arm.NewClient("berth", "v1.0.0", credential, armOptions)
	if err != nil {
		return nil, fmt.Errorf("make client: %w", err)
	}
	return &clients{
		own:          own,
		subscription: settings.subscription,
		groups:       resources.NewResourceGroupsClient(),
		clusters:     containers.NewManagedClustersClient(),
		pools:        containers.NewAgentPoolsClient(),
		machines:     containers.NewMachinesClient(),
		snapshots:    containers.NewSnapshotsClient(),
		maintenance:  containers.NewMaintenanceConfigurationsClient(),
	}, nil
}

// worthRetrying leaves out the refused connection, which means that Berth is down: the user should hear it at once.
func worthRetrying(response *http.Response, err error) bool {
	if err != nil {
		return !errors.Is(err, syscall.ECONNREFUSED) && !errors.Is(err, context.Canceled) && !isCertificateError(err)
	}
	switch response.StatusCode {
	case http.StatusTooManyRequests, http.StatusRequestTimeout, http.StatusInternalServerError,
		http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	}
	return false
}

// common adds the flags that every command about resources has.
func (s *session) common(command *cobra.Command) *cobra.Command {
	flags := command.PersistentFlags()
	flags.StringVarP(&s.output, "output", "o", "table", "table, json, yaml or tsv")
	flags.StringVar(&s.subscription, "subscription", "", "subscription id (AZURE_SUBSCRIPTION_ID)")
	flags.StringVar(&s.stateDir, "state-dir", "", "where the Berth on this host keeps its state (BERTH_STATE_DIR or "+defaultStateDir+")")
	offer(command, "output", "table", "json", "yaml", "tsv")
	command.PersistentPreRunE = func(*cobra.Command, []string) error { return checkOutput(s.output) }
	return command
}

// offer names the values that shell completion shows for a flag.
func offer(command *cobra.Command, flag string, values ...string) {
	if err := command.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp)); err != nil {
		panic(err) // the flag does not exist: a mistake in this package
	}
}

func firstOf(values ...string) string {
	for _, value := range values {
		if value != "" {
			return value
		}
	}
	return ""
}
