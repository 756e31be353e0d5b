package host

import (
	"bytes"
	"os"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"
)

// The link of a Berth that is up is not taken from it by what is done to another state directory.
func TestLinkIsItsOwners(t *testing.T) {
	if !isolate(t) {
		return
	}
	there := func() bool {
		_, err := netlink.LinkByName(LinkDevice)
		return err == nil
	}
	if err := connect("berth-one", os.Getpid()); err != nil {
		t.Fatal(err)
	}
	if err := disconnect("berth-two"); err != nil || !there() {
		t.Errorf("another one has it removed (%v)", err)
	}
	// It is told whose it is and what to do, also where the directory of that name was moved.
	told := func(err error) {
		t.Helper()
		for _, part := range []string{"link berth0 is that of berth-one", "not of this state directory (berth-two)", "berth down --state-dir DIR", "ip link delete berth0"} {
			if err == nil || !strings.Contains(err.Error(), part) {
				t.Errorf("%v does not say %q", err, part)
			}
		}
	}
	told(connect("berth-two", os.Getpid()))
	told(checkLink("berth-two"))
	two := Paths{State: t.TempDir()}
	if err := two.create(); err != nil {
		t.Fatal(err)
	}
	var output bytes.Buffer
	if err := Down(t.Context(), DownOptions{StateDir: two.State, Out: &output}); err != nil || !there() {
		t.Errorf("down of another one removes it (%v)", err)
	}
	if want := "link berth0 stays: it is that of berth-one"; !strings.Contains(output.String(), want) {
		t.Errorf("down says %q, and not %q", output.String(), want)
	}
	if err := disconnect("berth-one"); err != nil || there() {
		t.Errorf("its owner has not (%v)", err)
	}
	if err := checkLink("berth-two"); err != nil {
		t.Errorf("without one it says %v", err)
	}
	// That of an earlier build says nothing.
	attributes := netlink.NewLinkAttrs()
	attributes.Name = LinkDevice
	if err := netlink.LinkAdd(&netlink.Veth{LinkAttrs: attributes, PeerName: machineDevice}); err != nil {
		t.Fatal(err)
	}
	if err := disconnect("berth-one"); err != nil || there() {
		t.Errorf("one that says nothing stays (%v)", err)
	}
}
