package identity

import (
	"crypto"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// The files of a directory that Load reads.
const (
	FileTenantID         = "tenant-id"
	FileClientID         = "client-id"
	FileClientSecretHash = "client-secret-hash"
	FileUserName         = "user-name"
	FileUserPasswordHash = "user-password-hash"
	FileSigningKey       = "signing-key.pem"
	// FileEngineers has support's engineers, a line each: the name, a space, and the hash
	// of the secret. It may be missing: then there are none.
	FileEngineers = "engineers"
)

// Application is a program that may get tokens by its secret.
type Application struct {
	// TenantID is the directory that the application lives in, a GUID.
	TenantID string
	// ClientID is the application id, a GUID or any name without spaces.
	ClientID string
	// SecretHash is what HashSecret made of the application's secret.
	SecretHash string
	// Engineer says that it is one of support's engineers and no customer: it sees
	// tickets and may ask for access to clusters with their consent, and nothing else (C7).
	Engineer bool
}

// ObjectID is the id of the application's service principal in its tenant.
func (a Application) ObjectID() string {
	return derivedGUID("service-principal", a.TenantID, a.ClientID)
}

// Directory is the tenants, applications and users that Berth knows, and the key
// that signs their tokens. It does not change once made.
type Directory struct {
	key          signingKey
	applications map[string]Application
	users        map[string]User
	tenants      map[string]bool
	firstTenant  string
}

// New makes a directory. The key is an ECDSA P-256 or an RSA key.
func New(key crypto.Signer, applications []Application, users []User) (*Directory, error) {
	signing, err := newSigningKey(key)
	if err != nil {
		return nil, err
	}
	if len(applications) == 0 {
		return nil, errors.New("a directory needs an application")
	}
	d := &Directory{key: signing, applications: map[string]Application{}, users: map[string]User{}, tenants: map[string]bool{}}
	for _, application := range applications {
		application.TenantID = strings.ToLower(application.TenantID)
		if err := application.check(); err != nil {
			return nil, err
		}
		id := strings.ToLower(application.ClientID)
		if _, taken := d.applications[id]; taken {
			return nil, fmt.Errorf("application %s is listed twice", application.ClientID)
		}
		d.applications[id] = application
		d.tenants[application.TenantID] = true
		if d.firstTenant == "" {
			d.firstTenant = application.TenantID
		}
	}
	for _, user := range users {
		if err := d.addUser(user); err != nil {
			return nil, err
		}
	}
	return d, nil
}

// Load reads the directory of one tenant, one application and one user from files
// named by the File constants, as a mounted Secret has them.
func Load(dir string) (*Directory, error) {
	read := func(name string) (string, error) {
		raw, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			return "", fmt.Errorf("read identity: %w", err)
		}
		return strings.TrimSpace(string(raw)), nil
	}
	var application Application
	var user User
	var keyPEM string
	for name, into := range map[string]*string{
		FileTenantID:         &application.TenantID,
		FileClientID:         &application.ClientID,
		FileClientSecretHash: &application.SecretHash,
		FileUserName:         &user.Name,
		FileUserPasswordHash: &user.PasswordHash,
		FileSigningKey:       &keyPEM,
	} {
		value, err := read(name)
		if err != nil {
			return nil, err
		}
		*into = value
	}
	key, err := ParseSigningKey([]byte(keyPEM))
	if err != nil {
		return nil, fmt.Errorf("read identity: %s: %w", FileSigningKey, err)
	}
	user.TenantID = application.TenantID
	engineers, err := loadEngineers(filepath.Join(dir, FileEngineers), application.TenantID)
	if err != nil {
		return nil, err
	}
	return New(key, append([]Application{application}, engineers...), []User{user})
}

// loadEngineers reads the file of support's engineers.
func loadEngineers(path, tenantID string) ([]Application, error) {
	raw, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read identity: %w", err)
	}
	var engineers []Application
	for number, line := range strings.Split(strings.TrimSpace(string(raw)), "\n") {
		if strings.TrimSpace(line) == "" {
			continue
		}
		fields := strings.Fields(line)
		if len(fields) != 2 {
			return nil, fmt.Errorf("read identity: %s: line %d is not a name and a hash", FileEngineers, number+1)
		}
		engineers = append(engineers, Application{TenantID: tenantID, ClientID: fields[0], SecretHash: fields[1], Engineer: true})
	}
	return engineers, nil
}

func (a Application) check() error {
	if !guidPattern.MatchString(a.TenantID) {
		return fmt.Errorf("application %s: tenant id %q is not a GUID", a.ClientID, a.TenantID)
	}
	if a.ClientID == "" || strings.ContainsAny(a.ClientID, " \t\r\n") {
		return fmt.Errorf("client id %q is empty or has spaces", a.ClientID)
	}
	if a.Engineer && !EngineerName(a.ClientID) {
		return fmt.Errorf("engineer %q: a name is 1 to 64 letters, digits, and any of . _ @ -", a.ClientID)
	}
	if _, err := parseHash(a.SecretHash); err != nil {
		return fmt.Errorf("application %s: %w", a.ClientID, err)
	}
	return nil
}

// Engineer says whether there is an engineer of support of that name.
func (d *Directory) Engineer(name string) bool {
	application, known := d.application(name)
	return known && application.Engineer
}

// EngineerName says whether an engineer can be called so. The name is told to customers,
// and is a part of whom the engineer is in their clusters.
func EngineerName(name string) bool { return engineerPattern.MatchString(name) }

var engineerPattern = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._@-]{0,63}$`)

func (d *Directory) application(clientID string) (Application, bool) {
	application, ok := d.applications[strings.ToLower(clientID)]
	return application, ok
}

var guidPattern = regexp.MustCompile(`^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$`)

// derivedGUID is a GUID that depends on nothing but its arguments.
func derivedGUID(parts ...string) string {
	sum := sha256.Sum256([]byte(strings.ToLower(strings.Join(parts, "/"))))
	sum[6] = sum[6]&0x0f | 0x80
	sum[8] = sum[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", sum[:4], sum[4:6], sum[6:8], sum[8:10], sum[10:16])
}
