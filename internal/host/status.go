package host

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/install"
)

// The states of a part, as `berth status` shows them.
const (
	stateDown     = "Down"
	stateStarting = "Starting"
	stateReady    = "Ready"
	stateLate     = "Late"
)

// Status is what `berth status -o json` prints.
type Status struct {
	// State is Ready when everything below is, Down when nothing runs, else Starting.
	State      string           `json:"state"`
	StateDir   string           `json:"stateDir"`
	Management ManagementStatus `json:"management"`
	Berth      BerthStatus      `json:"berth"`
	Backup     OwnBackup        `json:"backup"`
	Clusters   []ClusterStatus  `json:"clusters"`
}

// ManagementStatus is the management cluster's.
type ManagementStatus struct {
	State string `json:"state"`
	// Message is what is missing.
	Message       string     `json:"message,omitempty"`
	Kubernetes    string     `json:"kubernetesVersion,omitempty"`
	SupervisorPID int        `json:"supervisorPID,omitempty"`
	Started       *time.Time `json:"started,omitempty"`
	Kubeconfig    string     `json:"kubeconfig,omitempty"`
}

// BerthStatus is Berth's own.
type BerthStatus struct {
	State          string `json:"state"`
	Message        string `json:"message,omitempty"`
	Endpoint       string `json:"endpoint,omitempty"`
	Gateway        string `json:"gateway,omitempty"`
	SubscriptionID string `json:"subscriptionID,omitempty"`
}

// ClusterStatus is one managed cluster's.
type ClusterStatus struct {
	ResourceGroup     string `json:"resourceGroup"`
	Name              string `json:"name"`
	Location          string `json:"location"`
	KubernetesVersion string `json:"kubernetesVersion"`
	ProvisioningState string `json:"provisioningState"`
	PowerState        string `json:"powerState"`
	// Nodes that are ready, and those asked for.
	ReadyNodes int32 `json:"readyNodes"`
	Nodes      int32 `json:"nodes"`
}

// OwnBackup is that of Berth's own state, which is the management cluster's.
type OwnBackup struct {
	// BackedUp says that the backups are up to date.
	BackedUp bool   `json:"backedUp"`
	Message  string `json:"message,omitempty"`
	// RecoveryPoint is the time up to which everything is stored, as last reported.
	RecoveryPoint *time.Time `json:"recoveryPoint,omitempty"`
	// Stores are where to.
	Stores []string `json:"stores,omitempty"`
}

const statusPatience = 5 * time.Second

// ReadStatus looks at the Berth of a state directory. That a part does not
// answer is part of the status, not an error.
func ReadStatus(ctx context.Context, stateDir string) (Status, error) {
	paths, err := NewPaths(stateDir)
	if err != nil {
		return Status{}, err
	}
	status := Status{State: stateDown, StateDir: paths.State, Clusters: []ClusterStatus{},
		Management: ManagementStatus{State: stateDown}, Berth: BerthStatus{State: stateDown}}
	record := runningSupervisor(paths)
	if record == nil {
		return status, nil
	}
	status.State, status.Management.State = stateStarting, stateStarting
	status.Management.SupervisorPID, status.Management.Started = record.Process.PID, &record.Started
	status.Management.Kubeconfig = paths.adminKubeconfig()
	ctx, cancel := context.WithTimeout(ctx, statusPatience)
	defer cancel()
	c, err := dial(paths)
	if err != nil {
		return status, err
	}
	c.readManagement(ctx, &status.Management)
	if status.Management.State != stateReady {
		return status, nil
	}
	if instance, err := loadInstance(paths); err == nil {
		status.Berth.SubscriptionID = instance.SubscriptionID
	}
	c.readBerth(ctx, &status.Berth)
	c.readBackup(ctx, &status.Backup, paths)
	if status.Clusters, err = c.readClusters(ctx); err != nil {
		return status, nil
	}
	if status.Berth.State == stateReady {
		status.State = stateReady
	}
	return status, nil
}

func (c *cluster) readManagement(ctx context.Context, m *ManagementStatus) {
	version, err := c.version(ctx)
	if err != nil {
		m.Message = "the API server does not answer: " + err.Error()
		return
	}
	m.Kubernetes = version
	if missing, err := c.nodeReady(ctx); err != nil || missing != "" {
		m.Message = describe(missing, err)
		return
	}
	m.State = stateReady
}

func (c *cluster) readBerth(ctx context.Context, b *BerthStatus) {
	b.State = stateStarting
	b.Endpoint, b.Gateway = "https://"+ARMAddress, GatewayAddress
	if missing, err := c.deployed(install.Namespace, install.Name)(ctx); err != nil || missing != "" {
		b.Message = describe(missing, err)
		return
	}
	b.State = stateReady
}

// readBackup shows the store that Berth was installed with as the host has it.
func (c *cluster) readBackup(ctx context.Context, b *OwnBackup, paths Paths) {
	var own v1beta1.ManagementCluster
	if err := c.Get(ctx, client.ObjectKey{Name: v1beta1.ManagementClusterName}, &own); err != nil {
		b.Message = "not known: " + err.Error()
		return
	}
	b.Message = "the first backup has not been made"
	if backedUp := meta.FindStatusCondition(own.Status.Conditions, v1beta1.ConditionBackedUp); backedUp != nil {
		b.BackedUp, b.Message = backedUp.Status == metav1.ConditionTrue, backedUp.Message
	}
	if own.Status.Backup == nil {
		return
	}
	if point := own.Status.Backup.RecoveryPoint; point != nil {
		b.RecoveryPoint = &point.Time
	}
	for _, store := range own.Status.Backup.Stores {
		if store.URL == install.BackupStore {
			store.URL = paths.backups()
		}
		b.Stores = append(b.Stores, store.URL)
	}
}

func describe(missing string, err error) string {
	if err != nil {
		return err.Error()
	}
	return missing
}

func (c *cluster) readClusters(ctx context.Context) ([]ClusterStatus, error) {
	var clusters v1beta1.ManagedClusterList
	var pools v1beta1.AgentPoolList
	if err := c.List(ctx, &clusters); err != nil {
		return nil, fmt.Errorf("list clusters: %w", err)
	}
	if err := c.List(ctx, &pools); err != nil {
		return nil, fmt.Errorf("list agent pools: %w", err)
	}
	statuses := make([]ClusterStatus, 0, len(clusters.Items))
	for _, mc := range clusters.Items {
		statuses = append(statuses, clusterStatus(mc, pools.Items))
	}
	return statuses, nil
}

func clusterStatus(mc v1beta1.ManagedCluster, pools []v1beta1.AgentPool) ClusterStatus {
	status := ClusterStatus{
		ResourceGroup: mc.Spec.ResourceGroup, Name: mc.Spec.Name, Location: mc.Spec.Location,
		KubernetesVersion: mc.Status.CurrentKubernetesVersion,
		ProvisioningState: string(mc.Status.ProvisioningState),
		PowerState:        string(mc.Status.PowerState.Code),
	}
	if !mc.DeletionTimestamp.IsZero() {
		status.ProvisioningState = string(v1beta1.StateDeleting)
	}
	cluster := client.ObjectKeyFromObject(&mc)
	for _, pool := range pools {
		owner := client.ObjectKey{Namespace: pool.Namespace, Name: v1beta1.ObjectName(pool.Spec.ResourceGroup, pool.Spec.ClusterName)}
		if owner != cluster {
			continue
		}
		status.ReadyNodes += pool.Status.ReadyCount
		if pool.Spec.Count != nil {
			status.Nodes += *pool.Spec.Count
		}
	}
	return status
}

// Print writes the status for people.
func (s Status) Print(out io.Writer, now time.Time) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "Management cluster\t%s\t%s\n", s.Management.State, s.management(now))
	fmt.Fprintf(w, "Berth\t%s\t%s\n", s.Berth.State, firstOf(s.Berth.Message, s.Berth.Endpoint))
	if s.Berth.State == stateReady {
		fmt.Fprintf(w, "Own backup\t%s\t%s\n", s.Backup.state(), s.Backup.text(now))
	}
	if s.State == stateDown {
		fmt.Fprintf(w, "\nRun \"berth up\" to start.\n")
		return w.Flush()
	}
	if len(s.Clusters) == 0 {
		fmt.Fprintf(w, "\nNo clusters.\n")
		return w.Flush()
	}
	fmt.Fprintf(w, "\nRESOURCE GROUP\tCLUSTER\tLOCATION\tVERSION\tSTATE\tPOWER\tNODES\n")
	for _, c := range s.Clusters {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%d/%d\n",
			c.ResourceGroup, c.Name, c.Location, c.KubernetesVersion, c.ProvisioningState, c.PowerState, c.ReadyNodes, c.Nodes)
	}
	return w.Flush()
}

func (s Status) management(now time.Time) string {
	if s.Management.Message != "" || s.Management.Started == nil {
		return s.Management.Message
	}
	return fmt.Sprintf("Kubernetes %s, up for %s", s.Management.Kubernetes, age(now.Sub(*s.Management.Started)))
}

func (b OwnBackup) state() string {
	if b.BackedUp {
		return stateReady
	}
	return stateLate
}

func (b OwnBackup) text(now time.Time) string {
	if b.RecoveryPoint == nil {
		return b.Message
	}
	text := fmt.Sprintf("up to %s ago, in %s", age(now.Sub(*b.RecoveryPoint)), strings.Join(b.Stores, ", "))
	if b.Message != "" {
		text += ": " + b.Message
	}
	return text
}

// JSON writes the status for programs.
func (s Status) JSON(out io.Writer) error {
	encoder := json.NewEncoder(out)
	encoder.SetIndent("", "  ")
	return encoder.Encode(s)
}

func firstOf(texts ...string) string {
	for _, text := range texts {
		if text != "" {
			return text
		}
	}
	return ""
}
