package serve

import (
	"fmt"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
	ctrl "sigs.k8s.io/controller-runtime"
)

const (
	// leaseName is that of the Lease which the leader holds.
	leaseName = "berth"
	// renewDeadline is how long a leader tries to renew it, as is controller-runtime's default.
	renewDeadline = 10 * time.Second
)

// setLeader has one Berth lead. Who leads is known by its pod, so that a Berth that was killed
// finds a Lease of its own when its container starts again, and does not wait for that to end,
// 15 s. Two of one pod cannot be: kubelet starts a container again only when it has ended, and
// all of a pod listen at the same address for health checks before they ask to lead, which the
// second cannot. Outside of a pod each process is another.
func setLeader(manager *ctrl.Options, config *rest.Config, options Options) error {
	manager.LeaderElection, manager.LeaderElectionReleaseOnCancel = true, true
	manager.LeaderElectionID, manager.LeaderElectionNamespace = leaseName, options.Namespace
	if options.PodUID == "" {
		return nil
	}
	identity := resourcelock.ResourceLockConfig{Identity: options.PodUID}
	lock, err := resourcelock.NewFromKubeconfig(resourcelock.LeasesResourceLock, options.Namespace, leaseName, identity, config, renewDeadline)
	if err != nil {
		return fmt.Errorf("elect a leader: %w", err)
	}
	manager.LeaderElectionResourceLockInterface = lock
	return nil
}
