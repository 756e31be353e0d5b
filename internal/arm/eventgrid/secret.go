package eventgrid

import (
	"context"
	"fmt"
	"net/http"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/arm"
	hook "berth.dev/berth/internal/webhook"
)

// keep stores the endpoint's URL, and draws the keys if there are none. It is repeated by
// the client whose request was cut off before it; nothing is sent until it was done.
func (p provider) keep(ctx context.Context, of *v1beta1.EventSubscription, url string) error {
	secret, err := p.secret(ctx, of)
	if apierrors.IsNotFound(err) {
		secret = &corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{Namespace: of.Namespace, Name: of.Name, OwnerReferences: []metav1.OwnerReference{{
				APIVersion: v1beta1.GroupVersion.String(), Kind: "EventSubscription", Name: of.Name, UID: of.UID,
			}}},
			Type: corev1.SecretTypeOpaque,
			Data: map[string][]byte{v1beta1.EndpointURL: []byte(url), v1beta1.SigningKey1: []byte(hook.NewKey()), v1beta1.SigningKey2: []byte(hook.NewKey())},
		}
		if err := p.Client.Create(ctx, secret); err != nil {
			return fmt.Errorf("store endpoint of %s: %w", of.Name, err)
		}
		return nil
	}
	if err != nil {
		return err
	}
	secret.Data[v1beta1.EndpointURL] = []byte(url)
	if err := p.Client.Update(ctx, secret); err != nil {
		return fmt.Errorf("store endpoint of %s: %w", of.Name, err)
	}
	return nil
}

// secret is the Secret of an event subscription. That of an earlier one of the same name,
// which is about to go, is removed and not found.
func (p provider) secret(ctx context.Context, of *v1beta1.EventSubscription) (*corev1.Secret, error) {
	var secret corev1.Secret
	err := p.APIReader.Get(ctx, client.ObjectKeyFromObject(of), &secret)
	if err != nil {
		return nil, fmt.Errorf("read endpoint of %s: %w", of.Name, err)
	}
	if owners := secret.OwnerReferences; len(owners) == 1 && owners[0].UID == of.UID && secret.Data != nil {
		return &secret, nil
	}
	if err := p.Client.Delete(ctx, &secret, client.Preconditions{UID: &secret.UID}); client.IgnoreNotFound(err) != nil {
		return nil, fmt.Errorf("remove endpoint of an earlier %s: %w", of.Name, err)
	}
	return nil, apierrors.NewNotFound(corev1.Resource("secrets"), of.Name)
}

// ask answers a POST that hands out what the Secret has.
func (p provider) ask(find arm.Find, answer func(secret *corev1.Secret) any) arm.Handler {
	return func(ctx context.Context, r *arm.Request) (*arm.Response, error) {
		secret, err := p.mustSecret(ctx, r, find)
		if err != nil {
			return nil, err
		}
		return arm.OK(answer(secret))
	}
}

func (p provider) mustSecret(ctx context.Context, r *arm.Request, find arm.Find) (*corev1.Secret, error) {
	found, err := p.mustRead(ctx, r, find)
	if err != nil {
		return nil, err
	}
	secret, err := p.secret(ctx, found)
	if apierrors.IsNotFound(err) {
		return nil, arm.Errorf(http.StatusConflict, "OperationNotAllowed", "The event subscription '%s' has no endpoint: the request that made it was cut off. Send it again.", found.Spec.Name)
	}
	return secret, err
}

func (p provider) fullURL(find arm.Find) arm.Handler {
	return p.ask(find, func(s *corev1.Secret) any { return map[string]any{"endpointUrl": string(s.Data[v1beta1.EndpointURL])} })
}

// attributes are none: Berth sends no headers of the customer's.
func (p provider) attributes(find arm.Find) arm.Handler {
	return p.ask(find, func(*corev1.Secret) any { return map[string]any{"value": []any{}} })
}

func (p provider) listKeys(find arm.Find) arm.Handler { return p.ask(find, keys) }

func keys(s *corev1.Secret) any {
	return map[string]any{v1beta1.SigningKey1: string(s.Data[v1beta1.SigningKey1]), v1beta1.SigningKey2: string(s.Data[v1beta1.SigningKey2])}
}

// regenerateKey replaces one of the two keys. Deliveries are signed with both, so that
// whoever checks with the other one misses none.
func (p provider) regenerateKey(find arm.Find) arm.Handler {
	return func(ctx context.Context, r *arm.Request) (*arm.Response, error) {
		var sent struct {
			KeyName string `json:"keyName" arm:"enum=key1|key2"`
		}
		if err := r.Decode(&sent); err != nil {
			return nil, err
		}
		if sent.KeyName != v1beta1.SigningKey1 && sent.KeyName != v1beta1.SigningKey2 {
			return nil, arm.InvalidParameter("keyName", "The name of the key '%.64s' is invalid: it is key1 or key2.", sent.KeyName)
		}
		secret, err := p.mustSecret(ctx, r, find)
		if err != nil {
			return nil, err
		}
		secret.Data[sent.KeyName] = []byte(hook.NewKey())
		if err := p.Client.Update(ctx, secret); err != nil {
			return nil, fmt.Errorf("replace key of %s: %w", secret.Name, err)
		}
		return arm.OK(keys(secret))
	}
}
