package support

import (
	"context"
	"fmt"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// attempts bounds how often a change meets another one.
const attempts = 5

// update writes what apply makes of the object that is found, anew where another writer was
// faster. What is not changed is not written.
func update[T client.Object](ctx context.Context, c client.Client, find func() (T, error), apply func(T) error) (T, error) {
	var none T
	for attempt := 1; ; attempt++ {
		found, err := find()
		if err != nil {
			return none, err
		}
		before := found.DeepCopyObject()
		if err := apply(found); err != nil {
			return none, err
		}
		if equality.Semantic.DeepEqual(before, client.Object(found)) {
			return found, nil
		}
		err = c.Update(ctx, found)
		if err == nil {
			return found, nil
		}
		if !apierrors.IsConflict(err) || attempt == attempts {
			return none, fmt.Errorf("write %s: %w", client.ObjectKeyFromObject(found), err)
		}
	}
}
