//! Integration tests of the embedded cloud: real sockets on loopback, nothing else.

mod dataplane;
