package identity

import (
	"fmt"
	"regexp"
	"strings"
)

// azClientID is the id under which every az asks for users' tokens. It is the only
// public client here: it has no secret, the user's password is the proof.
const azClientID = "04b07795-8ddb-461a-bbee-02f9e1bf7b46"

// User is a person who may get tokens by password.
type User struct {
	// TenantID is the directory that the user is in: one that has an application.
	TenantID string
	// Name is the user principal name, such as admin@berth.internal; case does not matter.
	Name string
	// PasswordHash is what HashSecret made of the password.
	PasswordHash string
}

// ObjectID is the user's id in the tenant.
func (u User) ObjectID() string { return derivedGUID("user", u.TenantID, u.Name) }

var userPattern = regexp.MustCompile(`^[!-?A-~]+@[!-?A-~]+$`)

func (d *Directory) addUser(user User) error {
	user.TenantID = strings.ToLower(user.TenantID)
	if !d.tenants[user.TenantID] {
		return fmt.Errorf("user %s: tenant %q has no application", user.Name, user.TenantID)
	}
	if !userPattern.MatchString(user.Name) {
		return fmt.Errorf("user name %q is not of the form name@domain", user.Name)
	}
	if _, err := parseHash(user.PasswordHash); err != nil {
		return fmt.Errorf("user %s: %w", user.Name, err)
	}
	if _, taken := d.user(user.Name); taken {
		return fmt.Errorf("user %s is listed twice", user.Name)
	}
	d.users[strings.ToLower(user.Name)] = user
	return nil
}

func (d *Directory) user(name string) (User, bool) {
	user, ok := d.users[strings.ToLower(name)]
	return user, ok
}
