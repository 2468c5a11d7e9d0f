//! AWS, pure: stack, compile and diff for ALB; no SDK and no I/O.
