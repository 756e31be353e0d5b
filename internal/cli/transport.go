package cli

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"os"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
)

// transport is an HTTP client that remembers why its last request had no answer: the login library turns such errors
// into mere text.
type transport struct {
	client  *http.Client
	failure error
}

// newTransport trusts the system's authorities and those in caFile.
func newTransport(caFile string) (*transport, error) {
	roots, err := x509.SystemCertPool()
	if err != nil {
		roots = x509.NewCertPool()
	}
	if caFile != "" {
		pem, err := os.ReadFile(caFile)
		if err != nil {
			return nil, fmt.Errorf("read Berth's certificate authority: %w", err)
		}
		if !roots.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("read Berth's certificate authority: %s holds no certificate", caFile)
		}
	}
	settings, ok := http.DefaultTransport.(*http.Transport)
	if !ok {
		settings = &http.Transport{}
	}
	settings = settings.Clone()
	settings.TLSClientConfig = &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
	return &transport{client: &http.Client{Transport: settings}}, nil
}

// Do implements policy.Transporter.
func (t *transport) Do(request *http.Request) (*http.Response, error) {
	response, err := t.client.Do(request)
	t.failure = err
	return response, err
}

// cause is the error itself if the server answered, and else why it did not.
func (t *transport) cause(err error) error {
	var response *azcore.ResponseError
	var login *azidentity.AuthenticationFailedError
	if t == nil || t.failure == nil || errors.As(err, &response) || errors.As(err, &login) && login.RawResponse != nil {
		return err
	}
	return fmt.Errorf("reach Berth: %w", t.failure)
}
