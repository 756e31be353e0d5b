// Package clients puts real, unmodified clients of Azure in front of the ARM
// server: Debian's az, the SDKs for Go and JavaScript, Terraform's client layer.
package clients

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/arm"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/containerservice/armcontainerservice/v6"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/resources/armresources"
	"k8s.io/client-go/tools/clientcmd"

	"berth.dev/berth/internal/arm/armtest"
)

// login is what an SDK user writes, for the tenant's id or for "adfs".
func login(t *testing.T, w *armtest.World, tenant string) (azcore.TokenCredential, *arm.ClientOptions) {
	t.Helper()
	options := policy.ClientOptions{
		Transport: w.Server.Client(),
		Cloud: cloud.Configuration{
			ActiveDirectoryAuthorityHost: w.Server.URL + "/",
			Services:                     map[cloud.ServiceName]cloud.ServiceConfiguration{cloud.ResourceManager: {Endpoint: w.Server.URL, Audience: w.Server.URL}},
		},
	}
	credential, err := azidentity.NewClientSecretCredential(tenant, armtest.ClientID, armtest.ClientSecret,
		&azidentity.ClientSecretCredentialOptions{ClientOptions: options, DisableInstanceDiscovery: true})
	if err != nil {
		t.Fatal(err)
	}
	return credential, &arm.ClientOptions{ClientOptions: options, DisableRPRegistration: true}
}

func TestSDKLogsInThroughBothDialects(t *testing.T) {
	w := armtest.New(t)
	for _, tenant := range []string{armtest.TenantID, "adfs"} {
		credential, options := login(t, w, tenant)
		groups, err := armresources.NewResourceGroupsClient(armtest.Subscription, credential, options)
		if err != nil {
			t.Fatal(err)
		}
		if answer, err := groups.CheckExistence(t.Context(), "nothing", nil); err != nil || answer.Success {
			t.Errorf("tenant %s: %+v, %v", tenant, answer, err)
		}
	}
}

func TestSDKTakesAClusterThroughItsLife(t *testing.T) {
	w := armtest.New(t)
	w.Run(t)
	ctx := t.Context()
	credential, options := login(t, w, armtest.TenantID)
	groups, err := armresources.NewResourceGroupsClient(armtest.Subscription, credential, options)
	must(t, err)
	factory, err := armcontainerservice.NewClientFactory(armtest.Subscription, credential, options)
	must(t, err)
	_, err = groups.CreateOrUpdate(ctx, "rg1", armresources.ResourceGroup{Location: to.Ptr(armtest.Location)}, nil)
	must(t, err)

	clusters, pools := factory.NewManagedClustersClient(), factory.NewAgentPoolsClient()
	made := create(t, ctx, clusters)
	if *made.Properties.ProvisioningState != "Succeeded" || *made.Properties.CurrentKubernetesVersion != "1.37.2" || made.Properties.PowerState == nil || *made.ETag == "" {
		t.Errorf("made %+v", made.Properties)
	}
	addPool(t, ctx, pools)
	readModifyWrite(t, ctx, clusters, pools)
	readRest(t, ctx, factory)
	maintain(t, ctx, factory.NewMaintenanceConfigurationsClient())
	stopAndStart(t, ctx, clusters)

	drop, err := pools.BeginDelete(ctx, "rg1", "c1", "np2", nil)
	must(t, err)
	_, err = drop.PollUntilDone(ctx, nil)
	must(t, err)
	gone, err := groups.BeginDelete(ctx, "rg1", nil)
	must(t, err)
	_, err = gone.PollUntilDone(ctx, nil)
	must(t, err)
	if _, err := clusters.Get(ctx, "rg1", "c1", nil); code(err) != "ResourceGroupNotFound" {
		t.Errorf("after its group went, the cluster answers %v", err)
	}
}

// stopAndStart follows both actions to their end, and is refused a second stop.
func stopAndStart(t *testing.T, ctx context.Context, clusters *armcontainerservice.ManagedClustersClient) {
	t.Helper()
	power := func() armcontainerservice.Code {
		found, err := clusters.Get(ctx, "rg1", "c1", nil)
		must(t, err)
		return *found.Properties.PowerState.Code
	}
	stop, err := clusters.BeginStop(ctx, "rg1", "c1", nil)
	must(t, err)
	_, err = stop.PollUntilDone(ctx, nil)
	must(t, err)
	if got := power(); got != armcontainerservice.CodeStopped {
		t.Errorf("a stopped cluster is %s", got)
	}
	if _, err := clusters.BeginStop(ctx, "rg1", "c1", nil); code(err) != "OperationNotAllowed" {
		t.Errorf("a second stop answers %v", err)
	}
	start, err := clusters.BeginStart(ctx, "rg1", "c1", nil)
	must(t, err)
	_, err = start.PollUntilDone(ctx, nil)
	must(t, err)
	if got := power(); got != armcontainerservice.CodeRunning {
		t.Errorf("a started cluster is %s", got)
	}
}

// maintain writes, reads, lists and deletes a maintenance configuration. Dates are
// days without a time on the wire.
func maintain(t *testing.T, ctx context.Context, windows *armcontainerservice.MaintenanceConfigurationsClient) {
	t.Helper()
	const name = "aksManagedAutoUpgradeSchedule"
	date := func(month time.Month, day int) *time.Time {
		return to.Ptr(time.Date(2026, month, day, 0, 0, 0, 0, time.UTC))
	}
	sent := armcontainerservice.MaintenanceConfiguration{Properties: &armcontainerservice.MaintenanceConfigurationProperties{
		MaintenanceWindow: &armcontainerservice.MaintenanceWindow{
			Schedule: &armcontainerservice.Schedule{Weekly: &armcontainerservice.WeeklySchedule{
				IntervalWeeks: to.Ptr[int32](2), DayOfWeek: to.Ptr(armcontainerservice.WeekDaySaturday),
			}},
			DurationHours: to.Ptr[int32](6), UTCOffset: to.Ptr("+02:00"), StartTime: to.Ptr("01:30"), StartDate: date(time.December, 1),
			NotAllowedDates: []*armcontainerservice.DateSpan{{Start: date(time.December, 23), End: date(time.December, 31)}},
		},
	}}
	made, err := windows.CreateOrUpdate(ctx, "rg1", "c1", name, sent, nil)
	must(t, err)
	read, err := windows.Get(ctx, "rg1", "c1", name, nil)
	must(t, err)
	window := read.Properties.MaintenanceWindow
	if *made.Name != name || *window.Schedule.Weekly.DayOfWeek != armcontainerservice.WeekDaySaturday || !window.StartDate.Equal(*date(time.December, 1)) ||
		!window.NotAllowedDates[0].End.Equal(*date(time.December, 31)) {
		t.Errorf("the window is %+v", window)
	}
	_, err = windows.CreateOrUpdate(ctx, "rg1", "c1", name, read.MaintenanceConfiguration, nil)
	must(t, err)
	page, err := windows.NewListByManagedClusterPager("rg1", "c1", nil).NextPage(ctx)
	must(t, err)
	if len(page.Value) != 1 {
		t.Errorf("%d configurations, want 1", len(page.Value))
	}
	for range 2 {
		_, err = windows.Delete(ctx, "rg1", "c1", name, nil)
		must(t, err)
	}
	if _, err := windows.Get(ctx, "rg1", "c1", name, nil); code(err) != "ResourceNotFound" {
		t.Errorf("after its delete, the configuration answers %v", err)
	}
}

func create(t *testing.T, ctx context.Context, clusters *armcontainerservice.ManagedClustersClient) armcontainerservice.ManagedCluster {
	t.Helper()
	poller, err := clusters.BeginCreateOrUpdate(ctx, "rg1", "c1", armcontainerservice.ManagedCluster{
		Location: to.Ptr("West US 2"),
		Identity: &armcontainerservice.ManagedClusterIdentity{Type: to.Ptr(armcontainerservice.ResourceIdentityTypeSystemAssigned)},
		Properties: &armcontainerservice.ManagedClusterProperties{
			DNSPrefix: to.Ptr("c1"),
			AgentPoolProfiles: []*armcontainerservice.ManagedClusterAgentPoolProfile{{
				Name: to.Ptr("system"), Count: to.Ptr[int32](1), Mode: to.Ptr(armcontainerservice.AgentPoolModeSystem), VMSize: to.Ptr("Standard_D2s_v5"),
			}},
		},
	}, &armcontainerservice.ManagedClustersClientBeginCreateOrUpdateOptions{IfNoneMatch: to.Ptr("*")})
	must(t, err)
	done, err := poller.PollUntilDone(ctx, nil)
	must(t, err)
	return done.ManagedCluster
}

func addPool(t *testing.T, ctx context.Context, pools *armcontainerservice.AgentPoolsClient) {
	t.Helper()
	poller, err := pools.BeginCreateOrUpdate(ctx, "rg1", "c1", "np2", armcontainerservice.AgentPool{
		Properties: &armcontainerservice.ManagedClusterAgentPoolProfileProperties{
			Count: to.Ptr[int32](2), Mode: to.Ptr(armcontainerservice.AgentPoolModeUser), NodeLabels: map[string]*string{"tier": to.Ptr("web")},
		},
	}, nil)
	must(t, err)
	done, err := poller.PollUntilDone(ctx, nil)
	must(t, err)
	if *done.Properties.Count != 2 || *done.Properties.ProvisioningState != "Succeeded" || *done.Properties.NodeLabels["tier"] != "web" {
		t.Errorf("pool %+v", done.Properties)
	}
}

// readModifyWrite sends back what was read, as Terraform and az do. It must be
// taken, and change only what was changed.
func readModifyWrite(t *testing.T, ctx context.Context, clusters *armcontainerservice.ManagedClustersClient, pools *armcontainerservice.AgentPoolsClient) {
	t.Helper()
	read, err := clusters.Get(ctx, "rg1", "c1", nil)
	must(t, err)
	for _, profile := range read.Properties.AgentPoolProfiles {
		if *profile.Name == "np2" {
			profile.Count = to.Ptr[int32](3)
		}
	}
	etag := *read.ETag
	poller, err := clusters.BeginCreateOrUpdate(ctx, "rg1", "c1", read.ManagedCluster, &armcontainerservice.ManagedClustersClientBeginCreateOrUpdateOptions{IfMatch: &etag})
	must(t, err)
	done, err := poller.PollUntilDone(ctx, nil)
	must(t, err)
	if len(done.Properties.AgentPoolProfiles) != 2 || *done.Properties.AgentPoolProfiles[0].Count != 3 {
		t.Errorf("after read-modify-write: %+v", done.Properties.AgentPoolProfiles)
	}
	_, err = clusters.BeginCreateOrUpdate(ctx, "rg1", "c1", read.ManagedCluster, &armcontainerservice.ManagedClustersClientBeginCreateOrUpdateOptions{IfMatch: &etag})
	if code(err) != "PreconditionFailed" {
		t.Errorf("a stale eTag answers %v", err)
	}
	tagged, err := clusters.BeginUpdateTags(ctx, "rg1", "c1", armcontainerservice.TagsObject{Tags: map[string]*string{"env": to.Ptr("test")}}, nil)
	must(t, err)
	result, err := tagged.PollUntilDone(ctx, nil)
	must(t, err)
	if *result.Tags["env"] != "test" {
		t.Errorf("tags %v", result.Tags)
	}
	pool, err := pools.Get(ctx, "rg1", "c1", "np2", nil)
	must(t, err)
	again, err := pools.BeginCreateOrUpdate(ctx, "rg1", "c1", "np2", pool.AgentPool, &armcontainerservice.AgentPoolsClientBeginCreateOrUpdateOptions{IfMatch: pool.Properties.ETag})
	must(t, err)
	_, err = again.PollUntilDone(ctx, nil)
	must(t, err)
}

// readRest calls every other operation that only reads.
func readRest(t *testing.T, ctx context.Context, factory *armcontainerservice.ClientFactory) {
	t.Helper()
	clusters, pools := factory.NewManagedClustersClient(), factory.NewAgentPoolsClient()
	admin, err := clusters.ListClusterAdminCredentials(ctx, "rg1", "c1", nil)
	must(t, err)
	config, err := clientcmd.Load(admin.Kubeconfigs[0].Value)
	must(t, err)
	if current := config.Contexts[config.CurrentContext]; !strings.HasPrefix(current.AuthInfo, "clusterAdmin") || config.Clusters[current.Cluster].Server != "https://"+armtest.Gateway {
		t.Errorf("admin kubeconfig %+v", config)
	}
	_, err = clusters.ListClusterUserCredentials(ctx, "rg1", "c1", &armcontainerservice.ManagedClustersClientListClusterUserCredentialsOptions{Format: to.Ptr(armcontainerservice.FormatExec)})
	must(t, err)
	listed, err := clusters.NewListPager(nil).NextPage(ctx)
	must(t, err)
	if len(listed.Value) != 1 {
		t.Errorf("%d clusters are listed", len(listed.Value))
	}
	versions, err := clusters.ListKubernetesVersions(ctx, armtest.Location, nil)
	must(t, err)
	if len(versions.Values) == 0 || versions.Values[0].PatchVersions == nil {
		t.Errorf("versions %+v", versions.Values)
	}
	_, err = clusters.GetUpgradeProfile(ctx, "rg1", "c1", nil)
	must(t, err)
	_, err = pools.GetUpgradeProfile(ctx, "rg1", "c1", "np2", nil)
	must(t, err)
	_, err = pools.GetAvailableAgentPoolVersions(ctx, "rg1", "c1", nil)
	must(t, err)
	_, err = factory.NewMachinesClient().NewListPager("rg1", "c1", "np2", nil).NextPage(ctx)
	must(t, err)
	_, err = clusters.GetAccessProfile(ctx, "rg1", "c1", "clusterUser", nil)
	must(t, err)
	_, err = factory.NewOperationsClient().NewListPager(nil).NextPage(ctx)
	must(t, err)
}

func TestSDKShowsFailures(t *testing.T) {
	w := armtest.New(t)
	ctx := t.Context()
	credential, options := login(t, w, armtest.TenantID)
	clusters, err := armcontainerservice.NewManagedClustersClient(armtest.Subscription, credential, options)
	must(t, err)
	_, err = clusters.Get(ctx, "nowhere", "c1", nil)
	var answer *azcore.ResponseError
	if !errors.As(err, &answer) || answer.StatusCode != http.StatusNotFound || answer.ErrorCode != "ResourceGroupNotFound" {
		t.Errorf("got %v", err)
	}
	other, err := armcontainerservice.NewManagedClustersClient(armtest.OtherSubscription, credential, options)
	must(t, err)
	if _, err := other.NewListPager(nil).NextPage(ctx); code(err) != "SubscriptionNotFound" {
		t.Errorf("another tenant's subscription answers %v", err)
	}
}

func code(err error) string {
	var answer *azcore.ResponseError
	if errors.As(err, &answer) {
		return answer.ErrorCode
	}
	return ""
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
