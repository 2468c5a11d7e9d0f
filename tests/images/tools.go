//go:build tools

// Package images pins what the lab takes from the Gateway API's modules.
package images

import (
	// The module whose folder config/crd/standard holds the CRDs.
	_ "sigs.k8s.io/gateway-api/pkg/consts"
	// The program of the image gateway-api/conformance/echo-basic.
	_ "sigs.k8s.io/gateway-api-conformance-images/echo-basic"
)
