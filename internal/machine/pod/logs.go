package pod

import (
	"context"
	"errors"
	"fmt"
	"io"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/client-go/rest"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/machine"
)

const (
	// logLines is how many lines of a container's log are asked for, and logBytes the
	// most that is read of them.
	logLines = 20000
	logBytes = 16 << 20
)

// Logs implements machine.Provider: the log of the container before the last start,
// if there is one, and that of the container that runs.
func (p *Provider) Logs(ctx context.Context, ref machine.Ref, limit int) ([]byte, error) {
	if p.options.Config == nil {
		return nil, errors.New("logs of machines are not read here")
	}
	logs, err := logClient(p.options.Config)
	if err != nil {
		return nil, err
	}
	now, err := readLog(ctx, logs, ref, false)
	if before, beforeErr := readLog(ctx, logs, ref, true); beforeErr == nil {
		now = append(append(before, "---- started again ----\n"...), now...)
		err = nil
	}
	if err != nil {
		return nil, fmt.Errorf("read log of machine %s: %w", ref.Name, err)
	}
	return now[max(0, len(now)-limit):], nil
}

func logClient(config *rest.Config) (*rest.RESTClient, error) {
	scheme := runtime.NewScheme()
	if err := corev1.AddToScheme(scheme); err != nil {
		return nil, fmt.Errorf("make client of logs: %w", err)
	}
	own := rest.CopyConfig(config)
	own.GroupVersion, own.APIPath = &corev1.SchemeGroupVersion, "/api"
	own.NegotiatedSerializer = serializer.NewCodecFactory(scheme).WithoutConversion()
	client, err := rest.RESTClientFor(own)
	if err != nil {
		return nil, fmt.Errorf("make client of logs: %w", err)
	}
	return client, nil
}

func readLog(ctx context.Context, client *rest.RESTClient, ref machine.Ref, previous bool) ([]byte, error) {
	stream, err := client.Get().Namespace(v1beta1.MachineNamespace(ref.ClusterID)).Resource("pods").Name(ref.Name).SubResource("log").
		Param("container", ContainerName).Param("previous", fmt.Sprint(previous)).
		Param("tailLines", fmt.Sprint(logLines)).Param("limitBytes", fmt.Sprint(logBytes)).Stream(ctx)
	if err != nil {
		return nil, err
	}
	defer stream.Close()
	return io.ReadAll(io.LimitReader(stream, logBytes))
}
