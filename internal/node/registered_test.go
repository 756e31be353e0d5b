package node

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"testing"
	"time"

	"berth.dev/berth/internal/node/supervise"
)

func TestAKubeletWhoseNodeWasDeletedIsReplaced(t *testing.T) {
	errSick := errors.New("sick")
	answers := map[rune]int{'n': http.StatusNotFound, 'o': http.StatusOK, 'e': http.StatusInternalServerError, 'f': http.StatusForbidden}
	for _, c := range []struct {
		why string
		// seen is what the API server answers, check by check: o is there, n is not, e and f are errors, x is a kubelet
		// that is ill itself.
		seen string
		// want has r for each check that asks for a replacement, and x for one that says that the kubelet is ill.
		want string
	}{
		{"a kubelet that has yet to register is waited for", "nnnn", "...."},
		{"but not for ever: it may have between two checks, and been lost", "nnnnnnnnn", "........r"},
		{"a node that is there is left alone", "oooo", "...."},
		{"the second miss in a row replaces", "onn", "..r"},
		{"one miss does not", "onono", "....."},
		{"the new kubelet may take its time", "onnnnnonn", "..r.....r"},
		{"errors of the API server tell nothing", "oefef", "....."},
		{"nor do they end a row of misses", "onen", "...r"},
		{"an ill kubelet is not asked about", "oxnxn", ".x.xr"},
	} {
		step := 0
		server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/api/v1/nodes/aks-np-1-vmss000000" {
				t.Errorf("%s: asked for %s", c.why, r.URL.Path)
			}
			w.WriteHeader(answers[rune(c.seen[step])])
		}))
		healthy := func(context.Context) error {
			if c.seen[step] == 'x' {
				return errSick
			}
			return nil
		}
		check := checkRegistered(healthy, kubeconfigOf(t, server), "aks-np-1-vmss000000")
		got := ""
		for step = range c.seen {
			switch err := check(t.Context()); {
			case err == nil:
				got += "."
			case errors.Is(err, supervise.ErrReplace):
				got += "r"
			case errors.Is(err, errSick):
				got += "x"
			default:
				t.Fatalf("%s: %v", c.why, err)
			}
		}
		if got != c.want {
			t.Errorf("%s: %s gives %s, want %s", c.why, c.seen, got, c.want)
		}
		server.Close()
	}
}

func TestNodeExistsNeedsAWholeKubeconfig(t *testing.T) {
	dir := t.TempDir()
	for name, content := range map[string]string{
		"missing":   "",
		"not yaml":  "\t:",
		"no user":   "clusters: [{cluster: {server: https://127.0.0.1:1}}]",
		"no key":    "clusters: [{cluster: {server: https://127.0.0.1:1, certificate-authority: /nope}}]\nusers: [{user: {client-certificate: /nope, client-key: /nope}}]",
		"no server": "{}",
	} {
		path := filepath.Join(dir, name)
		if content != "" {
			if err := writeFile(path, []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := nodeExists(t.Context(), path, "n"); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// kubeconfigOf is a kubeconfig for a test server, as the kubelet writes it: with its certificate in a file beside it.
func kubeconfigOf(t *testing.T, server *httptest.Server) string {
	t.Helper()
	dir := t.TempDir()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	certificate, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	pair := filepath.Join(dir, "kubelet-client-current.pem")
	both := append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})...)
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	kubeconfig := fmt.Sprintf("clusters:\n- cluster: {server: %q, certificate-authority-data: %s}\nusers:\n- user: {client-certificate: %q, client-key: %q}\n",
		server.URL, base64.StdEncoding.EncodeToString(ca), pair, pair)
	path := filepath.Join(dir, "kubeconfig")
	for name, content := range map[string][]byte{pair: both, path: []byte(kubeconfig)} {
		if err := writeFile(name, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return path
}
