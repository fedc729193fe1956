package kubernetes

import (
	"path"
	"slices"
	"strings"
	"time"

	apps "k8s.io/api/apps/v1"
	core "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"
)

// settings is what the manifests must agree with of wxsidecar.yaml. The program itself reads all of
// it in program_test.go.
type settings struct {
	Listen struct{ Apps string }
	Apps   struct {
		AllowedHosts []string `json:"allowed_hosts"`
	}
	Callers []struct {
		KeySHA256 string `json:"key_sha256"`
	}
	Store    string
	Shutdown struct{ Delay, Grace string }
}

// settingsOf returns the settings of a pod's sidecar, as the variable and the volume lead to them,
// and their text.
func (o *objects) settingsOf(w workload) (settings, string, bool) {
	var s settings
	for _, v := range w.sidecar().Env {
		for _, m := range w.sidecar().VolumeMounts {
			if v.Name != "WXSIDECAR_CONFIG" || path.Dir(v.Value) != m.MountPath {
				continue
			}
			i := slices.IndexFunc(w.pod.Spec.Volumes, func(volume core.Volume) bool { return volume.Name == m.Name && volume.ConfigMap != nil })
			if i < 0 {
				return s, "", false
			}
			text, ok := o.configMaps[w.pod.Spec.Volumes[i].ConfigMap.Name].Data[path.Base(v.Value)]
			return s, text, ok && yaml.Unmarshal([]byte(text), &s) == nil
		}
	}
	return s, "", false
}

// settings wants the pod to fit what its sidecar is told.
func (f *faults) settings(o *objects, w workload) {
	s, _, ok := o.settingsOf(w)
	if f.want(ok, "%s: WXSIDECAR_CONFIG leads to no file", w.name); !ok {
		return
	}
	f.want(*w.pod.Spec.TerminationGracePeriodSeconds >= int64((duration(s.Shutdown.Delay, 0)+duration(s.Shutdown.Grace, 25*time.Second)+5*time.Second).Seconds()),
		"%s: it is killed before shutdown.delay, shutdown.grace and five seconds are over", w.name)
	if file, ok := strings.CutPrefix(s.Store, "bolt:"); ok {
		f.want(w.replicas == 1 && w.strategy.Type == apps.RecreateDeploymentStrategyType, "%s: two pods would want one file, or have one each", w.name)
		f.want(slices.ContainsFunc(w.sidecar().VolumeMounts, func(m core.VolumeMount) bool { return m.MountPath == path.Dir(file) && m.Name == "data" }),
			"%s: there is no volume for %s", w.name, file)
	} else {
		f.want(o.hasRedis(), "%s: there is no Redis", w.name)
		f.want(w.selector == nil || w.strategy.Type == apps.RollingUpdateDeploymentStrategyType, "%s: replicas on Redis need not end all at once", w.name)
	}
	if s.Listen.Apps == "" {
		f.want(len(s.Callers) == 0, "%s: keys are for calls over the network", w.name)
		return
	}
	f.want(slices.ContainsFunc(o.services, func(service core.Service) bool {
		return slices.Contains(s.Apps.AllowedHosts, service.Name) && service.Spec.Ports[0].TargetPort.StrVal == "apps"
	}),
		"%s: apps.allowed_hosts does not have the Service by which apps call", w.name)
	for _, c := range s.Callers {
		f.want(strings.Trim(c.KeySHA256, "0") == "", "%s: a key that everybody can read here would open it", w.name)
	}
}

func duration(text string, unset time.Duration) time.Duration {
	if d, err := time.ParseDuration(text); err == nil {
		return d
	}
	return unset
}
