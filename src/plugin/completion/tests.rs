use std::ffi::OsString;

use jiff::Timestamp;

use crate::plugin::{Console, answer};

const OBJECTS: &str = "tests/plugin/objects";

/// What kubectl gets for these words, without the number at the end, and the number.
fn completed(words: &[&str]) -> (Vec<String>, String) {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let mut console = Console {
        out: &mut out,
        err: &mut err,
        colour: false,
        now: Timestamp::UNIX_EPOCH,
    };
    let arguments = ["kubectl-postern", "__complete"].iter().chain(words);
    let code = answer(arguments.map(OsString::from), &mut console);
    assert_eq!((code, &*err), (0, &b""[..]), "{words:?}");
    let text = String::from_utf8(out).unwrap();
    let mut lines: Vec<_> = text.lines().map(str::to_owned).collect();
    let number = lines.pop().unwrap();
    (lines, number)
}

#[test]
fn verbs_flags_values_and_objects_are_completed() {
    let of_folder = |words: &[&'static str]| {
        let (last, before) = words.split_last().unwrap();
        [before, &["-f", OBJECTS], &[*last]].concat()
    };
    for (words, first, count, number) in [
        (
            vec!["st"],
            "status\tWhat is live, what is not, and why",
            1,
            ":4",
        ),
        (vec!["-n", "shop", "wh"], "why\t", 2, ":4"),
        (vec!["routes", "--all"], "--all-namespaces\t", 1, ":4"),
        (vec!["why", "--sn"], "--sni\t", 1, ":4"),
        (vec!["status", "-o", "ya"], "yaml", 1, ":4"),
        (vec!["status", "--output=ya"], "--output=yaml", 1, ":4"),
        (vec!["explain", "PST2007"], "PST2007\tConflict", 1, ":4"),
        (vec!["can", ""], "claim", 1, ":4"),
        (vec!["completion", "ku"], "kubectl", 1, ":4"),
        (
            of_folder(&["status", "mapping/car"]),
            "mapping/cart\tin namespace shop",
            2,
            ":4",
        ),
        (
            of_folder(&["-n", "web", "status", "mapping/"]),
            "mapping/grab\t",
            3,
            ":4",
        ),
        (of_folder(&["who", "sh"]), "shop.example.com", 1, ":4"),
        (of_folder(&["who", ":"]), ":6379", 1, ":4"),
        (
            of_folder(&["why", "tcp://o"]),
            "tcp://orders.db.example.com:5432",
            1,
            ":4",
        ),
        (
            of_folder(&["why", "http://a"]),
            "http://api.example.com/",
            1,
            ":4",
        ),
        (vec!["-f", OBJECTS, "routes", "-n", "w"], "web", 1, ":4"),
    ] {
        let (lines, end) = completed(&words);
        assert_eq!(
            (lines.len(), &*end),
            (count, number),
            "{words:?}: {lines:?}"
        );
        assert!(lines[0].starts_with(first), "{words:?}: {lines:?}");
    }
}

#[test]
fn files_are_left_to_the_shell_and_what_cannot_be_told_has_no_candidates() {
    for (words, number) in [
        (&["lint", "-f", ""][..], ":0"),
        (&["status", "--kubeconfig", "/x"], ":0"),
        (&["status", "-f", "/does/not/exist", ""], ":4"),
        (&["nonsense", ""], ":4"),
        (&["explain", "PST2007", ""], ":4"),
    ] {
        let (lines, end) = completed(words);
        assert_eq!(&*end, number, "{words:?}");
        assert!(
            lines.is_empty() || words[0] == "nonsense",
            "{words:?}: {lines:?}"
        );
    }
}
