package host

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"net/url"
	"os"
	"time"
)

// systemBundles are where systems keep the authorities that they trust.
func systemBundles() []string {
	return []string{"/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/ca-bundle.pem", "/etc/ssl/cert.pem"}
}

// writeBundle joins the system's authorities and Berth's, so that a client
// that is pointed at one file still trusts the rest of the world.
func writeBundle(paths Paths, ca []byte) error {
	var bundle bytes.Buffer
	for _, path := range systemBundles() {
		if raw, err := os.ReadFile(path); err == nil {
			bundle.Write(raw)
			if !bytes.HasSuffix(raw, []byte("\n")) {
				bundle.WriteByte('\n')
			}
			break
		}
	}
	bundle.Write(ca)
	return writeFile(paths.caBundle(), bundle.Bytes(), 0o644)
}

const requestTimeout = 10 * time.Second

// httpClient trusts Berth alone and uses no proxy.
func httpClient(ca []byte) *http.Client {
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca)
	return &http.Client{
		Timeout: requestTimeout,
		Transport: &http.Transport{
			TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
			Proxy:           func(*http.Request) (*url.URL, error) { return nil, nil },
			// One client is made for each question.
			DisableKeepAlives: true,
		},
	}
}
