package machine

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"net"
	"net/url"
	"slices"
	"strings"
	"testing"

	certificatesv1 "k8s.io/api/certificates/v1"
)

const nodeA, nodeB = "aks-np-12345678-vmss000000", "aks-np-12345678-vmss000001"

var someJoiners = []Joiner{
	{NodeName: nodeA, TokenID: "aaaaaa", Address: "100.64.0.5"},
	{NodeName: nodeB, TokenID: "bbbbbb"},
	{NodeName: "leaving", TokenID: "cccccc", Leaving: true, Address: "100.64.0.7"},
	{NodeName: "twin", TokenID: "dddddd"},
	{NodeName: "twin", TokenID: "eeeeee"},
}

var (
	clientUsages  = []certificatesv1.KeyUsage{certificatesv1.UsageDigitalSignature, certificatesv1.UsageClientAuth}
	servingUsages = []certificatesv1.KeyUsage{certificatesv1.UsageDigitalSignature, certificatesv1.UsageServerAuth}
)

func template(node string) *x509.CertificateRequest {
	return &x509.CertificateRequest{Subject: pkix.Name{CommonName: nodeUserPrefix + node, Organization: []string{nodesGroup}}}
}

func encode(t testing.TB, asked *x509.CertificateRequest) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, asked, key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der})
}

// joining is the request of a kubelet that joins with a token.
func joining(t testing.TB, node, token string) *certificatesv1.CertificateSigningRequest {
	return &certificatesv1.CertificateSigningRequest{Spec: certificatesv1.CertificateSigningRequestSpec{
		SignerName: certificatesv1.KubeAPIServerClientKubeletSignerName,
		Username:   tokenUserPrefix + token,
		Groups:     []string{"system:bootstrappers", BootstrapGroup, "system:authenticated"},
		Usages:     clientUsages,
		Request:    encode(t, template(node)),
	}}
}

// serving is the request of a kubelet for its serving certificate.
func serving(t testing.TB, requester string, asked *x509.CertificateRequest) *certificatesv1.CertificateSigningRequest {
	return &certificatesv1.CertificateSigningRequest{Spec: certificatesv1.CertificateSigningRequestSpec{
		SignerName: certificatesv1.KubeletServingSignerName,
		Username:   nodeUserPrefix + requester,
		Groups:     []string{nodesGroup, "system:authenticated"},
		Usages:     servingUsages,
		Request:    encode(t, asked),
	}}
}

func servingTemplate(node string, dns []string, addresses ...string) *x509.CertificateRequest {
	asked := template(node)
	asked.DNSNames = dns
	for _, address := range addresses {
		asked.IPAddresses = append(asked.IPAddresses, net.ParseIP(address))
	}
	return asked
}

type requestCase struct {
	why     string
	request *certificatesv1.CertificateSigningRequest
	verdict Verdict
	reason  string
}

func with(r *certificatesv1.CertificateSigningRequest, change func(*certificatesv1.CertificateSigningRequestSpec)) *certificatesv1.CertificateSigningRequest {
	change(&r.Spec)
	return r
}

func asking(t testing.TB, change func(*x509.CertificateRequest)) *certificatesv1.CertificateSigningRequest {
	r := joining(t, nodeA, "aaaaaa")
	asked := template(nodeA)
	change(asked)
	r.Spec.Request = encode(t, asked)
	return r
}

type spec = certificatesv1.CertificateSigningRequestSpec

func clientCases(t testing.TB) []requestCase {
	return []requestCase{
		{"a machine joins with its own token", joining(t, nodeA, "aaaaaa"), Approve, "MachineJoins"},
		{"an RSA kubelet asks for key encipherment too", with(joining(t, nodeA, "aaaaaa"), func(s *spec) {
			s.Usages = append(slices.Clone(clientUsages), certificatesv1.UsageKeyEncipherment)
		}), Approve, "MachineJoins"},
		{"a node renews its own", with(joining(t, nodeA, ""), func(s *spec) {
			s.Username, s.Groups = nodeUserPrefix+nodeA, []string{nodesGroup}
		}), Approve, "NodeRenews"},
		{"a leaving node may renew: its pods still drain", with(joining(t, "leaving", ""), func(s *spec) {
			s.Username, s.Groups = nodeUserPrefix+"leaving", []string{nodesGroup}
		}), Approve, "NodeRenews"},
		{"a leaving machine does not join", joining(t, "leaving", "cccccc"), Deny, "MachineLeaves"},
		{"a stolen token opens one node only", joining(t, nodeB, "aaaaaa"), Deny, "WrongRequester"},
		{"a node does not become another", with(joining(t, nodeB, ""), func(s *spec) {
			s.Username, s.Groups = nodeUserPrefix+nodeA, []string{nodesGroup}
		}), Deny, "WrongRequester"},
		{"a machine without a token is not joined by an empty one", joining(t, nodeA, ""), Deny, "WrongRequester"},
		{"a bootstrap token of somebody else's group is not ours", with(joining(t, nodeA, "aaaaaa"), func(s *spec) {
			s.Groups = []string{"system:bootstrappers"}
		}), Deny, "WrongRequester"},
		{"a user who calls himself a node is not one", with(joining(t, nodeA, ""), func(s *spec) {
			s.Username, s.Groups = nodeUserPrefix+nodeA, []string{"system:authenticated"}
		}), Deny, "WrongRequester"},
		{"an administrator has other ways", with(joining(t, nodeA, ""), func(s *spec) {
			s.Username, s.Groups = "admin", []string{"system:masters"}
		}), Deny, "WrongRequester"},
		{"a node without a machine", joining(t, "intruder", "aaaaaa"), Deny, "UnknownMachine"},
		{"two machines of one name are none", joining(t, "twin", "dddddd"), Deny, "UnknownMachine"},
		{"a server's usage on a client's certificate", with(joining(t, nodeA, "aaaaaa"), func(s *spec) {
			s.Usages = servingUsages
		}), Deny, "WrongUsages"},
		{"a usage more", with(joining(t, nodeA, "aaaaaa"), func(s *spec) {
			s.Usages = append(slices.Clone(clientUsages), certificatesv1.UsageCertSign)
		}), Deny, "WrongUsages"},
		{"a usage less", with(joining(t, nodeA, "aaaaaa"), func(s *spec) { s.Usages = clientUsages[1:] }), Deny, "WrongUsages"},
		{"a group more would be more than a node", asking(t, func(r *x509.CertificateRequest) {
			r.Subject.Organization = []string{nodesGroup, "system:masters"}
		}), Deny, "WrongSubject"},
		{"another group", asking(t, func(r *x509.CertificateRequest) { r.Subject.Organization = []string{"system:masters"} }), Deny, "WrongSubject"},
		{"no group", asking(t, func(r *x509.CertificateRequest) { r.Subject.Organization = nil }), Deny, "WrongSubject"},
		{"another name", asking(t, func(r *x509.CertificateRequest) { r.Subject.CommonName = "system:kube-controller-manager" }), Deny, "WrongSubject"},
		{"the bare prefix", asking(t, func(r *x509.CertificateRequest) { r.Subject.CommonName = nodeUserPrefix }), Deny, "WrongSubject"},
		{"a unit beside the name", asking(t, func(r *x509.CertificateRequest) { r.Subject.OrganizationalUnit = []string{"x"} }), Deny, "WrongSubject"},
		{"a host name in a client's certificate", asking(t, func(r *x509.CertificateRequest) { r.DNSNames = []string{nodeA} }), Deny, "WrongNames"},
		{"an address in a client's certificate", asking(t, func(r *x509.CertificateRequest) {
			r.IPAddresses = []net.IP{net.ParseIP("100.64.0.5")}
		}), Deny, "WrongNames"},
		{"a mail address", asking(t, func(r *x509.CertificateRequest) { r.EmailAddresses = []string{"a@b.c"} }), Deny, "WrongSubject"},
		{"a URI", asking(t, func(r *x509.CertificateRequest) { r.URIs = []*url.URL{{Scheme: "spiffe", Host: "x"}} }), Deny, "WrongSubject"},
	}
}

func servingCases(t testing.TB) []requestCase {
	both := servingTemplate(nodeA, []string{nodeA}, "100.64.0.5")
	return []requestCase{
		{"a node serves under its name and address", serving(t, nodeA, both), Approve, "NodeServes"},
		{"the address alone", serving(t, nodeA, servingTemplate(nodeA, nil, "100.64.0.5")), Approve, "NodeServes"},
		{"the name alone", serving(t, nodeA, servingTemplate(nodeA, []string{nodeA})), Approve, "NodeServes"},
		{"the name needs no address to be known", serving(t, nodeB, servingTemplate(nodeB, []string{nodeB})), Approve, "NodeServes"},
		{"an address that is not known yet", serving(t, nodeB, servingTemplate(nodeB, nil, "100.64.0.6")), Defer, "NoAddress"},
		{"another machine's address", serving(t, nodeA, servingTemplate(nodeA, []string{nodeA}, "100.64.0.6")), Deny, "WrongNames"},
		{"an address more", serving(t, nodeA, servingTemplate(nodeA, nil, "100.64.0.5", "10.0.0.1")), Deny, "WrongNames"},
		{"the API server's name", serving(t, nodeA, servingTemplate(nodeA, []string{nodeA, "kubernetes.default.svc"}, "100.64.0.5")), Deny, "WrongNames"},
		{"no name at all", serving(t, nodeA, template(nodeA)), Deny, "WrongNames"},
		{"another node asks", serving(t, nodeB, both), Deny, "WrongRequester"},
		{"a token does not serve", with(serving(t, nodeA, both), func(s *spec) {
			s.Username, s.Groups = tokenUserPrefix+"aaaaaa", []string{BootstrapGroup}
		}), Deny, "WrongRequester"},
		{"a client's usage on a server's certificate", with(serving(t, nodeA, both), func(s *spec) { s.Usages = clientUsages }), Deny, "WrongUsages"},
		{"a node without a machine", serving(t, "intruder", servingTemplate("intruder", []string{"intruder"})), Deny, "UnknownMachine"},
	}
}

func otherCases(t testing.TB) []requestCase {
	approved, issued := joining(t, nodeA, "aaaaaa"), joining(t, nodeA, "aaaaaa")
	approved.Status.Conditions = []certificatesv1.CertificateSigningRequestCondition{{Type: certificatesv1.CertificateApproved}}
	issued.Status.Certificate = []byte("x")
	valid := encode(t, template(nodeA))
	forged := slices.Clone(valid)
	block, _ := pem.Decode(forged)
	block.Bytes[len(block.Bytes)-1] ^= 1
	return []requestCase{
		{"other signers are other people's", with(joining(t, nodeA, "x"), func(s *spec) { s.SignerName = "example.com/x" }), Ignore, "OtherSigner"},
		{"so is the API server's client signer", with(joining(t, nodeA, "x"), func(s *spec) {
			s.SignerName = certificatesv1.KubeAPIServerClientSignerName
		}), Ignore, "OtherSigner"},
		{"what is approved stays so", approved, Ignore, "Decided"},
		{"what is issued stays so", issued, Ignore, "Decided"},
		{"nothing", with(joining(t, nodeA, "aaaaaa"), func(s *spec) { s.Request = nil }), Deny, "Malformed"},
		{"no PEM", with(joining(t, nodeA, "aaaaaa"), func(s *spec) { s.Request = []byte("x") }), Deny, "Malformed"},
		{"a certificate instead", with(joining(t, nodeA, "aaaaaa"), func(s *spec) {
			s.Request = []byte(strings.ReplaceAll(string(valid), "CERTIFICATE REQUEST", "CERTIFICATE"))
		}), Deny, "Malformed"},
		{"a second block could be what is signed", with(joining(t, nodeA, "aaaaaa"), func(s *spec) {
			s.Request = append(slices.Clone(valid), encode(t, template(nodeB))...)
		}), Deny, "Malformed"},
		{"a request that the key did not sign", with(joining(t, nodeA, "aaaaaa"), func(s *spec) {
			s.Request = pem.EncodeToMemory(block)
		}), Deny, "Malformed"},
	}
}

func TestRule(t *testing.T) {
	for _, c := range slices.Concat(clientCases(t), servingCases(t), otherCases(t)) {
		got := Rule(c.request, someJoiners)
		if got.Verdict != c.verdict || got.Reason != c.reason {
			t.Errorf("%s: %s %s (%s), want %s %s", c.why, got.Verdict, got.Reason, got.Message, c.verdict, c.reason)
		}
		if got.Message == "" {
			t.Errorf("%s: no message", c.why)
		}
	}
}

// Whatever a request holds, approval means that the requester is the very machine
// that the certificate will name.
func FuzzRule(f *testing.F) {
	for _, c := range slices.Concat(clientCases(f), servingCases(f), otherCases(f)) {
		s := c.request.Spec
		f.Add(s.SignerName, s.Username, strings.Join(s.Groups, ","), usagesText(s.Usages), s.Request)
	}
	f.Fuzz(func(t *testing.T, signer, username, groups, usages string, request []byte) {
		csr := &certificatesv1.CertificateSigningRequest{Spec: spec{
			SignerName: signer, Username: username, Groups: strings.Split(groups, ","), Request: request,
		}}
		for _, usage := range strings.Split(usages, ",") {
			csr.Spec.Usages = append(csr.Spec.Usages, certificatesv1.KeyUsage(usage))
		}
		checkApproval(t, csr)
	})
}

// The same for every combination of what the cases hold, so that it is tested
// whenever the others are.
func TestNoCombinationIsApprovedForAnother(t *testing.T) {
	cases := slices.Concat(clientCases(t), servingCases(t), otherCases(t))
	approved := 0
	for _, asked := range cases {
		for _, who := range cases {
			for _, signer := range []string{certificatesv1.KubeAPIServerClientKubeletSignerName, certificatesv1.KubeletServingSignerName} {
				for _, usages := range [][]certificatesv1.KeyUsage{clientUsages, servingUsages} {
					csr := &certificatesv1.CertificateSigningRequest{Spec: spec{
						SignerName: signer, Username: who.request.Spec.Username, Groups: who.request.Spec.Groups,
						Usages: usages, Request: asked.request.Spec.Request,
					}}
					if checkApproval(t, csr) {
						approved++
					}
				}
			}
		}
	}
	if approved == 0 {
		t.Error("nothing was approved, so nothing was tested")
	}
}

// checkApproval fails when a request is approved that is not the machine's own.
func checkApproval(t *testing.T, csr *certificatesv1.CertificateSigningRequest) bool {
	t.Helper()
	if Rule(csr, someJoiners).Verdict != Approve {
		return false
	}
	block, _ := pem.Decode(csr.Spec.Request)
	asked, err := x509.ParseCertificateRequest(block.Bytes)
	if err != nil {
		t.Fatalf("approved what cannot be parsed: %v", err)
	}
	node := strings.TrimPrefix(asked.Subject.CommonName, nodeUserPrefix)
	i := slices.IndexFunc(someJoiners, func(j Joiner) bool { return j.NodeName == node })
	if i < 0 {
		t.Fatalf("approved the unknown node %q", node)
	}
	own := []string{nodeUserPrefix + node, tokenUserPrefix + someJoiners[i].TokenID}
	if !slices.Contains(own, csr.Spec.Username) || len(asked.Subject.Organization) != 1 || asked.Subject.Organization[0] != nodesGroup {
		t.Fatalf("approved %q for %v", csr.Spec.Username, asked.Subject)
	}
	if csr.Spec.SignerName == certificatesv1.KubeletServingSignerName && csr.Spec.Username != own[0] {
		t.Fatalf("approved a serving certificate for %q", csr.Spec.Username)
	}
	return true
}

func usagesText(usages []certificatesv1.KeyUsage) string {
	var all []string
	for _, usage := range usages {
		all = append(all, string(usage))
	}
	return strings.Join(all, ",")
}
