//! A cloud that ends and begins again from its state file.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use portico_cloud::{Cloud, CloudConfig};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, IsCa, Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose,
    RevokedCertParams, SerialNumber, date_time_ymd,
};
use serde_json::{Value, json};

use super::harness::{Api, Service, config, element};
use crate::dataplane::harness::{PORT, get, soon};

/// A folder that goes with the test.
pub struct Folder(PathBuf);

impl Folder {
    pub fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("portico-cloud-{}-{name}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub fn file(&self) -> PathBuf {
        self.0.join("state.json")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A certificate of an authority and its revocation list, in PEM.
pub static AUTHORITY: LazyLock<(String, String)> = LazyLock::new(|| {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let certificate = params.self_signed(&key).unwrap();
    let revoked = RevokedCertParams {
        serial_number: SerialNumber::from(vec![7]),
        revocation_time: date_time_ymd(2024, 1, 1),
        reason_code: None,
        invalidity_date: None,
    };
    let list = CertificateRevocationListParams {
        this_update: date_time_ymd(2024, 1, 1),
        next_update: date_time_ymd(2045, 1, 1),
        crl_number: SerialNumber::from(vec![1]),
        issuing_distribution_point: None,
        revoked_certs: vec![revoked],
        key_identifier_method: KeyIdMethod::Sha256,
    };
    let list = list.signed_by(&Issuer::from_params(&params, &key)).unwrap();
    (certificate.pem(), list.pem().unwrap())
});

/// A certificate and its key, as ImportCertificate takes them.
static PAIR: LazyLock<(String, String)> = LazyLock::new(|| {
    let key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::new(vec!["kept.example.com".to_owned()]).unwrap();
    params.not_before = rcgen::date_time_ymd(2020, 1, 1);
    let certificate = params.self_signed(&key).unwrap();
    (STANDARD.encode(certificate.pem()), STANDARD.encode(key.serialize_pem()))
});

pub fn kept_in(file: &Path, seed: u64) -> CloudConfig {
    CloudConfig { state_file: Some(file.to_owned()), ..config(seed) }
}

pub async fn start(config: &CloudConfig) -> (Cloud, Api) {
    let cloud = Cloud::start(config.clone()).await.unwrap();
    let api = Api::new(&cloud);
    (cloud, api)
}

/// A load balancer with a listener that answers by itself and one with a certificate, a target group with targets, tags, a rule, and a load balancer that has gone
/// but whose network interfaces remain; the first one's ARN.
async fn build(api: &mut Api) -> String {
    let subnets = api.call(Service::Ec2, "DescribeSubnets", "Filter.1.Name=tag-key&Filter.1.Value.1=kubernetes.io/role/elb").await;
    let subnets: Vec<&str> = subnets.split("<subnetId>").skip(1).map(|rest| rest.split('<').next().unwrap()).collect();
    let vpc = element(&api.call(Service::Ec2, "DescribeVpcs", "").await, "vpcId").unwrap();
    let group = api.open_group(&vpc).await;
    let place = format!("Subnets.member.1={}&Subnets.member.2={}&SecurityGroups.member.1={group}", subnets[0], subnets[1]);
    let gone = api.call(Service::Elb, "CreateLoadBalancer", &format!("Name=gone&{place}")).await;
    let balancer =
        api.call(Service::Elb, "CreateLoadBalancer", &format!("Name=web&{place}&Tags.member.1.Key=a&Tags.member.1.Value=b")).await;
    let balancer = element(&balancer, "LoadBalancerArn").unwrap();
    let gone = element(&gone, "LoadBalancerArn").unwrap();
    api.call(Service::Elb, "DeleteLoadBalancer", &format!("LoadBalancerArn={gone}")).await;
    let fixed = "DefaultActions.member.1.Type=fixed-response&DefaultActions.member.1.FixedResponseConfig.StatusCode=200\
                 &DefaultActions.member.1.FixedResponseConfig.MessageBody=kept";
    let listener = format!("LoadBalancerArn={balancer}&Protocol=HTTP&Port={PORT}&{fixed}");
    let listener = element(&api.call(Service::Elb, "CreateListener", &listener).await, "ListenerArn").unwrap();
    let target_group = format!("Name=pods&Protocol=HTTP&Port=8080&VpcId={vpc}&TargetType=ip");
    let target_group = element(&api.call(Service::Elb, "CreateTargetGroup", &target_group).await, "TargetGroupArn").unwrap();
    api.call(Service::Elb, "RegisterTargets", &format!("TargetGroupArn={target_group}&Targets.member.1.Id=198.19.0.9")).await;
    let rule = format!(
        "ListenerArn={listener}&Priority=5&Conditions.member.1.Field=path-pattern&Conditions.member.1.Values.member.1=/app\
         &Actions.member.1.Type=forward&Actions.member.1.TargetGroupArn={target_group}"
    );
    api.call(Service::Elb, "CreateRule", &rule).await;
    let (certificate, key) = &*PAIR;
    let imported = api.call(Service::Acm, "ImportCertificate", &json!({ "Certificate": certificate, "PrivateKey": key }).to_string()).await;
    let imported: Value = serde_json::from_str(&imported).unwrap();
    let certificate = imported["CertificateArn"].as_str().unwrap();
    // An authority that takes one certificate back, and listeners that trust it.
    let (authority, list) = &*AUTHORITY;
    api.put("/trust", "").await;
    api.put("/trust/bundle.pem", authority).await;
    api.put("/trust/list.pem", list).await;
    let bundle = "Name=store&CaCertificatesBundleS3Bucket=trust&CaCertificatesBundleS3Key=bundle.pem";
    let store = element(&api.call(Service::Elb, "CreateTrustStore", bundle).await, "TrustStoreArn").unwrap();
    let revoked = format!("TrustStoreArn={store}&RevocationContents.member.1.S3Bucket=trust&RevocationContents.member.1.S3Key=list.pem");
    api.call(Service::Elb, "AddTrustStoreRevocations", &revoked).await;
    let fixed = format!("{fixed}&MutualAuthentication.Mode=verify&MutualAuthentication.TrustStoreArn={store}");
    let https = format!("LoadBalancerArn={balancer}&Protocol=HTTPS&Port=18443&Certificates.member.1.CertificateArn={certificate}&{fixed}");
    api.call(Service::Elb, "CreateListener", &https).await;
    balancer
}

/// All that there is, and where it listens.
pub async fn everything(api: &mut Api) -> (Value, Value, Value) {
    let mut state = api.admin("GET", "state", "").await;
    // Time counts as a change, too.
    state.as_object_mut().unwrap().remove("revision");
    (state, api.admin("GET", "certificates", "").await, api.admin("GET", "listeners", "").await)
}

#[tokio::test]
async fn a_restart_loses_nothing() {
    let folder = Folder::new("restart");
    let mut config = kept_in(&folder.file(), 3);
    // What was deleted still holds its network interfaces.
    config.times.network_interface_lag = std::time::Duration::from_secs(3600);
    config.times.deregistration_scale = 1.0;
    let (cloud, mut api) = start(&config).await;
    let balancer = build(&mut api).await;
    let before = everything(&mut api).await;
    cloud.shutdown().await;

    let mode = fs::metadata(folder.file()).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode, 0o600, "it holds private keys");
    assert_eq!(fs::read_dir(&folder.0).unwrap().count(), 1, "nothing is left beside it");

    let (cloud, mut api) = start(&config).await;
    let target = cloud.load_balancers().into_iter().find(|found| found.arn == balancer).unwrap();
    // The data plane takes up what is there by itself.
    let served = async {
        while api.admin("GET", "listeners", "").await.as_array().map_or(0, Vec::len) < 2 {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    };
    soon(served).await;
    let after = everything(&mut api).await;
    assert_eq!(before.0["load_balancers"], after.0["load_balancers"]);
    assert_eq!(before, after);
    assert!(after.0.to_string().contains("ELB app/gone/"), "the interfaces of what was deleted");
    assert_eq!(get((target.address, PORT).into(), "h", "/").await.body, "kept");
    assert_eq!(api.admin("GET", "integrity", "").await, json!([]));
    // New ids are new, although the seed is the same.
    let subnets = cloud.load_balancers().len();
    build_another(&mut api).await;
    assert_eq!(cloud.load_balancers().len(), subnets + 1);
    assert_eq!(api.admin("GET", "integrity", "").await, json!([]));
    cloud.shutdown().await;
}

async fn build_another(api: &mut Api) {
    let subnets = api.call(Service::Ec2, "DescribeSubnets", "Filter.1.Name=tag-key&Filter.1.Value.1=kubernetes.io/role/elb").await;
    let subnets: Vec<&str> = subnets.split("<subnetId>").skip(1).map(|rest| rest.split('<').next().unwrap()).collect();
    let place = format!("Subnets.member.1={}&Subnets.member.2={}", subnets[0], subnets[1]);
    api.call(Service::Elb, "CreateLoadBalancer", &format!("Name=another&{place}")).await;
}

/// A cloud that is killed has written all but the last moments.
#[tokio::test]
async fn changes_are_written_while_it_runs() {
    let folder = Folder::new("kill");
    let config = kept_in(&folder.file(), 4);
    let (cloud, mut api) = start(&config).await;
    build(&mut api).await;
    let written = async {
        while !fs::read_to_string(folder.file()).unwrap().contains("kept.example.com") {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    soon(written).await;
    drop(cloud);
}

#[tokio::test]
async fn a_file_that_cannot_be_used_is_told_and_left_alone() {
    let folder = Folder::new("bad");
    let file = folder.file();
    let rows = [
        ("", "holds no state of this program"),
        ("{", "holds no state of this program"),
        ("[]", "holds no state of this program"),
        (r#"{"format": "diary", "version": 1}"#, "it says that it is 'diary'"),
        (r#"{"format": "portico-cloud-state", "version": 999}"#, "it has version 999, and this program reads version 1"),
        (r#"{"format": "portico-cloud-state", "version": 1}"#, "missing field"),
    ];
    for (text, words) in rows {
        fs::write(&file, text).unwrap();
        let error = Cloud::start(kept_in(&file, 5)).await.unwrap_err().to_string();
        assert!(error.contains(words) && error.contains(file.to_str().unwrap()), "{text}: {error}");
        assert_eq!(fs::read_to_string(&file).unwrap(), text);
    }
    fs::remove_file(&file).unwrap();
    let config = kept_in(&file, 5);
    let (cloud, mut api) = start(&config).await;
    build(&mut api).await;
    cloud.shutdown().await;
    let good = fs::read_to_string(&file).unwrap();
    let other = CloudConfig { region: "eu-west-1".into(), ..config.clone() };
    let error = Cloud::start(other).await.unwrap_err().to_string();
    assert!(error.contains("it was made with region us-east-1, and not eu-west-1"), "{error}");
    // Somebody took the target group away that a rule names.
    let mut document: Value = serde_json::from_str(&good).unwrap();
    document["state"]["elb"]["target_groups"] = json!({});
    fs::write(&file, document.to_string()).unwrap();
    let error = Cloud::start(config.clone()).await.unwrap_err().to_string();
    assert!(error.contains("does not fit together"), "{error}");
    fs::write(&file, good).unwrap();
    Cloud::start(config).await.unwrap().shutdown().await;
    let nowhere = kept_in(&folder.0.join("absent/state.json"), 5);
    assert!(Cloud::start(nowhere).await.unwrap_err().to_string().contains("it cannot be written"));
}

/// With the same seed and the same calls, everything has the same ids and addresses.
#[tokio::test]
async fn a_seed_makes_a_run_repeatable() {
    let config = config(6);
    let mut runs = Vec::new();
    for reads in [0, 5] {
        let (cloud, mut api) = start(&config).await;
        for _ in 0..reads {
            // How often one looks changes nothing.
            api.call(Service::Elb, "DescribeLoadBalancers", "").await;
        }
        build(&mut api).await;
        let mut state = api.admin("GET", "state", "").await.to_string();
        // Moments differ; they are in quotes and begin with the year.
        while let Some(at) = state.find("\"20") {
            let end = state[at + 1..].find('"').unwrap() + at + 2;
            state.replace_range(at..end, "0");
        }
        runs.push(state);
        cloud.shutdown().await;
    }
    assert_eq!(runs[0], runs[1]);
}
