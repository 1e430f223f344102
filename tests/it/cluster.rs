//! Against a real Kubernetes API server with RBAC on.
//!
//! The programs are built by `tests/cluster/build.sh`. A test that cannot find them fails and says so: none is ever passed
//! over in silence.

mod api;
mod attacks;
mod bad;
mod burst;
mod cases;
mod crds;
mod dial;
mod emissary;
mod grants;
mod guide;
pub(crate) mod installation;
mod latency;
pub(crate) mod platform;
mod plugin;
mod quiet;
mod replicas;
mod roles;
mod serve;
pub(crate) mod server;
mod siege;
mod state;
mod status;
mod tcp;
mod watch;
