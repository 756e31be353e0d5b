// Package supportaccess gives support its rights in a cluster while a customer consents
// to it, and takes them back (C7): life.go ends each access as soon as policy says so and
// removes it when its record is not kept any longer, rights.go has the role aks-service
// and its binding be in a cluster exactly while an access stands there.
//
// Either works without the other, and both without the front that engineers go through
// (package supportaccess outside controller), which judges every request by itself.
package supportaccess
