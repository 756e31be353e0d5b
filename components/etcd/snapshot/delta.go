package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"

	"go.etcd.io/etcd/api/v3/mvccpb"
	"google.golang.org/protobuf/encoding/protodelim"
)

// eventLimit bounds one event of a delta, in bytes. Whatever etcd accepted in one
// request is smaller.
const eventLimit = 64 << 20

// readDelta gives the events of a delta's file one by one. Errors name no content.
func readDelta(path string, each func(*mvccpb.Event) error) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	reader, options := bufio.NewReader(file), protodelim.UnmarshalOptions{MaxSize: eventLimit}
	for count := 0; ; count++ {
		event := &mvccpb.Event{}
		err := options.UnmarshalFrom(reader, event)
		if errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
			return nil
		}
		if err != nil || event.Kv == nil {
			return fmt.Errorf("%w: event %d cannot be read", errDamaged, count)
		}
		if err := each(event); err != nil {
			return err
		}
	}
}

// checkDelta finds out whether a file holds what the delta is to hold. etcd counts a
// revision for each transaction that changed something, so that one without an event
// is one whose event is missing.
func checkDelta(path string, b backup) error {
	reached := b.First - 1
	err := readDelta(path, func(event *mvccpb.Event) error {
		at := event.Kv.ModRevision
		if at != reached+1 && (at != reached || reached < b.First) {
			return fmt.Errorf("%w: revision %d follows %d", errDamaged, at, reached)
		}
		reached = at
		return nil
	})
	if err == nil && reached != b.Last {
		err = fmt.Errorf("%w: it ends at revision %d instead of %d", errDamaged, reached, b.Last)
	}
	return err
}

// history is what deltas say about the time after a snapshot.
type history struct {
	// paths are the deltas' files, each of which continues those before it.
	paths []string
	// after is the snapshot's revision.
	after int64
}

// each gives all events in the order of their revisions, once: deltas may overlap.
func (h history) each(take func(number int, event *mvccpb.Event) error) error {
	number, reached := 0, h.after
	for _, path := range h.paths {
		before := reached
		err := readDelta(path, func(event *mvccpb.Event) error {
			if event.Kv.ModRevision <= before {
				return nil
			}
			reached = event.Kv.ModRevision
			number++
			return take(number, event)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// latest gives the last event of each key alone. The deltas are read twice, so that
// no more than the keys is held in memory.
func (h history) latest(take func(*mvccpb.Event) error) error {
	last := map[string]int{}
	err := h.each(func(number int, event *mvccpb.Event) error {
		last[string(event.Kv.Key)] = number
		return nil
	})
	if err != nil {
		return err
	}
	return h.each(func(number int, event *mvccpb.Event) error {
		if last[string(event.Kv.Key)] != number {
			return nil
		}
		return take(event)
	})
}
