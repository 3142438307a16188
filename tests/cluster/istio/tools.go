//go:build tools

// The programs of Istio that ../programs/build links, so that go.mod and go.sum pin everything they need.
package main

import (
	_ "istio.io/istio/pilot/cmd/pilot-agent"
	_ "istio.io/istio/pilot/cmd/pilot-discovery"
)
