//go:build tools

// Package peer pins AWS Load Balancer Controller, which the lab runs unmodified against the embedded cloud.
package peer

import (
	_ "sigs.k8s.io/aws-load-balancer-controller"
)
