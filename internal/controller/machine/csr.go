package machine

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"strings"

	certificatesv1 "k8s.io/api/certificates/v1"
)

// BootstrapGroup is the group of the machines' bootstrap tokens.
const BootstrapGroup = "system:bootstrappers:berth"

const (
	nodeUserPrefix  = "system:node:"
	nodesGroup      = "system:nodes"
	tokenUserPrefix = "system:bootstrap:"
)

// Verdict on a certificate signing request.
type Verdict string

// The verdicts.
const (
	// Ignore: the request is not about a kubelet, or is decided already.
	Ignore Verdict = "Ignore"
	// Approve: the machine that it speaks for exists and asked for its own.
	Approve Verdict = "Approve"
	// Deny: everything else.
	Deny Verdict = "Deny"
	// Defer: what is known does not suffice yet.
	Defer Verdict = "Defer"
)

// Ruling is a verdict with its reason, CamelCase, and a message for people.
type Ruling struct {
	Verdict Verdict
	Reason  string
	Message string
}

// Joiner is what is known of a machine when its certificates are ruled on.
type Joiner struct {
	NodeName string
	// TokenID is the id of its bootstrap token.
	TokenID string
	// Leaving is true when the machine is being deleted.
	Leaving bool
	// Address of the machine; empty when it has none yet.
	Address string
}

// Rule decides on a request from the machines of the cluster that it was made in.
// A kubelet gets a client certificate for its own node with its own bootstrap
// token, or again with the certificate that it has, and a serving certificate for
// its own name and address. Everything else that asks one of the kubelet signers
// is denied; requests to other signers are not Berth's to decide.
func Rule(request *certificatesv1.CertificateSigningRequest, joiners []Joiner) Ruling {
	if decided(request) {
		return Ruling{Ignore, "Decided", "the request is decided already"}
	}
	switch request.Spec.SignerName {
	case certificatesv1.KubeAPIServerClientKubeletSignerName:
		return rule(request, joiners, checkClient)
	case certificatesv1.KubeletServingSignerName:
		return rule(request, joiners, checkServing)
	default:
		return Ruling{Ignore, "OtherSigner", "the signer is not one of the kubelet's"}
	}
}

func decided(request *certificatesv1.CertificateSigningRequest) bool {
	return len(request.Status.Certificate) > 0 || slices.ContainsFunc(request.Status.Conditions,
		func(c certificatesv1.CertificateSigningRequestCondition) bool {
			return c.Type == certificatesv1.CertificateApproved || c.Type == certificatesv1.CertificateDenied
		})
}

type checker func(*certificatesv1.CertificateSigningRequest, *x509.CertificateRequest, Joiner) Ruling

func rule(request *certificatesv1.CertificateSigningRequest, joiners []Joiner, check checker) Ruling {
	asked, err := parse(request.Spec.Request)
	if err != nil {
		return deny("Malformed", err.Error())
	}
	nodeName, err := subjectNode(asked)
	if err != nil {
		return deny("WrongSubject", err.Error())
	}
	var found []Joiner
	for _, joiner := range joiners {
		if joiner.NodeName == nodeName {
			found = append(found, joiner)
		}
	}
	if len(found) != 1 {
		return deny("UnknownMachine", fmt.Sprintf("%d machines carry the node %s, not one", len(found), nodeName))
	}
	return check(request, asked, found[0])
}

// parse reads exactly one PEM block that holds a signed request.
func parse(text []byte) (*x509.CertificateRequest, error) {
	block, rest := pem.Decode(text)
	if block == nil || block.Type != "CERTIFICATE REQUEST" {
		return nil, errors.New("spec.request is not a PEM block CERTIFICATE REQUEST")
	}
	if len(bytes.TrimSpace(rest)) > 0 {
		return nil, errors.New("spec.request holds more than one PEM block")
	}
	asked, err := x509.ParseCertificateRequest(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("parse spec.request: %w", err)
	}
	if err := asked.CheckSignature(); err != nil {
		return nil, fmt.Errorf("check the signature of spec.request: %w", err)
	}
	return asked, nil
}

// subjectNode is the node that a request's subject names. A subject with more
// than a node's has could mean something to somebody else.
func subjectNode(asked *x509.CertificateRequest) (string, error) {
	name, isNode := strings.CutPrefix(asked.Subject.CommonName, nodeUserPrefix)
	if !isNode || name == "" {
		return "", fmt.Errorf("common name %q is not %s<node>", asked.Subject.CommonName, nodeUserPrefix)
	}
	if !slices.Equal(asked.Subject.Organization, []string{nodesGroup}) {
		return "", fmt.Errorf("organization %q is not %s", asked.Subject.Organization, nodesGroup)
	}
	if len(asked.Subject.Names) != 2 {
		return "", errors.New("the subject has more than a common name and an organization")
	}
	if len(asked.EmailAddresses) > 0 || len(asked.URIs) > 0 {
		return "", errors.New("e-mail addresses and URIs are not for nodes")
	}
	return name, nil
}

func checkClient(request *certificatesv1.CertificateSigningRequest, asked *x509.CertificateRequest, joiner Joiner) Ruling {
	if len(asked.DNSNames) > 0 || len(asked.IPAddresses) > 0 {
		return deny("WrongNames", "a client certificate has no alternative names")
	}
	if !usagesAre(request.Spec.Usages, certificatesv1.UsageClientAuth) {
		return deny("WrongUsages", fmt.Sprintf("usages %q are not a kubelet client's", request.Spec.Usages))
	}
	if isNode(request, joiner) {
		return Ruling{Approve, "NodeRenews", "the node renews its client certificate"}
	}
	token, isToken := strings.CutPrefix(request.Spec.Username, tokenUserPrefix)
	switch {
	case !isToken || token == "" || token != joiner.TokenID || !slices.Contains(request.Spec.Groups, BootstrapGroup):
		return deny("WrongRequester", fmt.Sprintf("%q may not ask for the node %s", request.Spec.Username, joiner.NodeName))
	case joiner.Leaving:
		return deny("MachineLeaves", fmt.Sprintf("the machine of the node %s is being deleted", joiner.NodeName))
	default:
		return Ruling{Approve, "MachineJoins", "the machine joins with its own bootstrap token"}
	}
}

func checkServing(request *certificatesv1.CertificateSigningRequest, asked *x509.CertificateRequest, joiner Joiner) Ruling {
	if !isNode(request, joiner) {
		return deny("WrongRequester", fmt.Sprintf("%q may not ask for the node %s", request.Spec.Username, joiner.NodeName))
	}
	if !usagesAre(request.Spec.Usages, certificatesv1.UsageServerAuth) {
		return deny("WrongUsages", fmt.Sprintf("usages %q are not a kubelet server's", request.Spec.Usages))
	}
	if len(asked.DNSNames) == 0 && len(asked.IPAddresses) == 0 {
		return deny("WrongNames", "a serving certificate needs an alternative name")
	}
	for _, name := range asked.DNSNames {
		if name != joiner.NodeName {
			return deny("WrongNames", fmt.Sprintf("DNS name %q is not the node's", name))
		}
	}
	for _, address := range asked.IPAddresses {
		if joiner.Address == "" {
			return Ruling{Defer, "NoAddress", "the machine's address is not known"}
		}
		if address.String() != joiner.Address {
			return deny("WrongNames", fmt.Sprintf("address %s is not the machine's, %s", address, joiner.Address))
		}
	}
	return Ruling{Approve, "NodeServes", "the node serves under its own name and address"}
}

func isNode(request *certificatesv1.CertificateSigningRequest, joiner Joiner) bool {
	return request.Spec.Username == nodeUserPrefix+joiner.NodeName && slices.Contains(request.Spec.Groups, nodesGroup)
}

// usagesAre says whether the usages are those of a kubelet's certificate: the
// purpose and digital signature, and with an RSA key also key encipherment.
func usagesAre(usages []certificatesv1.KeyUsage, purpose certificatesv1.KeyUsage) bool {
	required := map[certificatesv1.KeyUsage]bool{purpose: false, certificatesv1.UsageDigitalSignature: false}
	for _, usage := range usages {
		if _, ok := required[usage]; ok {
			required[usage] = true
		} else if usage != certificatesv1.UsageKeyEncipherment {
			return false
		}
	}
	return required[purpose] && required[certificatesv1.UsageDigitalSignature]
}

func deny(reason, message string) Ruling { return Ruling{Deny, reason, message} }
