package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"time"
)

// patience is how long a probe waits for its answer.
const patience = 5 * time.Second

// run does what args ask.
func run(ctx context.Context, args []string, out io.Writer) error {
	switch strings.Join(args[:min(1, len(args))], "") {
	case "serve":
		return serve(ctx, out)
	case "sleep":
		<-ctx.Done()
		return nil
	}
	if len(args) != 2 {
		return errors.New("usage: berth-demo serve | sleep | get URL | watch URL | lookup NAME | dial HOST:PORT")
	}
	if args[0] == "watch" {
		return watch(ctx, args[1], out)
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	switch args[0] {
	case "get":
		return get(ctx, args[1], out)
	case "lookup":
		return lookup(ctx, args[1], out)
	case "dial":
		return dial(ctx, args[1], out)
	}
	return fmt.Errorf("unknown command %q: want serve, sleep, get, watch, lookup or dial", args[0])
}

func serve(ctx context.Context, out io.Writer) error {
	port := os.Getenv("PORT")
	if port == "" {
		port = "8080"
	}
	hostname, err := os.Hostname()
	if err != nil {
		return fmt.Errorf("read host name: %w", err)
	}
	listener, err := net.Listen("tcp", ":"+port)
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	fmt.Fprintf(out, "%s serves on %s\n", hostname, listener.Addr())
	server := &http.Server{Handler: newHandler(hostname), ReadHeaderTimeout: patience}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(listener) }()
	select {
	case err := <-ended:
		return fmt.Errorf("serve: %w", err)
	case <-ctx.Done():
	}
	// Endpoints may still send requests for a moment after SIGTERM.
	closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
	defer cancel()
	err = server.Shutdown(closing)
	if ending := <-ended; !errors.Is(ending, http.ErrServerClosed) {
		return errors.Join(err, ending)
	}
	return err
}

// get prints the body of a page.
func get(ctx context.Context, url string, out io.Writer) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return fmt.Errorf("get %s: %w", url, err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if _, err := io.Copy(out, response.Body); err != nil {
		return fmt.Errorf("get %s: %w", url, err)
	}
	if response.StatusCode/100 != 2 {
		return fmt.Errorf("get %s: %s", url, response.Status)
	}
	return nil
}

// lookup prints a name's addresses, one a line.
func lookup(ctx context.Context, name string, out io.Writer) error {
	addresses, err := net.DefaultResolver.LookupHost(ctx, name)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(out, strings.Join(addresses, "\n"))
	return err
}

// dial connects to an address and prints which one answered.
func dial(ctx context.Context, address string, out io.Writer) error {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
	if err != nil {
		return err
	}
	defer conn.Close()
	_, err = fmt.Fprintln(out, "connected to", conn.RemoteAddr())
	return err
}
