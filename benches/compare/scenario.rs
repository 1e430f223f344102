//! What is measured.

/// Routes, protocol and load of a measurement.
#[derive(Clone, Debug)]
pub(super) struct Scenario {
    pub(super) id: &'static str,
    pub(super) title: &'static str,
    pub(super) routes: Routes,
    pub(super) protocol: Protocol,
    pub(super) body: Body,
    pub(super) connections: u32,
    /// RouteClaims, of which four each are about one host.
    pub(super) claims: usize,
    /// Whether instructions are counted too.
    pub(super) instructions: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Routes {
    /// `/svc/` on every hostname.
    One,
    /// `/p0/`, `/p1/`, … on `h0.example.com`, `h1.example.com`, …: asked for in random order.
    Many { hosts: usize, paths: usize },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    Http1,
    /// HTTP/1 over TLS 1.3.
    Tls,
    /// HTTP/2 without TLS, ten streams a connection.
    Http2,
    /// Unary calls of gRPC, the same way, to an upstream of HTTP/2.
    Grpc,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Body {
    Small,
    /// 100 KiB.
    Large,
    /// 20 KiB of JSON for clients that take gzip.
    Text,
}

// === impl Routes ===

impl Routes {
    pub(super) fn count(self) -> usize {
        match self {
            Self::One => 1,
            Self::Many { hosts, paths } => hosts * paths,
        }
    }

    /// Authority and path of one request, and what its path must be for the backend.
    pub(super) fn example(self) -> (&'static str, &'static str) {
        match self {
            Self::One => ("localhost", "/svc/a/seen"),
            Self::Many { .. } => ("h7.example.com", "/p7/a/seen"),
        }
    }
}

const ONE: Scenario = Scenario {
    id: "one-route",
    title: "HTTP/1, one route",
    routes: Routes::One,
    protocol: Protocol::Http1,
    body: Body::Small,
    connections: 64,
    claims: 0,
    instructions: true,
};

/// Without claims and with them: of these only instructions are counted.
pub(super) fn claimed() -> [Scenario; 2] {
    let many = Scenario {
        id: "unclaimed",
        title: "HTTP/1, 5,000 routes on 100 hosts",
        routes: Routes::Many {
            hosts: 100,
            paths: 50,
        },
        ..ONE
    };
    let claimed = Scenario {
        id: "claimed",
        title: "the same with 400 claims",
        claims: 400,
        ..many
    };
    [many, claimed]
}

/// In the order of the table.
pub(super) fn all() -> Vec<Scenario> {
    vec![
        ONE,
        Scenario {
            id: "many-routes",
            title: "HTTP/1, 10,000 routes on 100 hosts",
            routes: Routes::Many {
                hosts: 100,
                paths: 100,
            },
            ..ONE
        },
        Scenario {
            id: "tls",
            title: "HTTP/1 over TLS 1.3, one route",
            protocol: Protocol::Tls,
            instructions: false,
            ..ONE
        },
        Scenario {
            id: "http2",
            title: "HTTP/2 to HTTP/1, one route",
            protocol: Protocol::Http2,
            connections: 16,
            instructions: false,
            ..ONE
        },
        Scenario {
            id: "large-body",
            title: "HTTP/1, answers of 100 KiB",
            body: Body::Large,
            instructions: false,
            ..ONE
        },
        Scenario {
            id: "few-connections",
            title: "HTTP/1, 4 connections",
            connections: 4,
            instructions: false,
            ..ONE
        },
        Scenario {
            id: "gzip",
            title: "HTTP/1, 20 KiB of JSON by gzip",
            body: Body::Text,
            instructions: false,
            ..ONE
        },
        Scenario {
            id: "grpc",
            title: "gRPC, unary calls",
            protocol: Protocol::Grpc,
            connections: 16,
            instructions: false,
            ..ONE
        },
    ]
}
