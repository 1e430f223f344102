//! The table of shapes. All of it is data; see `shapes.rs` for what is done with it.

use super::shapes::{
    Expect::{self, Closed, Cut, Either, Passed, PassedAndClosed, Refused},
    Group,
};

/// A POST with these header lines and this body.
macro_rules! post {
    ($headers:literal, $body:literal) => {
        concat!(
            "POST /shape/{id} HTTP/1.1\r\nHost: x.com\r\n",
            $headers,
            "\r\n",
            $body
        )
    };
}

/// A chunked POST with this body.
macro_rules! chunked {
    ($body:literal) => {
        post!("Transfer-Encoding: chunked\r\n", $body)
    };
}

/// A GET with these header lines after Host.
macro_rules! get {
    ($headers:literal) => {
        concat!(
            "GET /shape/{id} HTTP/1.1\r\nHost: x.com\r\n",
            $headers,
            "\r\n"
        )
    };
}

/// A GET with this request line and no Host but what it brings.
macro_rules! line {
    ($line:literal) => {
        concat!($line, "\r\nConnection: close\r\n\r\n")
    };
}

/// A GET for this path, on a connection that ends with it.
macro_rules! path {
    ($path:literal) => {
        concat!(
            "GET ",
            $path,
            " HTTP/1.1\r\nHost: x.com\r\nConnection: close\r\n\r\n"
        )
    };
}

const BAD: &[u16] = &[400];
/// hyper ends some of these without an answer.
const BAD_OR_NOTHING: &[u16] = &[0, 400];

// One shape a line.
#[rustfmt::skip]
pub(super) const GROUPS: &[Group] = &[
    Group {
        rule: "controls",
        expect: Passed,
        shapes: &[
            ("plain", path!("/shape/{id}")),
            ("length", post!("Connection: close\r\nContent-Length: 2\r\n", "hi")),
            ("length-spaced", post!("Connection: close\r\nContent-Length:  2 \t\r\n", "hi")),
            ("chunked", post!("Connection: close\r\nTransfer-Encoding: chunked\r\n", "2\r\nhi\r\n0\r\n\r\n")),
            ("chunked-upper", post!("Connection: close\r\nTransfer-Encoding: CHUNKED\r\n", "2\r\nhi\r\n0\r\n\r\n")),
            ("chunk-extension", post!("Connection: close\r\nTransfer-Encoding: chunked\r\n", "2;a=b\r\nhi\r\n0;x\r\n\r\n")),
            ("chunk-zeros", post!("Connection: close\r\nTransfer-Encoding: chunked\r\n", "0002\r\nhi\r\n000\r\n\r\n")),
            ("trailers", post!("Connection: close\r\nTransfer-Encoding: chunked\r\n", "2\r\nhi\r\n0\r\nx-t: y\r\n\r\n")),
            ("absolute-form", line!("GET http://x.com/shape/{id} HTTP/1.1\r\nHost: x.com")),
            ("connection-hop-by-hop", get!("Connection: close, TE, keep-alive\r\nTE: trailers\r\n")),
            ("dots-resolved", path!("/shape/a/../{id}")),
            ("slashes-merged", path!("//shape///{id}")),
            ("unreserved-decoded", path!("/%73hape/{id}")),
            ("parameters-kept", path!("/shape/{id};v=1")),
        ],
    },
    Group {
        rule: "SEC-I1 length",
        expect: Closed(BAD),
        shapes: &[
            ("cl-te", post!("Content-Length: 6\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\nG")),
            ("te-cl", post!("Transfer-Encoding: chunked\r\nContent-Length: 3\r\n", "8\r\nSMUGGLED\r\n0\r\n\r\n")),
            ("cl-te-upper", post!("CONTENT-LENGTH: 6\r\nTRANSFER-ENCODING: chunked\r\n", "0\r\n\r\nG")),
            ("cl-cl", post!("Content-Length: 2\r\nContent-Length: 3\r\n", "hi")),
            ("cl-cl-same", post!("Content-Length: 2\r\nContent-Length: 2\r\n", "hi")),
            ("cl-cl-apart", post!("Content-Length: 2\r\nX: y\r\ncontent-length: 0\r\n", "hi")),
            ("cl-list", post!("Content-Length: 2, 2\r\n", "hi")),
            ("cl-list-other", post!("Content-Length: 2, 3\r\n", "hi")),
            ("cl-plus", post!("Content-Length: +2\r\n", "hi")),
            ("cl-minus", post!("Content-Length: -2\r\n", "hi")),
            ("cl-minus-zero", post!("Content-Length: -0\r\n", "")),
            ("cl-hex", post!("Content-Length: 0x2\r\n", "hi")),
            ("cl-letters", post!("Content-Length: 2a\r\n", "hi")),
            ("cl-space-inside", post!("Content-Length: 2 0\r\n", "hi")),
            ("cl-fraction", post!("Content-Length: 2.0\r\n", "hi")),
            ("cl-underscore", post!("Content-Length: 1_0\r\n", "hi")),
            ("cl-quoted", post!("Content-Length: \"2\"\r\n", "hi")),
            ("cl-empty", post!("Content-Length:\r\n", "")),
            ("cl-blank", post!("Content-Length:  \t\r\n", "")),
            ("cl-overflow", post!("Content-Length: 18446744073709551618\r\n", "hi")),
            ("cl-huge", post!("Content-Length: 99999999999999999999999999\r\n", "hi")),
            ("cl-not-ascii", post!("Content-Length: {ff}2\r\n", "hi")),
            ("cl-get-te", get!("Content-Length: 3\r\nTransfer-Encoding: chunked\r\n")),
        ],
    },
    Group {
        rule: "SEC-I1 encoding",
        expect: Closed(BAD),
        shapes: &[
            ("te-x", post!("Transfer-Encoding: xchunked\r\n", "0\r\n\r\n")),
            ("te-twice", post!("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n")),
            ("te-twice-other", post!("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n", "0\r\n\r\n")),
            ("te-list", post!("Transfer-Encoding: chunked, chunked\r\n", "0\r\n\r\n")),
            ("te-identity", post!("Transfer-Encoding: identity\r\n", "0\r\n\r\n")),
            ("te-chunked-identity", post!("Transfer-Encoding: chunked, identity\r\n", "0\r\n\r\n")),
            ("te-gzip", post!("Transfer-Encoding: gzip\r\n", "0\r\n\r\n")),
            ("te-gzip-chunked", post!("Transfer-Encoding: gzip, chunked\r\n", "0\r\n\r\n")),
            ("te-quoted", post!("Transfer-Encoding: \"chunked\"\r\n", "0\r\n\r\n")),
            ("te-single-quoted", post!("Transfer-Encoding: 'chunked'\r\n", "0\r\n\r\n")),
            ("te-parameter", post!("Transfer-Encoding: chunked;q=1\r\n", "0\r\n\r\n")),
            ("te-comma", post!("Transfer-Encoding: ,chunked\r\n", "0\r\n\r\n")),
            ("te-comma-after", post!("Transfer-Encoding: chunked,\r\n", "0\r\n\r\n")),
            ("te-empty", post!("Transfer-Encoding:\r\n", "0\r\n\r\n")),
            ("te-vertical-tab", post!("Transfer-Encoding: \x0bchunked\r\n", "0\r\n\r\n")),
            ("te-form-feed", post!("Transfer-Encoding: chunked\x0c\r\n", "0\r\n\r\n")),
            ("te-not-ascii", post!("Transfer-Encoding: {ff}chunked\r\n", "0\r\n\r\n")),
            ("te-nul", post!("Transfer-Encoding: chunked\0\r\n", "0\r\n\r\n")),
            ("te-folded", post!("Transfer-Encoding:\r\n chunked\r\n", "0\r\n\r\n")),
            ("te-space-before-colon", post!("Transfer-Encoding : chunked\r\n", "0\r\n\r\n")),
            ("te-tab-before-colon", post!("Transfer-Encoding\t: chunked\r\n", "0\r\n\r\n")),
            ("te-hidden-by-cr", post!("X: y\rTransfer-Encoding: chunked\r\n", "0\r\n\r\n")),
            ("te-hidden-by-lf", post!("X: y\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n")),
            ("te-underscore", post!("Transfer_Encoding: chunked\r\n", "")),
        ],
    },
    Group {
        rule: "SEC-I1 version",
        expect: Closed(&[400, 426, 505]),
        shapes: &[
            ("te-on-1.0", "POST /shape/{id} HTTP/1.0\r\nHost: x.com\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
            ("te-on-1.0-kept", "POST /shape/{id} HTTP/1.0\r\nHost: x.com\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
            ("version-1.2", "GET /shape/{id} HTTP/1.2\r\nHost: x.com\r\n\r\n"),
            ("version-1.10", "GET /shape/{id} HTTP/1.10\r\nHost: x.com\r\n\r\n"),
            ("version-2.0", "GET /shape/{id} HTTP/2.0\r\nHost: x.com\r\n\r\n"),
            ("version-0.9", "GET /shape/{id} HTTP/0.9\r\nHost: x.com\r\n\r\n"),
            ("version-lower", "GET /shape/{id} http/1.1\r\nHost: x.com\r\n\r\n"),
            ("version-word", "GET /shape/{id} HTTPS/1.1\r\nHost: x.com\r\n\r\n"),
            ("version-space", "GET /shape/{id} HTTP/ 1.1\r\nHost: x.com\r\n\r\n"),
            ("version-missing", "GET /shape/{id}\r\nHost: x.com\r\n\r\n"),
            ("line-extra", "GET /shape/{id} HTTP/1.1 x\r\nHost: x.com\r\n\r\n"),
            ("line-two-targets", "GET /shape/{id} /b HTTP/1.1\r\nHost: x.com\r\n\r\n"),
        ],
    },
    Group {
        rule: "SEC-I1 lines",
        expect: Closed(BAD),
        shapes: &[
            ("lf-line", "GET /shape/{id} HTTP/1.1\nHost: x.com\r\n\r\n"),
            ("lf-header", "GET /shape/{id} HTTP/1.1\r\nHost: x.com\n\r\n"),
            ("lf-end", "GET /shape/{id} HTTP/1.1\r\nHost: x.com\r\n\n"),
            ("lf-all", "GET /shape/{id} HTTP/1.1\nHost: x.com\n\n"),
            ("cr-line", "GET /shape/{id} HTTP/1.1\rHost: x.com\r\n\r\n"),
            ("cr-value", get!("X: a\rb\r\n")),
            ("cr-cr-lf", "GET /shape/{id} HTTP/1.1\r\r\nHost: x.com\r\n\r\n"),
            ("fold", get!("X: a\r\n b\r\n")),
            ("fold-tab", get!("X: a\r\n\tb\r\n")),
            ("fold-first", "GET /shape/{id} HTTP/1.1\r\n Host: x.com\r\n\r\n"),
            ("fold-host", "GET /shape/{id} HTTP/1.1\r\nHost:\r\n x.com\r\n\r\n"),
            ("space-before-colon", get!("X : a\r\n")),
            ("tab-before-colon", get!("X\t: a\r\n")),
            ("host-space-colon", "GET /shape/{id} HTTP/1.1\r\nHost : x.com\r\n\r\n"),
            ("name-empty", get!(": a\r\n")),
            ("name-space", get!("X y: a\r\n")),
            ("name-brackets", get!("X[0]: a\r\n")),
            ("name-quote", get!("X\"y: a\r\n")),
            ("name-nul", get!("X\0y: a\r\n")),
            ("name-not-ascii", get!("X{ff}: a\r\n")),
            ("no-colon", get!("novalue\r\n")),
            ("value-nul", get!("X: a\0b\r\n")),
            ("value-ctl", get!("X: a\x01b\r\n")),
            ("value-bell", get!("X: \x07\r\n")),
            ("value-del", get!("X: a\x7fb\r\n")),
            ("underscore", get!("X_Forwarded_For: 192.0.2.1\r\n")),
            ("underscore-length", post!("Content_Length: 2\r\n", "")),
            ("line-tabs", "GET\t/shape/{id}\tHTTP/1.1\r\nHost: x.com\r\n\r\n"),
            ("line-spaces", "GET  /shape/{id} HTTP/1.1\r\nHost: x.com\r\n\r\n"),
            ("line-leading-space", " GET /shape/{id} HTTP/1.1\r\nHost: x.com\r\n\r\n"),
            ("method-ctl", "G\x01T /shape/{id} HTTP/1.1\r\nHost: x.com\r\n\r\n"),
            ("method-brackets", "G[T /shape/{id} HTTP/1.1\r\nHost: x.com\r\n\r\n"),
            ("method-colon", "GET: /shape/{id} HTTP/1.1\r\nHost: x.com\r\n\r\n"),
        ],
    },
    Group {
        rule: "SEC-I1 chunks",
        expect: Cut(BAD_OR_NOTHING),
        shapes: &[
            ("chunk-not-hex", chunked!("z\r\nhi\r\n0\r\n\r\n")),
            ("chunk-empty-size", chunked!("\r\nhi\r\n0\r\n\r\n")),
            ("chunk-0x", chunked!("0x2\r\nhi\r\n0\r\n\r\n")),
            ("chunk-plus", chunked!("+2\r\nhi\r\n0\r\n\r\n")),
            ("chunk-minus", chunked!("-2\r\nhi\r\n0\r\n\r\n")),
            ("chunk-underscore", chunked!("0_2\r\nhi\r\n0\r\n\r\n")),
            ("chunk-space-before", chunked!(" 2\r\nhi\r\n0\r\n\r\n")),
            ("chunk-overflow", chunked!("10000000000000002\r\nhi\r\n0\r\n\r\n")),
            ("chunk-overflow-f", chunked!("ffffffffffffffffff\r\nhi\r\n0\r\n\r\n")),
            ("chunk-longer", chunked!("2\r\nhi!\r\n0\r\n\r\n")),
            ("chunk-no-end", chunked!("2\r\nhi0\r\n\r\n")),
            ("chunk-lf-end", chunked!("2\r\nhi\n0\r\n\r\n")),
            ("chunk-lf-size", chunked!("2\nhi\r\n0\r\n\r\n")),
            ("chunk-lf-extension", chunked!("2;a\nhi\r\n0\r\n\r\n")),
            ("chunk-cr-extension", chunked!("2;a\rb\r\nhi\r\n0\r\n\r\n")),
            ("chunk-cr-size", chunked!("2\rx\nhi\r\n0\r\n\r\n")),
            ("chunk-nul", chunked!("2\0\r\nhi\r\n0\r\n\r\n")),
            ("last-chunk-lf", chunked!("2\r\nhi\r\n0\n\r\n")),
            ("trailer-space-colon", chunked!("0\r\nX : y\r\n\r\n")),
            ("trailer-no-colon", chunked!("0\r\nnovalue\r\n\r\n")),
            ("trailer-lf", chunked!("0\r\nX: y\n\r\n")),
            ("trailer-lf-end", chunked!("0\r\nX: y\r\n\n")),
            ("trailer-fold", chunked!("0\r\nX: y\r\n z\r\n\r\n")),
        ],
    },
    Group {
        rule: "SEC-I1 trailers",
        expect: Either(&[0, 200, 400]),
        shapes: &[
            ("target-fragment", line!("GET /shape/{id}#a HTTP/1.1\r\nHost: x.com")),
            ("trailer-cl", post!("Connection: close\r\nTransfer-Encoding: chunked\r\n", "0\r\nContent-Length: 50\r\n\r\n")),
            ("trailer-te", post!("Connection: close\r\nTransfer-Encoding: chunked\r\n", "0\r\nTransfer-Encoding: chunked\r\n\r\n")),
            ("trailer-host", post!("Connection: close\r\nTransfer-Encoding: chunked\r\n", "0\r\nHost: y.com\r\n\r\n")),
            ("chunk-space-after", post!("Connection: close\r\nTransfer-Encoding: chunked\r\n", "2 \r\nhi\r\n0\r\n\r\n")),
            ("length-zeros", post!("Connection: close\r\nContent-Length: 002\r\n", "hi")),
            ("empty-line-first", "\r\nGET /shape/{id} HTTP/1.1\r\nHost: x.com\r\nConnection: close\r\n\r\n"),
            ("value-not-ascii", get!("Connection: close\r\nX: caf{ff}\r\n")),
        ],
    },
    Group {
        rule: "SEC-I1 target",
        expect: Refused(&[400, 404, 405, 426, 501]),
        shapes: &[
            ("host-none", line!("GET /shape/{id} HTTP/1.1")),
            ("host-empty", line!("GET /shape/{id} HTTP/1.1\r\nHost:")),
            ("host-two", line!("GET /shape/{id} HTTP/1.1\r\nHost: x.com\r\nHost: y.com")),
            ("host-two-same", line!("GET /shape/{id} HTTP/1.1\r\nHost: x.com\r\nHost: x.com")),
            ("host-list", line!("GET /shape/{id} HTTP/1.1\r\nHost: x.com, y.com")),
            ("host-path", line!("GET /shape/{id} HTTP/1.1\r\nHost: x.com/admin")),
            ("host-query", line!("GET /shape/{id} HTTP/1.1\r\nHost: x.com?a")),
            ("host-fragment", line!("GET /shape/{id} HTTP/1.1\r\nHost: x.com#a")),
            ("host-user", line!("GET /shape/{id} HTTP/1.1\r\nHost: user@x.com")),
            ("host-space", line!("GET /shape/{id} HTTP/1.1\r\nHost: x.com y.com")),
            ("host-port-large", line!("GET /shape/{id} HTTP/1.1\r\nHost: x.com:99999")),
            ("host-port-word", line!("GET /shape/{id} HTTP/1.1\r\nHost: x.com:http")),
            ("host-port-sign", line!("GET /shape/{id} HTTP/1.1\r\nHost: x.com:+80")),
            ("host-two-ports", line!("GET /shape/{id} HTTP/1.1\r\nHost: x.com:80:80")),
            ("host-escape", line!("GET /shape/{id} HTTP/1.1\r\nHost: x%2ecom")),
            ("host-not-ascii", line!("GET /shape/{id} HTTP/1.1\r\nHost: x{ff}.com")),
            ("host-dots", line!("GET /shape/{id} HTTP/1.1\r\nHost: x..com")),
            ("host-backslash", line!("GET /shape/{id} HTTP/1.1\r\nHost: x.com\\y.com")),
            ("host-scheme", line!("GET /shape/{id} HTTP/1.1\r\nHost: http://x.com")),
            ("absolute-other-host", line!("GET http://y.com/shape/{id} HTTP/1.1\r\nHost: x.com")),
            ("absolute-other-port", line!("GET http://x.com:81/shape/{id} HTTP/1.1\r\nHost: x.com")),
            ("absolute-user", line!("GET http://u:p@x.com/shape/{id} HTTP/1.1\r\nHost: x.com")),
            ("absolute-scheme", line!("GET ftp://x.com/shape/{id} HTTP/1.1\r\nHost: x.com")),
            ("absolute-no-host", line!("GET http:///shape/{id} HTTP/1.1\r\nHost: x.com")),
            ("no-slash", line!("GET shape/{id} HTTP/1.1\r\nHost: x.com")),
            ("target-query-only", line!("GET ?/shape/{id} HTTP/1.1\r\nHost: x.com")),
            ("target-not-ascii", line!("GET /shape/{id}{ff} HTTP/1.1\r\nHost: x.com")),
            ("target-nul", line!("GET /shape/{id}\0 HTTP/1.1\r\nHost: x.com")),
            ("target-del", line!("GET /shape/{id}\x7f HTTP/1.1\r\nHost: x.com")),
            ("target-star", line!("GET * HTTP/1.1\r\nHost: x.com")),
            ("connect", line!("CONNECT x.com:443 HTTP/1.1\r\nHost: x.com:443")),
            ("connect-path", line!("CONNECT /shape/{id} HTTP/1.1\r\nHost: x.com")),
            ("version-1.0-plain", line!("GET /shape/{id} HTTP/1.0\r\nHost: x.com")),
        ],
    },
    Group {
        rule: "SEC-I2",
        expect: PassedAndClosed,
        shapes: &[
            ("upgrade-without-101", "GET /upgrade/shape/{id} HTTP/1.1\r\nHost: x.com\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n"),
        ],
    },
    Group {
        rule: "SEC-H2",
        expect: Refused(BAD),
        shapes: &[
            ("connection-cl", post!("Connection: close, content-length\r\nContent-Length: 2\r\n", "hi")),
            ("connection-te", post!("Connection: close, transfer-encoding\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n")),
            ("connection-host", get!("Connection: close, Host\r\n")),
            ("connection-authorization", get!("Connection: close, authorization\r\nAuthorization: Basic eA==\r\n")),
            ("connection-cookie", get!("Connection: close, cookie\r\nCookie: a=b\r\n")),
            ("connection-xff", get!("Connection: close, X-Forwarded-For\r\n")),
            ("connection-xfp", get!("Connection: close\r\nConnection: x-forwarded-proto\r\n")),
            ("connection-request-id", get!("Connection: close, x-request-id\r\n")),
        ],
    },
    Group {
        rule: "SEC-E3",
        expect: Either(&[200, 400]),
        shapes: &[
            // Whoever takes one value of several lets these in as the tenant.
            ("tenant-first", concat!("GET /tenant/{id} HTTP/1.1\r\nHost: x.com\r\nConnection: close\r\nX-Tenant: admin\r\n", "X-Tenant: me\r\n\r\n")),
            ("tenant-last", concat!("GET /tenant/{id} HTTP/1.1\r\nHost: x.com\r\nConnection: close\r\nX-Tenant: me\r\n", "X-Tenant: admin\r\n\r\n")),
            ("tenant-joined", concat!("GET /tenant/{id} HTTP/1.1\r\nHost: x.com\r\nConnection: close\r\n", "X-Tenant: admin,me\r\n\r\n")),
            ("tenant-joined-last", concat!("GET /tenant/{id} HTTP/1.1\r\nHost: x.com\r\nConnection: close\r\n", "X-Tenant: me, admin\r\n\r\n")),
            ("tenant-twice", concat!("GET /tenant/{id} HTTP/1.1\r\nHost: x.com\r\nConnection: close\r\nX-Tenant: admin\r\n", "x-tenant: admin\r\n\r\n")),
            ("tenant-case", concat!("GET /tenant/{id} HTTP/1.1\r\nHost: x.com\r\nConnection: close\r\n", "X-Tenant: Admin\r\n\r\n")),
            ("tenant-empty", concat!("GET /tenant/{id} HTTP/1.1\r\nHost: x.com\r\nConnection: close\r\nX-Tenant:\r\n", "X-Tenant: admin\r\n\r\n")),
            ("tenant-underscore", concat!("GET /tenant/{id} HTTP/1.1\r\nHost: x.com\r\nConnection: close\r\n", "X_Tenant: admin\r\n\r\n")),
        ],
    },
    Group {
        rule: "SEC-F1",
        expect: Refused(BAD),
        shapes: &[
            ("escaped-slash", path!("/shape%2F{id}")),
            ("escaped-slash-lower", path!("/shape%2f{id}")),
            ("escaped-backslash", path!("/shape/%5C{id}")),
            ("backslash", path!("/shape\\{id}")),
            ("backslash-dots", path!("/shape/..\\{id}")),
            ("escaped-nul", path!("/shape/{id}%00.png")),
            ("escaped-dots", path!("/shape/%2e%2e/shape/{id}")),
            ("escaped-dots-upper", path!("/shape/%2E%2E/shape/{id}")),
            ("half-escaped-dots", path!("/shape/.%2e/shape/{id}")),
            ("escaped-dot", path!("/shape/%2e/{id}")),
            ("dots-escaped-slash", path!("/shape/..%2f{id}")),
            ("dots-parameter", path!("/x/..;/shape/{id}")),
            ("dots-parameter-value", path!("/x/..;a=b/shape/{id}")),
            ("dot-parameter", path!("/x/.;/shape/{id}")),
            ("dots-escaped-parameter", path!("/x/..%3b/shape/{id}")),
            ("above-root", path!("/../shape/{id}")),
            ("above-root-late", path!("/x/../../shape/{id}")),
            ("overlong-slash", path!("/shape%c0%af{id}")),
            ("overlong-dots", path!("/%c0%ae%c0%ae/shape/{id}")),
            ("not-utf-8", path!("/shape/{id}%ff")),
            ("surrogate", path!("/shape/{id}%ed%a0%80")),
            ("bad-escape", path!("/shape/{id}%zz")),
            ("short-escape", path!("/shape/{id}%2")),
            ("lone-percent", path!("/shape/{id}%")),
            ("u-escape", path!("/shape/%u002f{id}")),
        ],
    },
];

type Made = (&'static str, Expect, String, Vec<u8>);

/// Shapes that are too long to be written out.
#[rustfmt::skip]
pub(super) fn made() -> Vec<Made> {
    const TOO_LARGE: &[u16] = &[400, 414, 431];
    let get = |middle: &str| {
        format!("GET /shape/{{id}} HTTP/1.1\r\nHost: x.com\r\nConnection: close\r\n{middle}\r\n")
    };
    let line = |path: &str| {
        format!("GET /shape/{{id}}{path} HTTP/1.1\r\nHost: x.com\r\nConnection: close\r\n\r\n")
    };
    let chunked = |body: &str| {
        format!(
            "POST /shape/{{id}} HTTP/1.1\r\nHost: x.com\r\nTransfer-Encoding: chunked\r\n\r\n{body}"
        )
    };
    let long = "a".repeat(40 * 1024);
    let fields = |count: u32| (0..count).map(|number| format!("x-{number}: y\r\n")).collect::<Vec<_>>().concat();
    let longer_host = format!(
        "GET /shape/{{id}} HTTP/1.1\r\nHost: {}.com\r\nConnection: close\r\n\r\n",
        "a.".repeat(200)
    );
    let shapes = [
        ("SEC-D1", Passed, "fields-80", get(&fields(80))),
        ("SEC-D1", Passed, "header-8-KiB", get(&format!("x: {}\r\n", &long[..8 * 1024]))),
        ("SEC-D1", Passed, "path-4-KiB", line(&format!("/{}", &long[..4 * 1024]))),
        ("SEC-D1", Refused(TOO_LARGE), "fields-120", get(&fields(120))),
        ("SEC-D1", Refused(TOO_LARGE), "header-40-KiB", get(&format!("x: {long}\r\n"))),
        ("SEC-D1", Refused(TOO_LARGE), "name-40-KiB", get(&format!("{long}: y\r\n"))),
        ("SEC-D1", Refused(TOO_LARGE), "path-40-KiB", line(&long)),
        ("SEC-D1", Refused(TOO_LARGE), "query-40-KiB", line(&format!("?{long}"))),
        ("SEC-D1", Refused(TOO_LARGE), "method-40-KiB", format!("{long} /shape/{{id}} HTTP/1.1\r\nHost: x.com\r\nConnection: close\r\n\r\n")),
        ("SEC-D1", Refused(TOO_LARGE), "host-400-bytes", longer_host),
        ("SEC-I1 chunks", Cut(BAD_OR_NOTHING), "chunk-extension-40-KiB", chunked(&format!("2;{long}\r\nhi\r\n0\r\n\r\n"))),
        ("SEC-I1 chunks", Cut(BAD_OR_NOTHING), "trailer-80-KiB", chunked(&format!("0\r\nx: {long}{long}\r\n\r\n"))),
        ("SEC-I1 chunks", Cut(BAD_OR_NOTHING), "chunk-zeros-40-KiB", chunked(&format!("{}2\r\nhi\r\n0\r\n\r\n", "0".repeat(40 * 1024)))),
    ];
    let bytes =
        shapes.map(|(rule, expect, id, text)| (rule, expect, id.to_owned(), text.into_bytes()));
    bytes.into()
}
