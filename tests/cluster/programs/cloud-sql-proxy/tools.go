//go:build tools

// Package tools names the program that ../build links, so that go.mod and go.sum pin everything it needs.
package tools

import (
	_ "github.com/GoogleCloudPlatform/cloud-sql-proxy/v2"
)
