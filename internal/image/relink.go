package image

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strconv"
)

// relink replaces the content of every snapshot by links to the tree it was
// made from, and returns those trees in the order of the snapshots.
func relink(root string, stores []store, sums *hashes) ([]string, error) {
	ids, err := snapshots(root)
	if err != nil {
		return nil, err
	}
	trees, err := byListing(stores)
	if err != nil {
		return nil, err
	}
	var order []string
	for _, id := range ids {
		unpacked := filepath.Join(root, snapshotsDir, id, "fs")
		tree, err := origin(unpacked, trees, sums)
		if err != nil {
			return nil, fmt.Errorf("snapshot %s: %w", id, err)
		}
		if err := os.RemoveAll(unpacked); err != nil {
			return nil, err
		}
		if err := linkTree(tree, unpacked); err != nil {
			return nil, err
		}
		order = append(order, tree)
	}
	return order, nil
}

// byListing sorts all layers' trees by their listings.
func byListing(stores []store) (map[string][]string, error) {
	trees := map[string][]string{}
	for _, s := range stores {
		for _, tree := range s.trees {
			key, err := listing(tree)
			if err != nil {
				return nil, err
			}
			if !slices.Contains(trees[key], tree) {
				trees[key] = append(trees[key], tree)
			}
		}
	}
	return trees, nil
}

// origin finds the tree that was unpacked. containerd has checked the content,
// so that it is read only where listings do not tell.
func origin(unpacked string, trees map[string][]string, sums *hashes) (string, error) {
	key, err := listing(unpacked)
	if err != nil {
		return "", err
	}
	if len(trees[key]) == 1 {
		return trees[key][0], nil
	}
	want, err := sums.tree(unpacked)
	if err != nil {
		return "", err
	}
	for _, tree := range trees[key] {
		if sum, err := sums.tree(tree); err != nil || sum == want {
			return tree, err
		}
	}
	return "", errors.New("no layer of the imported images")
}

// snapshots lists a containerd root's snapshots in the order they were made.
func snapshots(root string) ([]string, error) {
	entries, err := os.ReadDir(filepath.Join(root, snapshotsDir))
	if err != nil {
		return nil, err
	}
	var ids []string
	for _, entry := range entries {
		ids = append(ids, entry.Name())
	}
	sort.Slice(ids, func(i, j int) bool {
		a, _ := strconv.Atoi(ids[i])
		b, _ := strconv.Atoi(ids[j])
		return a < b
	})
	return ids, nil
}
