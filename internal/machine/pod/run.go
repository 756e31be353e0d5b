package pod

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/remotecommand"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/machine"
)

const (
	// runSlack is what a machine gets beside a script's own time: to wait for its boot and for
	// a patch of its own that is being installed, and to report a script that it has ended itself.
	runSlack = time.Minute + 2*time.Minute + 30*time.Second
	// runOutput bounds what is read of a machine's answer.
	runOutput = 1 << 20
)

// runArgs is the program in a machine that runs a script: it reads a machine.Command and
// writes a machine.Result, both as JSON.
var runArgs = []string{"/usr/local/bin/berth-node", "run-command"}

// Run implements machine.Provider.
func (p *Provider) Run(ctx context.Context, ref machine.Ref, command machine.Command) (machine.Result, error) {
	var result machine.Result
	pod := &corev1.Pod{}
	key := client.ObjectKey{Namespace: v1beta1.MachineNamespace(ref.ClusterID), Name: ref.Name}
	if err := p.reader.Get(ctx, key, pod); err != nil {
		return result, fmt.Errorf("read pod of machine %s: %w", ref.Name, err)
	}
	if seen := observe(pod); seen.State != machine.Running {
		return result, fmt.Errorf("machine %s does not run: it is %s", ref.Name, seen.State)
	}
	if p.options.Config == nil {
		return result, errors.New("no script is run in machines here")
	}
	input, err := json.Marshal(command)
	if err != nil {
		return result, fmt.Errorf("write command: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, command.Timeout+runSlack)
	defer cancel()
	stdout, stderr := &bounded{left: runOutput}, &bounded{left: runOutput}
	err = p.exec(ctx, ref, remotecommand.StreamOptions{Stdin: bytes.NewReader(input), Stdout: stdout, Stderr: stderr})
	if err != nil {
		return result, fmt.Errorf("run a script in machine %s: %w: %s", ref.Name, err, bytes.TrimSpace(stderr.Bytes()))
	}
	if err := json.Unmarshal(stdout.Bytes(), &result); err != nil {
		return result, fmt.Errorf("machine %s does not say what came of a script: %w", ref.Name, err)
	}
	return result, nil
}

func (p *Provider) exec(ctx context.Context, ref machine.Ref, streams remotecommand.StreamOptions) error {
	config := rest.CopyConfig(p.options.Config)
	config.GroupVersion, config.APIPath = &corev1.SchemeGroupVersion, "/api"
	config.NegotiatedSerializer = scheme.Codecs.WithoutConversion()
	made, err := rest.RESTClientFor(config)
	if err != nil {
		return fmt.Errorf("make client: %w", err)
	}
	url := made.Post().Namespace(v1beta1.MachineNamespace(ref.ClusterID)).Resource("pods").Name(ref.Name).SubResource("exec").
		VersionedParams(&corev1.PodExecOptions{Container: ContainerName, Command: runArgs, Stdin: true, Stdout: true, Stderr: true}, scheme.ParameterCodec).URL()
	executor, err := remotecommand.NewWebSocketExecutor(config, "GET", url.String())
	if err != nil {
		return fmt.Errorf("make stream: %w", err)
	}
	return executor.StreamWithContext(ctx, streams)
}

// bounded keeps the beginning of what is written to it.
type bounded struct {
	bytes.Buffer
	left int
}

func (b *bounded) Write(text []byte) (int, error) {
	kept := text[:min(len(text), b.left)]
	b.left -= len(kept)
	_, _ = b.Buffer.Write(kept) // a buffer has no errors
	return len(text), nil
}
