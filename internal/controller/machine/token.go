package machine

import (
	"context"
	"fmt"
	"io"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1beta1"
)

const (
	tokenIDLength     = 6
	tokenSecretLength = 16
	tokenAlphabet     = "abcdefghijklmnopqrstuvwxyz0123456789"
	tokenSecretKey    = "token-secret"
	tokenIDKey        = "token-id"
	// A token lives an hour and is renewed while its machine has not joined.
	tokenLife  = time.Hour
	tokenRenew = tokenLife / 2
)

// randomText draws letters and digits without bias.
func randomText(random io.Reader, length int) (string, error) {
	text := make([]byte, 0, length)
	buffer := make([]byte, 1)
	for len(text) < length {
		if _, err := io.ReadFull(random, buffer); err != nil {
			return "", fmt.Errorf("draw a random text: %w", err)
		}
		if limit := 256 - 256%len(tokenAlphabet); int(buffer[0]) < limit {
			text = append(text, tokenAlphabet[int(buffer[0])%len(tokenAlphabet)])
		}
	}
	return string(text), nil
}

// token returns the secret half of the machine's bootstrap token. It is kept
// beside the machine, as the machine is made before the API server answers.
func (r *Reconciler) token(ctx context.Context, s *scene) (string, error) {
	secret := tokenSecretObject(s)
	err := r.reader.Get(ctx, client.ObjectKeyFromObject(secret), secret)
	if client.IgnoreNotFound(err) != nil {
		return "", fmt.Errorf("read bootstrap token: %w", err)
	}
	if err == nil && string(secret.Data[tokenIDKey]) == s.object.Status.BootstrapTokenID {
		return string(secret.Data[tokenSecretKey]), nil
	}
	if err == nil {
		// It is an earlier incarnation's.
		if err := r.deleteTokenSecret(ctx, s); err != nil {
			return "", err
		}
	}
	text, err := randomText(r.Random, tokenSecretLength)
	if err != nil {
		return "", err
	}
	secret = tokenSecretObject(s)
	secret.Data = map[string][]byte{
		tokenIDKey:     []byte(s.object.Status.BootstrapTokenID),
		tokenSecretKey: []byte(text),
	}
	if err := r.client.Create(ctx, secret); err != nil {
		return "", fmt.Errorf("keep bootstrap token: %w", err)
	}
	return text, nil
}

func tokenSecretObject(s *scene) *corev1.Secret {
	return &corev1.Secret{ObjectMeta: metav1.ObjectMeta{
		Namespace: v1beta1.MachineNamespace(s.ref.ClusterID),
		Name:      s.ref.Name + "-token",
		Labels:    map[string]string{v1beta1.LabelClusterID: s.ref.ClusterID},
	}}
}

func (r *Reconciler) deleteTokenSecret(ctx context.Context, s *scene) error {
	if err := client.IgnoreNotFound(r.client.Delete(ctx, tokenSecretObject(s))); err != nil {
		return fmt.Errorf("delete kept bootstrap token: %w", err)
	}
	return nil
}

// admit has the tenant's API server accept the machine's token, as soon as it
// answers.
func (r *Reconciler) admit(ctx context.Context, s *scene, out *outcome) error {
	if s.tenant == nil {
		out.again = min(out.again, noTenantAgain)
		return nil
	}
	secretHalf, err := r.token(ctx, s)
	if err != nil {
		return err
	}
	want := bootstrapToken(s.object, secretHalf, r.Now())
	have := &corev1.Secret{}
	err = s.tenant.Get(ctx, client.ObjectKeyFromObject(want), have)
	if apierrors.IsNotFound(err) {
		if err := allowBootstrap(ctx, s.tenant); err != nil {
			return err
		}
		if err := s.tenant.Create(ctx, want); err != nil {
			return fmt.Errorf("create bootstrap token: %w", err)
		}
		return nil
	}
	if err != nil {
		return fmt.Errorf("read bootstrap token of the cluster: %w", err)
	}
	if tokenServes(have, secretHalf, r.Now()) {
		return nil
	}
	have.Data = want.Data
	if err := s.tenant.Update(ctx, have); err != nil {
		return fmt.Errorf("renew bootstrap token: %w", err)
	}
	return nil
}

func bootstrapToken(object *v1beta1.Machine, secretHalf string, now time.Time) *corev1.Secret {
	text := map[string]string{
		"description":                    "joins node " + object.Spec.NodeName,
		tokenIDKey:                       object.Status.BootstrapTokenID,
		tokenSecretKey:                   secretHalf,
		"expiration":                     now.Add(tokenLife).UTC().Format(time.RFC3339),
		"usage-bootstrap-authentication": "true",
		"auth-extra-groups":              BootstrapGroup,
	}
	data := map[string][]byte{}
	for key, value := range text {
		data[key] = []byte(value)
	}
	return &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: metav1.NamespaceSystem, Name: "bootstrap-token-" + object.Status.BootstrapTokenID},
		Type:       corev1.SecretTypeBootstrapToken,
		Data:       data,
	}
}

func tokenServes(have *corev1.Secret, secretHalf string, now time.Time) bool {
	expiry, err := time.Parse(time.RFC3339, string(have.Data["expiration"]))
	return err == nil && expiry.Sub(now) > tokenRenew && string(have.Data[tokenSecretKey]) == secretHalf
}

// allowBootstrap lets the tokens' group ask for certificates, and nothing else.
func allowBootstrap(ctx context.Context, tenant client.Client) error {
	binding := &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "berth:node-bootstrapper"},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "system:node-bootstrapper"},
		Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.GroupKind, Name: BootstrapGroup}},
	}
	if err := tenant.Create(ctx, binding); err != nil && !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("allow machines to join: %w", err)
	}
	return nil
}

// retireToken ends the token's use in the tenant's cluster. One that a webhook of the
// customer's keeps does not hold a stop up: it expires.
func (r *Reconciler) retireToken(ctx context.Context, s *scene, _ *outcome) error {
	if s.object.Status.BootstrapTokenID == "" {
		return nil
	}
	if s.tenant == nil {
		return errNoTenant
	}
	held, cancel := whileHeld(ctx, s.cluster)
	defer cancel()
	secret := bootstrapToken(s.object, "", r.Now())
	if err := client.IgnoreNotFound(s.tenant.Delete(held, secret)); err != nil && !s.passes(ctx, held, "secrets", err) {
		return fmt.Errorf("delete bootstrap token: %w", err)
	}
	return nil
}
