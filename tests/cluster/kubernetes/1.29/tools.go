//go:build tools

// Package kubernetes names the programs that the build script links, so that
// go.mod and go.sum pin everything they need.
package kubernetes

import (
	_ "k8s.io/kubernetes/cmd/kube-apiserver"
)
