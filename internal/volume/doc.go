// Package volume provisions local volumes: `berth-node volumes`, one on each node of the management cluster. A volume is
// a directory below the node's volume directory and a PersistentVolume that names it and its node.
//
// The order of steps makes a crash harmless. Provisioning makes the directory first and then the PersistentVolume, whose
// name follows from the claim, so that doing it again changes nothing. Removal first renames the directory, which is
// atomic, then deletes the PersistentVolume, and empties the renamed directory last, now or after a restart.
//
// A volume that is to be removed and whose node is gone is let go by the provisioners of the others: an object for which
// nobody acts. A claim's volume that is in use stays, whatever becomes of its node.
//
// Nothing is ever deleted whose name is not one that this package gives, and nothing outside the volume directory.
package volume
