package image

import (
	"debug/elf"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// linkProgram puts a program of a root file system and every library that it
// loads into a tree, where it runs without the rest of the root file system.
func linkProgram(root, program, tree string) error {
	files, err := closure(root, program)
	if err != nil {
		return fmt.Errorf("libraries of %s: %w", program, err)
	}
	for place, file := range files {
		if err := linkFile(file, filepath.Join(tree, place)); err != nil {
			return err
		}
	}
	return nil
}

// closure maps places to the files that a program needs there: itself, its
// dynamic loader and, transitively, its libraries.
func closure(root, program string) (map[string]string, error) {
	path, err := resolve(root, program)
	if err != nil {
		return nil, err
	}
	files := map[string]string{program: path}
	loader, err := interpreter(path)
	if err != nil {
		return nil, err
	}
	if loader != "" {
		if files[strings.TrimPrefix(loader, "/")], err = resolve(root, loader); err != nil {
			return nil, err
		}
	}
	seen := []string{filepath.Base(loader)}
	for open := []string{path}; len(open) > 0; open = open[1:] {
		names, err := importedLibraries(open[0])
		if err != nil {
			return nil, err
		}
		for _, name := range names {
			if slices.Contains(seen, name) {
				continue
			}
			seen = append(seen, name)
			place, file, err := findLibrary(root, name)
			if err != nil {
				return nil, err
			}
			files[place] = file
			open = append(open, file)
		}
	}
	return files, nil
}

// findLibrary looks where Debian's dynamic loader looks by default.
func findLibrary(root, name string) (place, file string, err error) {
	found, err := filepath.Glob(filepath.Join(root, "usr/lib/*-linux-gnu*", name))
	if err != nil || len(found) == 0 {
		return "", "", fmt.Errorf("no library %s: %w", name, errors.Join(err, os.ErrNotExist))
	}
	if place, err = filepath.Rel(root, found[0]); err != nil {
		return "", "", err
	}
	file, err = resolve(root, place)
	return place, file, err
}

// resolve follows symbolic links as if root were the root of all paths.
func resolve(root, path string) (string, error) {
	done := ""
	parts := strings.Split(strings.Trim(path, "/"), "/")
	for hops := 0; len(parts) > 0; {
		next := filepath.Join("/", done, parts[0])
		parts = parts[1:]
		target, err := os.Readlink(filepath.Join(root, next))
		if err != nil {
			done = next
			continue
		}
		if hops++; hops > 40 {
			return "", fmt.Errorf("%s: too many links", path)
		}
		if filepath.IsAbs(target) {
			done = ""
		}
		parts = append(strings.Split(strings.Trim(target, "/"), "/"), parts...)
	}
	full := filepath.Join(root, done)
	_, err := os.Lstat(full)
	return full, err
}

func importedLibraries(path string) ([]string, error) {
	file, err := elf.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	defer func() { _ = file.Close() }()
	return file.ImportedLibraries()
}

func interpreter(path string) (string, error) {
	file, err := elf.Open(path)
	if err != nil {
		return "", fmt.Errorf("read %s: %w", path, err)
	}
	defer func() { _ = file.Close() }()
	for _, segment := range file.Progs {
		if segment.Type != elf.PT_INTERP {
			continue
		}
		raw := make([]byte, segment.Filesz)
		if _, err := segment.ReadAt(raw, 0); err != nil {
			return "", err
		}
		return strings.TrimRight(string(raw), "\x00"), nil
	}
	return "", nil
}
