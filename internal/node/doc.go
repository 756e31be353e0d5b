// Package node is PID 1 of a machine: it turns a root file system and one JSON file into a running Kubernetes node.
//
// The same init serves both kinds of machine. In the management machine somebody else (internal/host) has already made
// the namespaces; in an agent machine it is the entrypoint of a privileged pod and makes its own cgroup and mount
// namespaces first. After that both are alike: a boot is a short ordered list of steps (boot.go), then containerd and
// the kubelet run under a supervisor until SIGTERM.
package node
