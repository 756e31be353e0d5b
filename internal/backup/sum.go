package backup

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"hash"
	"io"
)

// sector divides the length of each database, as of its pages. So does etcd tell whether a
// snapshot ends with its hash.
const sector = 512

// summed writes a snapshot as etcd gives and takes it, with its hash behind it. One that was
// read as the database alone is stored without: what is stored is authenticated anyway, and a
// hash made while it is read costs those who write beside.
type summed struct {
	to   io.Writer
	hash hash.Hash
	size int64
}

// Write implements io.Writer.
func (s *summed) Write(p []byte) (int, error) {
	n, err := s.to.Write(p)
	s.hash.Write(p[:n])
	s.size += int64(n)
	return n, err
}

// end writes the hash, unless the snapshot came with it.
func (s *summed) end() error {
	if s.size == 0 || s.size%sector != 0 {
		return nil
	}
	_, err := s.to.Write(s.hash.Sum(nil))
	return err
}

// trailing checks the hash that etcd appends to a snapshot, as it passes by.
type trailing struct {
	hash hash.Hash
	tail []byte
}

// Write implements io.Writer. It holds back what may be the hash.
func (t *trailing) Write(p []byte) (int, error) {
	if len(p) >= sha256.Size {
		t.hash.Write(t.tail)
		t.hash.Write(p[:len(p)-sha256.Size])
		t.tail = append(t.tail[:0], p[len(p)-sha256.Size:]...)
		return len(p), nil
	}
	t.tail = append(t.tail, p...)
	if surplus := len(t.tail) - sha256.Size; surplus > 0 {
		t.hash.Write(t.tail[:surplus])
		t.tail = append(t.tail[:0], t.tail[surplus:]...)
	}
	return len(p), nil
}

func (t *trailing) verify() error {
	if !bytes.Equal(t.tail, t.hash.Sum(nil)) {
		return errors.New("the snapshot does not have the hash that it ends with: it was cut off or changed on its way")
	}
	return nil
}
