//! The endpoint over real sockets: clouds start, answer, lose responses and stop.

use std::net::SocketAddr;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::{AddressPool, Cloud, CloudConfig, CloudError};

async fn cloud() -> Cloud {
    Cloud::start(CloudConfig { seed: Some(1), ..CloudConfig::default() }).await.unwrap()
}

/// Sends one request on a connection of its own; answers with all that came back.
async fn send(cloud: &Cloud, head: &str, body: &str) -> String {
    send_to(cloud.address(), head, body).await
}

async fn send_to(address: SocketAddr, head: &str, body: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("{head} HTTP/1.1\r\nhost: cloud\r\nconnection: close\r\ncontent-length: {}\r\n", body.len());
    let signature = "authorization: AWS4-HMAC-SHA256 Credential=a/20260101/us-east-1/elasticloadbalancing/aws4_request\r\n";
    stream.write_all(format!("{request}{signature}\r\n{body}").as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

async fn calls(cloud: &Cloud) -> Value {
    let answer = send(cloud, "GET /_cloud/calls", "").await;
    serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap()
}

#[tokio::test]
async fn two_clouds_in_one_process_do_not_know_each_other() {
    let (first, second) = (cloud().await, cloud().await);
    assert!(send(&first, "POST /", "Action=DescribeLoadBalancers&Version=2015-12-01").await.starts_with("HTTP/1.1 200"));
    assert_eq!((calls(&first).await["total"].clone(), calls(&second).await["total"].clone()), (json!(1), json!(0)));
    assert_eq!(first.calls().reads, 1);
    first.shutdown().await;
    assert!(send(&second, "GET /_cloud/health", "").await.contains("ready"));
    second.shutdown().await;
}

#[tokio::test]
async fn a_lost_response_is_an_empty_answer_to_a_call_that_counted() {
    let cloud = cloud().await;
    let fault = r#"[{"operation":"DescribeAccountLimits","kind":"lost_response","remaining":1}]"#;
    assert!(send(&cloud, "POST /_cloud/faults", fault).await.starts_with("HTTP/1.1 200"));
    assert_eq!(send(&cloud, "POST /", "Action=DescribeAccountLimits").await, "");
    assert!(send(&cloud, "POST /", "Action=DescribeAccountLimits").await.starts_with("HTTP/1.1 200"));
    assert_eq!(calls(&cloud).await["total"], json!(2));
    cloud.shutdown().await;
}

#[tokio::test]
async fn a_call_is_in_flight_until_it_is_carried_out_or_its_caller_has_gone() {
    let cloud = cloud().await;
    let delay = r#"[{"operation":"DescribeAccountLimits","kind":{"delay":{"ms":3600000}}}]"#;
    assert!(send(&cloud, "POST /_cloud/faults", delay).await.starts_with("HTTP/1.1 200"));
    let call = "Action=DescribeAccountLimits";
    let waiting = tokio::spawn({
        let address = cloud.address();
        async move { send_to(address, "POST /", call).await }
    });
    let in_flight = async |wanted: Value| {
        for _ in 0..1000 {
            if calls(&cloud).await["in_flight"] == wanted {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        panic!("in flight are {}", calls(&cloud).await["in_flight"]);
    };
    in_flight(json!({"elasticloadbalancing.DescribeAccountLimits": 1})).await;
    assert!(send(&cloud, "POST /_cloud/reset", "calls").await.starts_with("HTTP/1.1 200"));
    in_flight(json!({"elasticloadbalancing.DescribeAccountLimits": 1})).await;
    assert_eq!(calls(&cloud).await["total"], json!(0));
    waiting.abort();
    in_flight(json!({})).await;
    assert!(send(&cloud, "DELETE /_cloud/faults", "").await.starts_with("HTTP/1.1 200"));
    assert!(send(&cloud, "POST /", call).await.starts_with("HTTP/1.1 200"));
    in_flight(json!({})).await;
    cloud.shutdown().await;
}

#[tokio::test]
async fn after_its_shutdown_a_cloud_accepts_nothing() {
    let cloud = cloud().await;
    let address = cloud.address();
    let idle = TcpStream::connect(address).await.unwrap();
    cloud.shutdown().await;
    assert!(TcpStream::connect(address).await.is_err());
    drop(idle);
}

#[tokio::test]
async fn a_shutdown_closes_the_load_balancers_too() {
    // Addresses of its own: nobody else may listen there afterwards.
    let addresses = AddressPool { cidr: "127.77.0.0/16".parse().unwrap() };
    let cloud = Cloud::start(CloudConfig { addresses, ..CloudConfig::default() }).await.unwrap();
    let subnets: Vec<String> = {
        let answer = send(&cloud, "GET /_cloud/state", "").await;
        let state: Value = serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap();
        let public = state["subnets"].as_array().unwrap().iter().filter(|subnet| subnet["public"] == json!(true));
        public.map(|subnet| subnet["id"].as_str().unwrap().to_string()).collect()
    };
    let create = format!("Action=CreateLoadBalancer&Name=web&Subnets.member.1={}&Subnets.member.2={}", subnets[0], subnets[1]);
    assert!(send(&cloud, "POST /", &create).await.starts_with("HTTP/1.1 200"));
    let balancer = cloud.load_balancers().remove(0);
    let listener = format!(
        "Action=CreateListener&LoadBalancerArn={}&Protocol=HTTP&Port=18080\
         &DefaultActions.member.1.Type=fixed-response&DefaultActions.member.1.FixedResponseConfig.StatusCode=200",
        balancer.arn
    );
    assert!(send(&cloud, "POST /", &listener).await.starts_with("HTTP/1.1 200"));
    let found = cloud.load_balancer(&balancer.dns_name).unwrap();
    let port = found.ports[&18080].clone().unwrap();
    assert!(TcpStream::connect((found.address, port)).await.is_ok());
    cloud.shutdown().await;
    assert!(TcpStream::connect((found.address, port)).await.is_err());
}

#[tokio::test]
async fn a_taken_address_is_an_error_that_names_it() {
    let cloud = cloud().await;
    let listen = cloud.address();
    let error = Cloud::start(CloudConfig { listen, ..CloudConfig::default() }).await.unwrap_err();
    assert!(matches!(&error, CloudError::Listen { address, .. } if *address == listen), "{error}");
    cloud.shutdown().await;
}

#[tokio::test]
async fn contradictions_in_the_configuration_are_errors() {
    let rows = [
        CloudConfig { vpc_cidrs: vec![], ..CloudConfig::default() },
        CloudConfig { zones: vec!['b'], ..CloudConfig::default() },
        CloudConfig { vpc_cidrs: vec!["10.0.0.0/16".parse().unwrap()], ..CloudConfig::default() },
    ];
    for config in rows {
        assert!(matches!(Cloud::start(config).await, Err(CloudError::Config(_))));
    }
}
