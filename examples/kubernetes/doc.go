// Package kubernetes holds the manifests in this folder against Kubernetes' own types, against each
// other, and against the program, which runs with the settings that stand in them.
//
// It is a module of its own, so that the program does not depend on Kubernetes.
package kubernetes
