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

#[test]
fn lint_judges_addresses_as_a_cluster_does_unless_the_folder_is_what_is_served() {
    let mapping = |name: &str, service: &str| {
        format!(
            r#"{{"apiVersion": "postern.dev/v1alpha1", "kind": "Mapping", "metadata": {{"namespace": "a", "name": "{name}"}},
            "spec": {{"hostname": "a.example.com", "prefix": "/{name}/", "service": "{service}"}}}}
---
"#
        )
    };
    let service = |name: &str, external: &str| {
        format!(
            r#"{{"apiVersion": "v1", "kind": "Service", "metadata": {{"namespace": "a", "name": "{name}"}},
            "spec": {{"type": "ExternalName", "externalName": "{external}"}}}}
---
"#
        )
    };
    let manifests = [
        mapping("loopback", "127.0.0.1:9000"),
        mapping("metadata", "169.254.169.254"),
        mapping("inside", "alias"),
        mapping("fine", "quote"),
        mapping("elsewhere", "https://example.org"),
        service("alias", "other.a.svc.cluster.local"),
    ];
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("objects.yaml");
    std::fs::write(&file, manifests.concat()).unwrap();
    let lint = |more: &[&str]| {
        let common = ["lint", "-f", file.to_str().unwrap(), "-o", "json"];
        let (code, out, err) = said(&[&common[..], more].concat());
        let found: serde_json::Value =
            serde_json::from_str(&out).unwrap_or_else(|_| panic!("{out}{err}"));
        let found = found.as_array().unwrap().iter();
        let codes = found.map(|found| format!("{} {}", found["code"], found["object"]));
        (
            code,
            codes.map(|code| code.replace('"', "")).collect::<Vec<_>>(),
        )
    };
    let refused = [
        "PST3006 Mapping a/loopback",
        "PST3006 Mapping a/metadata",
        "PST3001 Mapping a/inside",
    ];
    assert_eq!(lint(&[]), (1, refused.map(str::to_owned).to_vec()));
    assert_eq!(lint(&["--runs-in", "folder"]), (0, Vec::new()));
}

#[test]
fn the_program_that_kubectl_asks_for_is_the_one_that_is_shipped() {
    let shipped = include_str!("../../dist/kubectl_complete-postern");
    let (code, printed, _) = said(&["completion", "kubectl"]);
    assert_eq!((code, &*printed), (0, shipped));
    let manifest = include_str!("../../dist/krew.yaml");
    assert!(manifest.contains("kubectl_complete-postern"));
}
