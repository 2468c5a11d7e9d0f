//! Pods: small servers on addresses of their own that are healthy and say what they were asked. All tests share them.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::OnceLock;

use axum::Router;
use axum::extract::Request;
use serde_json::json;
use tokio::net::TcpListener;

/// How many pods there are.
const PODS: u8 = 6;

/// The address of a pod, from 1 on.
pub fn address(pod: u8) -> Ipv4Addr {
    Ipv4Addr::new(127, 77, 0, pod)
}

/// The port of all pods, which run from now on.
pub fn port() -> u16 {
    static PORT: OnceLock<u16> = OnceLock::new();
    *PORT.get_or_init(|| {
        let (ready, started) = std::sync::mpsc::channel();
        // A thread of their own, since every test has its own runtime.
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let (port, listeners) = bind().await;
                ready.send(port).unwrap();
                futures::future::join_all(listeners.into_iter().map(|(address, listener)| serve(address, listener))).await;
            });
        });
        started.recv().unwrap()
    })
}

async fn serve(address: Ipv4Addr, listener: TcpListener) {
    let app = Router::new().fallback(move |request: Request| async move {
        let host = request.headers().get("host").and_then(|value| value.to_str().ok()).map(str::to_owned);
        json!({"pod": address, "path": request.uri().to_string(), "host": host}).to_string()
    });
    axum::serve(listener, app).await.unwrap();
}

async fn bind() -> (u16, Vec<(Ipv4Addr, TcpListener)>) {
    for _ in 0..50 {
        // A port that is free on the first address may be taken on another.
        if let Ok(bound) = try_bind().await {
            return bound;
        }
    }
    panic!("no port is free on all addresses");
}

async fn try_bind() -> std::io::Result<(u16, Vec<(Ipv4Addr, TcpListener)>)> {
    let first = TcpListener::bind(SocketAddr::from((address(1), 0))).await?;
    let port = first.local_addr()?.port();
    let mut listeners = vec![(address(1), first)];
    for pod in 2..=PODS {
        listeners.push((address(pod), TcpListener::bind(SocketAddr::from((address(pod), port))).await?));
    }
    Ok((port, listeners))
}
