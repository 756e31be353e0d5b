// Package identity is Berth's own directory: the tenants, applications and users
// that may call the ARM API, the tokens they get and the keys that sign them. It
// speaks both dialects that Azure's clients know, AD FS below /adfs and Entra ID
// below /{tenant}, so that az, the SDKs and Terraform log in unchanged.
//
// A secret or password is kept only as a salted PBKDF2 hash and is never logged.
package identity
