// Package image builds everything that Berth runs: the binaries, the node's root
// file system and the OCI images, from Go modules and Debian packages alone and
// without Docker.
//
// # Steps
//
// A build is a list of steps (plan.go). A step has a key: the hash of its recipe
// and of everything that it reads. A finished step leaves a stamp with its key
// and the digest of its outputs, and is skipped as long as both are true. What
// a later step reads of an earlier one is the digest of its outputs, so that a
// change that makes the same binary ends there. Outputs are written beside
// their place and renamed, and the stamp comes last: a build that is interrupted
// anywhere leaves nothing that counts as done.
//
// # Outputs
//
// All are below build/ in the repository:
//
//	bin/berth, bin/kubectl       what the user types
//	out/NAME, out/cni/NAME       plain binaries
//	images/NAME_TAG/             one OCI layout for each image
//	rootfs/vX.Y.Z/               the machine image of that version as a directory
//	baked-management/            the management machine's baked images (below)
//	catalogue.json               what internal/release reads
//	state-dirs/                  whose state directories are of this build; internal/host writes it
//	.cache/                      stamps, layers, logs; safe to delete as a whole
//
// Files are hard links to each other wherever they are equal, so that a binary
// is on the disk, and in the page cache of a running machine, once. Therefore
// nothing below build/ may be written to in place: mount it read-only, put an
// overlay over it, or replace files by rename.
//
// A directory that a build replaces is moved away, not removed, as long as any
// process has a mount on this build: a machine that runs goes on standing on what
// it was started from. Images of the catalogue before stay in images/ as well.
//
// # Names of images
//
// Other projects' images have their versions for tags. Berth's own programs change
// between releases, so that their tags end in a part of their content's hash; so does
// etcd's, after upstream's version, since its main is ours. The
// node image has the day it was built, as in AKS, and keeps its name until
// something in it changes.
//
// # Baked images
//
// A machine starts without pulling or unpacking anything, since the images it
// needs lie ready in /var/lib/berth/baked: the root directory of a containerd
// that imported them at build time, into namespace k8s.io, with the overlayfs
// snapshotter, pinned, and without layer blobs, which are of no use once
// unpacked.
//
//	/var/lib/berth/baked/id
//	/var/lib/berth/baked/bind.txt
//	/var/lib/berth/baked/images.txt
//	/var/lib/berth/baked/root/io.containerd.metadata.v1.bolt/meta.db
//	/var/lib/berth/baked/root/io.containerd.content.v1.content/...
//	/var/lib/berth/baked/root/io.containerd.snapshotter.v1.overlayfs/metadata.db
//	/var/lib/berth/baked/root/io.containerd.snapshotter.v1.overlayfs/snapshots/1
//	...
//
// To make /var/lib/containerd of it: for each line of bind.txt, a path relative
// to root/ (all are snapshot directories), make the directory and bind-mount it
// there read-only, or copy it where a bind is impossible; then copy everything
// else below root/ (a few hundred kilobytes), meta.db last, and the file id
// beside it. A /var/lib/containerd that has the same id needs only its binds
// again; one with another id is of another build and must be emptied first.
// All snapshots are single layers without whiteouts, so that they survive
// being a part of another layer. images.txt has one reference a line.
//
// The machine image has the images that an agent node needs. The management
// machine needs others (etcd, every version's kube and machine image, Berth
// itself): build/baked-management has the same form, and internal/host binds it
// read-only over /var/lib/berth/baked of the machine, which then boots by the
// same code. Its machine images' snapshots are several layers, which containerd
// stacks as usual.
package image
