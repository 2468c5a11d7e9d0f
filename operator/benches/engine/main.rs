//! What translate, compile and diff cost of many routes from nothing, and of one change: time, allocations, bytes to proxies. Outside CI:
//!
//! ```text
//! cargo bench --bench engine --features portico/count-allocations -- --gateways 1000 --routes 20
//! ```
//!
//! First each step by itself ([`stages`]), then all that the operator does ([`passes`]): its keeper, its engine, its target loop and its status writer, on a
//! cluster in memory, with a proxy on loopback that acknowledges what it is told and runs nothing of it.

mod count;
mod objects;
mod passes;
mod proxy;
mod stages;

use clap::Parser;

use objects::Shape;

/// Measures what changes cost.
#[derive(Debug, Parser)]
struct Options {
    /// How many Gateways there are.
    #[arg(long, default_value_t = 1000)]
    gateways: usize,
    /// How many HTTPRoutes each of them has.
    #[arg(long, default_value_t = 20)]
    routes: usize,
    /// Cargo says so.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> anyhow::Result<()> {
    let Options { gateways, routes, bench: _ } = Options::parse();
    let shape = Shape { gateways, routes };
    println!("{gateways} Gateways × {routes} routes");
    println!("{:<40}{:>12}{:>14}{:>14}", "", "time", "allocations", "bytes");
    stages::run(shape)?;
    let runtime = tokio::runtime::Runtime::new()?;
    runtime.block_on(passes::run(shape))
}
