package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"go.etcd.io/etcd/server/v3/storage/wal"
)

// TestMain is the program itself where a test runs it: as a child, or with "die N"
// before the command, which ends it before its Nth step, or after "room N", on a volume
// that has room for so many bytes of data.
func TestMain(m *testing.M) {
	// Tests copy logs and have no use for files of 64 MB.
	wal.SegmentSizeBytes = 8 << 20
	if len(os.Args) < 2 || os.Args[1][0] == '-' {
		os.Exit(m.Run())
	}
	args, left, h := os.Args[1:], 0, hooks{free: freeBytes}
	if args[0] == "room" {
		room, _ := strconv.ParseInt(args[1], 10, 64)
		h.free, args = func(dir string) (int64, error) { return room - usedBytes(filepath.Join(dir, "data")), nil }, args[2:]
	}
	if args[0] == "die" {
		left, _ = strconv.Atoi(args[1])
		args = args[2:]
	}
	h.step = func(name string) {
		if left--; left == 0 {
			fmt.Fprintln(os.Stderr, name)
			os.Exit(died)
		}
	}
	command := root(h)
	command.SetArgs(args)
	if err := command.ExecuteContext(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(exitCode(err))
	}
	os.Exit(0)
}

// died is the exit code of a program that a test killed.
const died = 86
