// Package access decides on support's just-in-time access to clusters (C7, B2, X5): what
// each scope of a customer's consent lets support do, which is the role aks-service, and
// when an access stands and when it has ended. Both are tables; nothing here does I/O.
package access
