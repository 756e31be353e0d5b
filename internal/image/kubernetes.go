package image

import "slices"

// kubernetes is a version of Kubernetes that a build makes.
type kubernetes struct {
	// Minor names its module in kube/, Version is what it is built from.
	Minor, Version string
	// Default marks the version of the management machine.
	Default bool
	// OnDemand is made only after it was added.
	OnDemand bool
	// Earlier is a patch that the module's go.mod has left behind: VERSION.mod and
	// VERSION.sum beside it require it. It is made on demand.
	Earlier bool
}

// knownVersions is every version that can be built, newest first. Where a minor's
// newest patch moves on, the one before stays as an earlier one: clusters run it.
var knownVersions = []kubernetes{
	{Minor: "1.37", Version: "1.37.2"},
	{Minor: "1.36", Version: "1.36.3", Default: true},
	{Minor: "1.36", Version: "1.36.1", OnDemand: true, Earlier: true},
	{Minor: "1.35", Version: "1.35.4", OnDemand: true},
}

// versions are what a build makes: those of every build, and those that were added.
func versions(added ...string) []kubernetes {
	return slices.DeleteFunc(slices.Clone(knownVersions), func(k kubernetes) bool {
		return k.OnDemand && !slices.Contains(added, k.Version)
	})
}

// name is what its steps and outputs are called by: the minor's newest patch has
// the minor's name.
func (k kubernetes) name() string {
	if k.Earlier {
		return k.Version
	}
	return k.Minor
}

func (k kubernetes) node() nodeSpec { return nodeSpec{Name: k.name(), Version: k.Version} }

// program is the multi-call binary of all that Kubernetes consists of.
func (k kubernetes) program() goProgram {
	p := goProgram{
		Module: "kube/" + k.Minor, Package: ".", Output: "out/kube-" + k.name(),
		Variables: "k8s.io/component-base/version.gitVersion=v" + k.Version,
	}
	if k.Earlier {
		p.Modfile = k.Version + ".mod"
	}
	return p
}

// sources are the files of its module; those of other patches are none of it.
func (k kubernetes) sources() Input {
	dir, requires := "kube/"+k.Minor+"/", "go"
	if k.Earlier {
		requires = k.Version
	}
	return Files(dir+"main.go", dir+requires+".mod", dir+requires+".sum")
}

func kubeSteps(made []kubernetes) []Step {
	var steps []Step
	for _, k := range made {
		steps = append(steps, goStep("kube-"+k.name(), "Kubernetes "+k.Version, []goProgram{k.program()},
			k.sources(), Sources("kube/multicall"), Sources("kube/multicall/redial")))
	}
	return steps
}

// kubeSpec is the multi-call image of a version. All share one repository.
func kubeSpec(k kubernetes) imageSpec {
	spec := imageSpec{
		Name: kubeImage(k.name()), Repository: "kube", Tag: "v" + k.Version, Title: "kube " + k.Version,
		Needs: []string{"kube-" + k.name()}, Entrypoint: "/usr/local/bin/kube", Nft: true,
		Binaries: map[string]string{"usr/local/bin/kube": "out/kube-" + k.name()}, Links: map[string]string{},
	}
	for _, name := range []string{"kube-apiserver", "kube-controller-manager", "kube-scheduler", "kube-proxy", "kubelet", "kubectl", "control-plane"} {
		spec.Links["usr/local/bin/"+name] = "kube"
	}
	return spec
}
