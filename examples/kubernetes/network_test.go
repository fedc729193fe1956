package kubernetes

import (
	"slices"

	networking "k8s.io/api/networking/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// private are the networks of a cluster and its cloud, with the metadata that holds the node's rights.
var private = []string{"10.0.0.0/8", "100.64.0.0/10", "169.254.0.0/16", "172.16.0.0/12", "192.168.0.0/16"}

// policies wants every pod with a sidecar, and Redis, to be under a policy that opens what is
// there, to those it is for.
func (f *faults) policies(o *objects) {
	for _, w := range o.workloads {
		under := 0
		for _, p := range o.policies {
			if selects(&p.Spec.PodSelector, w.pod.Labels) {
				under++
				f.policy(o, p, w)
			}
		}
		f.want(under == 1, "%d NetworkPolicies take the pods of %s, not one", under, w.name)
	}
}

func (f *faults) policy(o *objects, p networking.NetworkPolicy, w workload) {
	f.want(len(p.Spec.PolicyTypes) == 2, "NetworkPolicy %s does not hold in both directions", p.Name)
	for _, rule := range p.Spec.Ingress {
		f.want(len(rule.From) > 0 && len(rule.Ports) > 0, "NetworkPolicy %s lets everybody in", p.Name)
		for _, port := range rule.Ports {
			number := port.Port.IntVal
			f.want(slices.ContainsFunc(o.selected(&p.Spec.PodSelector), func(w workload) bool { return w.port("", number) != 0 }),
				"NetworkPolicy %s: no pod that it takes has the port %d", p.Name, number)
			for _, from := range rule.From {
				f.want(number != 7082 || namespace(from) == "monitoring", "NetworkPolicy %s: not only Prometheus reaches 7082", p.Name)
				f.want(number != 7081 || namespace(from) == "ingress-nginx", "NetworkPolicy %s: not only the ingress controller reaches 7081", p.Name)
				f.want(number != 7080 || from.PodSelector != nil && len(from.PodSelector.MatchLabels) > 0, "NetworkPolicy %s: not only apps reach 7080", p.Name)
			}
		}
	}
	for _, rule := range p.Spec.Egress {
		f.want(len(rule.To) > 0 && len(rule.Ports) > 0, "NetworkPolicy %s lets everything out", p.Name)
		for _, to := range rule.To {
			f.want(to.IPBlock == nil || !slices.ContainsFunc(private, func(network string) bool { return !slices.Contains(to.IPBlock.Except, network) }),
				"NetworkPolicy %s leads to private addresses", p.Name)
		}
	}
	sidecar := w.sidecar()
	if sidecar == nil {
		return
	}
	for _, container := range sidecar.Ports {
		f.want(opens(p, container.ContainerPort), "NetworkPolicy %s: nobody reaches the port %d of %s", p.Name, container.ContainerPort, w.name)
	}
	f.want(leads(p, 53) && leads(p, 443), "NetworkPolicy %s: %s does not reach DNS and WeChat", p.Name, w.name)
	f.want(!o.hasRedis() || o.reachesRedis(p), "NetworkPolicy %s: %s does not reach Redis", p.Name, w.name)
}

func namespace(peer networking.NetworkPolicyPeer) string {
	if peer.NamespaceSelector == nil {
		return ""
	}
	return peer.NamespaceSelector.MatchLabels["kubernetes.io/metadata.name"]
}

// opens reports whether somebody reaches a port.
func opens(p networking.NetworkPolicy, number int32) bool {
	return slices.ContainsFunc(p.Spec.Ingress, func(rule networking.NetworkPolicyIngressRule) bool { return has(rule.Ports, number) })
}

// leads reports whether a port of somebody else's is reached.
func leads(p networking.NetworkPolicy, number int32) bool {
	return slices.ContainsFunc(p.Spec.Egress, func(rule networking.NetworkPolicyEgressRule) bool { return has(rule.Ports, number) })
}

func has(ports []networking.NetworkPolicyPort, number int32) bool {
	return slices.ContainsFunc(ports, func(p networking.NetworkPolicyPort) bool { return p.Port.IntVal == number })
}

func (o *objects) hasRedis() bool { return len(o.redis()) > 0 }

func (o *objects) redis() []workload {
	return o.selected(&meta.LabelSelector{MatchLabels: map[string]string{"app": "wxsidecar-redis"}})
}

// reachesRedis reports whether p leads to Redis, and Redis' own policy lets in whom p takes.
func (o *objects) reachesRedis(p networking.NetworkPolicy) bool {
	out, in := false, true
	for _, rule := range p.Spec.Egress {
		for _, to := range rule.To {
			out = out || to.PodSelector != nil && selects(to.PodSelector, o.redis()[0].pod.Labels) && rule.Ports[0].Port.IntVal == o.redis()[0].port("redis", 0)
		}
	}
	for _, own := range o.policies {
		if !selects(&own.Spec.PodSelector, o.redis()[0].pod.Labels) {
			continue
		}
		for _, w := range o.selected(&p.Spec.PodSelector) {
			in = in && selects(own.Spec.Ingress[0].From[0].PodSelector, w.pod.Labels)
		}
	}
	return out && in
}
