use super::*;

const STRICT: Rules = Rules {
    trusted: false,
    allow_underscores: false,
    keeps_cert: false,
};

fn headers(fields: &[(&'static str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in fields {
        let value = HeaderValue::from_str(value).unwrap();
        headers.append(HeaderName::from_static(name), value);
    }
    headers
}

#[test]
fn connection_may_name_only_what_is_hop_by_hop() {
    for (value, fine) in [
        ("keep-alive", true),
        ("close, TE", true),
        ("Upgrade, HTTP2-Settings", true),
        ("content-length", false),
        ("close, host", false),
        ("authorization", false),
        ("x-forwarded-for", false),
        ("x-custom", false),
    ] {
        let result = Survey::of(&headers(&[("connection", value)]), STRICT);
        assert_eq!(result.is_ok(), fine, "{value}");
    }
}

#[test]
fn an_untrusted_peer_says_nothing_about_the_client() {
    let mut sent = headers(&[
        ("x-forwarded-host", "a"),
        ("x-forwarded-client-cert", "a"),
        ("x-real-ip", "a"),
        ("x-original-url", "a"),
        ("x-rewrite-url", "a"),
        ("forwarded", "for=a"),
        ("l5d-dst-override", "a"),
        ("x-envoy-retry-on", "a"),
        ("x-custom", "a"),
    ]);
    let survey = Survey::of(&sent, STRICT).unwrap();
    survey.clean(&mut sent);
    assert_eq!(sent.keys().collect::<Vec<_>>(), ["x-custom"]);

    let mut sent = headers(&[("x-forwarded-host", "a"), ("connection", "close")]);
    let rules = Rules {
        trusted: true,
        ..STRICT
    };
    Survey::of(&sent, rules).unwrap().clean(&mut sent);
    assert_eq!(sent.keys().collect::<Vec<_>>(), ["x-forwarded-host"]);
}

#[test]
fn an_underscore_is_refused_unless_allowed() {
    let sent = headers(&[("x_user", "a")]);
    let error = Survey::of(&sent, STRICT).unwrap_err();
    assert_eq!(error, ProxyError::Malformed(Malformed::Underscore));
    let rules = Rules {
        allow_underscores: true,
        keeps_cert: false,
        ..STRICT
    };
    assert!(Survey::of(&sent, rules).is_ok());
}

#[test]
fn an_underscore_is_no_way_to_say_who_the_client_is() {
    let mut sent = headers(&[
        ("x_forwarded_for", "6.6.6.6"),
        ("x-forwarded_proto", "https"),
        ("x_forwarded_host", "evil"),
        ("x_real_ip", "6.6.6.6"),
        ("x_request_id", "1"),
        ("x_envoy_internal", "true"),
        ("l5d_client_id", "other"),
        ("transfer_encoding", "chunked"),
        ("x_user", "a"),
    ]);
    let rules = Rules {
        allow_underscores: true,
        trusted: true,
        ..STRICT
    };
    Survey::of(&sent, rules).unwrap().clean(&mut sent);
    assert_eq!(sent.keys().collect::<Vec<_>>(), ["x_user"]);
}

#[test]
fn the_host_is_said_once_and_alike() {
    let table: &[(&str, &[&str], Result<&str, Malformed>)] = &[
        ("/", &["a.com"], Ok("a.com")),
        ("/", &[], Err(Malformed::NoHost)),
        ("/", &["a.com", "a.com"], Err(Malformed::DuplicateHost)),
        ("http://A.com/", &["a.com"], Ok("a.com")),
        ("http://b.com/", &["a.com"], Err(Malformed::OtherHost)),
        ("http://b.com/", &[], Ok("b.com")),
    ];
    for (uri, hosts, expected) in table {
        let fields: Vec<_> = hosts.iter().map(|host| ("host", *host)).collect();
        let mut headers = headers(&fields);
        let survey = Survey::of(&headers, STRICT).unwrap();
        let found = authority(&survey, &uri.parse().unwrap(), &mut headers);
        let expected = expected.map(HeaderValue::from_static).map_err(Into::into);
        assert_eq!(found, expected, "{uri} {hosts:?}");
    }
}

#[test]
fn only_the_port_of_the_listener_is_taken_away() {
    for (host, expected) in [
        ("a.com:8080", "a.com"),
        ("a.com:8081", "a.com:8081"),
        ("a.com", "a.com"),
        ("a.com:", "a.com:"),
        ("[::1]:8080", "[::1]"),
        ("[::8080]", "[::8080]"),
        ("8080", "8080"),
    ] {
        let mut headers = headers(&[("host", host)]);
        let value = HeaderValue::from_str(host).unwrap();
        assert_eq!(without_port(value, 8080, &mut headers), expected);
        assert_eq!(headers[HOST], expected);
    }
}

#[test]
fn cookies_in_pieces_are_joined() {
    let mut sent = headers(&[("cookie", "a=1"), ("cookie", "b=2")]);
    Survey::of(&sent, STRICT).unwrap().clean(&mut sent);
    assert_eq!(
        sent.get_all("cookie").iter().collect::<Vec<_>>(),
        ["a=1; b=2"]
    );
}

#[test]
fn json_is_given_only_to_who_would_rather_have_it() {
    for (accept, json) in [
        ("application/json", true),
        ("application/problem+json, text/html", true),
        ("text/html, application/json", false),
        ("*/*", false),
    ] {
        let survey = Survey::of(&headers(&[("accept", accept)]), STRICT).unwrap();
        assert_eq!(survey.prefers_json, json, "{accept}");
    }
}
