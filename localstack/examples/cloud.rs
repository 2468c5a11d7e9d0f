//! Runs a cloud until Ctrl-C: `cargo run -p portico-cloud --example cloud -- 127.0.0.1:4566`.

use portico_cloud::{Cloud, CloudConfig};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let listen = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:4566".into()).parse()?;
    let cloud = Cloud::start(CloudConfig { listen, ..CloudConfig::default() }).await?;
    println!("export AWS_ENDPOINT_URL={} AWS_REGION=us-east-1 AWS_ACCESS_KEY_ID=test AWS_SECRET_ACCESS_KEY=test", cloud.endpoint());
    tokio::signal::ctrl_c().await?;
    cloud.shutdown().await;
    Ok(())
}
