package harness

import "strings"

// InMachines runs a command in the machines of nodes; what comes after a node's name and
// a space is left out.
func (e *Env) InMachines(nodes []string, command ...string) {
	e.T.Helper()
	for _, line := range nodes {
		node, _, _ := strings.Cut(line, " ")
		namespace := strings.TrimSpace(e.Management("get", "pods", "-A", "--field-selector=metadata.name="+node, "-o", "jsonpath={.items[0].metadata.namespace}"))
		e.Management(append([]string{"-n", namespace, "exec", node, "--"}, command...)...)
	}
}

// BreakKubelet damages a file without which a node's kubelet does not start, and ends the
// kubelet: its init starts it again in vain (E3), a reboot keeps the file, and only a
// fresh disk mends the node.
func (e *Env) BreakKubelet(node string) {
	e.T.Helper()
	e.InMachines([]string{node}, "sh", "-c", `echo '{' > /var/lib/kubelet/allocated_pods_state
for p in /proc/[0-9]*; do
  if tr '\0' ' ' < $p/cmdline | grep -q 'kubelet.*--hostname[-]override'; then kill -9 ${p#/proc/}; fi
done 2>/dev/null
true`)
}
