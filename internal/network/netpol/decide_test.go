package netpol

import (
	"fmt"
	"strings"
	"testing"
)

// policyCase is a set of policies and connections that must pass or not: "from > to protocol/port". Ports default to
// tcp/80.
type policyCase struct {
	why      string
	policies []string // "namespace: spec in YAML flow style"
	pass     []string
	drop     []string
}

func TestDecide(t *testing.T) {
	for _, table := range [][]policyCase{isolationCases(), peerCases(), blockCases(), portCases(), egressCases()} {
		for _, c := range table {
			t.Run(c.why, func(t *testing.T) {
				state := world()
				for i, text := range c.policies {
					namespace, spec, _ := strings.Cut(text, ": ")
					state.Policies = append(state.Policies, compileYAML(t, namespace, fmt.Sprintf("p%d", i), spec))
				}
				rules := Decide(state)
				for _, text := range c.pass {
					expect(t, state, rules, text, true)
				}
				for _, text := range c.drop {
					expect(t, state, rules, text, false)
				}
			})
		}
	}
}

func expect(t *testing.T, state *State, rules *RuleSet, text string, want bool) {
	t.Helper()
	words := strings.Fields(text)
	p := packet{from: address(t, state, words[0]), to: address(t, state, words[2]), protocol: TCP, port: 80}
	if len(words) > 3 {
		if _, err := fmt.Sscanf(strings.Replace(words[3], "/", " ", 1), "%s %d", &p.protocol, &p.port); err != nil {
			t.Fatalf("connection %q: %v", text, err)
		}
	}
	if got := rules.passes(p); got != want {
		t.Errorf("%s: passes %t, want %t", text, got, want)
	}
}

func isolationCases() []policyCase {
	return []policyCase{
		{
			why:  "without policies everything passes",
			pass: []string{"x/a > y/b", outside + " > x/a", "x/a > " + outside, "x/a > x/b udp/81", "x/a > x/b icmp/0"},
		},
		{
			why:      "default deny ingress: an empty selector selects the whole namespace",
			policies: []string{"x: {podSelector: {}, policyTypes: [Ingress]}"},
			pass:     []string{"x/a > y/a", "y/a > y/b", "x/a > x/a", "x/a > " + outside},
			drop:     []string{"y/a > x/a", "x/b > x/a", outside + " > x/a", "x/b > x/a udp/80", "x/b > x/a icmp/0"},
		},
		{
			why:      "default deny egress leaves ingress alone",
			policies: []string{"x: {podSelector: {}, policyTypes: [Egress]}"},
			pass:     []string{"y/a > x/a", "x/a > x/a"},
			drop:     []string{"x/a > y/a", "x/a > x/b", "x/a > " + outside, "x/a > x/b udp/53"},
		},
		{
			why:      "default deny all",
			policies: []string{"x: {podSelector: {}, policyTypes: [Ingress, Egress]}"},
			drop:     []string{"y/a > x/a", "x/a > y/a", "x/a > x/b"},
			pass:     []string{"x/a > x/a", "y/a > z/a"},
		},
		{
			why:      "policyTypes unset and no egress rules: ingress only",
			policies: []string{"x: {podSelector: {matchLabels: {pod: a}}}"},
			drop:     []string{"x/b > x/a"},
			pass:     []string{"x/a > x/b", "x/a > y/a", "x/a > " + outside},
		},
		{
			why:      "policyTypes unset with egress rules: ingress too",
			policies: []string{"x: {podSelector: {matchLabels: {pod: a}}, egress: [{}]}"},
			drop:     []string{"x/b > x/a"},
			pass:     []string{"x/a > x/b", "x/a > " + outside},
		},
		{
			why:      "policyTypes Egress ignores ingress rules",
			policies: []string{"x: {podSelector: {matchLabels: {pod: a}}, policyTypes: [Egress], ingress: [{from: [{podSelector: {matchLabels: {pod: none}}}]}]}"},
			drop:     []string{"x/a > x/b"},
			pass:     []string{"x/b > x/a", outside + " > x/a"},
		},
		{
			why:      "policyTypes Ingress ignores egress rules",
			policies: []string{"x: {podSelector: {matchLabels: {pod: a}}, policyTypes: [Ingress], egress: [{to: [{podSelector: {matchLabels: {pod: none}}}]}]}"},
			pass:     []string{"x/a > x/b"},
			drop:     []string{"x/b > x/a"},
		},
		{
			why:      "allow all: an empty rule allows everyone on every port",
			policies: []string{"x: {podSelector: {}, ingress: [{}], egress: [{}], policyTypes: [Ingress, Egress]}"},
			pass:     []string{"y/a > x/a", outside + " > x/a udp/9", "x/a > " + outside, "x/a > y/a icmp/0"},
		},
		{
			why: "policies add up: allow all wins over default deny",
			policies: []string{
				"x: {podSelector: {}, policyTypes: [Ingress, Egress]}",
				"x: {podSelector: {matchLabels: {pod: a}}, ingress: [{}], egress: [{}], policyTypes: [Ingress, Egress]}",
			},
			pass: []string{"y/a > x/a", "x/a > y/a"},
			drop: []string{"y/a > x/b", "x/b > y/a", "x/a > x/b"},
		},
		{
			why: "both ends must allow: egress of the sender and ingress of the receiver",
			policies: []string{
				"x: {podSelector: {}, policyTypes: [Egress], egress: [{to: [{namespaceSelector: {matchLabels: {ns: 'y'}}}]}]}",
				"y: {podSelector: {matchLabels: {pod: a}}, policyTypes: [Ingress]}",
			},
			pass: []string{"x/a > y/b"},
			drop: []string{"x/a > y/a", "x/a > z/a"},
		},
		{
			why:      "a policy reaches its own namespace only",
			policies: []string{"y: {podSelector: {matchLabels: {pod: a}}, policyTypes: [Ingress]}"},
			pass:     []string{"x/b > x/a", "y/a > y/b"},
			drop:     []string{"x/b > y/a"},
		},
		{
			why:      "matchExpressions select pods",
			policies: []string{"x: {podSelector: {matchExpressions: [{key: pod, operator: In, values: [a, b]}]}, policyTypes: [Ingress]}"},
			pass:     []string{"y/a > x/c"},
			drop:     []string{"y/a > x/a", "y/a > x/b"},
		},
	}
}

func peerCases() []policyCase {
	ingress := func(from string) []string {
		return []string{"x: {podSelector: {matchLabels: {pod: a}}, ingress: [{from: " + from + "}]}"}
	}
	return []policyCase{
		{
			why:      "podSelector alone means the policy's namespace",
			policies: ingress("[{podSelector: {matchLabels: {pod: b}}}]"),
			pass:     []string{"x/b > x/a"},
			drop:     []string{"x/c > x/a", "y/b > x/a", outside + " > x/a"},
		},
		{
			why:      "an empty podSelector means all pods of the namespace, not the outside",
			policies: ingress("[{podSelector: {}}]"),
			pass:     []string{"x/b > x/a", "x/c > x/a"},
			drop:     []string{"y/b > x/a", outside + " > x/a"},
		},
		{
			why:      "namespaceSelector alone means all pods of the namespaces",
			policies: ingress("[{namespaceSelector: {matchLabels: {ns: 'y'}}}]"),
			pass:     []string{"y/a > x/a", "y/c > x/a"},
			drop:     []string{"x/b > x/a", "z/a > x/a"},
		},
		{
			why:      "namespaces are selected by the name that Kubernetes labels them with",
			policies: ingress("[{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: 'y'}}}]"),
			pass:     []string{"y/a > x/a"},
			drop:     []string{"z/a > x/a"},
		},
		{
			why:      "an empty namespaceSelector means all namespaces, not the outside",
			policies: ingress("[{namespaceSelector: {}}]"),
			pass:     []string{"x/b > x/a", "z/a > x/a"},
			drop:     []string{outside + " > x/a"},
		},
		{
			why:      "namespaceSelector by matchExpressions",
			policies: ingress("[{namespaceSelector: {matchExpressions: [{key: ns, operator: NotIn, values: [x]}]}}]"),
			pass:     []string{"y/a > x/a", "z/a > x/a"},
			drop:     []string{"x/b > x/a"},
		},
		{
			why:      "both selectors in one peer must match",
			policies: ingress("[{namespaceSelector: {matchLabels: {ns: 'y'}}, podSelector: {matchLabels: {pod: b}}}]"),
			pass:     []string{"y/b > x/a"},
			drop:     []string{"y/a > x/a", "z/b > x/a", "x/b > x/a"},
		},
		{
			why:      "two peers: either may match",
			policies: ingress("[{namespaceSelector: {matchLabels: {ns: 'y'}}}, {podSelector: {matchLabels: {pod: b}}}]"),
			pass:     []string{"y/a > x/a", "x/b > x/a"},
			drop:     []string{"x/c > x/a", "z/b > x/a"},
		},
		{
			why: "two rules: either may match",
			policies: []string{"x: {podSelector: {matchLabels: {pod: a}}, ingress: [{from: [{podSelector: {matchLabels: {pod: b}}}], ports: [{port: 80}]}," +
				"{from: [{podSelector: {matchLabels: {pod: c}}}], ports: [{port: 81}]}]}"},
			pass: []string{"x/b > x/a tcp/80", "x/c > x/a tcp/81"},
			drop: []string{"x/b > x/a tcp/81", "x/c > x/a tcp/80"},
		},
		{
			why:      "a selector that matches nothing allows nothing",
			policies: ingress("[{podSelector: {matchLabels: {pod: none}}}, {namespaceSelector: {matchLabels: {ns: none}}}]"),
			drop:     []string{"x/b > x/a", "y/a > x/a", outside + " > x/a"},
		},
	}
}

func blockCases() []policyCase {
	return []policyCase{
		{
			why:      "ipBlock covers the outside and pods alike",
			policies: []string{"x: {podSelector: {matchLabels: {pod: a}}, ingress: [{from: [{ipBlock: {cidr: 10.1.2.0/24}}, {ipBlock: {cidr: 192.0.2.10/32}}]}]}"},
			pass:     []string{"y/a > x/a", outside + " > x/a"},
			drop:     []string{"x/b > x/a", "z/a > x/a", "192.0.2.11 > x/a"},
		},
		{
			why:      "except takes out addresses",
			policies: []string{"x: {podSelector: {matchLabels: {pod: a}}, policyTypes: [Egress], egress: [{to: [{ipBlock: {cidr: 10.1.0.0/16, except: [10.1.2.2/32, 10.1.3.0/24]}}]}]}"},
			pass:     []string{"x/a > y/a", "x/a > x/b", "x/a > y/c"},
			drop:     []string{"x/a > y/b", "x/a > z/a", "x/a > " + outside},
		},
		{
			why: "what one block excepts another may allow",
			policies: []string{"x: {podSelector: {matchLabels: {pod: a}}, policyTypes: [Egress], egress: [{to: [" +
				"{ipBlock: {cidr: 10.1.0.0/16, except: [10.1.2.0/24]}}, {ipBlock: {cidr: 10.1.2.2/32}}]}]}"},
			pass: []string{"x/a > y/b", "x/a > z/a"},
			drop: []string{"x/a > y/a"},
		},
		{
			why:      "everything but the cluster: the usual egress policy of a machine",
			policies: []string{"x: {podSelector: {}, policyTypes: [Egress], egress: [{to: [{ipBlock: {cidr: 0.0.0.0/0, except: [10.0.0.0/8, 169.254.0.0/16]}}]}]}"},
			pass:     []string{"x/a > " + outside, "x/a > 1.1.1.1 udp/53", "x/a > 255.255.255.255 udp/67"},
			drop:     []string{"x/a > y/a", "x/a > 169.254.169.254", "x/a > x/b"},
		},
		{
			why:      "an exception as large as the block leaves nothing",
			policies: []string{"x: {podSelector: {}, policyTypes: [Egress], egress: [{to: [{ipBlock: {cidr: 10.1.0.0/16, except: [10.1.0.0/16]}}]}]}"},
			drop:     []string{"x/a > y/a", "x/a > " + outside},
		},
		{
			why:      "an IPv6 block matches no IPv4 packet",
			policies: []string{"x: {podSelector: {}, policyTypes: [Egress], egress: [{to: [{ipBlock: {cidr: '::/0'}}]}]}"},
			drop:     []string{"x/a > y/a", "x/a > " + outside},
		},
	}
}

func portCases() []policyCase {
	ingress := func(ports string) []string {
		return []string{"x: {podSelector: {matchLabels: {pod: a}}, ingress: [{ports: " + ports + "}]}"}
	}
	return []policyCase{
		{
			why:      "a port without a protocol is TCP",
			policies: ingress("[{port: 80}]"),
			pass:     []string{"y/a > x/a tcp/80", outside + " > x/a tcp/80"},
			drop:     []string{"y/a > x/a tcp/81", "y/a > x/a udp/80", "y/a > x/a icmp/0"},
		},
		{
			why:      "UDP",
			policies: ingress("[{port: 80, protocol: UDP}]"),
			pass:     []string{"y/a > x/a udp/80"},
			drop:     []string{"y/a > x/a tcp/80", "y/a > x/a udp/81"},
		},
		{
			why:      "SCTP",
			policies: ingress("[{port: 80, protocol: SCTP}]"),
			pass:     []string{"y/a > x/a sctp/80"},
			drop:     []string{"y/a > x/a tcp/80", "y/a > x/a sctp/81"},
		},
		{
			why:      "a protocol without a port is all its ports",
			policies: ingress("[{protocol: UDP}, {port: 80}]"),
			pass:     []string{"y/a > x/a udp/1", "y/a > x/a udp/65535", "y/a > x/a tcp/80"},
			drop:     []string{"y/a > x/a tcp/81", "y/a > x/a sctp/80"},
		},
		{
			why:      "endPort makes a range with both ends in it",
			policies: ingress("[{port: 80, endPort: 90}]"),
			pass:     []string{"y/a > x/a tcp/80", "y/a > x/a tcp/85", "y/a > x/a tcp/90"},
			drop:     []string{"y/a > x/a tcp/79", "y/a > x/a tcp/91", "y/a > x/a udp/85"},
		},
		{
			why:      "overlapping ranges up to the last port",
			policies: ingress("[{port: 60000, endPort: 65535}, {port: 50000, endPort: 61000}, {port: 65535}]"),
			pass:     []string{"y/a > x/a tcp/50000", "y/a > x/a tcp/60500", "y/a > x/a tcp/65535"},
			drop:     []string{"y/a > x/a tcp/49999"},
		},
		{
			why:      "a named port of an ingress rule is the selected pod's",
			policies: []string{"x: {podSelector: {}, ingress: [{ports: [{port: web}]}]}"},
			pass:     []string{"y/a > x/a tcp/80", "y/a > x/c tcp/8080"},
			drop:     []string{"y/a > x/a tcp/8080", "y/a > x/c tcp/80"},
		},
		{
			why:      "a named port counts with its protocol",
			policies: ingress("[{port: serve-80-udp, protocol: UDP}, {port: serve-81-udp}]"),
			pass:     []string{"y/a > x/a udp/80"},
			drop:     []string{"y/a > x/a udp/81", "y/a > x/a tcp/81"},
		},
		{
			why:      "a name that no port has allows nothing",
			policies: ingress("[{port: unheard-of}]"),
			drop:     []string{"y/a > x/a tcp/80"},
		},
		{
			why:      "peers and ports must both match",
			policies: []string{"x: {podSelector: {matchLabels: {pod: a}}, ingress: [{from: [{namespaceSelector: {matchLabels: {ns: 'y'}}}], ports: [{port: 81}]}]}"},
			pass:     []string{"y/a > x/a tcp/81"},
			drop:     []string{"y/a > x/a tcp/80", "z/a > x/a tcp/81"},
		},
	}
}

func egressCases() []policyCase {
	egress := func(rule string) []string {
		return []string{"x: {podSelector: {matchLabels: {pod: a}}, policyTypes: [Egress], egress: [" + rule + "]}"}
	}
	return []policyCase{
		{
			why:      "egress to pods by labels, on a port",
			policies: egress("{to: [{namespaceSelector: {matchLabels: {ns: 'y'}}, podSelector: {matchLabels: {pod: a}}}], ports: [{port: 80}]}"),
			pass:     []string{"x/a > y/a tcp/80", "x/b > y/a tcp/81"},
			drop:     []string{"x/a > y/a tcp/81", "x/a > y/b tcp/80", "x/a > x/b"},
		},
		{
			why:      "DNS alone",
			policies: egress("{to: [{namespaceSelector: {matchLabels: {ns: z}}}], ports: [{port: 53, protocol: UDP}, {port: 53}]}"),
			pass:     []string{"x/a > z/a udp/53", "x/a > z/a tcp/53"},
			drop:     []string{"x/a > y/a udp/53", "x/a > z/a tcp/80"},
		},
		{
			why:      "a named port of an egress rule is each receiver's",
			policies: egress("{to: [{namespaceSelector: {matchLabels: {ns: 'y'}}}], ports: [{port: web}]}"),
			pass:     []string{"x/a > y/a tcp/80", "x/a > y/c tcp/8080"},
			drop:     []string{"x/a > y/a tcp/8080", "x/a > y/c tcp/80", "x/a > z/a tcp/80"},
		},
		{
			why:      "a named port without peers is every pod's, and nobody's outside",
			policies: egress("{ports: [{port: web}, {port: 443}]}"),
			pass:     []string{"x/a > z/c tcp/8080", "x/a > x/b tcp/80", "x/a > " + outside + " tcp/443"},
			drop:     []string{"x/a > z/c tcp/80", "x/a > " + outside + " tcp/80"},
		},
		{
			why:      "a named port with an ipBlock is that of the pods in it",
			policies: egress("{to: [{ipBlock: {cidr: 10.1.2.0/24}}], ports: [{port: web}]}"),
			pass:     []string{"x/a > y/c tcp/8080", "x/a > y/a tcp/80"},
			drop:     []string{"x/a > y/c tcp/80", "x/a > z/a tcp/80"},
		},
	}
}
