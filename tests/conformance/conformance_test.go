// Package conformance runs the official conformance suite of the Gateway API, as it is, and tells the lab how each test went.
package conformance

import (
	_ "embed"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"sort"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/gateway-api/conformance"
	"sigs.k8s.io/gateway-api/conformance/tests"
	"sigs.k8s.io/gateway-api/conformance/utils/suite"
	"sigs.k8s.io/gateway-api/pkg/features"
	sigsyaml "sigs.k8s.io/yaml"
)

const (
	// The word that a line about an outcome begins with, on standard output.
	outcomeMark = "lab:outcome "
	// The suite's own manifests of what all its tests share, and the place of the changed ones.
	baseManifests    = "base/manifests.yaml"
	changedManifests = "lab/base/manifests.yaml"
	// The suite does not wait for Gateways with this annotation.
	notAwaitedAnnotation = "gateway-api/skip-this-for-readiness"
)

var notAwaited = flag.String("lab-not-awaited", "",
	"comma-separated names of base Gateways that the suite does not wait for, because their class cannot serve them")

// The names of all features, one a line, by which Portico's own table is tested.
//
//go:embed features.txt
var featureNames string

// outcome says how a test went.
type outcome struct {
	Test string `json:"test"`
	// passed, failed, skipped (by name) or unclaimed (it needs a feature that is not claimed).
	Outcome string `json:"outcome"`
	// The level of the test in each profile that it counts for: core or extended.
	Profiles    map[suite.ConformanceProfileName]string `json:"profiles"`
	Provisional bool                                    `json:"provisional"`
	Seconds     float64                                 `json:"seconds"`
}

var profiles = []suite.ConformanceProfile{
	suite.GatewayHTTPConformanceProfile,
	suite.GatewayGRPCConformanceProfile,
	suite.GatewayTLSConformanceProfile,
	suite.GatewayTCPConformanceProfile,
	suite.GatewayUDPConformanceProfile,
	suite.MeshHTTPConformanceProfile,
	suite.MeshGRPCConformanceProfile,
}

func TestConformance(t *testing.T) {
	require.Equal(t, allFeatures(), featureNames, "features.txt does not hold the suite's features")
	opts := conformance.DefaultOptions(t)
	began := recordBeginnings()
	opts.Hook = func(t *testing.T, test suite.ConformanceTest, s *suite.ConformanceTestSuite) {
		if s.RunTest != "" && s.RunTest != test.ShortName {
			return
		}
		tell(t, outcomeOf(t, test, s, began))
	}
	if *notAwaited != "" {
		manifests, err := withoutAwaiting(strings.Split(*notAwaited, ","))
		require.NoError(t, err, "cannot prepare the base manifests")
		opts.ManifestFS = append(opts.ManifestFS, manifests)
		opts.BaseManifests = changedManifests
	}
	conformance.RunConformanceWithOptions(t, opts)
}

// allFeatures is what features.txt has to hold.
func allFeatures() string {
	var names []string
	for feature := range features.AllFeatures {
		names = append(names, string(feature.Name)+"\n")
	}
	sort.Strings(names)
	return strings.Join(names, "")
}

// recordBeginnings has every test note when it begins: a parallel one begins long after it was started.
func recordBeginnings() *sync.Map {
	began := &sync.Map{}
	for i := range tests.ConformanceTests {
		test := &tests.ConformanceTests[i]
		run := test.Test
		test.Test = func(t *testing.T, s *suite.ConformanceTestSuite) {
			began.Store(test.ShortName, time.Now())
			run(t, s)
		}
	}
	return began
}

func outcomeOf(t *testing.T, test suite.ConformanceTest, s *suite.ConformanceTestSuite, began *sync.Map) outcome {
	told := outcome{Test: test.ShortName, Profiles: map[suite.ConformanceProfileName]string{}, Provisional: test.Provisional}
	switch {
	case t.Failed():
		told.Outcome = "failed"
	case t.Skipped() && s.RunTest == "" && !s.SupportedFeatures.HasAll(test.Features...):
		told.Outcome = "unclaimed"
	case t.Skipped():
		told.Outcome = "skipped"
	default:
		told.Outcome = "passed"
	}
	for _, profile := range profiles {
		if level := levelIn(profile, test); level != "" {
			told.Profiles[profile.Name] = level
		}
	}
	if start, ok := began.Load(test.ShortName); ok {
		told.Seconds = time.Since(start.(time.Time)).Seconds()
	}
	return told
}

// levelIn is the level at which a test counts for a profile, as the suite's report has it; empty if it does not count.
func levelIn(profile suite.ConformanceProfile, test suite.ConformanceTest) string {
	level := "core"
	for _, feature := range test.Features {
		switch {
		case profile.CoreFeatures.Has(feature):
		case profile.ExtendedFeatures.Has(feature):
			level = "extended"
		default:
			return ""
		}
	}
	return level
}

// tell writes a line to standard output, in one piece: the tests' own output stands between.
func tell(t *testing.T, told outcome) {
	text, err := json.Marshal(told)
	require.NoError(t, err)
	fmt.Fprintf(os.Stdout, "%s%s\n", outcomeMark, text)
}

// withoutAwaiting gives the suite's base manifests with the annotation on those Gateways, and nothing else changed.
func withoutAwaiting(names []string) (fs.FS, error) {
	source, err := conformance.Manifests.Open(baseManifests)
	if err != nil {
		return nil, err
	}
	defer source.Close()
	var changed strings.Builder
	missing := map[string]bool{}
	for _, name := range names {
		missing[name] = true
	}
	decoder := yaml.NewYAMLOrJSONDecoder(source, 4096)
	for {
		object := unstructured.Unstructured{}
		if err := decoder.Decode(&object); err == io.EOF {
			break
		} else if err != nil {
			return nil, err
		}
		if len(object.Object) == 0 {
			continue
		}
		if object.GetKind() == "Gateway" && missing[object.GetName()] {
			delete(missing, object.GetName())
			annotations := object.GetAnnotations()
			if annotations == nil {
				annotations = map[string]string{}
			}
			annotations[notAwaitedAnnotation] = "true"
			object.SetAnnotations(annotations)
		}
		text, err := sigsyaml.Marshal(object.Object)
		if err != nil {
			return nil, err
		}
		fmt.Fprintf(&changed, "---\n%s", text)
	}
	for name := range missing {
		return nil, fmt.Errorf("the base manifests have no Gateway named %s", name)
	}
	return fstest.MapFS{changedManifests: &fstest.MapFile{Data: []byte(changed.String())}}, nil
}
