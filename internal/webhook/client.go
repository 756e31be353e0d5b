package webhook

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Origin is the name that deliveries come under (CloudEvents: WebHook-Request-Origin).
const Origin = "eventgrid.berth.dev"

// maxAnswer bounds the headers of an answer; its body is not read.
const maxAnswer = 16 << 10

// Client sends to endpoints.
type Client struct {
	Guard Guard
	// Roots are the authorities that endpoints' certificates are of; nil are the system's.
	Roots *x509.CertPool
	// Timeout bounds everything from the name to the answer.
	Timeout time.Duration
}

// Roots are the system's authorities and those of a bundle in PEM; nil for the system's alone.
func Roots(bundle string) (*x509.CertPool, error) {
	if bundle == "" {
		return nil, nil
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool()
	}
	if !pool.AppendCertsFromPEM([]byte(bundle)) {
		return nil, errors.New("read authorities of webhooks: there is no certificate in the bundle")
	}
	return pool, nil
}

// NewClient is a client by what the operator of Berth allows.
func NewClient(own []netip.Prefix, allowed []string, bundle string, timeout time.Duration) (Client, error) {
	ranges, err := ParseRanges(allowed)
	if err != nil {
		return Client{}, err
	}
	roots, err := Roots(bundle)
	if err != nil {
		return Client{}, err
	}
	return Client{Guard: Guard{Own: own, Allowed: ranges}, Roots: roots, Timeout: timeout}, nil
}

// Delivery is one attempt to send an event.
type Delivery struct {
	// URL is the endpoint's, with its secret query.
	URL  string
	Keys []string
	// ID is the event's, Name the event subscription's, and Attempt counts from 1.
	ID, Name string
	Attempt  int32
	Body     []byte
	At       time.Time
}

// Deliver sends an event once and returns the status of the answer, 0 if there was none.
// Errors never tell the URL.
func (c Client) Deliver(ctx context.Context, d Delivery) (int, error) {
	signature, err := Sign(d.Keys, d.ID, d.At, d.Body)
	if err != nil {
		return 0, err
	}
	header := http.Header{
		"Content-Type":           {"application/cloudevents+json; charset=utf-8"},
		"Webhook-Request-Origin": {Origin},
		"webhook-id":             {d.ID},
		"webhook-timestamp":      {strconv.FormatInt(d.At.Unix(), 10)},
		"webhook-signature":      {signature},
		"aeg-event-type":         {"Notification"},
		"aeg-subscription-name":  {d.Name},
		"aeg-delivery-count":     {strconv.Itoa(int(d.Attempt) - 1)},
	}
	status, _, err := c.send(ctx, http.MethodPost, d.URL, header, d.Body)
	return status, err
}

// Validate asks an endpoint whether it wants events at all (CloudEvents: abuse protection).
func (c Client) Validate(ctx context.Context, endpoint string) error {
	status, answer, err := c.send(ctx, http.MethodOptions, endpoint, http.Header{"Webhook-Request-Origin": {Origin}}, nil)
	if err != nil {
		return err
	}
	if status < 200 || status > 299 {
		return fmt.Errorf("it answered OPTIONS with %d", status)
	}
	for _, allowed := range answer.Values("WebHook-Allowed-Origin") {
		if allowed = strings.TrimSpace(allowed); allowed == "*" || strings.EqualFold(allowed, Origin) {
			return nil
		}
	}
	return fmt.Errorf("its answer to OPTIONS has no header WebHook-Allowed-Origin with '%s' or '*'", Origin)
}

// send returns the status and the headers of the answer: nothing else of it counts, and
// nobody waits for the rest.
func (c Client) send(ctx context.Context, method, endpoint string, header http.Header, body []byte) (status int, headers http.Header, err error) {
	ctx, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, method, endpoint, bytes.NewReader(body))
	if err != nil {
		return 0, nil, errors.New("its URL cannot be read")
	}
	if request.URL.Scheme != "https" {
		return 0, nil, errors.New("its URL does not begin with https://")
	}
	request.Header = header
	request.Header.Set("User-Agent", "berth")
	dialer := &net.Dialer{Control: c.Guard.control}
	transport := &http.Transport{
		DialContext: dialer.DialContext, TLSClientConfig: &tls.Config{RootCAs: c.Roots, MinVersion: tls.VersionTLS12},
		DisableKeepAlives: true, DisableCompression: true, MaxResponseHeaderBytes: maxAnswer,
	}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	answer, err := client.Do(request)
	if err != nil {
		return 0, nil, plain(ctx, err)
	}
	_ = answer.Body.Close()
	return answer.StatusCode, answer.Header, nil
}

// plain is an error without the URL, whose query is a secret.
func plain(ctx context.Context, err error) error {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return errors.New("it did not answer in time")
	}
	if errors.Is(err, errRefused) {
		return errRefused
	}
	var at *url.Error
	if errors.As(err, &at) {
		err = at.Err
	}
	return fmt.Errorf("it cannot be reached: %w", err)
}
