package kubernetes

import (
	"bytes"
	"fmt"
	"os"
	"reflect"
	"testing"

	apps "k8s.io/api/apps/v1"
	batch "k8s.io/api/batch/v1"
	core "k8s.io/api/core/v1"
	networking "k8s.io/api/networking/v1"
	policy "k8s.io/api/policy/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"
)

// forms are what docs/deploy.md has people apply together.
var forms = map[string][]string{
	"native sidecar":  {"native-sidecar.yaml", "network.yaml"},
	"classic sidecar": {"redis.yaml", "classic-sidecar.yaml", "network.yaml"},
	"shared":          {"redis.yaml", "shared.yaml", "network.yaml"},
	"job":             {"redis.yaml", "classic-sidecar.yaml", "job.yaml", "network.yaml"},
}

// workload is whatever makes pods.
type workload struct {
	name     string
	replicas int32
	selector *meta.LabelSelector // nil for a Job
	strategy apps.DeploymentStrategy
	claims   []core.PersistentVolumeClaim
	pod      core.PodTemplateSpec
}

// objects are the decoded manifests of a form.
type objects struct {
	names      map[string]bool
	workloads  []workload
	services   []core.Service
	configMaps map[string]core.ConfigMap
	claims     map[string]core.PersistentVolumeClaim
	budgets    []policy.PodDisruptionBudget
	policies   []networking.NetworkPolicy
	ingresses  []networking.Ingress
}

func newObjects() *objects {
	return &objects{names: map[string]bool{}, configMaps: map[string]core.ConfigMap{}, claims: map[string]core.PersistentVolumeClaim{}}
}

// read returns the manifests' text by file.
func read(t *testing.T, files []string) map[string]string {
	t.Helper()
	texts := map[string]string{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		texts[file] = string(text)
	}
	return texts
}

// decode adds the objects in text.
func (o *objects) decode(text []byte) error {
	for _, doc := range bytes.Split(text, []byte("\n---\n")) {
		if err := o.decodeOne(doc); err != nil {
			return err
		}
	}
	return nil
}

func (o *objects) decodeOne(doc []byte) error {
	var id struct {
		meta.TypeMeta   `json:",inline"`
		meta.ObjectMeta `json:"metadata"`
	}
	if err := yaml.Unmarshal(doc, &id); err != nil {
		return err
	}
	name := fmt.Sprintf("%s %s %s", id.APIVersion, id.Kind, id.Name)
	if id.Name == "" || o.names[name] {
		return fmt.Errorf("%s has no name, or is there twice", name)
	}
	o.names[name] = true
	into := map[string]any{
		"v1 ConfigMap":                       &core.ConfigMap{},
		"v1 PersistentVolumeClaim":           &core.PersistentVolumeClaim{},
		"v1 Service":                         &core.Service{},
		"apps/v1 Deployment":                 &apps.Deployment{},
		"apps/v1 StatefulSet":                &apps.StatefulSet{},
		"batch/v1 Job":                       &batch.Job{},
		"policy/v1 PodDisruptionBudget":      &policy.PodDisruptionBudget{},
		"networking.k8s.io/v1 NetworkPolicy": &networking.NetworkPolicy{},
		"networking.k8s.io/v1 Ingress":       &networking.Ingress{},
	}[id.APIVersion+" "+id.Kind]
	if into == nil {
		return fmt.Errorf("%s: no such kind", name)
	}
	// Strictly: a misspelt or repeated key is an error, not a default.
	if err := yaml.UnmarshalStrict(doc, into); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	o.add(reflect.ValueOf(into).Elem().Interface())
	return nil
}

func (o *objects) add(object any) {
	switch x := object.(type) {
	case core.ConfigMap:
		o.configMaps[x.Name] = x
	case core.PersistentVolumeClaim:
		o.claims[x.Name] = x
	case core.Service:
		o.services = append(o.services, x)
	case apps.Deployment:
		o.workloads = append(o.workloads, workload{name: x.Name, replicas: *x.Spec.Replicas, selector: x.Spec.Selector, strategy: x.Spec.Strategy, pod: x.Spec.Template})
	case apps.StatefulSet:
		o.workloads = append(o.workloads, workload{name: x.Name, replicas: *x.Spec.Replicas, selector: x.Spec.Selector, claims: x.Spec.VolumeClaimTemplates, pod: x.Spec.Template})
	case batch.Job:
		o.workloads = append(o.workloads, workload{name: x.Name, replicas: 1, pod: x.Spec.Template})
	case policy.PodDisruptionBudget:
		o.budgets = append(o.budgets, x)
	case networking.NetworkPolicy:
		o.policies = append(o.policies, x)
	case networking.Ingress:
		o.ingresses = append(o.ingresses, x)
	}
}

// containers returns all containers of a pod, those that start first before the others.
func (w workload) containers() []core.Container {
	return append(append([]core.Container{}, w.pod.Spec.InitContainers...), w.pod.Spec.Containers...)
}

// sidecar returns the container of the pod in which wxsidecar serves, or nil.
func (w workload) sidecar() *core.Container {
	for _, c := range w.containers() {
		if isSidecar(c) {
			return &c
		}
	}
	return nil
}
