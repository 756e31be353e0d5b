package cli

import (
	"context"
	"net/http"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
	"github.com/spf13/cobra"
)

// featureVersion is the api-version of previews.
const featureVersion = "2021-07-01"

var featureColumns = []column{{"Name", "name"}, {"RegistrationState", "state"}}

// featureCommand is `berth feature`, with the verbs and flags of `az feature`.
func (s *session) featureCommand() *cobra.Command {
	return s.common(noun("feature", "Previews, which a subscription registers before it can use them",
		s.featureList(),
		s.featureVerb("show", "Show a preview", http.MethodGet),
		s.featureVerb("register", "Register a preview: not for production, supported as best effort in business hours", http.MethodPost, "register"),
		s.featureVerb("unregister", "Unregister a preview: what uses it stays, and no more is made", http.MethodPost, "unregister"),
	))
}

// features is a call on the previews of a provider, or of all if it is empty.
func (c *clients) features(method, namespace string, path ...string) call {
	at := []string{"providers", "Microsoft.Features"}
	if namespace != "" {
		at = append(at, "providers", namespace)
	}
	return c.of(method, featureVersion, append(append(at, "features"), path...)...)
}

func (s *session) featureList() *cobra.Command {
	var namespace string
	command := s.verb("list", "List the previews", func(ctx context.Context, c *clients) error {
		found, err := listAll[map[string]any](ctx, c, c.features(http.MethodGet, namespace))
		if err != nil {
			return err
		}
		for i := range found {
			found[i] = flat(found[i])
		}
		return s.print(found, featureColumns)
	})
	command.Flags().StringVar(&namespace, "namespace", "", "provider, such as Microsoft.ContainerService")
	return command
}

func (s *session) featureVerb(name, short, method string, action ...string) *cobra.Command {
	var namespace, feature string
	command := s.verb(name, short, func(ctx context.Context, c *clients) error {
		response, err := c.exchange(ctx, c.features(method, namespace, append([]string{feature}, action...)...))
		if err != nil {
			return err
		}
		defer response.Body.Close()
		var body map[string]any
		if err := runtime.UnmarshalAsJSON(response, &body); err != nil {
			return err
		}
		return s.print(flat(body), featureColumns)
	})
	command.Flags().StringVar(&namespace, "namespace", "Microsoft.ContainerService", "provider")
	command.Flags().StringVarP(&feature, "name", "n", "", "name of the preview")
	must(command, "name")
	return command
}
