package image

import (
	"context"
	"path/filepath"
	"runtime"
	"slices"
	"time"
)

// The versions of what a node image has from source, as components/ requires them.
const (
	containerdVersion = "2.4.2"
	runcVersion       = "1.5.2"
	cniVersion        = "1.9.1"
)

// etcdVersion is upstream's, as components/etcd requires it. The program is ours as well.
const etcdVersion = "3.7.3"

// containerdTags leave out snapshotters that need C libraries and are not used.
const containerdTags = "no_btrfs,no_devmapper,no_zfs"

// Plan is every step of a complete build, in an order in which each stands after
// what it needs. now is asked for the day that names a new node image; added are the
// versions of Kubernetes beside those of every build.
func Plan(now func() time.Time, added ...string) []Step {
	made := versions(added...)
	steps := slices.Concat(kubeSteps(made), componentSteps(), ownSteps(), []Step{rootfsStep()}, imageSteps(made), nodeSteps(now, made))
	toolchain := runtime.Version() + " " + runtime.GOARCH
	for i := range steps {
		steps[i].Recipe = append(steps[i].Recipe, toolchain)
	}
	return steps
}

// componentSteps build other projects' programs, each from a module of ours
// that only pins its version.
func componentSteps() []Step {
	module := func(name string) string { return "components/" + name }
	var cni []goProgram
	for _, plugin := range []string{"main/ptp", "main/loopback", "ipam/host-local", "meta/portmap", "meta/bandwidth"} {
		cni = append(cni, goProgram{
			Module: module("cni"), Package: "github.com/containernetworking/plugins/plugins/" + plugin,
			Output: "out/cni/" + filepath.Base(plugin),
		})
	}
	var containerd []goProgram
	for _, name := range []string{"containerd", "containerd-shim-runc-v2", "ctr"} {
		containerd = append(containerd, goProgram{
			Module: module("containerd"), Package: "github.com/containerd/containerd/v2/cmd/" + name,
			Output: "out/" + name, Tags: containerdTags,
		})
	}
	return []Step{
		goStep("etcd", "etcd "+etcdVersion, []goProgram{
			{Module: module("etcd"), Package: "./server", Output: "out/etcd"},
			{Module: module("etcd"), Package: "go.etcd.io/etcd/etcdctl/v3", Output: "out/etcdctl"},
			{Module: module("etcd"), Package: "./snapshot", Output: "out/etcd-snapshot"},
		}, Sources(module("etcd")), Sources(module("etcd/server")), Sources(module("etcd/snapshot"))),
		goStep("konnectivity", "konnectivity 0.36.0", []goProgram{
			{Module: module("konnectivity"), Package: "sigs.k8s.io/apiserver-network-proxy/cmd/server", Output: "out/proxy-server"},
			{Module: module("konnectivity"), Package: "sigs.k8s.io/apiserver-network-proxy/cmd/agent", Output: "out/proxy-agent"},
		}, Sources(module("konnectivity"))),
		goStep("metrics-server", "metrics-server 0.9.0", []goProgram{
			{Module: module("metrics-server"), Package: "sigs.k8s.io/metrics-server/cmd/metrics-server", Output: "out/metrics-server"},
		}, Sources(module("metrics-server"))),
		goStep("coredns", "CoreDNS 1.15.0", []goProgram{
			{Module: module("coredns"), Package: ".", Output: "out/coredns"},
		}, Sources(module("coredns"))),
		goStep("containerd", "containerd "+containerdVersion, containerd, Sources(module("containerd"))),
		goStep("runc", "runc "+runcVersion, []goProgram{
			{Module: module("runc"), Package: "github.com/opencontainers/runc", Output: "out/runc", Tags: "seccomp", Cgo: true},
		}, Sources(module("runc"))),
		goStep("cni", "CNI plugins "+cniVersion, cni, Sources(module("cni"))),
		pauseStep(),
	}
}

func pauseStep() Step {
	argv := []string{"gcc", "-Os", "-static", "-s", "-Wall", "-Wextra", "-Werror", "-o"}
	return Step{
		Name: "pause", Title: "pause 3.10", Recipe: argv, Inputs: []Input{Sources("components/pause")}, Outputs: []string{"out/pause"},
		Run: func(ctx context.Context, w *Work) error {
			source := filepath.Join(w.Root, "components/pause/pause.c")
			return w.run(ctx, program{Argv: append(slices.Clone(argv), w.Output("out/pause"), source)})
		},
	}
}

// ownSteps build Berth's own programs.
func ownSteps() []Step {
	var steps []Step
	for _, name := range []string{"berth", "berth-node", "berth-demo"} {
		dir := "./cmd/" + name
		steps = append(steps, goStep(name, name+" "+Version,
			[]goProgram{{Module: ".", Package: dir, Output: "out/" + name}}, Packages(dir)))
	}
	return steps
}

// componentImages maps a component's name in the catalogue to its image.
func componentImages() map[string]string {
	names := map[string]string{}
	for _, spec := range imageSpecs() {
		names[spec.Name] = spec.Name
	}
	return names
}

// imageSpecs are the images of which every version of Kubernetes has the same.
func imageSpecs() []imageSpec {
	single := func(name, tag, step, binary string) imageSpec {
		place := "usr/local/bin/" + binary
		return imageSpec{
			Name: name, Tag: tag, Title: name, Needs: []string{step},
			Binaries: map[string]string{place: "out/" + binary}, Entrypoint: "/" + place,
		}
	}
	etcd := single("etcd", "", "etcd", "etcd")
	etcd.Version = etcdVersion
	etcd.Binaries["usr/local/bin/etcdctl"] = "out/etcdctl"
	node := single("berth-node", "", "berth-node", "berth-node")
	node.Nft = true
	return []imageSpec{
		{
			Name: "pause", Tag: "3.10", Title: "pause", Needs: []string{"pause"},
			Binaries: map[string]string{"pause": "out/pause"}, Entrypoint: "/pause", Bare: true,
		},
		etcd,
		single("etcd-snapshot", "", "etcd", "etcd-snapshot"),
		single("coredns", "v1.15.0", "coredns", "coredns"),
		single("konnectivity-server", "v0.36.0", "konnectivity", "proxy-server"),
		single("konnectivity-agent", "v0.36.0", "konnectivity", "proxy-agent"),
		single("metrics-server", "v0.9.0", "metrics-server", "metrics-server"),
		single("berth", "", "berth", "berth"),
		node,
		single("demo", "", "berth-demo", "berth-demo"),
	}
}

func imageSteps(made []kubernetes) []Step {
	var steps []Step
	for _, k := range made {
		steps = append(steps, imageStep(kubeSpec(k)))
	}
	for _, spec := range imageSpecs() {
		steps = append(steps, imageStep(spec))
	}
	return steps
}

// nodeSteps make what machines start from. Versions that were added neither give the
// node image a new name, which would make every pool's nodes out of date, nor are
// baked into the management machine, which would have to be started again: it pulls
// them from Berth's registry.
func nodeSteps(now func() time.Time, made []kubernetes) []Step {
	var runtimeNeeds, all, images []string
	for _, name := range runtimeImages {
		runtimeNeeds = append(runtimeNeeds, "image-"+name)
	}
	runtimeNeeds = append(runtimeNeeds, "containerd", "runc", "cni")
	versionNeeds := append(slices.Clone(runtimeNeeds), "rootfs", "berth-node", "image-berth-node")
	for _, k := range versions() {
		versionNeeds = append(versionNeeds, "kube-"+k.name(), "image-"+kubeImage(k.name()))
		images = append(images, "image-"+kubeImage(k.name()))
	}
	var addedNeeds []string
	for _, spec := range imageSpecs() {
		images = append(images, spec.step())
	}
	steps := []Step{
		nodeVersionStep(versionNeeds, now),
		layerStep("node-debian", "node image: Debian", debianTree, debianLayer, "rootfs"),
		runtimeStep(runtimeNeeds),
	}
	for _, k := range made {
		spec := k.node()
		kube := "image-" + kubeImage(k.name())
		steps = append(steps, kubeLayerStep(spec, "kube-"+k.name(), kube),
			bakeStep(k.name(), append([]string{kube, "image-berth-node"}, runtimeNeeds...)))
		spec.Needs = []string{"node-version", "node-debian", "node-runtime", spec.kubeStep(), "bake-" + k.name(), "berth-node", "image-berth-node"}
		steps = append(steps, nodeStep(spec))
		if k.OnDemand {
			addedNeeds = append(addedNeeds, spec.step(), kube)
			continue
		}
		all = append(all, spec.step())
	}
	management := managementStep(versions(), append(append(slices.Clone(all), images...), "containerd"))
	return append(steps, management, publishStep(made, componentImages(), slices.Concat(all, images, addedNeeds, []string{management.Name, "berth"})))
}
