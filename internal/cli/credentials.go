package cli

import (
	"context"
	"errors"
	"fmt"

	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/containerservice/armcontainerservice/v6"
	"github.com/spf13/cobra"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/clientcmd/api"
)

// credentialOptions are the flags of `berth cluster get-credentials`.
type credentialOptions struct {
	clusterRef
	admin, overwrite   bool
	file, context, fmt string
}

func (s *session) clusterGetCredentials() *cobra.Command {
	var options credentialOptions
	command := s.verb("get-credentials", "Merge a cluster's credentials into your kubeconfig", func(ctx context.Context, c *clients) error {
		text, err := options.fetch(ctx, c)
		if err != nil {
			return err
		}
		addition, err := parseCredential(text, options.context)
		if err != nil {
			return err
		}
		if options.file == "-" {
			text, err := clientcmd.Write(*addition)
			if err != nil {
				return fmt.Errorf("write kubeconfig: %w", err)
			}
			_, err = s.streams.Out.Write(text)
			return err
		}
		return s.mergeInto(ctx, options, addition)
	})
	s.clusterFlags(command, &options.clusterRef, "name", "n")
	flags := command.Flags()
	flags.BoolVarP(&options.admin, "admin", "a", false, "the cluster administrator's credentials")
	flags.BoolVar(&options.overwrite, "overwrite-existing", false, "replace entries of the same names")
	flags.StringVarP(&options.file, "file", "f", "", "kubeconfig to merge into, - for standard output (KUBECONFIG or ~/.kube/config)")
	flags.StringVar(&options.context, "context", "", "name of the context and the cluster entry, instead of the cluster's name")
	flags.StringVar(&options.fmt, "format", "", "azure or exec, which give the same here")
	return command
}

// fetch asks ARM for the kubeconfig.
func (o credentialOptions) fetch(ctx context.Context, c *clients) ([]byte, error) {
	var results armcontainerservice.CredentialResults
	if o.admin {
		found, err := c.clusters.ListClusterAdminCredentials(ctx, o.group, o.name, nil)
		if err != nil {
			return nil, err
		}
		results = found.CredentialResults
	} else {
		options := &armcontainerservice.ManagedClustersClientListClusterUserCredentialsOptions{
			Format: optional(armcontainerservice.Format(o.fmt)),
		}
		found, err := c.clusters.ListClusterUserCredentials(ctx, o.group, o.name, options)
		if err != nil {
			return nil, err
		}
		results = found.CredentialResults
	}
	if len(results.Kubeconfigs) == 0 || len(results.Kubeconfigs[0].Value) == 0 {
		return nil, fmt.Errorf("the server gave no credentials for cluster %s", o.name)
	}
	return results.Kubeconfigs[0].Value, nil
}

func (s *session) mergeInto(ctx context.Context, options credentialOptions, addition *api.Config) error {
	path, err := kubeconfigPath(options.file, s.program.Getenv)
	if err != nil {
		return err
	}
	var conflict conflictError
	err = updateKubeconfig(ctx, path, func(existing *api.Config) error {
		return mergeKubeconfig(existing, addition, func(found conflictError) bool {
			return options.overwrite || s.confirm(false, found.Error()+" in "+path+". Overwrite?") == nil
		})
	})
	if errors.As(err, &conflict) {
		return fmt.Errorf("%w in %s: add --overwrite-existing to replace it", conflict, path)
	}
	if err != nil {
		return err
	}
	fmt.Fprintf(s.streams.Err, "Merged %q as current context in %s\n", addition.CurrentContext, path)
	return nil
}
