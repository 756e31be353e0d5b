package node

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"berth.dev/berth/internal/node/supervise"
)

const (
	// A node that patches itself does so daily from about patchHour UTC on (AKS:
	// auto-upgrade-node-os-image, Unmanaged), each at its own minute within patchSpread:
	// they share mirrors.
	patchHour   = 6
	patchSpread = time.Hour
	// A boot begins with the image's files. Patches that it took away come again within
	// patchSpread/bootFraction.
	bootFraction = 12
	// patchLook bounds how late a clock that was set is noticed.
	patchLook = 10 * time.Minute
	// tellTries is how often an event is told, loginAgain apart.
	tellTries = 60
	// namedPackages is how many packages an event names.
	namedPackages = 10
)

const (
	// patchMark says that the node has patched itself. It outlives a boot as the kubelet's
	// directory does, and goes with it when the node is reimaged.
	patchMark = "/var/lib/kubelet/.berth-patched"
	// dpkgStatus has the installed packages.
	dpkgStatus = "/var/lib/dpkg/status"
	// servicePolicy keeps packages from starting services: those of a machine are its
	// init's, and an init script sets parameters of the host's kernel.
	servicePolicy     = "/usr/sbin/policy-rc.d"
	servicePolicyText = "#!/bin/sh\n# Packages start no services in a machine.\nexit 101\n"
)

// The reasons of the events.
const (
	patchedReason = "NodePatched"
	patchFailed   = "NodePatchFailed"
)

// nextPatch is the first time after now at which a node whose delay is given patches itself.
func nextPatch(now time.Time, delay time.Duration) time.Time {
	day := now.UTC()
	at := time.Date(day.Year(), day.Month(), day.Day()-1, patchHour, 0, 0, 0, time.UTC).Add(delay)
	for !at.After(now) {
		at = at.AddDate(0, 0, 1)
	}
	return at
}

// firstPatch is nextPatch after a boot, of a node that had patched itself before or not.
func firstPatch(now time.Time, delay time.Duration, before bool) time.Time {
	next := nextPatch(now, delay)
	if before {
		return earlier(next, now.Add(delay/bootFraction))
	}
	return next
}

// patchDelay is a node's own part of patchSpread, the same each day.
func patchDelay(c Config) time.Duration {
	id := machineID(c)
	return time.Duration(binary.BigEndian.Uint32(id[:4])) * time.Second % patchSpread
}

// packages are the versions of installed packages, by name and architecture.
type packages map[string]string

// parsePackages reads dpkg's list.
func parsePackages(status string) packages {
	found := packages{}
	for stanza := range strings.SplitSeq(status, "\n\n") {
		fields := map[string]string{}
		for line := range strings.Lines(stanza) {
			if name, value, is := strings.Cut(line, ":"); is && !strings.HasPrefix(line, " ") {
				fields[name] = strings.TrimSpace(value)
			}
		}
		if fields["Package"] != "" && strings.HasSuffix(fields["Status"], " installed") {
			found[fields["Package"]+":"+fields["Architecture"]] = fields["Version"]
		}
	}
	return found
}

// newer says of each package that has another version later which one it had and has, in order.
func (p packages) newer(later packages) []string {
	var changed []string
	for _, name := range slices.Sorted(maps.Keys(later)) {
		if has, had := later[name], p[name]; has != had {
			short, _, _ := strings.Cut(name, ":")
			changed = append(changed, strings.Join(strings.Fields(short+" "+had+" to "+has), " "))
		}
	}
	return changed
}

// patchNews is what is told of an attempt; empty where there is nothing to tell.
func patchNews(changed []string, failure error, at time.Time) nodeNews {
	what := fmt.Sprintf("%d packages of the node's operating system are newer: %s", len(changed), strings.Join(changed[:min(len(changed), namedPackages)], ", "))
	if more := len(changed) - namedPackages; more > 0 {
		what += fmt.Sprintf(" and %d more", more)
	}
	switch {
	case failure != nil && len(changed) > 0:
		return nodeNews{at, patchFailed, fmt.Sprintf("%v; %s; it is tried again tomorrow", failure, what), true}
	case failure != nil:
		return nodeNews{at, patchFailed, fmt.Sprintf("%v; it is tried again tomorrow", failure), true}
	case len(changed) > 0:
		return nodeNews{at, patchedReason, what + "; what runs already uses them when it is started again", false}
	}
	return nodeNews{}
}

// preparePatching is the part of a boot for a node that patches itself.
func (m *machine) preparePatching() error {
	if !m.config.PatchesItself {
		return nil
	}
	if _, err := os.Stat(servicePolicy); err == nil {
		return nil
	}
	return writeFile(servicePolicy, []byte(servicePolicyText), 0o755)
}

// watchPatches patches the machine day by day until stop is called.
func (m *machine) watchPatches(reaper *supervise.Reaper) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	p := newPatcher(m.lines, reaper)
	var running sync.WaitGroup
	_, err := os.Stat(p.mark)
	running.Go(func() { patchDaily(ctx, patchDelay(m.config), err == nil, func() { m.patchOnce(ctx, p) }) })
	return func() {
		cancel()
		running.Wait()
	}
}

// patchDaily calls patch at a node's time of each day until ctx is done, and soon after a
// boot of a node that had patched itself before.
func patchDaily(ctx context.Context, delay time.Duration, before bool, patch func()) {
	due := firstPatch(time.Now(), delay, before)
	every(ctx, min(patchLook, time.Until(due)), func() time.Duration {
		if now := time.Now(); now.Before(due) {
			// A clock that was put back must not keep patches away.
			due = earlier(due, nextPatch(now, delay))
			return min(patchLook, time.Until(due))
		}
		patch()
		due = nextPatch(time.Now(), delay)
		return min(patchLook, time.Until(due))
	})
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// patchOnce patches the machine, and tells of it. A node that cannot patch itself goes on
// as it is.
func (m *machine) patchOnce(ctx context.Context, p *patcher) {
	m.lines.Printf("init", "the node patches itself")
	changed, err := p.patch(ctx)
	if ctx.Err() != nil {
		return
	}
	news := patchNews(changed, err, time.Now())
	if news.reason == "" {
		m.lines.Printf("init", "no package of the node's operating system has a newer version")
		return
	}
	m.lines.Printf("init", "%s: %s", news.reason, news.message)
	if len(changed) > 0 {
		if err := os.WriteFile(p.mark, []byte(news.at.UTC().Format(time.RFC3339)+"\n"), 0o644); err != nil {
			m.lines.Printf("init", "note that the node has patched itself: %v", err)
		}
	}
	m.tell(ctx, news)
}

// tell tells of the machine as an event on its Node, until it is heard or nobody listens.
func (m *machine) tell(ctx context.Context, news nodeNews) {
	name := m.config.NodeName + "." + strings.ToLower(rand.Text())
	for range tellTries {
		if reportEvent(ctx, m.config, name, news) == nil {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(loginAgain):
		}
	}
}
