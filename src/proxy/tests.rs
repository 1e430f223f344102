//! Tests over connections in memory: one file for each feature.

mod affinity;
mod bodies;
mod client;
mod compression;
mod cors;
mod grpc;
mod headers;
mod http2;
mod refusals;
mod requests;
mod retry;
mod shadow;
mod sockets;
mod time;
mod websocket;

use super::testing::{Script, forward, route, serving, site};
use crate::{
    graph::{Action, ClientPolicy, Forward},
    proxy::site::Site,
};

/// A worker with one route for everything, and a policy for clients, changed by `change`.
fn speaking(script: &Script, change: impl FnOnce(&mut ClientPolicy)) -> std::rc::Rc<Site<Script>> {
    let forward = forward("quote");
    let mut graph = serving(vec![route("/", Action::Forward(forward.into()))]);
    change(&mut graph.clients);
    site(graph, script.clone())
}

/// A worker with one route for everything, changed by `change`.
fn serving_with(script: &Script, change: impl FnOnce(&mut Forward)) -> std::rc::Rc<Site<Script>> {
    let mut forward = forward("quote");
    change(&mut forward);
    let routes = vec![route("/", Action::Forward(forward.into()))];
    site(serving(routes), script.clone())
}
