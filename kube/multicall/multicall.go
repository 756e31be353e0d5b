// Package multicall is every program of one Kubernetes minor in a single
// binary. The program is chosen by the name the binary is called by (a link
// named kubelet runs the kubelet) or else by the first argument.
//
// The minor itself is chosen by the module that imports this package: kube/1.36
// and kube/1.37 differ in nothing but the version of k8s.io/kubernetes that
// their go.mod requires.
package multicall

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strings"

	"github.com/spf13/cobra"
	"k8s.io/component-base/cli"
	_ "k8s.io/component-base/logs/json/register"
	_ "k8s.io/component-base/metrics/prometheus/clientgo"
	_ "k8s.io/component-base/metrics/prometheus/version"
	kubectl "k8s.io/kubectl/pkg/cmd"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	controllermanager "k8s.io/kubernetes/cmd/kube-controller-manager/app"
	proxy "k8s.io/kubernetes/cmd/kube-proxy/app"
	scheduler "k8s.io/kubernetes/cmd/kube-scheduler/app"
	kubelet "k8s.io/kubernetes/cmd/kubelet/app"

	_ "berth.dev/berth/kube/multicall/redial"
)

// programs maps a program's name to its command. Commands are made only when
// chosen: making two of them in one process registers two signal handlers.
var programs = map[string]func() *cobra.Command{
	"kube-apiserver":          apiserver.NewAPIServerCommand,
	"kube-controller-manager": controllermanager.NewControllerManagerCommand,
	"kube-scheduler":          func() *cobra.Command { return scheduler.NewSchedulerCommand() },
	"kube-proxy":              proxy.NewProxyCommand,
	"kubelet":                 func() *cobra.Command { return kubelet.NewKubeletCommand(context.Background()) },
	"kubectl":                 kubectl.NewDefaultKubectlCommand,
	"control-plane":           newControlPlaneCommand,
	"kubelet-join":            newKubeletJoinCommand,
}

// Main runs the chosen program and ends the process with its exit code.
func Main() {
	name, args := choose(os.Args)
	newCommand, ok := programs[name]
	if !ok {
		fmt.Fprintf(os.Stderr, "kube: no program %q; choose one of: %s\n", name, strings.Join(names(), ", "))
		os.Exit(2)
	}
	os.Args = append([]string{name}, args...)
	os.Exit(cli.Run(newCommand()))
}

// choose returns the program's name and its arguments.
func choose(argv []string) (string, []string) {
	called := filepath.Base(argv[0])
	if _, ok := programs[called]; ok {
		return called, argv[1:]
	}
	if len(argv) < 2 {
		return "", nil
	}
	return argv[1], argv[2:]
}

func names() []string {
	all := make([]string, 0, len(programs))
	for name := range programs {
		all = append(all, name)
	}
	sort.Strings(all)
	return all
}
