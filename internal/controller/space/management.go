package space

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"math"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/backup"
	"berth.dev/berth/internal/etcd"
	"berth.dev/berth/internal/policy"
)

// managementKey is the management cluster's place in the metrics. No managed cluster is
// without a namespace.
var managementKey = client.ObjectKey{Name: v1beta1.ManagementClusterName}

// management keeps room in the management cluster's own etcd. While that is full nothing is
// written down, not even who the leader is: it runs in every process, and remembers by itself
// how far it is. Who begins anew repeats what was done, which changes nothing. Before it is full
// that is the leader's, who knows what is read from it.
type management struct {
	*reconciler
	// elected is closed when this process leads, and records.
	elected <-chan struct{}
	last    *v1beta1.EtcdCleaning
	// full is when it was first seen that etcd takes no writes; zero while it does.
	full time.Time
}

// NeedLeaderElection implements manager.LeaderElectionRunnable.
func (*management) NeedLeaderElection() bool { return false }

// Start implements manager.Runnable.
func (m *management) Start(ctx context.Context) error {
	ctx = log.IntoContext(ctx, log.FromContext(ctx).WithName("space").WithValues("etcd", managementKey.Name))
	for wait := time.Duration(0); ; {
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(wait):
		}
		var err error
		if wait, err = m.look(ctx); err != nil && ctx.Err() == nil {
			log.FromContext(ctx).Error(err, "room in etcd")
			wait = lookEvery
		}
	}
}

// look makes one step, and says after what time the next may be due. Somebody else's
// management cluster has somebody else's etcd.
func (m *management) look(ctx context.Context) (time.Duration, error) {
	var own v1beta1.ManagementCluster
	err := m.reader.Get(ctx, managementKey, &own)
	var access corev1.Secret
	if err == nil {
		err = m.reader.Get(ctx, client.ObjectKey{Namespace: v1beta1.SystemNamespace, Name: v1beta1.ManagementBackupSecret}, &access)
	}
	if apierrors.IsNotFound(err) {
		return lookEvery, nil
	}
	if err != nil {
		return 0, fmt.Errorf("read the management cluster: %w", err)
	}
	target, err := managementTarget(&access)
	if err != nil {
		return 0, err
	}
	w := policy.EtcdSpace{Now: m.Now(), Last: m.last.DeepCopy(), Busy: !m.leads()}
	answers := m.ask(ctx, managementKey, target, &w)
	if !answers && !w.Last.UnderWay() {
		return lookSoon, nil
	}
	if answers && m.madeElsewhere(w) {
		w.Last, m.last = nil, nil // the next time is another matter
	}
	backups := backup.ManagementID(string(access.Data[v1beta1.ManagementPublicKeyKey]))
	if answers {
		w.Reading = m.reading(backups, w)
	}
	if w.BackedUp, err = m.backedUp(ctx, &own); err != nil {
		return 0, err
	}
	return m.step(ctx, subject{
		target: target, backups: backups,
		keep: func(_ context.Context, w policy.EtcdSpace) error {
			m.last = w.Last
			return nil
		},
		ended: func(w policy.EtcdSpace) { m.ended(ctx, &own, w) },
	}, w)
}

// leads: this process is the leader, which alone records.
func (m *management) leads() bool {
	select {
	case <-m.elected:
		return true
	default:
		return false
	}
}

// madeElsewhere: etcd takes writes, and another process has made room.
func (m *management) madeElsewhere(w policy.EtcdSpace) bool {
	if w.NoSpace || w.Last == nil {
		return false
	}
	return w.Last.Result == v1beta1.EtcdFull || w.Last.UnderWay() && len(w.Last.Defragmented) == 0 && !m.leads()
}

// leaderGone is how long after the alarm was seen nobody leads any more who did then: twice as
// long as a lease lasts, which nobody can renew.
const leaderGone = 30 * time.Second

// reading is since when a full backup may be being read; zero if none is. What the leader reads
// another process does not know: to that one, one begins with the alarm, and ends with the
// leader.
func (m *management) reading(backups string, w policy.EtcdSpace) time.Time {
	switch {
	case !w.NoSpace:
		m.full = time.Time{}
	case m.full.IsZero():
		m.full = w.Now
	}
	switch {
	case m.leads():
		return m.Fulls.Since(backups)
	case w.Now.Sub(m.full) >= leaderGone:
		return time.Time{}
	default:
		return m.full
	}
}

// backedUp is up to where history may go. Where it was not enough to let go what the backups
// have, all of it may: there is no leader who makes more, and the first one makes a full backup.
func (m *management) backedUp(ctx context.Context, own *v1beta1.ManagementCluster) (int64, error) {
	if m.last != nil && m.last.Result == v1beta1.EtcdFull {
		return math.MaxInt64, nil
	}
	return m.reconciler.backedUp(ctx, v1beta1.ManagedClusterStatus{Backup: own.Status.Backup, Conditions: own.Status.Conditions})
}

// ended tells how an attempt ended. Of an etcd that is still full there is no event.
func (m *management) ended(ctx context.Context, own *v1beta1.ManagementCluster, w policy.EtcdSpace) {
	m.gauges.ended(managementKey, w.Last.Result)
	const mib = 1 << 20
	took := fmt.Sprintf("the management cluster's etcd took %d MiB and takes %d MiB", w.Last.Before/mib, w.Last.After/mib)
	switch {
	case w.Last.Result == v1beta1.EtcdFull:
		log.FromContext(ctx).Error(errors.New("the management cluster's etcd is full"), "delete objects of it")
	case w.Last.Result == v1beta1.EtcdCleaningFailed:
		log.FromContext(ctx).Error(errors.New("the management cluster's etcd does not answer in time"), "not defragmented")
	case w.Last.Reason == v1beta1.EtcdFragmented:
		m.events.Show(own, corev1.EventTypeNormal, "EtcdDefragmented", "MakeRoom", took)
	default:
		m.events.Show(own, corev1.EventTypeNormal, "EtcdHasSpace", "MakeRoom", "etcd was full and takes writes again: "+took)
	}
}

// managementTarget is how the management cluster's etcd is reached.
func managementTarget(access *corev1.Secret) (etcd.Target, error) {
	pair, err := tls.X509KeyPair(access.Data[corev1.TLSCertKey], access.Data[corev1.TLSPrivateKeyKey])
	if err != nil {
		return etcd.Target{}, errors.New("the certificate for the management cluster's etcd cannot be read") // its words might repeat the key
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(access.Data[corev1.ServiceAccountRootCAKey]) {
		return etcd.Target{}, errors.New("the authority of the management cluster's etcd cannot be read")
	}
	return etcd.Target{
		Endpoints: []string{string(access.Data[v1beta1.ManagementEndpointKey])},
		TLS:       &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots, Certificates: []tls.Certificate{pair}},
	}, nil
}
