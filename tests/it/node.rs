//! On a whole real cluster: the chart installed by helm, pods that run our image, real ClusterIPs and a LoadBalancer.
//!
//! `tests/cluster/node.sh` starts it, in namespaces of its own; it ends with this process. All tests share it and the
//! installation in it, one at a time. It needs Linux and root; `make test` says so where they are missing.

mod cluster;
mod daemon;
mod disruption;
mod emissary;
mod events;
mod image;
mod installed;
mod load;
mod mesh;
mod ports;
mod process;
mod scoped;
