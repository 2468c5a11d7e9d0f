//! Backends for tests: each says who it is and what it was asked.

use portico_providers::KeyMaterial;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, ServerConnection, StreamOwned};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// An HTTP/1.1 backend. `/status/N` answers N, `/slow` after a second, `/flaky/N/…` fails N times with 503, `/deny` is 403. Everything is echoed: the first line of the body is its
/// name, then come request line and headers.
#[derive(Clone)]
pub struct Backend {
    pub at: SocketAddr,
    /// What it was asked: first lines with their headers.
    pub asked: Arc<Mutex<Vec<String>>>,
}

impl Backend {
    pub fn start(name: &'static str) -> Self {
        Self::start_at(name, "127.0.0.1:0")
    }

    pub fn start_at(name: &'static str, at: &str) -> Self {
        let listener = TcpListener::bind(at).unwrap();
        let backend = Self { at: listener.local_addr().unwrap(), asked: Arc::default() };
        let asked = backend.asked.clone();
        let failures: Arc<Mutex<BTreeMap<String, usize>>> = Arc::default();
        std::thread::spawn(move || {
            for socket in listener.incoming().map_while(Result::ok) {
                let (asked, failures) = (asked.clone(), failures.clone());
                std::thread::spawn(move || drop(serve(socket, name, &asked, &failures)));
            }
        });
        backend
    }

    /// How many requests it has seen whose first line contains a text.
    pub fn seen(&self, text: &str) -> usize {
        self.asked.lock().unwrap().iter().filter(|head| head.lines().next().is_some_and(|line| line.contains(text))).count()
    }
}

fn serve(socket: TcpStream, name: &str, asked: &Mutex<Vec<String>>, failures: &Mutex<BTreeMap<String, usize>>) -> std::io::Result<()> {
    let mut writer = socket.try_clone()?;
    let mut reader = BufReader::new(socket);
    loop {
        let mut head = String::new();
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line)? == 0 {
                return Ok(());
            }
            if line == "\r\n" {
                break;
            }
            head.push_str(&line);
        }
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok()).unwrap_or(0);
        let mut body = vec![0; length];
        reader.read_exact(&mut body)?;
        let first = head.lines().next().unwrap_or_default().to_owned();
        asked.lock().unwrap().push(head.clone());
        let path = first.split(' ').nth(1).unwrap_or_default().to_owned();
        let mut status = 200;
        if let Some(code) = path.split("/status/").nth(1) {
            status = code.parse().unwrap_or(200);
        } else if path.contains("/slow") {
            std::thread::sleep(Duration::from_secs(1));
        } else if path.contains("/deny") {
            status = 403;
        } else if let Some(times) = path.split("/flaky/").nth(1).and_then(|rest| rest.split('/').next()?.parse::<usize>().ok()) {
            let mut failures = failures.lock().unwrap();
            let count = failures.entry(path.clone()).or_default();
            *count += 1;
            if *count <= times {
                status = 503;
            }
        }
        let body = format!("{name}\n{head}");
        write!(writer, "HTTP/1.1 {status} Said\r\ncontent-length: {}\r\nx-backend: {name}\r\nserver: {name}\r\n\r\n{body}", body.len())?;
    }
}

/// A TCP backend that says its name and then echoes.
pub fn tcp(name: &'static str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut socket in listener.incoming().map_while(Result::ok) {
            std::thread::spawn(move || {
                drop(writeln!(socket, "{name}"));
                let mut reader = socket.try_clone().unwrap();
                drop(std::io::copy(&mut reader, &mut socket));
            });
        }
    });
    at
}

/// A UDP backend that answers with its name.
pub fn udp(name: &'static str) -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let at = socket.local_addr().unwrap();
    std::thread::spawn(move || {
        let mut buffer = [0; 1500];
        while let Ok((_, from)) = socket.recv_from(&mut buffer) {
            drop(socket.send_to(name.as_bytes(), from));
        }
    });
    at
}

/// A TLS backend that answers one request a connection with the server name that it was asked for, and with whether a client certificate came.
pub fn tls(material: &KeyMaterial, authority_pem: &str) -> SocketAddr {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(authority_pem.as_bytes()).unwrap()).unwrap();
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone()).allow_unauthenticated().build().unwrap();
    let certificate = CertificateDer::from_pem_slice(material.certificate.as_bytes()).unwrap();
    let key = PrivateKeyDer::from_pem_slice(material.key.as_bytes()).unwrap();
    let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = Arc::new(builder.with_client_cert_verifier(verifier).with_single_cert(vec![certificate], key).unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for socket in listener.incoming().map_while(Result::ok) {
            let config = config.clone();
            std::thread::spawn(move || {
                let mut stream = StreamOwned::new(ServerConnection::new(config).unwrap(), socket);
                let mut buffer = [0; 4096];
                if stream.read(&mut buffer).unwrap_or(0) == 0 {
                    return;
                }
                let name = stream.conn.server_name().unwrap_or("-").to_owned();
                let body = format!("{name} {}", stream.conn.peer_certificates().is_some());
                drop(write!(stream, "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}", body.len()));
                drop(stream.flush());
            });
        }
    });
    at
}
