//! The only door to Kubernetes and Gateway API types: our CRDs, tolerant decoding, condition types and reasons.
