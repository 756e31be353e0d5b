// Command etcd is etcd, whose clients get snapshots at snapshotPath too, at less cost. Where
// livezListen and livezAsk are set it has a /livez by which a liveness probe can end a hung
// member within its usual time, since that does not take a defragmentation for a hang. Where
// awaitDir is set, it waits for the data that it has lost.
package main

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"time"

	"go.etcd.io/etcd/client/pkg/v3/fileutil"
)

// The variables that give etcd the endpoint.
const (
	// livezListen is the address on which it is served.
	livezListen = "BERTH_LIVEZ_LISTEN"
	// livezAsk is the URL of etcd's own /livez.
	livezAsk = "BERTH_LIVEZ_ASK"
)

func main() {
	if err := prepare(os.Getenv(awaitDir)); err != nil {
		fmt.Fprintln(os.Stderr, err)
		if errors.Is(err, errNoData) {
			os.Exit(exitNoData)
		}
		os.Exit(1)
	}
	if err := serve(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// held keeps the data directory until the process ends.
var held *fileutil.LockedFile

func prepare(dir string) (err error) {
	if err := serveLivez(os.Getenv(livezListen), os.Getenv(livezAsk)); err != nil || dir == "" {
		return err
	}
	held, err = awaiting{dir: dir, pod: os.Getenv(awaitPod), sleep: time.Sleep}.hold(os.Getenv(clusterState) == "existing")
	return err
}

// serveLivez serves the endpoint until the process ends, if it is asked for.
func serveLivez(address, ask string) error {
	if address == "" {
		return nil
	}
	live, err := newLiveness(ask)
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return fmt.Errorf("listen for probes: %w", err)
	}
	mux := http.NewServeMux()
	mux.Handle("GET /livez", live)
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	go func() {
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			fmt.Fprintln(os.Stderr, "serve probes:", err)
		}
	}()
	return nil
}
