package main

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// content is what an etcd holds at a revision.
type content struct {
	Revision int64 `json:"revision"`
	Keys     int64 `json:"keys"`
	// Hash is the sha256 of all keys and values in the order of keys, each with its
	// length before it.
	Hash string `json:"hash"`
	// Last is the last entry of its log, and Ahead how many entries that has which the database
	// has not applied, where that was asked for; Heard of those are known to be acknowledged, all up
	// to there. Revision is the database's then, at least.
	Last  entry `json:"last,omitzero"`
	Ahead int64 `json:"ahead,omitempty"`
	Heard int64 `json:"heard,omitempty"`
}

const (
	// pageKeys and pageBytes are about how much is read at a time.
	pageKeys  = 1000
	pageBytes = 8 << 20
	// pageLimit bounds the wait for a page: a client of etcd waits for ever for one
	// that is away.
	pageLimit = time.Minute
)

// readContent reads every key once, as they were at a revision; at the present one
// if that is 0. The member that is asked has applied it. It writes a digest of each key to digests unless that is nil.
func readContent(ctx context.Context, kv clientv3.KV, revision int64, digests io.Writer) (content, error) {
	sum, keys := sha256.New(), int64(0)
	for next, limit := "\x00", int64(pageKeys); ; {
		page, err := readPage(ctx, kv, next, clientv3.WithFromKey(), clientv3.WithRev(revision), clientv3.WithLimit(limit), clientv3.WithSerializable())
		if err != nil {
			return content{}, err
		}
		if revision == 0 {
			revision = page.Header.Revision
		}
		size := int64(0)
		for _, found := range page.Kvs {
			hashEntry(sum, found.Key, found.Value)
			if err := writeDigest(digests, found.Key, found.Value); err != nil {
				return content{}, fmt.Errorf("write digests: %w", err)
			}
			size += int64(len(found.Key) + len(found.Value))
		}
		keys += int64(len(page.Kvs))
		if !page.More || len(page.Kvs) == 0 {
			return content{Revision: revision, Keys: keys, Hash: hex.EncodeToString(sum.Sum(nil))}, nil
		}
		next = string(page.Kvs[len(page.Kvs)-1].Key) + "\x00"
		limit = min(pageKeys, max(1, int64(len(page.Kvs))*pageBytes/max(1, size)))
	}
}

func readPage(ctx context.Context, kv clientv3.KV, key string, options ...clientv3.OpOption) (*clientv3.GetResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, pageLimit)
	defer cancel()
	return kv.Get(ctx, key, options...)
}

func hashEntry(to hash.Hash, key, value []byte) {
	for _, part := range [][]byte{key, value} {
		to.Write(binary.BigEndian.AppendUint64(nil, uint64(len(part))))
		to.Write(part)
	}
}

// writeDigest writes the hashes of a key and of its value: enough to compare by, and
// nothing of the content.
func writeDigest(to io.Writer, key, value []byte) error {
	if to == nil {
		return nil
	}
	k, v := sha256.Sum256(key), sha256.Sum256(value)
	_, err := to.Write(append(k[:], v[:]...))
	return err
}

// readTo reads every key and writes digests to a file.
func readTo(ctx context.Context, kv clientv3.KV, revision int64, path string) (content, error) {
	file, err := os.Create(path)
	if err != nil {
		return content{}, err
	}
	defer file.Close()
	buffer := bufio.NewWriter(file)
	found, err := readContent(ctx, kv, revision, buffer)
	if err != nil {
		return content{}, err
	}
	return found, errors.Join(buffer.Flush(), file.Close())
}

type digest = [sha256.Size]byte

// readDigests returns the digest of each value by that of its key.
func readDigests(path string) (map[digest]digest, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	found, reader := map[digest]digest{}, bufio.NewReader(file)
	for {
		var entry [2]digest
		for i := range entry {
			if _, err := io.ReadFull(reader, entry[i][:]); err == io.EOF && i == 0 {
				return found, nil
			} else if err != nil {
				return nil, fmt.Errorf("read digests: %w", err)
			}
		}
		found[entry[0]] = entry[1]
	}
}
