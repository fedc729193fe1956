package kubernetes

import (
	"slices"
	"strings"

	core "k8s.io/api/core/v1"
)

func is(b *bool, want bool) bool { return b != nil && *b == want }

// pod wants what every pod should say, as the defaults are for other times.
func (f *faults) pod(w workload) {
	s := w.pod.Spec
	c := s.SecurityContext
	f.want(c != nil && is(c.RunAsNonRoot, true) && c.RunAsUser != nil && *c.RunAsUser != 0, "%s runs as root", w.name)
	f.want(c != nil && c.SeccompProfile != nil && c.SeccompProfile.Type == core.SeccompProfileTypeRuntimeDefault, "%s has no seccomp profile", w.name)
	f.want(c != nil && c.FSGroup != nil && *c.FSGroup == *c.RunAsUser, "%s: its user may not read the secrets, or not write the volume", w.name)
	f.want(w.sidecar() == nil || *c.RunAsUser == 65532, "%s does not run as the image's user", w.name)
	f.want(is(s.EnableServiceLinks, false), "%s: Services become variables that look like settings", w.name)
	f.want(is(s.AutomountServiceAccountToken, false), "%s has a token of Kubernetes' API that it does not need", w.name)
	for _, init := range s.InitContainers {
		f.want(init.RestartPolicy != nil && *init.RestartPolicy == core.ContainerRestartPolicyAlways, "%s: the init container %s is no sidecar: the app would never start", w.name, init.Name)
	}
}

func (f *faults) container(w workload, c core.Container) {
	s := c.SecurityContext
	f.want(s != nil && is(s.AllowPrivilegeEscalation, false), "%s: %s may gain privileges", w.name, c.Name)
	f.want(s != nil && is(s.ReadOnlyRootFilesystem, true), "%s: the root file system of %s can be written", w.name, c.Name)
	f.want(s != nil && s.Capabilities != nil && slices.Equal(s.Capabilities.Drop, []core.Capability{"ALL"}) && len(s.Capabilities.Add) == 0, "%s: %s has capabilities", w.name, c.Name)
	_, tag, _ := strings.Cut(c.Image, ":")
	f.want(tag != "" && tag != "latest", "%s: %s has no version of its image", w.name, c.Name)
	f.want(!c.Resources.Requests.Memory().IsZero() && !c.Resources.Requests.Cpu().IsZero(), "%s: %s requests nothing", w.name, c.Name)
	f.want(!isSidecar(c) || c.Resources.Limits.Memory().Cmp(*c.Resources.Requests.Memory()) > 0, "%s: %s has no limit of memory", w.name, c.Name)
}

// probes wants those that fit a sidecar that may wait a minute for Redis.
func (f *faults) probes(w workload, c core.Container) {
	for _, p := range []*core.Probe{c.StartupProbe, c.LivenessProbe, c.ReadinessProbe} {
		if p == nil {
			continue
		}
		if p.HTTPGet != nil {
			f.want(hasPort(c, p.HTTPGet.Port.StrVal), "%s: %s has no port %s to probe", w.name, c.Name, p.HTTPGet.Port.StrVal)
		}
		if p.TCPSocket != nil {
			f.want(hasPort(c, p.TCPSocket.Port.StrVal), "%s: %s has no port %s to probe", w.name, c.Name, p.TCPSocket.Port.StrVal)
		}
	}
	if !isSidecar(c) {
		return
	}
	f.want(probed(c.LivenessProbe) == "/livez", "%s: %s has no liveness probe", w.name, c.Name)
	f.want(w.selector == nil || probed(c.ReadinessProbe) == "/readyz", "%s: %s has no readiness probe", w.name, c.Name)
	s := c.StartupProbe
	f.want(probed(s) != "" && s.PeriodSeconds*s.FailureThreshold >= 90, "%s: %s is killed while it waits for Redis", w.name, c.Name)
}

func probed(p *core.Probe) string {
	if p == nil || p.HTTPGet == nil {
		return ""
	}
	return p.HTTPGet.Path
}

func hasPort(c core.Container, name string) bool {
	return slices.ContainsFunc(c.Ports, func(p core.ContainerPort) bool { return p.Name == name })
}

// volumes wants what is mounted to be there, what is there to be mounted, and secrets with those
// only whom they are for.
func (f *faults) volumes(o *objects, w workload, secrets map[string][]string) {
	mounted := map[string]bool{}
	names := map[string]bool{}
	for _, v := range w.pod.Spec.Volumes {
		names[v.Name] = true
		f.source(o, w, v, secrets)
	}
	for _, claim := range w.claims {
		names[claim.Name] = true
	}
	for _, c := range w.containers() {
		for _, m := range c.VolumeMounts {
			mounted[m.Name] = true
			f.want(names[m.Name], "%s: %s mounts %s, which is no volume", w.name, c.Name, m.Name)
			f.want(m.SubPath == "", "%s: %s mounts %s by a subPath: changes never arrive", w.name, c.Name, m.Name)
			f.want(isSidecar(c) || c.Name == "redis", "%s: %s has %s of the sidecar's", w.name, c.Name, m.Name)
			f.want(m.ReadOnly || m.Name == "data", "%s: %s may write %s", w.name, c.Name, m.Name)
		}
	}
	for name := range names {
		f.want(mounted[name], "%s: nobody mounts %s", w.name, name)
	}
}

func (f *faults) source(o *objects, w workload, v core.Volume, secrets map[string][]string) {
	if v.ConfigMap != nil {
		_, ok := o.configMaps[v.ConfigMap.Name]
		f.want(ok, "%s: there is no ConfigMap %s", w.name, v.ConfigMap.Name)
	}
	if v.PersistentVolumeClaim != nil {
		claim, ok := o.claims[v.PersistentVolumeClaim.ClaimName]
		f.want(ok && slices.Equal(claim.Spec.AccessModes, []core.PersistentVolumeAccessMode{core.ReadWriteOncePod}),
			"%s: %s is no volume of one pod only", w.name, v.PersistentVolumeClaim.ClaimName)
	}
	f.want(v.EmptyDir == nil, "%s: %s forgets everything with the pod", w.name, v.Name)
	if v.Secret != nil {
		f.secret(w, v.Secret.SecretName, v.Secret.Items, v.Secret.DefaultMode, secrets)
	}
	if v.Projected != nil {
		for _, s := range v.Projected.Sources {
			f.secret(w, s.Secret.Name, s.Secret.Items, v.Projected.DefaultMode, secrets)
		}
	}
}

func (f *faults) secret(w workload, name string, items []core.KeyToPath, mode *int32, secrets map[string][]string) {
	keys, ok := secrets[name]
	f.want(ok, "%s: docs/deploy.md makes no Secret %s", w.name, name)
	f.want(mode != nil && *mode == 0o440, "%s: everybody may read the Secret %s", w.name, name)
	for _, item := range items {
		f.want(slices.Contains(keys, item.Key), "%s: the Secret %s has no key %s", w.name, name, item.Key)
	}
}
