//! Who is to blame for what becomes of a request.

use std::{cell::Cell, fmt, net::SocketAddr, rc::Rc, sync::Arc};

use http::{HeaderName, Response};

use super::{Judged, Streak};
use crate::{graph::outlier::Outcome, proxy::upstream::error::UpstreamError};

const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");

/// The endpoint that has a request; empty where endpoints are not judged.
#[derive(Default)]
pub struct Trial(Cell<Option<Rc<Seat>>>);

/// An endpoint, for a worker.
#[derive(Debug)]
pub(in crate::proxy::upstream) struct Seat {
    judged: Arc<Judged>,
    address: SocketAddr,
    streak: Arc<Streak>,
}

// === impl Trial ===

impl Trial {
    /// The request goes to this endpoint, from now on.
    pub(in crate::proxy::upstream) fn is_of(&self, seat: Option<Rc<Seat>>) {
        self.0.set(seat);
    }

    /// Nobody has the request for now.
    pub(in crate::proxy::upstream) fn leave(&self) -> Option<Rc<Seat>> {
        self.0.take()
    }

    /// There is a response, or none.
    pub(in crate::proxy::upstream) fn end<B>(&self, result: &Result<Response<B>, UpstreamError>) {
        let Some(seat) = self.0.take() else {
            return;
        };
        match result {
            Ok(response) => seat.note(outcome(response)),
            Err(error) => {
                if let Some(outcome) = error.outcome() {
                    seat.note(outcome);
                }
            }
        }
    }

    /// Nobody waits for a response any longer, because it takes too long.
    pub fn late(&self) {
        if let Some(seat) = self.0.take() {
            seat.note(Outcome::GatewayError);
        }
    }
}

fn outcome<B>(response: &Response<B>) -> Outcome {
    match response.headers().get(GRPC_STATUS) {
        Some(status) if response.status().is_success() => Outcome::of_grpc(status.as_bytes()),
        Some(_) | None => Outcome::of(response.status()),
    }
}

impl fmt::Debug for Trial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Trial").finish_non_exhaustive()
    }
}

// === impl Seat ===

impl Seat {
    pub(super) fn new(judged: Arc<Judged>, address: SocketAddr, streak: Arc<Streak>) -> Self {
        Self {
            judged,
            address,
            streak,
        }
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(in crate::proxy::upstream) fn note(&self, outcome: Outcome) {
        self.judged.note(self.address, &self.streak, outcome);
    }
}

impl UpstreamError {
    /// What it says of the endpoint that had the request. Connections are judged where they are opened.
    fn outcome(&self) -> Option<Outcome> {
        match self {
            Self::Reset(_)
            | Self::NotTaken(_)
            | Self::HeadBroken(_)
            | Self::Protocol(_)
            | Self::Framing(_)
            | Self::UnexpectedUpgrade => Some(Outcome::GatewayError),
            Self::NoAddress
            | Self::DialRefused(_)
            | Self::Dns(_)
            | Self::CircuitOpen
            | Self::Connect(_)
            | Self::ConnectTimeout(_)
            | Self::Tls(_)
            | Self::Authority(_)
            | Self::RequestBody(_)
            | Self::Body(_) => None,
        }
    }
}
