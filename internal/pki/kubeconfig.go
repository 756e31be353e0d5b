package pki

import (
	"fmt"

	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// KubeconfigRequest describes a kubeconfig with one cluster, one user and one context.
type KubeconfigRequest struct {
	// Cluster and User name the entries; the context is called Cluster, or Context if set.
	Cluster, User, Context string
	// Server is the URL of the API server and TLSServerName the name that its
	// certificate must carry, when that is not the URL's host.
	Server, TLSServerName string
	CA                    []byte
	// Cert and Key are the client certificate; Token is used when they are empty.
	Cert, Key []byte
	Token     string
}

// Kubeconfig renders a kubeconfig file.
func Kubeconfig(request KubeconfigRequest) ([]byte, error) {
	context := request.Context
	if context == "" {
		context = request.Cluster
	}
	config := clientcmdapi.NewConfig()
	config.Clusters[request.Cluster] = &clientcmdapi.Cluster{
		Server:                   request.Server,
		TLSServerName:            request.TLSServerName,
		CertificateAuthorityData: request.CA,
	}
	config.AuthInfos[request.User] = &clientcmdapi.AuthInfo{
		ClientCertificateData: request.Cert,
		ClientKeyData:         request.Key,
		Token:                 request.Token,
	}
	config.Contexts[context] = &clientcmdapi.Context{Cluster: request.Cluster, AuthInfo: request.User}
	config.CurrentContext = context
	out, err := clientcmd.Write(*config)
	if err != nil {
		return nil, fmt.Errorf("write kubeconfig for %s: %w", request.Cluster, err)
	}
	return out, nil
}
