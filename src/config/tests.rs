use clap::Parser;

use super::{value::ValueError, *};

#[derive(Parser)]
struct Command {
    #[command(flatten)]
    serve: Serve,
}

pub(super) fn parse(flags: &str) -> Result<Serve, String> {
    let words = std::iter::once("postern").chain(flags.split_whitespace());
    Command::try_parse_from(words)
        .map(|command| command.serve)
        .map_err(|error| error.to_string())
}

#[test]
fn a_folder_drains_at_once_and_a_cluster_after_a_delay() {
    assert_eq!(parse("dir").unwrap().drain_delay(), Duration::ZERO);
    assert_eq!(parse("").unwrap().drain_delay(), Duration::from_secs(5));
    let told = parse("dir --drain-delay 1500ms").unwrap();
    assert_eq!(told.drain_delay(), Duration::from_millis(1500));
}

#[test]
fn the_default_drain_fits_into_the_grace_period_of_a_pod() {
    let serve = parse("").unwrap();
    assert!(serve.drain_delay() + serve.drain_timeout < Duration::from_secs(30));
}

#[test]
fn repeated_flags_are_all_kept() {
    let serve = parse(
        "dir --backend a/b=h:1 --backend a/c:80=[::1]:2 --bind 8080=127.0.0.1:0 --bind 8443=[::]:443",
    )
    .unwrap();
    let backends: Vec<_> = serve.backends.iter().map(ToString::to_string).collect();
    assert_eq!(backends, ["a/b=h:1", "a/c:80=[::1]:2"]);
    assert_eq!(serve.binds.len(), 2);
    assert_eq!(serve.binds[0].address, "127.0.0.1:0".parse().unwrap());
}

#[test]
fn diagnostics_stay_on_loopback_unless_told_otherwise() {
    let serve = parse("dir").unwrap();
    assert!(serve.diagnostics_address.ip().is_loopback());
    assert!(serve.admin_address.ip().is_unspecified());
}

#[test]
fn a_folder_and_a_kubeconfig_exclude_each_other() {
    assert!(parse("dir --kubeconfig k").is_err());
    assert!(parse("dir --watch-namespaces a").is_err());
    assert!(parse("dir --state-dir s").is_err());
}

#[test]
fn a_wrong_value_is_answered_with_an_example() {
    for (flags, example) in [
        ("dir --workers 0", "from 1 to 512"),
        ("dir --workers 100000", "from 1 to 512"),
        ("dir --access-log jsn", "off, json or text"),
        ("dir --drain-timeout soon", "500ms"),
        ("dir --drain-timeout 5", "500ms"),
        (
            "dir --backend quote=localhost:80",
            "apps/quote:80=127.0.0.1:3000",
        ),
        ("dir --bind 8080", "8080=127.0.0.1:80"),
        ("--secret-names example-com", "certificates/example-com"),
        ("--secret-names a/b/c", "certificates/example-com"),
        ("--secret-names ../b", "certificates/example-com"),
        ("--secret-names A/b", "certificates/example-com"),
        ("dir --log-format xml", "json"),
    ] {
        let message = parse(flags).err().unwrap_or_default();
        assert!(message.contains(example), "{flags}: {message}");
    }
}

#[test]
fn durations_have_units() {
    for (text, milliseconds) in [
        ("0", 0),
        ("0s", 0),
        ("500ms", 500),
        ("5s", 5000),
        ("2m", 120_000),
    ] {
        assert_eq!(
            value::duration(text),
            Ok(Duration::from_millis(milliseconds)),
            "{text}"
        );
    }
    for text in ["", "5", "-5s", "5 parsecs"] {
        assert_eq!(value::duration(text), Err(ValueError::Duration), "{text:?}");
    }
}

#[test]
fn what_is_no_word_of_the_access_log_is_a_file() {
    assert_eq!("off".parse(), Ok(AccessLog::Off));
    assert_eq!(
        "/var/log/access.json".parse(),
        Ok(AccessLog::File("/var/log/access.json".into()))
    );
    assert_eq!(
        "access.log".parse(),
        Ok(AccessLog::File("access.log".into()))
    );
    assert_eq!("jsn".parse::<AccessLog>(), Err(ValueError::AccessLog));
}
