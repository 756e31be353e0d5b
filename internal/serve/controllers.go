package serve

import (
	"fmt"
	"os"

	addonobjects "berth.dev/berth/internal/addon"
	etcdbackup "berth.dev/berth/internal/backup"
	"berth.dev/berth/internal/controller/activity"
	"berth.dev/berth/internal/controller/addon"
	"berth.dev/berth/internal/controller/advisory"
	"berth.dev/berth/internal/controller/agentpool"
	"berth.dev/berth/internal/controller/autoupgrade"
	"berth.dev/berth/internal/controller/backup"
	"berth.dev/berth/internal/controller/cluster"
	"berth.dev/berth/internal/controller/courier"
	"berth.dev/berth/internal/controller/deletedcluster"
	"berth.dev/berth/internal/controller/machine"
	"berth.dev/berth/internal/controller/operation"
	"berth.dev/berth/internal/controller/resourcegroup"
	"berth.dev/berth/internal/controller/rollout"
	"berth.dev/berth/internal/controller/space"
	"berth.dev/berth/internal/controller/support"
	"berth.dev/berth/internal/controller/supportaccess"
	"berth.dev/berth/internal/inspect"
	"berth.dev/berth/internal/machine/pod"
	"berth.dev/berth/internal/preflight"
)

// preflight reads managed clusters before they are upgraded.
func (p parts) preflight() preflight.Reader {
	return preflight.Reader{Management: p.manager.GetAPIReader(), Tenants: p.tenants}
}

// controllers adds every controller; they run on the leader alone.
func (p parts) controllers() error {
	ca, err := os.ReadFile(p.options.CAFile)
	if err != nil {
		return fmt.Errorf("read the authority that machines trust: %w", err)
	}
	own, err := p.ownRanges()
	if err != nil {
		return err
	}
	managed, err := addonobjects.Names()
	if err != nil {
		return err
	}
	mgr := p.manager
	tenants := p.tenants
	if err := mgr.Add(&preflight.Recorder{Reader: p.preflight(), Client: mgr.GetClient(), Log: p.log.With("part", "preflight")}); err != nil {
		return fmt.Errorf("add recorder of deprecated APIs: %w", err)
	}
	reads := etcdbackup.NewReads()
	setups := []error{
		operation.Setup(mgr, operation.Config{}),
		activity.Setup(mgr, activity.Config{Log: p.log.With("part", "activity")}),
		courier.Setup(mgr, courier.Config{Own: own}),
		resourcegroup.Setup(mgr, resourcegroup.Config{}),
		cluster.Setup(mgr, cluster.Config{
			Catalogue:     p.catalogue,
			GatewayURL:    "https://" + p.options.GatewayPublic,
			PrivateRanges: p.options.PrivateRanges,
			Tenants:       tenants,
			BackupCA:      ca,
		}),
		addon.Setup(mgr, addon.Config{Catalogue: p.catalogue, Tenants: tenants}),
		rollout.Setup(mgr, rollout.Config{Catalogue: p.catalogue, Pullable: p.images.Has}),
		backup.Setup(mgr, backup.Config{Store: p.options.BackupStore, Scratch: p.options.BackupScratch, Reads: reads, Log: p.log.With("part", "backup")}),
		space.Setup(mgr, space.Config{Store: p.options.BackupStore, Fulls: reads}),
		deletedcluster.Setup(mgr, deletedcluster.Config{Store: p.options.BackupStore, Log: p.log.With("part", "deletedcluster")}),
		autoupgrade.Setup(mgr, autoupgrade.Config{Catalogue: p.catalogue, Preflight: p.preflight()}),
		support.Setup(mgr, support.Config{Catalogue: p.catalogue, Webhooks: inspect.Reader{Tenants: tenants, Managed: managed}.SystemWebhooks}),
		advisory.Setup(mgr, advisory.Config{Catalogue: p.catalogue}),
		supportaccess.Setup(mgr, supportaccess.Config{Tenants: tenants}),
		agentpool.Setup(mgr, agentpool.Config{Catalogue: p.catalogue}),
		machine.Setup(mgr, machine.Config{
			Provider:        pod.New(mgr.GetClient(), mgr.GetAPIReader(), pod.Options{Config: mgr.GetConfig()}),
			Tenants:         tenants,
			Catalogue:       p.catalogue,
			RegistryAddress: "https://" + p.options.RegistryMachineAddress,
			RegistryCA:      ca,
		}),
	}
	for _, err := range setups {
		if err != nil {
			return err
		}
	}
	return nil
}
