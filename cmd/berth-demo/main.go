// Command berth-demo is the workload of Berth's demo and tests: a small web server
// that tells about the pod it runs in, and the probes that ask it.
//
//	berth-demo serve            web server on :8080 (PORT changes that)
//	berth-demo get URL          print the body; fail unless the status is 2xx
//	berth-demo watch URL        ask 20 times a second and print what fails
//	berth-demo lookup NAME      print the addresses of a name
//	berth-demo dial HOST:PORT   fail unless a TCP connection is accepted
//	berth-demo sleep            wait for SIGTERM
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "berth-demo:", err)
		os.Exit(1)
	}
}
