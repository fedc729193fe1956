package kubernetes

import (
	"slices"
	"strings"
	"testing"
)

// Each check sees what it is for: a manifest with one slip in it.
func TestManifests_FaultsAreFound(t *testing.T) {
	secrets := secretKeys(t)
	f := func(form, old, with, want string) {
		t.Helper()
		texts, changed := read(t, forms[form]), false
		for _, file := range forms[form] {
			if strings.Contains(texts[file], old) && !changed {
				texts[file], changed = strings.Replace(texts[file], old, with, 1), true
			}
		}
		found := faultsOf(texts, forms[form], secrets)
		if !changed || !slices.ContainsFunc(found, func(fault string) bool { return strings.Contains(fault, want) }) {
			t.Errorf("%s: %q in the place of %q: %q", form, with, old, found)
		}
	}

	// Kubernetes' types
	f("shared", "replicas:", "replica:", "unknown field")
	f("shared", "kind: Deployment", "kind: Deploymant", "no such kind")
	f("shared", "readOnlyRootFilesystem: true", "readOnlyRootFilesystem: true\n            readOnlyRootFilesystem: true", "already set")
	f("shared", "kind: Service\nmetadata:\n  name: wxsidecar-push", "kind: Service\nmetadata:\n  name: wxsidecar-redis", "twice")

	// labels, Services, budgets, the Ingress
	f("shared", "labels: {app: wxsidecar, ", "labels: {app: sidecar, ", "does not take its own pods")
	f("shared", "labelSelector: {matchLabels: {app: wxsidecar}}", "labelSelector: {matchLabels: {app: other}}", "spreads other pods")
	f("shared", `prometheus.io/port: "7082"`, `prometheus.io/port: "7081"`, "Prometheus does not find")
	f("shared", "selector: {wxsidecar: shared}", "selector: {wxsidecar: sidecar}", "selects no pod")
	f("shared", "targetPort: apps", "targetPort: app", "have no port app")
	f("shared", "  publishNotReadyAddresses: true\n", "", "only pushes go to pods that are not ready")
	f("shared", "  selector: {wxsidecar: shared}", "  publishNotReadyAddresses: true\n  selector: {wxsidecar: shared}", "only pushes go to pods that are not ready")
	f("shared", "replicas: 3", "replicas: 1", "holds up every drain")
	f("shared", "name: wxsidecar-push, port: {name: push}", "name: wxsidecar, port: {name: apps}", "no Service wxsidecar for pushes")
	f("shared", "path: /wechat/", "path: /", "opens / to the Internet")
	f("shared", "hosts: [wechat.example.com]", "hosts: [other.example.com]", "no TLS")
	f("shared", "kind: Ingress", "kind: NetworkPolicy", "unknown field")

	// network policies
	f("shared", "podSelector: {matchLabels: {wxsidecar: shared}}", "podSelector: {matchLabels: {wxsidecar: share}}", "0 NetworkPolicies take")
	f("shared", "policyTypes: [Ingress, Egress]\n  ingress:\n    - from:\n        - podSelector: {matchExpressions", "policyTypes: [Ingress]\n  ingress:\n    - from:\n        - podSelector: {matchExpressions", "both directions")
	f("shared", "    - from: # apps; each has a key as well\n        - podSelector: {matchLabels: {calls-wechat: \"true\"}}\n      ports:", "    - ports:", "lets everybody in")
	f("shared", `podSelector: {matchLabels: {calls-wechat: "true"}}`, "namespaceSelector: {}", "not only apps")
	f("shared", `podSelector: {matchLabels: {calls-wechat: "true"}}`, "podSelector: {}", "not only apps")
	f("native sidecar", "    - to: # names\n        - namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: kube-system}}\n"+
		"          podSelector: {matchLabels: {k8s-app: kube-dns}}\n      ports:", "    - ports:", "lets everything out")
	f("native sidecar", "169.254.0.0/16, ", "", "leads to private addresses")
	f("native sidecar", "kubernetes.io/metadata.name: monitoring", "kubernetes.io/metadata.name: shop", "not only Prometheus")
	f("native sidecar", "kubernetes.io/metadata.name: ingress-nginx", "kubernetes.io/metadata.name: shop", "not only the ingress controller")
	f("native sidecar", "{port: 8080}", "{port: 8081}", "has the port 8081")
	f("native sidecar", "- {port: 7082}", "- {port: 7081}", "nobody reaches the port 7082")
	f("native sidecar", "- {port: 443}", "- {port: 80}", "does not reach DNS and WeChat")
	f("classic sidecar", "key: wxsidecar, operator: Exists", "key: wechat, operator: Exists", "does not reach Redis")
	f("classic sidecar", "- podSelector: {matchLabels: {app: wxsidecar-redis}}", "- podSelector: {matchLabels: {app: redis}}", "does not reach Redis")

	// pods and containers
	for _, form := range []string{"native sidecar", "classic sidecar", "shared", "job"} {
		f(form, "runAsNonRoot: true", "runAsNonRoot: false", "runs as root")
		f(form, "seccompProfile: {type: RuntimeDefault}", "seccompProfile: {type: Unconfined}", "seccomp")
		f(form, "allowPrivilegeEscalation: false", "allowPrivilegeEscalation: true", "may gain privileges")
		f(form, "readOnlyRootFilesystem: true", "readOnlyRootFilesystem: false", "can be written")
		f(form, "drop: [ALL]", "drop: [NET_RAW]", "has capabilities")
		f(form, "enableServiceLinks: false", "enableServiceLinks: true", "look like settings")
		f(form, "automountServiceAccountToken: false", "automountServiceAccountToken: true", "token of Kubernetes' API")
		f(form, "failureThreshold: 45", "failureThreshold: 20", "while it waits for Redis")
		f(form, "{path: /livez, port: metrics}\n            timeoutSeconds", "{path: /readyz, port: metrics}\n            timeoutSeconds", "no liveness probe")
		f(form, ":v1", "", "no version")
		f(form, "limits: {memory: 512Mi}", "limits: {}", "no limit of memory")
		f(form, "cpu: 50m, ", "", "requests nothing")
		f(form, "mountPath: /etc/wxsidecar, ", "mountPath: /etc/wxsidecar, subPath: x, ", "subPath")
		f(form, "name: config, mountPath: /etc/wxsidecar, readOnly: true", "name: config, mountPath: /etc/wxsidecar", "may write config")
		f(form, "configMap: {name: wxsidecar", "configMap: {name: sidecar", "there is no ConfigMap")
		f(form, "value: /etc/wxsidecar/wxsidecar.yaml", "value: /etc/wxsidecar.yaml", "leads to no file")
	}
	f("shared", "fsGroup: 65532", "fsGroup: 1", "may not read the secrets")
	f("shared", "runAsUser: 65532", "runAsUser: 1000", "the image's user")
	f("shared", "readinessProbe:\n            httpGet: {path: /readyz", "readinessProbe:\n            httpGet: {path: /livez", "no readiness probe")
	f("shared", "tcpSocket: {port: redis}", "tcpSocket: {port: metrics}", "no port metrics to probe")
	f("shared", "path: /livez, port: metrics", "path: /livez, port: admin", "no port admin to probe")
	f("native sidecar", "restartPolicy: Always", "workingDir: /data", "no sidecar")
	f("native sidecar", "ReadWriteOncePod]", "ReadWriteMany]", "no volume of one pod")
	f("native sidecar", "persistentVolumeClaim: {claimName: wxsidecar}", "emptyDir: {}", "forgets everything")
	f("native sidecar", "- {name: data, mountPath: /data}", "", "nobody mounts data")
	f("native sidecar", "- {name: secrets, mount", "- {name: secret, mount", "is no volume")
	f("native sidecar", "defaultMode: 0440", "defaultMode: 0444", "everybody may read")
	f("native sidecar", "secretName: wxsidecar,", "secretName: sidecar,", "makes no Secret sidecar")
	f("classic sidecar", "items: [{key: redis_url,", "items: [{key: url,", "has no key url")
	f("classic sidecar", "- {name: http, containerPort: 8080}\n", "- {name: http, containerPort: 8080}\n          volumeMounts: [{name: secrets, mountPath: /s, readOnly: true}]\n", "has secrets of the sidecar's")

	// settings
	f("native sidecar", "replicas: 1", "replicas: 2", "two pods would want one file")
	f("native sidecar", "type: Recreate", "type: RollingUpdate", "two pods would want one file")
	f("native sidecar", "bolt:/data/", "bolt:/var/", "no volume for /var/")
	f("native sidecar", "terminationGracePeriodSeconds: 60", "terminationGracePeriodSeconds: 20", "killed before")
	f("classic sidecar", "{delay: 15s}", "{delay: 25s}", "killed before")
	f("classic sidecar", "type: RollingUpdate, rollingUpdate: {maxSurge: 1, maxUnavailable: 0}", "type: Recreate", "need not end all at once")
	f("classic sidecar", "    store_file:", "    callers: [{name: shop}]\n    store_file:", "calls over the network")
	f("classic sidecar", "labels: {app: wxsidecar-redis}", "labels: {app: redis}", "there is no Redis")
	f("shared", "allowed_hosts: [wxsidecar]", "allowed_hosts: [sidecar]", "apps.allowed_hosts")
	f("shared", "00000000\"", "00000001\"", "a key that everybody can read")
}
