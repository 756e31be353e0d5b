package main

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"testing"

	"go.etcd.io/etcd/server/v3/storage/wal"
)

// TestMain is the program itself where a test runs it: as a child, or with "die N"
// before the command, which ends it before its Nth step.
func TestMain(m *testing.M) {
	// Tests copy logs and have no use for files of 64 MB.
	wal.SegmentSizeBytes = 8 << 20
	if len(os.Args) < 2 || os.Args[1][0] == '-' {
		os.Exit(m.Run())
	}
	args, left := os.Args[1:], 0
	if args[0] == "die" {
		left, _ = strconv.Atoi(args[1])
		args = args[2:]
	}
	command := root(func(name string) {
		if left--; left == 0 {
			fmt.Fprintln(os.Stderr, name)
			os.Exit(died)
		}
	})
	command.SetArgs(args)
	if err := command.ExecuteContext(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(exitCode(err))
	}
	os.Exit(0)
}

// died is the exit code of a program that a test killed.
const died = 86
