// Command init stands in for a machine's init in the tests of package host: it
// writes down what it sees, answers on the ports that lead into a machine, and
// ends when told to.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"time"
)

func main() {
	if len(os.Args) > 1 && os.Args[1] == "sleep" {
		syscall.Pause()
		return
	}
	terminated := make(chan os.Signal, 1)
	signal.Notify(terminated, syscall.SIGTERM)
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	<-terminated
	_ = os.WriteFile("/var/log/terminated", nil, 0o600)
}

func run() error {
	child := exec.Command("/proc/self/exe", "sleep")
	if err := child.Start(); err != nil {
		return err
	}
	if err := os.MkdirAll("/sys/fs/cgroup/memory/kubepods/pod", 0o755); err != nil {
		_ = os.MkdirAll("/sys/fs/cgroup/kubepods/pod", 0o755)
	}
	for _, port := range []string{"30443", "30643"} {
		listener, err := net.Listen("tcp", ":"+port)
		if err != nil {
			return err
		}
		go serve(listener)
	}
	return report()
}

// serve answers each connection with its first line and the caller's address.
func serve(listener net.Listener) {
	for {
		connection, err := listener.Accept()
		if err != nil {
			return
		}
		go func() {
			defer connection.Close()
			line, _ := bufio.NewReader(connection).ReadString('?')
			fmt.Fprintf(connection, "%q from %s", line, connection.RemoteAddr())
		}()
	}
}

func report() error {
	host, _ := os.Hostname()
	mounts, _ := os.ReadFile("/proc/self/mountinfo")
	cgroups, _ := os.ReadFile("/proc/self/cgroup")
	resolv, _ := os.ReadFile("/etc/resolv.conf")
	addresses, _ := net.InterfaceAddrs()
	// The test listens there, as any of a host's own services might.
	toHost, hostError := net.DialTimeout("tcp", "100.66.0.1:4711", time.Second)
	if hostError == nil {
		toHost.Close()
	}
	seen := map[string]any{
		"hostError": errorText(hostError),
		"pid":       os.Getpid(), "hostname": host, "addresses": fmt.Sprint(addresses),
		"cgroups": strings.Fields(string(cgroups)), "mounts": strings.Split(strings.TrimSpace(string(mounts)), "\n"),
		"resolv": string(resolv), "environment": os.Environ(),
		"bakedError": errorText(os.WriteFile("/var/lib/berth/baked/x", nil, 0o600)),
		"rootError":  errorText(os.WriteFile("/x", nil, 0o600)),
	}
	raw, err := json.Marshal(seen)
	if err != nil {
		return err
	}
	if err := os.WriteFile("/var/log/seen.json.new", raw, 0o600); err != nil {
		return err
	}
	return os.Rename("/var/log/seen.json.new", "/var/log/seen.json")
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
