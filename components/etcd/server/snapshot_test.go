package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"
	"go.etcd.io/etcd/client/pkg/v3/transport"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
)

// Whoever has a certificate for etcd gets all that it holds, and nobody else anything.
func TestSnapshotIsForEtcdsClients(t *testing.T) {
	own, err := transport.SelfCert(zap.NewNop(), t.TempDir(), []string{"127.0.0.1"}, 1, x509.ExtKeyUsageClientAuth)
	if err != nil {
		t.Fatal(err)
	}
	at := freeURL(t)
	at.Scheme = "https"
	ran, _ := program(t, at, []string{"--client-cert-auth", "--trusted-ca-file=" + own.CertFile, "--cert-file=" + own.CertFile, "--key-file=" + own.KeyFile})
	own.TrustedCAFile, own.ClientCertFile, own.ClientKeyFile = own.CertFile, own.CertFile, own.KeyFile
	access, err := own.ClientConfig()
	if err != nil {
		t.Fatal(err)
	}
	client, err := clientv3.New(clientv3.Config{Endpoints: []string{at.String()}, TLS: access, Logger: zap.NewNop(), DialTimeout: 20 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	const n = 300
	for i := range n {
		if _, err := client.Put(ran, fmt.Sprintf("/key/%d", i), strings.Repeat("x", 1000)); err != nil {
			t.Fatal(err)
		}
	}
	status, err := client.Status(ran, at.String())
	if err != nil {
		t.Fatal(err)
	}
	answer, err := reader(access).Get(at.String() + snapshotPath)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	database, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode != http.StatusOK || int64(len(database)) != answer.ContentLength {
		t.Fatalf("%s, %d bytes of %d: %v", answer.Status, len(database), answer.ContentLength, err)
	}
	if member := answer.Header.Get(memberHeader); member != fmt.Sprintf("%x", status.Header.MemberId) {
		t.Errorf("member %s, want %x", member, status.Header.MemberId)
	}
	if revision := answer.Header.Get(revisionHeader); revision != strconv.FormatInt(status.Header.Revision, 10) {
		t.Errorf("revision %s, want %d", revision, status.Header.Revision)
	}
	if held := heldBy(t, database); held != n {
		t.Errorf("%d revisions, want %d", held, n)
	}
	stranger := access.Clone()
	stranger.Certificates, stranger.GetClientCertificate = nil, nil
	if answer, err := reader(stranger).Get(at.String() + snapshotPath); err == nil {
		t.Errorf("without a certificate: %s", answer.Status)
	}
	if answer, err := reader(access).Post(at.String()+snapshotPath, "", nil); err != nil || answer.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("POST: %v %v", answer, err)
	}
}

// reader is a client that takes snapshots.
func reader(access *tls.Config) *http.Client {
	return &http.Client{Transport: &http.Transport{TLSClientConfig: access, DisableKeepAlives: true}}
}

// heldBy is how many revisions a database has.
func heldBy(t *testing.T, database []byte) int {
	t.Helper()
	file := filepath.Join(t.TempDir(), "db")
	if err := os.WriteFile(file, database, 0o600); err != nil {
		t.Fatal(err)
	}
	opened, err := bolt.Open(file, 0o600, &bolt.Options{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer opened.Close()
	held := 0
	err = opened.View(func(tx *bolt.Tx) error {
		for err := range tx.Check() {
			t.Error(err)
		}
		held = tx.Bucket([]byte("key")).Stats().KeyN
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return held
}

// An etcd that is told to end does not wait for who reads it, and takes nothing of it.
func TestStopOfAnEtcdThatIsRead(t *testing.T) {
	at := freeURL(t)
	ran, stop := program(t, at, nil)
	client, err := clientv3.New(clientv3.Config{Endpoints: []string{at.String()}, Logger: zap.NewNop(), DialTimeout: 20 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	for i := range 40 { // more than the buffers of a connection take
		if _, err := client.Put(ran, fmt.Sprintf("/key/%d", i), strings.Repeat("x", 1<<20)); err != nil {
			t.Fatal(err)
		}
	}
	answer, err := reader(nil).Get(at.String() + snapshotPath)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	stop()
	<-ran.Done()
	if _, err := io.Copy(io.Discard, answer.Body); err == nil {
		t.Error("it was read to its end")
	}
}

// Who comes before etcd has started is told so.
func TestSnapshotOfAnEtcdThatStarts(t *testing.T) {
	said := httptest.NewRecorder()
	(&snapshots{}).ServeHTTP(said, httptest.NewRequest(http.MethodGet, snapshotPath, nil))
	if said.Code != http.StatusServiceUnavailable {
		t.Errorf("%d %s", said.Code, said.Body)
	}
}

// A reader that takes nothing any more is not waited for longer than that, nor when etcd ends.
func TestReaderThatTakesNothing(t *testing.T) {
	ending, end := context.WithCancel(t.Context())
	defer end()
	for _, c := range []struct {
		name     string
		patience time.Duration
		then     func()
	}{
		{"it has vanished", 50 * time.Millisecond, func() {}},
		{"etcd ends", time.Hour, end},
	} {
		ended, full := make(chan error, 1), make(chan struct{}, 1)
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			to, much := patient{w, http.NewResponseController(w), c.patience, ending}, bytes.Repeat([]byte("x"), 1<<20)
			defer context.AfterFunc(ending, to.leave)()
			for {
				if _, err := to.Write(much); err != nil {
					ended <- err
					return
				}
				select {
				case full <- struct{}{}:
				default:
				}
			}
		}))
		connection, err := net.Dial("tcp", strings.TrimPrefix(server.URL, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(connection, "GET / HTTP/1.1\r\nHost: etcd\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		<-full
		c.then()
		if err := <-ended; !os.IsTimeout(err) && !errors.Is(err, context.Canceled) {
			t.Errorf("%s: it ended by %v", c.name, err)
		}
		_ = connection.Close()
		server.Close()
	}
}

// What Berth gives etcd as flags, and as variables, is what it runs with.
func TestConfigure(t *testing.T) {
	t.Setenv("ETCD_INITIAL_CLUSTER_STATE", "existing")
	t.Setenv("ETCD_INITIAL_CLUSTER", "etcd-1=https://etcd-1:2380")
	t.Setenv("ETCD_VERSION", "3.7.3") // as images of etcd may have it
	dir := t.TempDir()
	config, err := configure([]string{
		"--name=etcd-1", "--data-dir=" + dir, "--listen-client-urls=https://0.0.0.0:2379", "--advertise-client-urls=https://etcd-1:2379", "--listen-peer-urls=https://0.0.0.0:2380",
		"--initial-advertise-peer-urls=https://etcd-1:2380", "--listen-metrics-urls=http://0.0.0.0:2381", "--client-cert-auth=true", "--trusted-ca-file=ca", "--cert-file=cert", "--key-file=key",
		"--peer-client-cert-auth=true", "--peer-trusted-ca-file=peer-ca", "--peer-cert-file=peer-cert", "--peer-key-file=peer-key", "--peer-cert-allowed-cn=peer", "--peer-skip-client-san-verification=true",
		"--quota-backend-bytes=8589934592", "--snapshot-count=10000", "--snapshot-catchup-entries=5000", "--feature-gates=CompactHashCheck=true", "--initial-cluster-token=id", "--log-level=fatal",
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ what, got, want string }{
		{"data", config.Dir, dir},
		{"client", addresses(config.ListenClientUrls), "https://0.0.0.0:2379"},
		{"advertised", addresses(config.AdvertiseClientUrls), "https://etcd-1:2379"},
		{"peer", addresses(config.ListenPeerUrls) + " " + addresses(config.AdvertisePeerUrls), "https://0.0.0.0:2380 https://etcd-1:2380"},
		{"metrics", addresses(config.ListenMetricsUrls), "http://0.0.0.0:2381"},
		{"cluster", config.InitialCluster + " " + config.ClusterState + " " + config.InitialClusterToken, "etcd-1=https://etcd-1:2380 existing id"},
		{"client TLS", fmt.Sprint(config.ClientTLSInfo.ClientCertAuth, config.ClientTLSInfo.TrustedCAFile, config.ClientTLSInfo.CertFile, config.ClientTLSInfo.KeyFile), "true ca cert key"},
		{"peer TLS", fmt.Sprint(config.PeerTLSInfo.ClientCertAuth, config.PeerTLSInfo.AllowedCNs, config.PeerTLSInfo.SkipClientSANVerify, config.PeerTLSInfo.TrustedCAFile), "true [peer] truepeer-ca"},
		{"numbers", fmt.Sprint(config.QuotaBackendBytes, config.SnapshotCount, config.SnapshotCatchUpEntries), "8589934592 10000 5000"},
		{"feature gates", fmt.Sprint(config.ServerFeatureGate.Enabled("CompactHashCheck")), "true"},
	} {
		if strings.ReplaceAll(c.got, " ", "") != strings.ReplaceAll(c.want, " ", "") {
			t.Errorf("%s: %s, want %s", c.what, c.got, c.want)
		}
	}
	for why, args := range map[string][]string{
		"a flag that there is not":  {"--no-such-flag"},
		"an argument":               {"start"},
		"no address for clients":    {"--listen-client-urls=http://127.0.0.1:2379"},
		"a state that there is not": {"--initial-cluster-state=old"},
	} {
		if _, err := configure(args); err == nil {
			t.Errorf("%s: it starts", why)
		}
	}
}

func addresses(of []url.URL) string {
	var all []string
	for _, u := range of {
		all = append(all, u.String())
	}
	return strings.Join(all, ",")
}
