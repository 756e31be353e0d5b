package host

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"strings"
	"time"
)

// MachineName is the name of the management cluster's only node.
const MachineName = "berth-management"

// DefaultLocation is where clusters are when `berth up` is told nothing else.
const DefaultLocation = "westus2"

// UserName is the user that `berth up` makes beside the application: the name that
// `az login -u` takes. Its password is in the state directory.
const UserName = "admin@berth.internal"

// Instance is what is drawn once for a state directory and stays.
type Instance struct {
	// ID names this Berth; the others are the GUIDs that clients log in with.
	ID             string `json:"id"`
	TenantID       string `json:"tenantID"`
	ClientID       string `json:"clientID"`
	SubscriptionID string `json:"subscriptionID"`
	// Locations that clusters can be in; the first is the default.
	Locations []string  `json:"locations"`
	Created   time.Time `json:"created"`
}

// machineID is the form of ID that /etc/machine-id takes.
func (i Instance) machineID() string { return strings.ReplaceAll(i.ID, "-", "") }

func newInstance(now time.Time) Instance {
	return Instance{
		ID: newGUID(), TenantID: newGUID(), ClientID: newGUID(), SubscriptionID: newGUID(),
		Locations: []string{DefaultLocation}, Created: now.UTC(),
	}
}

// loadInstance reads the instance of a state directory in which Berth was once up.
func loadInstance(paths Paths) (Instance, error) {
	var instance Instance
	found, err := readJSON(paths.instance(), &instance)
	if err == nil && !found {
		err = fmt.Errorf("no Berth in %s: run \"berth up\" first", paths.State)
	}
	return instance, err
}

// ensureInstance draws the instance at the first up. Locations given later
// replace the ones from before.
func ensureInstance(paths Paths, locations []string, now time.Time) (Instance, error) {
	var instance Instance
	found, err := readJSON(paths.instance(), &instance)
	if err != nil {
		return instance, err
	}
	if !found {
		instance = newInstance(now)
	}
	if found && len(locations) == 0 {
		return instance, nil
	}
	if len(locations) > 0 {
		instance.Locations = locations
	}
	return instance, writeJSON(paths.instance(), instance)
}

// newGUID draws a random GUID (version 4) in lower case.
func newGUID() string {
	var b [16]byte
	// crypto/rand never fails; it ends the process instead.
	_, _ = rand.Read(b[:])
	b[6] = b[6]&0x0f | 0x40
	b[8] = b[8]&0x3f | 0x80
	h := hex.EncodeToString(b[:])
	return strings.Join([]string{h[:8], h[8:12], h[12:16], h[16:20], h[20:]}, "-")
}
