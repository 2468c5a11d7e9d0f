//! Tests of the workspace as a whole that need no lab.

#[cfg(test)]
mod crate_graph;
