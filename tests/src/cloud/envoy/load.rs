//! Load: clients that send small requests as bytes, and backends that answer them as bytes.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context, Result, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// What backends answer.
const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 64\r\n\r\n0123456789012345678901234567890123456789012345678901234567890123";

/// A server that answers all requests alike; it ends when it is dropped.
pub struct Backend {
    /// Where it listens, on 127.0.0.1.
    pub port: u16,
    served: Arc<AtomicUsize>,
    server: tokio::task::JoinHandle<()>,
}

impl Drop for Backend {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Backend {
    /// Starts it.
    pub async fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.context("a backend")?;
        let port = listener.local_addr().context("a backend")?.port();
        let served = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&served);
        let server = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(answer(stream, Arc::clone(&count)));
            }
        });
        Ok(Self { port, served, server })
    }

    /// How many requests it has answered.
    pub fn served(&self) -> usize {
        self.served.load(Ordering::Relaxed)
    }
}

async fn answer(mut stream: TcpStream, served: Arc<AtomicUsize>) {
    let _ = stream.set_nodelay(true);
    let mut buffer = Vec::with_capacity(4096);
    while matches!(stream.read_buf(&mut buffer).await, Ok(count) if count > 0) {
        // Requests have no bodies.
        while let Some(end) = end_of_head(&buffer) {
            buffer.drain(..end);
            served.fetch_add(1, Ordering::Relaxed);
            if stream.write_all(ANSWER).await.is_err() {
                return;
            }
        }
    }
}

fn end_of_head(bytes: &[u8]) -> Option<usize> {
    bytes.windows(4).position(|four| four == b"\r\n\r\n").map(|at| at + 4)
}

/// Hosts and the beginnings of paths, all pairs.
pub fn routes(hosts: usize, paths: usize) -> impl Iterator<Item = (String, String)> {
    (0..hosts).flat_map(move |host| (0..paths).map(move |path| (format!("h{host}.example.com"), format!("/p{path}/"))))
}

/// A request for each route.
pub fn requests(hosts: usize, paths: usize) -> Arc<Vec<Vec<u8>>> {
    let request = |(host, path)| {
        format!("GET {path}item?id=7 HTTP/1.1\r\nHost: {host}\r\nUser-Agent: lab/1\r\nAccept: */*\r\nAccept-Encoding: gzip\r\n\r\n")
            .into_bytes()
    };
    Arc::new(routes(hosts, paths).map(request).collect())
}

/// Sends so many requests over so many connections, and reads all answers, which must be 200.
pub async fn run(at: SocketAddr, requests: &Arc<Vec<Vec<u8>>>, count: usize, connections: usize, pipeline: usize) -> Result<()> {
    let mut clients = JoinSet::new();
    for number in 0..connections {
        let share = count / connections + usize::from(number < count % connections);
        clients.spawn(client(at, Arc::clone(requests), number, share, pipeline));
    }
    while let Some(ended) = clients.join_next().await {
        ended.context("a client")??;
    }
    Ok(())
}

async fn client(at: SocketAddr, requests: Arc<Vec<Vec<u8>>>, first: usize, count: usize, pipeline: usize) -> Result<()> {
    let mut stream = TcpStream::connect(at).await.context("cannot connect")?;
    stream.set_nodelay(true).context("no delay")?;
    let mut buffer = Vec::with_capacity(16 * 1024);
    let mut sent = 0;
    let mut all = requests.iter().cycle().skip(first % requests.len());
    while sent < count {
        let batch = pipeline.clamp(1, count - sent);
        for _ in 0..batch {
            if let Some(request) = all.next() {
                stream.write_all(request).await.context("cannot send")?;
            }
        }
        for _ in 0..batch {
            read_answer(&mut stream, &mut buffer).await?;
        }
        sent += batch;
    }
    Ok(())
}

async fn read_answer(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Result<()> {
    loop {
        if let Some(head) = end_of_head(buffer) {
            let text = String::from_utf8_lossy(buffer.get(..head).unwrap_or_default()).to_ascii_lowercase();
            ensure!(text.starts_with("http/1.1 200"), "not 200: {text}");
            let length = text.split("content-length:").nth(1).and_then(|rest| rest.split("\r\n").next()?.trim().parse::<usize>().ok());
            let whole = head + length.context("an answer without a length")?;
            if buffer.len() >= whole {
                buffer.drain(..whole);
                return Ok(());
            }
        }
        ensure!(stream.read_buf(buffer).await.context("cannot read")? > 0, "the connection ended");
    }
}
