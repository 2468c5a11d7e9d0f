use std::net::{Ipv4Addr, Ipv6Addr};

use hickory_proto::rr::Name;

use super::*;

const V4: IpAddr = IpAddr::V4(Ipv4Addr::new(198, 18, 0, 7));
const V6: IpAddr = IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 7));

fn config(cloud: Option<String>) -> DnsConfig {
    DnsConfig {
        listen: SocketAddr::from(([127, 0, 0, 1], 0)),
        records: BTreeMap::from([
            ("kubernetes.default.svc.cluster.local".to_owned(), vec![V4]),
            ("both.example".to_owned(), vec![V4, V6]),
            ("many.example".to_owned(), vec![V4; 60]),
        ]),
        cloud,
        cloud_suffixes: vec![".amazonaws.com".to_owned()],
        services: None,
        ttl: 1,
    }
}

fn question(name: &str, query_type: RecordType) -> Message {
    let mut message = Message::query();
    message.metadata.id = 4711;
    message.metadata.recursion_desired = true;
    message.add_query(Query::query(Name::from_ascii(name).unwrap(), query_type));
    message
}

async fn ask(config: &DnsConfig, name: &str, query_type: RecordType) -> (ResponseCode, Vec<IpAddr>) {
    let bytes = respond(config, &question(name, query_type).to_vec().unwrap(), true).await.unwrap();
    let answer = Message::from_vec(&bytes).unwrap();
    assert_eq!((answer.metadata.id, answer.metadata.message_type), (4711, MessageType::Response));
    assert!(answer.answers.iter().all(|record| record.ttl == 1));
    (answer.metadata.response_code, answer.answers.iter().filter_map(|record| record.data.ip_addr()).collect())
}

#[tokio::test]
async fn known_names_are_answered_by_family() {
    let config = config(None);
    assert_eq!(ask(&config, "Kubernetes.Default.svc.cluster.local.", RecordType::A).await, (ResponseCode::NoError, vec![V4]));
    let no_data = ask(&config, "kubernetes.default.svc.cluster.local.", RecordType::AAAA).await;
    assert_eq!(no_data, (ResponseCode::NoError, vec![]), "the name exists, so the answer is empty and not NXDOMAIN");
    assert_eq!(ask(&config, "both.example.", RecordType::AAAA).await, (ResponseCode::NoError, vec![V6]));
    assert_eq!(ask(&config, "both.example.", RecordType::MX).await, (ResponseCode::NoError, vec![]));
}

#[tokio::test]
async fn every_other_name_does_not_exist() {
    let config = config(None);
    for name in ["example.org.", "lb-1.us-east-1.elb.amazonaws.com.", "svc.cluster.local.", "."] {
        assert_eq!(ask(&config, name, RecordType::A).await, (ResponseCode::NXDomain, vec![]), "{name}");
    }
}

#[tokio::test]
async fn garbage_gets_an_error_or_nothing() {
    let config = config(None);
    assert_eq!(respond(&config, b"", true).await, None);
    assert_eq!(respond(&config, &[7], true).await, None);
    let mut broken = question("both.example.", RecordType::A).to_vec().unwrap();
    broken.truncate(broken.len() - 3);
    let answer = Message::from_vec(&respond(&config, &broken, true).await.unwrap()).unwrap();
    assert_eq!((answer.metadata.id, answer.metadata.response_code), (4711, ResponseCode::FormErr));
    let answer_to_us = question("both.example.", RecordType::A).into_response().to_vec().unwrap();
    assert_eq!(respond(&config, &answer_to_us, true).await, None, "answers are not answered");
    for seed in 0..2000u32 {
        let noise: Vec<u8> = (0..seed % 64).map(|at| (seed.wrapping_mul(2_654_435_761).rotate_left(at) >> 7) as u8).collect();
        let _ = respond(&config, &noise, true).await;
    }
}

#[tokio::test]
async fn a_long_answer_is_cut_over_udp_and_whole_over_tcp() {
    let config = config(None);
    let packet = question("many.example.", RecordType::A).to_vec().unwrap();
    let short = Message::from_vec(&respond(&config, &packet, true).await.unwrap()).unwrap();
    assert!(short.metadata.truncation);
    let whole = Message::from_vec(&respond(&config, &packet, false).await.unwrap()).unwrap();
    assert_eq!((whole.metadata.truncation, whole.answers.len()), (false, 60));
}

#[test]
fn service_names_are_taken_apart() {
    let service = |host, service, namespace| Some(ServiceName { host, service, namespace });
    assert_eq!(ServiceName::parse("web.shop.svc.cluster.local"), service(None, "web", "shop"));
    assert_eq!(ServiceName::parse("db-0.db.shop.svc.cluster.local"), service(Some("db-0"), "db", "shop"));
    assert_eq!(ServiceName::parse("shop.svc.cluster.local"), None);
    assert_eq!(ServiceName::parse("web.shop.svc"), None);
}

/// A cloud that knows one name, for as many questions as are asked.
async fn small_cloud() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = vec![0; 4096];
            let length = stream.read(&mut request).await.unwrap_or_default();
            let known = request[..length].starts_with(b"GET /_cloud/dns?name=lb-1.us-east-1.elb.amazonaws.com ");
            let (status, body) = if known { ("200 OK", "{\"addresses\":[\"198.18.0.7\"]}") } else { ("404 Not Found", "{}") };
            let answer = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len());
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
    base
}

#[tokio::test]
async fn the_cloud_is_asked_for_its_names() {
    let config = config(Some(small_cloud().await));
    assert_eq!(ask(&config, "lb-1.us-east-1.elb.amazonaws.com.", RecordType::A).await, (ResponseCode::NoError, vec![V4]));
    assert_eq!(ask(&config, "lb-1.us-east-1.elb.amazonaws.com.", RecordType::AAAA).await, (ResponseCode::NoError, vec![]));
    assert_eq!(ask(&config, "lb-2.us-east-1.elb.amazonaws.com.", RecordType::A).await, (ResponseCode::NXDomain, vec![]));
}

#[tokio::test]
async fn a_cloud_that_is_away_is_a_server_failure() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    assert_eq!(ask(&config(Some(base)), "lb-1.us-east-1.elb.amazonaws.com.", RecordType::A).await, (ResponseCode::ServFail, vec![]));
}
