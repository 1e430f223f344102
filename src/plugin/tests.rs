use clap::CommandFactory;

use super::{args::Cli, *};

/// Exit code, standard output and standard error.
fn said(arguments: &[&str]) -> (u8, String, String) {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let mut console = Console {
        out: &mut out,
        err: &mut err,
        colour: false,
        now: Timestamp::UNIX_EPOCH,
    };
    let arguments = ["kubectl-postern"].iter().chain(arguments);
    let code = answer(arguments.map(OsString::from), &mut console);
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (code, text(out), text(err))
}

#[test]
fn the_command_line_is_consistent() {
    Cli::command().debug_assert();
}

#[test]
fn what_cannot_be_told_is_exit_code_2_and_says_why() {
    for (arguments, word) in [
        (&["lint"][..], "-f"),
        (&["status", "-f", "/does/not/exist"], "/does/not/exist"),
        (&["explain", "PST0001"], "no such code"),
        (&["nonsense"], "nonsense"),
        (&["why", "example.com/a", "-f", "examples"], "http://"),
        (&["who", "/cart/", "-f", "examples"], "example.com/cart/"),
        (
            &["status", "--from-address", "example.com:1"],
            "127.0.0.1:8878",
        ),
        (
            &["can", "claim", "a.com", "-f", "examples"],
            "--as-namespace",
        ),
        (
            &["check", "--pre-upgrade", "-f", "examples"],
            "leave -f out",
        ),
        (
            &["status", "--kubeconfig", "/does/not/exist"],
            "--kubeconfig",
        ),
        (&["status", "-o", "sarif", "-f", "examples"], "use table"),
        (&["status", "--from-address", "localhost:1"], "127.0.0.1:1"),
    ] {
        let (code, out, err) = said(arguments);
        assert_eq!((code, &*out), (2, ""), "{arguments:?}");
        assert!(err.contains(word), "{arguments:?}: {err}");
    }
}

#[test]
fn a_script_completes_every_verb() {
    for shell in ["bash", "zsh", "fish"] {
        let (code, script, _) = said(&["completion", shell]);
        assert_eq!(code, 0);
        for verb in Cli::command().get_subcommands() {
            assert!(script.contains(verb.get_name()), "{shell}: {verb}");
        }
    }
}
