//! World and translate: Gateway API objects to a Plan and a Report; pure, no tokio and no kube client.
