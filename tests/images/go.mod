// What the lab takes from the Gateway API's own modules: the program of the conformance suite's image echo-basic, and
// the CRDs (config/crd/standard/*.yaml in the module's folder, read from Go's module cache, never copied).
// A module of its own, because v1.7.0 builds with Kubernetes libraries 0.37 and the control plane with 0.36.
module portico.dev/lab/images

go 1.27.0

toolchain go1.27.4

require (
	sigs.k8s.io/gateway-api v1.7.0
	sigs.k8s.io/gateway-api-conformance-images v0.1.0
)

require (
	golang.org/x/net v0.61.0 // indirect
	golang.org/x/sys v0.49.0 // indirect
	golang.org/x/text v0.43.0 // indirect
	google.golang.org/genproto/googleapis/rpc v0.0.0-20260523011958-0a33c5d7ca68 // indirect
	google.golang.org/grpc v1.82.1 // indirect
	google.golang.org/protobuf v1.36.12 // indirect
)
