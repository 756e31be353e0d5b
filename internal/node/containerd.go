package node

import (
	"bytes"
	"text/template"
)

const (
	containerdConfigPath = "/etc/containerd/config.toml"
	// registryHost is the name that Berth's own images carry; it is mapped, never resolved.
	registryHost = "registry.berth.internal"
	certsDir     = "/etc/containerd/certs.d"
	pauseImage   = registryHost + "/berth/pause:3.10"
)

const containerdTemplate = `version = 4
root = '/var/lib/containerd'
state = '/run/containerd'
{{- if .MayRaisePriority}}
oom_score = -999
{{- end}}
disabled_plugins = [
  'io.containerd.internal.v1.tracing',
  'io.containerd.tracing.processor.v1.otlp',
  'io.containerd.nri.v1.nri',
]

[plugins.'io.containerd.cri.v1.images']
stats_collect_period = 60

[plugins.'io.containerd.cri.v1.images'.pinned_images]
sandbox = '{{.Pause}}'

[plugins.'io.containerd.cri.v1.images'.registry]
config_path = '{{.CertsDir}}'

[plugins.'io.containerd.cri.v1.runtime']
stats_collect_period = '10s'
restrict_oom_score_adj = {{not .MayRaisePriority}}

[plugins.'io.containerd.server.v1.grpc']
address = '{{.Socket}}'

[plugins.'io.containerd.cri.v1.runtime'.cni]
bin_dirs = ['/opt/cni/bin']
conf_dir = '/etc/cni/net.d'

[plugins.'io.containerd.cri.v1.runtime'.containerd]
default_runtime_name = 'runc'

[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc]
runtime_type = 'io.containerd.runc.v2'

[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc.options]
SystemdCgroup = false
`

const hostsTemplate = `server = "{{.Address}}"

[host."{{.Address}}"]
capabilities = ["pull", "resolve"]
{{- if .CAFile}}
ca = "{{.CAFile}}"
{{- end}}
`

// renderContainerd is containerd's configuration.
func renderContainerd(f facts) ([]byte, error) {
	return render(containerdTemplate, struct {
		facts
		Socket, Pause, CertsDir string
	}{f, containerdSocket, pauseImage, certsDir})
}

// renderRegistryHosts tells containerd where images of registry.berth.internal come from.
func renderRegistryHosts(r Registry) ([]byte, error) {
	return render(hostsTemplate, r)
}

func render(text string, data any) ([]byte, error) {
	t, err := template.New("").Parse(text)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	err = t.Execute(&out, data)
	return out.Bytes(), err
}
