package node

import (
	"context"
	"crypto/rand"
	"fmt"
	"regexp"
	"strings"
	"sync"
	"time"
)

const (
	// maxLogins is how many logins wait to be told; more are in the machine's log alone.
	maxLogins = 32
	// betweenLogins keeps whoever logs in again and again from filling the cluster's etcd.
	betweenLogins = time.Second
	// loginAgain is how soon a login is told again that could not be told.
	loginAgain = 5 * time.Second
	// loginReason is the reason of the event.
	loginReason = "NodeLogin"
)

// loginLine is how dropbear tells that somebody is in: with its process, the time, and
// nothing before it that a client may choose.
var loginLine = regexp.MustCompile(`^\[\d+\] \w{3} [ \d]\d \d\d:\d\d:\d\d Pubkey auth succeeded for '([^']*)' with (\S+) key (\S+) from (\S+)$`)

// login is somebody who logged in to the machine over SSH (I1).
type login struct {
	user, kind, key, from string
	at                    time.Time
}

// loginOf reads a line of the SSH server.
func loginOf(line, administrator string, now time.Time) (login, bool) {
	said := loginLine.FindStringSubmatch(line)
	if said == nil || said[1] != administrator {
		return login{}, false
	}
	return login{user: said[1], kind: said[2], key: said[3], from: said[4], at: now}, true
}

// watchLogins tells of each login, as an event on the machine's Node, until stop is called.
// The machine's init does: whoever logs in cannot keep it from that.
func (m *machine) watchLogins() (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	waiting := make(chan login, maxLogins)
	m.lines.Hear(sshService, func(line string) {
		if found, is := loginOf(line, m.config.AdminUsername, time.Now()); is {
			select {
			case waiting <- found:
			default: // the line itself is in the log
			}
		}
	})
	var running sync.WaitGroup
	running.Go(func() { m.tellLogins(ctx, waiting, loginAgain) })
	return func() {
		cancel()
		running.Wait()
	}
}

// tellLogins tells those that wait, one after the other, each until it is heard.
func (m *machine) tellLogins(ctx context.Context, waiting <-chan login, again time.Duration) {
	for {
		select {
		case <-ctx.Done():
			return
		case next := <-waiting:
			name := m.config.NodeName + "." + strings.ToLower(rand.Text())
			for wait := again; wait == again && ctx.Err() == nil; {
				err := reportLogin(ctx, m.config, name, next)
				if err == nil {
					wait = betweenLogins
				}
				select {
				case <-ctx.Done():
				case <-time.After(wait):
				}
			}
		}
	}
}

// reportLogin writes the event.
func reportLogin(ctx context.Context, config Config, name string, of login) error {
	return reportEvent(ctx, config, name, nodeNews{at: of.at, reason: loginReason, warning: true,
		message: fmt.Sprintf("%s logged in over SSH from %s with the key %s %s (support policy I1)", of.user, of.from, of.kind, of.key)})
}
