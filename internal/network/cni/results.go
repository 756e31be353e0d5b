package cni

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Attachment is one pod sandbox's address on the network.
type Attachment struct {
	Namespace, Pod string
	IP             netip.Addr
}

// Results follows the directory in which containerd keeps the result of each attachment from the moment that it is made
// until it is undone. Pods are known from it before they run.
type Results struct {
	dir  string
	read map[string]result // by file name
}

type result struct {
	modified time.Time
	Attachment
}

// NewResults follows dir, usually /var/lib/cni/results.
func NewResults(dir string) *Results {
	return &Results{dir: dir, read: map[string]result{}}
}

// Attachments reads what is new in the directory and returns all attachments by address. An address that two results
// claim belongs to the later one: the other is left from before a reboot. A directory that does not exist is empty; a
// result that cannot be read is in the error, and the others are returned all the same.
func (r *Results) Attachments() (map[netip.Addr]Attachment, error) {
	entries, err := os.ReadDir(r.dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("list CNI results: %w", err)
	}
	var errs []error
	present := map[string]result{}
	for _, entry := range entries {
		if !strings.HasPrefix(entry.Name(), NetworkName+"-") {
			continue
		}
		found, err := r.load(entry)
		switch {
		case errors.Is(err, fs.ErrNotExist):
		case err != nil:
			errs = append(errs, err)
		default:
			present[entry.Name()] = found
		}
	}
	r.read = present
	return latest(present), errors.Join(errs...)
}

func latest(results map[string]result) map[netip.Addr]Attachment {
	newest := map[netip.Addr]result{}
	for _, found := range results {
		if !found.IP.IsValid() {
			continue
		}
		if other, taken := newest[found.IP]; !taken || found.modified.After(other.modified) {
			newest[found.IP] = found
		}
	}
	out := make(map[netip.Addr]Attachment, len(newest))
	for addr, found := range newest {
		out[addr] = found.Attachment
	}
	return out
}

func (r *Results) load(entry fs.DirEntry) (result, error) {
	info, err := entry.Info()
	if err != nil {
		return result{}, fmt.Errorf("look at CNI result: %w", err)
	}
	if known, ok := r.read[entry.Name()]; ok && known.modified.Equal(info.ModTime()) {
		return known, nil
	}
	data, err := os.ReadFile(filepath.Join(r.dir, entry.Name()))
	if err != nil {
		return result{}, fmt.Errorf("read CNI result: %w", err)
	}
	attachment, err := parse(data)
	if err != nil {
		return result{}, fmt.Errorf("read CNI result %s: %w", entry.Name(), err)
	}
	return result{modified: info.ModTime(), Attachment: attachment}, nil
}

// parse reads a file of libcni's cache. An attachment without an IPv4 address has no valid IP.
func parse(data []byte) (Attachment, error) {
	var cached struct {
		Args   [][2]string `json:"cniArgs"`
		Result struct {
			IPs []struct {
				Address netip.Prefix `json:"address"`
			} `json:"ips"`
		} `json:"result"`
	}
	if err := json.Unmarshal(data, &cached); err != nil {
		return Attachment{}, fmt.Errorf("decode: %w", err)
	}
	var out Attachment
	for _, arg := range cached.Args {
		switch arg[0] {
		case "K8S_POD_NAMESPACE":
			out.Namespace = arg[1]
		case "K8S_POD_NAME":
			out.Pod = arg[1]
		}
	}
	for _, ip := range cached.Result.IPs {
		if addr := ip.Address.Addr(); addr.Is4() {
			out.IP = addr
		}
	}
	return out, nil
}
