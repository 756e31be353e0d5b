package policy

import (
	"slices"
	"testing"

	"berth.dev/berth/api/v1beta1"
)

func TestQuotas(t *testing.T) {
	number := func(n int32) *int32 { return &n }
	tight := Quotas(v1beta1.ServicePolicySpec{Quotas: &v1beta1.Quotas{Clusters: number(2), NodesPerCluster: number(2000), Cores: number(8)}}, nil)
	wide := Quotas(v1beta1.ServicePolicySpec{}, nil)
	own := Quotas(v1beta1.ServicePolicySpec{Quotas: &v1beta1.Quotas{Clusters: number(2), Cores: number(8)}}, &v1beta1.Quotas{Clusters: number(3)})
	for _, c := range []struct {
		why       string
		plan      QuotaPlan
		now, next Usage
		tier      string
		want      []string
	}{
		{"within all", tight, Usage{1, 1, 2}, Usage{2, 2, 8}, "Standard", nil},
		{"a cluster too many", tight, Usage{2, 0, 4}, Usage{3, 1, 6}, "Standard", []string{CodeClusterCount}},
		{"cores too many", tight, Usage{1, 4, 8}, Usage{1, 5, 10}, "Standard", []string{CodeQuotaExceeded}},
		{"all too many are all told", tight, Usage{2, 1, 8}, Usage{3, 2001, 4002}, "Standard", []string{CodeClusterCount, CodeQuotaExceeded, CodeQuotaExceeded}},
		{"a quota that was lowered keeps nobody from scaling down", tight, Usage{9, 9, 90}, Usage{9, 8, 80}, "Standard", nil},
		{"nor from anything that changes no number", tight, Usage{9, 9, 90}, Usage{9, 9, 90}, "Standard", nil},
		{"there is no limit of cores by default", wide, Usage{}, Usage{1, 5000, 80000}, "Standard", nil},
		{"AKS's limit of nodes", wide, Usage{1, 5000, 0}, Usage{1, 5001, 0}, "Standard", []string{CodeQuotaExceeded}},
		{"Free has less", wide, Usage{1, 1000, 0}, Usage{1, 1001, 0}, "Free", []string{CodeQuotaExceeded}},
		{"a subscription's own goes first", own, Usage{2, 0, 0}, Usage{3, 1, 2}, "Standard", nil},
		{"each by itself", own, Usage{2, 0, 8}, Usage{3, 1, 10}, "Standard", []string{CodeQuotaExceeded}},
	} {
		var got []string
		for _, v := range c.plan.Refuse(c.now, c.next, c.tier) {
			got = append(got, v.Code)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", c.why, got, c.want)
		}
	}
}

func TestUsageOf(t *testing.T) {
	pool := func(cluster, size string, count int32) v1beta1.AgentPoolSpec {
		return v1beta1.AgentPoolSpec{ResourceGroup: "RG", ClusterName: cluster, AgentPoolProfile: v1beta1.AgentPoolProfile{VMSize: size, Count: &count}}
	}
	use := UsageOf(make([]v1beta1.ManagedCluster, 2), []v1beta1.AgentPoolSpec{pool("c1", "Standard_D4s_v5", 2), pool("C1", "standard_d2s_v5", 1), pool("c2", "Standard_D2s_v5", 3)}, "rg.c1")
	if want := (Usage{Clusters: 2, Nodes: 3, Cores: 16}); use != want {
		t.Errorf("%+v, want %+v", use, want)
	}
}
