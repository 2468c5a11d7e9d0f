//! The state in a file, so that a cloud goes on after a restart where it ended: load balancers, target groups, networks, certificates,
//! buckets.
//!
//! The file is JSON and says its version. It is written as a whole beside the old one, which it then replaces, so that there is always one
//! that can be read. **It holds private keys**, and only its owner may read it. The log of calls, faults, settings and the targets' health
//! begin anew.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ipnet::IpNet;
use jiff::Timestamp;
use rustls::pki_types::PrivateKeyDer;
use serde::{Deserialize, Serialize};

use crate::acm::certificate::Material;
use crate::config::{CloudConfig, PodNetwork};
use crate::error::CloudError;
use crate::integrity;
use crate::state::{Kept, State};
use crate::x509::{self, SecretKey};

/// What the file says it is.
const FORMAT: &str = "portico-cloud-state";

/// The version of the file. It grows when an older program could not read the file, or a newer one not the older file.
const VERSION: u32 = 1;

/// The whole file.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    format: String,
    version: u32,
    written: Timestamp,
    origin: Origin,
    state: Kept,
    materials: BTreeMap<String, KeptMaterial>,
}

/// The part of a document that every version has.
#[derive(Debug, Deserialize)]
struct Header {
    format: String,
    version: u32,
}

/// Settings that the state was made with and cannot do without.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Origin {
    region: String,
    account: String,
    cluster: String,
    addresses: IpNet,
    vpc_cidrs: Vec<IpNet>,
    zones: Vec<char>,
    pod_networks: Vec<PodNetwork>,
}

impl Origin {
    fn of(config: &CloudConfig) -> Self {
        Self {
            region: config.region.clone(),
            account: config.account.clone(),
            cluster: config.cluster.clone(),
            addresses: config.addresses.cidr,
            vpc_cidrs: config.vpc_cidrs.clone(),
            zones: config.zones.clone(),
            pod_networks: config.pod_networks.clone(),
        }
    }

    /// The first setting that is another now: its name, what the file has, what is asked for.
    fn difference(&self, now: &Self) -> Option<String> {
        let row = |name: &str, kept: String, wanted: String| {
            (kept != wanted).then(|| {
                format!("it was made with {name} {kept}, and not {wanted}; start with the same settings, or with another state file")
            })
        };
        row("region", self.region.clone(), now.region.clone())
            .or_else(|| row("account", self.account.clone(), now.account.clone()))
            .or_else(|| row("cluster", self.cluster.clone(), now.cluster.clone()))
            .or_else(|| row("addresses", self.addresses.to_string(), now.addresses.to_string()))
            .or_else(|| row("VPC CIDRs", format!("{:?}", self.vpc_cidrs), format!("{:?}", now.vpc_cidrs)))
            .or_else(|| row("zones", format!("{:?}", self.zones), format!("{:?}", now.zones)))
            .or_else(|| row("pod networks", format!("{:?}", self.pod_networks), format!("{:?}", now.pod_networks)))
    }
}

/// What a certificate consists of, with its key.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeptMaterial {
    body: String,
    chain: Option<String>,
    /// DER in base64.
    key: String,
}

impl std::fmt::Debug for KeptMaterial {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("KeptMaterial(redacted)")
    }
}

impl KeptMaterial {
    fn of(material: &Material) -> Self {
        let key = STANDARD.encode(material.key.0.secret_der());
        Self { body: material.body.clone(), chain: material.chain.clone(), key }
    }

    fn read(self) -> Option<Material> {
        let mut certificates = x509::certificates(self.body.as_bytes())?;
        if let Some(chain) = &self.chain {
            certificates.extend(x509::certificates(chain.as_bytes())?);
        }
        let facts = x509::facts(certificates.first()?)?;
        let key = PrivateKeyDer::try_from(STANDARD.decode(&self.key).ok()?).ok()?;
        Some(Material { facts, body: self.body, chain: self.chain, certificates, key: SecretKey(key) })
    }
}

/// Where a state is kept.
#[derive(Clone, Debug)]
pub struct StateFile {
    path: PathBuf,
}

impl StateFile {
    /// The file at this path, which need not exist yet.
    pub fn new(path: PathBuf) -> Self {
        Self { path }
    }

    /// What is kept; `None` if there is no file.
    ///
    /// # Errors
    /// If the file cannot be read, is no state file, of another version, or was made with other settings. It is left as it is.
    pub fn read(&self, config: &CloudConfig) -> Result<Option<Kept>, CloudError> {
        let bytes = match fs::read(&self.path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(self.error(format!("it cannot be read: {error}"))),
        };
        let unreadable =
            |error: serde_json::Error| self.error(format!("it holds no state of this program ({error}); move it away to begin anew"));
        let header: Header = serde_json::from_slice(&bytes).map_err(unreadable)?;
        if header.format != FORMAT {
            return Err(self.error(format!("it says that it is '{}', and not '{FORMAT}'; move it away to begin anew", header.format)));
        }
        if header.version != VERSION {
            let problem = format!(
                "it has version {}, and this program reads version {VERSION}; use the program that wrote it, or move it away to begin anew",
                header.version
            );
            return Err(self.error(problem));
        }
        let document: Document = serde_json::from_slice(&bytes).map_err(unreadable)?;
        if let Some(difference) = document.origin.difference(&Origin::of(config)) {
            return Err(self.error(difference));
        }
        let mut kept = document.state;
        for (arn, material) in document.materials {
            let material = material.read().ok_or_else(|| self.error(format!("the certificate {arn} in it cannot be read")))?;
            if let Some(certificate) = kept.acm.certificates.get_mut(&arn) {
                certificate.material = Some(material);
            }
        }
        Ok(Some(kept))
    }

    /// Whether a state that was read holds together.
    ///
    /// # Errors
    /// If it does not: someone has changed the file.
    pub fn check(&self, state: &State) -> Result<(), CloudError> {
        match integrity::violations(state).into_iter().next() {
            None => Ok(()),
            Some(violation) => Err(self.error(format!("what it holds does not fit together ({violation}); move it away to begin anew"))),
        }
    }

    /// Writes the state. Whoever reads the file at any moment reads the old state or the new one.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn write(&self, config: &CloudConfig, state: &Kept) -> Result<(), CloudError> {
        let materials =
            state.acm.certificates.iter().filter_map(|(arn, one)| Some((arn.clone(), KeptMaterial::of(one.material.as_ref()?))));
        let document = Document {
            format: FORMAT.into(),
            version: VERSION,
            written: Timestamp::now(),
            origin: Origin::of(config),
            materials: materials.collect(),
            state: state.clone(),
        };
        let text = serde_json::to_vec_pretty(&document).map_err(|error| self.error(format!("the state cannot be written: {error}")))?;
        self.replace(&text).map_err(|error| self.error(format!("it cannot be written: {error}")))
    }

    fn replace(&self, text: &[u8]) -> std::io::Result<()> {
        let folder = self.path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let name = self.path.file_name().ok_or_else(|| std::io::Error::new(ErrorKind::InvalidInput, "it has no name"))?;
        let mut beside = name.to_os_string();
        beside.push(".new");
        let beside = folder.join(beside);
        // A leftover of a killed process may have another mode.
        match fs::remove_file(&beside) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside)?;
        file.write_all(text)?;
        file.sync_all()?;
        fs::rename(&beside, &self.path)?;
        File::open(folder)?.sync_all()
    }

    fn error(&self, problem: String) -> CloudError {
        CloudError::State { path: self.path.clone(), problem }
    }
}
