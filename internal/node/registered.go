package node

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"

	"sigs.k8s.io/yaml"

	"berth.dev/berth/internal/node/supervise"
)

// missesBeforeRestart is how many checks in a row must not find the Node: one alone may meet an API server whose cache
// is behind. unseenBeforeRestart is how many where none ever found it: it has yet to register, or did between two checks
// and was lost with what etcd stored.
const (
	missesBeforeRestart = 2
	unseenBeforeRestart = 9
)

// checkRegistered adds to a kubelet's health that its Node is there. A kubelet registers when it starts and never again:
// where somebody deletes the Node, its pods are lost after 40 seconds unless the kubelet is started again before. An API
// server that does not answer tells nothing.
func checkRegistered(healthy func(context.Context) error, kubeconfig, node string) func(context.Context) error {
	misses, seen := 0, false
	return func(ctx context.Context) error {
		if err := healthy(ctx); err != nil {
			return err
		}
		there, err := nodeExists(ctx, kubeconfig, node)
		switch {
		case err != nil:
			return nil //nolint:nilerr // the API server's health is not the kubelet's
		case there:
			misses, seen = 0, true
			return nil
		}
		misses++
		if misses < missesBeforeRestart || !seen && misses < unseenBeforeRestart {
			return nil
		}
		misses, seen = 0, false
		return fmt.Errorf("node %s was deleted: %w", node, supervise.ErrReplace)
	}
}

// nodeExists asks the API server for the machine's own Node, as the kubelet.
func nodeExists(ctx context.Context, kubeconfig, node string) (bool, error) {
	server, transport, err := readKubeconfig(kubeconfig)
	if err != nil {
		return false, err
	}
	defer transport.CloseIdleConnections()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, nodeURL(server, node), nil)
	if err != nil {
		return false, err
	}
	response, err := transport.RoundTrip(request)
	if err != nil {
		return false, fmt.Errorf("ask for node %s: %w", node, err)
	}
	defer response.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(response.Body, 1<<20))
	switch response.StatusCode {
	case http.StatusOK:
		return true, nil
	case http.StatusNotFound:
		return false, nil
	default:
		return false, fmt.Errorf("ask for node %s: %s", node, response.Status)
	}
}

func nodeURL(server, node string) string { return server + "/api/v1/nodes/" + url.PathEscape(node) }

// kubeconfigFile is what a kubelet's kubeconfig says: one cluster, and one user with a certificate.
type kubeconfigFile struct {
	Clusters []struct {
		Cluster struct {
			Server string `json:"server"`
			CAFile string `json:"certificate-authority"`
			CAData []byte `json:"certificate-authority-data"`
		} `json:"cluster"`
	} `json:"clusters"`
	Users []struct {
		User struct {
			CertificateFile string `json:"client-certificate"`
			CertificateData []byte `json:"client-certificate-data"`
			KeyFile         string `json:"client-key"`
			KeyData         []byte `json:"client-key-data"`
		} `json:"user"`
	} `json:"users"`
}

// readKubeconfig reads where the API server is and how to speak to it. It is read anew each time, since the kubelet
// renews its certificate.
func readKubeconfig(path string) (server string, transport *http.Transport, err error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return "", nil, err
	}
	var file kubeconfigFile
	if err := yaml.Unmarshal(raw, &file); err != nil {
		return "", nil, fmt.Errorf("read %s: %w", path, err)
	}
	if len(file.Clusters) != 1 || len(file.Users) != 1 {
		return "", nil, fmt.Errorf("%s has %d clusters and %d users, want one of each", path, len(file.Clusters), len(file.Users))
	}
	cluster, user := file.Clusters[0].Cluster, file.Users[0].User
	ca, caErr := contentOf(cluster.CAFile, cluster.CAData)
	certificate, certificateErr := contentOf(user.CertificateFile, user.CertificateData)
	key, keyErr := contentOf(user.KeyFile, user.KeyData)
	if err := errors.Join(caErr, certificateErr, keyErr); err != nil {
		return "", nil, fmt.Errorf("read what %s names: %w", path, err)
	}
	pair, err := tls.X509KeyPair(certificate, key)
	if err != nil {
		return "", nil, fmt.Errorf("read the certificate that %s names: %w", path, err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(ca) {
		return "", nil, fmt.Errorf("%s names no certificate authority", path)
	}
	return cluster.Server, &http.Transport{TLSClientConfig: &tls.Config{
		MinVersion: tls.VersionTLS12, RootCAs: roots, Certificates: []tls.Certificate{pair},
	}}, nil
}

func contentOf(path string, data []byte) ([]byte, error) {
	if len(data) > 0 {
		return data, nil
	}
	return os.ReadFile(path)
}
