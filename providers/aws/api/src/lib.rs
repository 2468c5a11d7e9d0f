//! AWS, the calls: observe, execute, targets; the only crate that names an AWS SDK type.
