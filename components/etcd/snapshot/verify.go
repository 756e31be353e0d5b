package main

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
)

// verify checks the hash that etcd appends to a snapshot. The error wraps
// fs.ErrNotExist if there is no such file.
func verify(path string) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return err
	}
	content := info.Size() - sha256.Size
	if content <= 0 {
		return fmt.Errorf("%s is no snapshot: %d bytes", path, info.Size())
	}
	hash := sha256.New()
	if _, err := io.CopyN(hash, file, content); err != nil {
		return fmt.Errorf("read %s: %w", path, err)
	}
	want, err := io.ReadAll(file)
	if err != nil {
		return fmt.Errorf("read %s: %w", path, err)
	}
	if !bytes.Equal(hash.Sum(nil), want) {
		return fmt.Errorf("%s is damaged: its content does not have the hash that it ends with", path)
	}
	return nil
}
