package host

import (
	"os"
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
	if err := connect("berth-two", os.Getpid()); err == nil {
		t.Error("another one has it replaced")
	}
	if err := disconnect("berth-one"); err != nil || there() {
		t.Errorf("its owner has not (%v)", err)
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
