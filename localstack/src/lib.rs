//! The embedded cloud: AWS load balancing endpoints with state, faults and a data plane. Shares no code with the providers.
