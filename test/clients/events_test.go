package clients

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"berth.dev/berth/internal/arm/armtest"
)

// TestPythonEventSubscription has Azure's SDK for Python, which az is made of, send events to a
// webhook. The commands of az itself do not load with the SDK that Debian 12 has beside it.
func TestPythonEventSubscription(t *testing.T) {
	const python = "/usr/bin/python3"
	if err := exec.CommandContext(t.Context(), python, "-c", "import azure.mgmt.eventgrid").Run(); err != nil {
		t.Skip("Azure's SDK for Python is not installed: apt-get install python3-azure")
	}
	w := armtest.New(t)
	w.Run(t)
	a := newAz(t, w)
	a.register(t, w)
	a.login(t)
	a.run(t, "group create -n rg1 -l westus2", nil)
	a.run(t, "aks create -g rg1 -n c1 --no-ssh-key --node-count 1", nil)
	command := exec.CommandContext(t.Context(), python, "python/events.py", w.Server.URL, armtest.Subscription, w.Server.URL+armtest.Hook)
	command.Env = append(os.Environ(), "REQUESTS_CA_BUNDLE="+w.CAFile, "PYTHONWARNINGS=ignore")
	command.Stdin = strings.NewReader(w.Token(t, armtest.ClientID) + "\n")
	if out, err := command.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}
