package main

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/spf13/pflag"
	"go.etcd.io/etcd/client/pkg/v3/transport"
)

const (
	// patience is how long a source that does not answer is asked again: the pod is
	// made again after that.
	patience = 2 * time.Minute
	// headerLimit bounds the wait for an answer: a backup is opened and checked
	// before its first byte is sent.
	headerLimit = 10 * time.Minute
	// stallLimit bounds the wait for the next bytes of an answer.
	stallLimit = time.Minute
	// listLimit bounds the list of backups, in bytes.
	listLimit = 64 << 20
)

var (
	errGone    = errors.New("the source does not have it any more")
	errDamaged = errors.New("it is damaged")
)

// unavailable is what may be different if one asks again.
type unavailable struct{ error }

func (u unavailable) Unwrap() error { return u.error }

// asking says where backups are and who asks for them.
type asking struct {
	source, cacert, cert, key string
}

func (a *asking) addFlags(flags *pflag.FlagSet) {
	flags.StringVar(&a.source, "source", "", "URL of the cluster's backups")
	flags.StringVar(&a.cacert, "cacert", "", "authority of the source's certificate")
	flags.StringVar(&a.cert, "cert", "", "certificate to show")
	flags.StringVar(&a.key, "key", "", "key of that certificate")
}

// source gives the backups of one cluster.
type source struct {
	address string
	client  *http.Client
	// patience and pause are how long it is asked again, and after what time first.
	patience, pause time.Duration
}

func (a asking) open() (*source, error) {
	parsed, err := url.Parse(a.source)
	if err != nil || parsed.Host == "" {
		return nil, fmt.Errorf("--source %q is no URL such as https://host:port/backups", a.source)
	}
	config, err := tlsConfig(a.cacert, a.cert, a.key)
	if err != nil {
		return nil, err
	}
	dialer := net.Dialer{Timeout: dialTimeout}
	carrier := &http.Transport{DialContext: dialer.DialContext, TLSClientConfig: config, ResponseHeaderTimeout: headerLimit, TLSHandshakeTimeout: stallLimit, MaxIdleConnsPerHost: deltasAtOnce}
	return &source{address: parsed.String(), client: &http.Client{Transport: carrier}, patience: patience, pause: time.Second}, nil
}

func (s *source) close() { s.client.CloseIdleConnections() }

func tlsConfig(cacert, cert, key string) (*tls.Config, error) {
	config, err := transport.TLSInfo{TrustedCAFile: cacert, CertFile: cert, KeyFile: key}.ClientConfig()
	if err != nil {
		return nil, fmt.Errorf("read certificates: %w", err)
	}
	return config, nil
}

// once is the same source for whoever can do without an answer.
func (s source) once() *source {
	s.patience = 0
	return &s
}

// list returns all backups, the oldest first.
func (s *source) list(ctx context.Context) ([]backup, error) {
	var answer struct {
		Backups []backup `json:"backups"`
	}
	err := s.get(ctx, s.address, func(content io.Reader) error {
		text, err := io.ReadAll(io.LimitReader(content, listLimit))
		if err != nil {
			return err
		}
		return json.Unmarshal(text, &answer)
	})
	if err != nil {
		return nil, fmt.Errorf("list the backups: %w", err)
	}
	return answer.Backups, nil
}

// fetch writes a backup's content to a file. The error wraps errGone or errDamaged
// if there is no such content.
func (s *source) fetch(ctx context.Context, name, path string) error {
	address, err := url.JoinPath(s.address, url.PathEscape(name))
	if err != nil {
		return fmt.Errorf("fetch %s: %w", name, err)
	}
	err = s.get(ctx, address, func(content io.Reader) error {
		file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
		if err != nil {
			return err
		}
		defer file.Close()
		if _, err := io.Copy(file, content); err != nil {
			return err
		}
		return file.Close()
	})
	if err != nil {
		return fmt.Errorf("fetch %s: %w", name, err)
	}
	return nil
}

// get asks until there is an answer that is whole, or one that stays as it is.
func (s *source) get(ctx context.Context, address string, take func(io.Reader) error) error {
	started := time.Now()
	for pause := s.pause; ; pause = min(2*pause, 15*time.Second) {
		err := s.try(ctx, address, take)
		if away := (unavailable{}); err == nil || !errors.As(err, &away) {
			return err
		}
		if ctx.Err() != nil || time.Since(started)+pause > s.patience {
			return fmt.Errorf("the source does not answer: %w", err)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause):
		}
	}
}

func (s *source) try(ctx context.Context, address string, take func(io.Reader) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return err
	}
	answer, err := s.client.Do(request)
	if err != nil {
		return unavailable{err}
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return refusal(answer)
	}
	stalled := time.AfterFunc(stallLimit, func() { cancel(fmt.Errorf("nothing came for %s", stallLimit)) })
	defer stalled.Stop()
	return take(stream{answer.Body, stalled})
}

// refusal says what an answer without content means.
func refusal(answer *http.Response) error {
	text, _ := io.ReadAll(io.LimitReader(answer.Body, 4<<10))
	said := fmt.Errorf("%s: %s", answer.Status, oneLine(string(text)))
	switch {
	case answer.StatusCode == http.StatusNotFound:
		return fmt.Errorf("%w: %w", errGone, said)
	case answer.StatusCode == http.StatusUnprocessableEntity:
		return fmt.Errorf("%w: %w", errDamaged, said)
	case answer.StatusCode >= 500, answer.StatusCode == http.StatusTooManyRequests:
		return unavailable{said}
	}
	return said
}

// stream tells a connection that broke from a disk that is full: only the first is
// worth another attempt.
type stream struct {
	io.Reader
	stalled *time.Timer
}

func (s stream) Read(p []byte) (int, error) {
	n, err := s.Reader.Read(p)
	s.stalled.Reset(stallLimit)
	if err != nil && err != io.EOF {
		err = unavailable{err}
	}
	return n, err
}

// oneLine makes text fit for a line of a report.
func oneLine(text string) string {
	const limit = 300
	text = strings.Join(strings.Fields(strings.ToValidUTF8(text, "?")), " ")
	if len(text) > limit {
		text = strings.ToValidUTF8(text[:limit], "") + "…"
	}
	return text
}
