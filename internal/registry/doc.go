// Package registry serves container images from a directory by the OCI distribution protocol (pull, push, list tags).
//
// Anybody may pull; only configured writers may push. What a client was told is stored is on disk: content goes to a
// temporary file, is checked against its digest, synced and renamed; a manifest is linked only after everything that
// it names; a tag comes last. So a crash at any line leaves the old state or the new one.
//
// A directory may be used by several processes of a host: `berth up` takes images in and `berth release remove` takes
// them out while the server that machines pull from runs beside, and a push to that goes on.
//
// Images that a build left as OCI layouts can also be served where they lie (Config.Layouts), or be taken in (Seed).
//
//	blobs/sha256/<hex>                          content of layers, configs and manifests
//	repositories/<name>/_manifests/<hex>        the manifest belongs to the repository; holds its media type
//	repositories/<name>/_tags/<tag>             holds a digest
//	uploads/                                    what is being received; what nobody receives any more goes at start
//	lock                                        held by who takes content in, and by who takes it away alone
package registry
