package addon

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

const (
	agentName       = "konnectivity-agent"
	agentHealthPort = 8134
	agentAdminPort  = 8133
	agentTokens     = "/var/run/secrets/tokens"
	// agentTokenLife is how long a token is valid, in seconds; the kubelet renews it.
	agentTokenLife = 3600
)

// konnectivityAgent renders the nodes' end of the tunnel that the API server
// reaches kubelets, pods and webhooks through (E3). It uses the node's own
// network, so that logs and exec work where the pods' network does not, or is the
// customer's to bring (D7).
func konnectivityAgent(in Input) []client.Object {
	return []client.Object{
		serviceAccount(agentName, agentName),
		deployment(agentName, agentName, in.replicas(), agentPod(in)),
		disruption(agentName, agentName),
	}
}

func agentPod(in Input) corev1.PodSpec {
	return corev1.PodSpec{
		ServiceAccountName: agentName,
		HostNetwork:        true,
		DNSPolicy:          corev1.DNSDefault,
		Tolerations:        []corev1.Toleration{notReady()},
		Containers: []corev1.Container{{
			Name:            agentName,
			Image:           in.Images.KonnectivityAgent,
			ImagePullPolicy: corev1.PullIfNotPresent,
			Args: []string{
				"--proxy-server-host=" + in.ControlPlaneAddress,
				fmt.Sprintf("--proxy-server-port=%d", konnectivityPort),
				"--ca-cert=/var/run/secrets/kubernetes.io/serviceaccount/ca.crt",
				"--service-account-token-path=" + agentTokens + "/" + agentName,
				"--health-server-host=127.0.0.1",
				fmt.Sprintf("--health-server-port=%d", agentHealthPort),
				"--admin-bind-address=127.0.0.1",
				fmt.Sprintf("--admin-server-port=%d", agentAdminPort),
				"--sync-interval=1s",
				"--sync-interval-cap=10s",
				"--probe-interval=5s",
				"--keepalive-time=30s",
			},
			Env:             []corev1.EnvVar{{Name: "GOGC", Value: "50"}},
			Resources:       resources("5m", "16Mi", "128Mi"),
			SecurityContext: locked(),
			LivenessProbe:   loopbackProbe(agentHealthPort),
			VolumeMounts:    []corev1.VolumeMount{{Name: "token", MountPath: agentTokens, ReadOnly: true}},
		}},
		Volumes: []corev1.Volume{{Name: "token", VolumeSource: corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{
			Sources: []corev1.VolumeProjection{{ServiceAccountToken: &corev1.ServiceAccountTokenProjection{
				Audience: konnectivityAudience, ExpirationSeconds: ptr(int64(agentTokenLife)), Path: agentName,
			}}},
		}}}},
	}
}

// loopbackProbe asks a pod on the node's network at a port that others cannot reach.
func loopbackProbe(port int32) *corev1.Probe {
	probe := httpProbe("/healthz", port, 15)
	probe.HTTPGet.Host = "127.0.0.1"
	return probe
}
