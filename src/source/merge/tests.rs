use super::*;
use crate::resource::{Group, Kind, Meta, Object, Positions};

fn key(name: &str) -> ObjectKey {
    ObjectKey::new(Group::Core, Kind::Namespace, "", name)
}

/// An object with that content, of its own or in the annotation of another one.
fn found(name: &str, content: u8, line: u32, carrier: Option<&str>) -> Found {
    let at = Position { line, column: 1 };
    let origin = match carrier {
        None => Origin::File {
            path: "x".into(),
            at,
        },
        Some(carrier) => Origin::Annotation {
            of: key(carrier),
            at,
        },
    };
    let object = Object {
        key: key(name),
        origin,
        meta: Meta::default(),
        spec: (),
        problems: Box::default(),
        positions: Positions::default(),
    };
    Found {
        object: AnyObject::Namespace(Arc::new(object)),
        digest: [content; 8],
        at,
    }
}

fn file(path: &str, found: Vec<Found>) -> (Arc<str>, Contents) {
    let contents = Contents {
        found,
        ..Contents::default()
    };
    (path.into(), contents)
}

/// What differs: `+NAME GENERATION`, `-NAME`, `FILE LINE MESSAGE`.
fn update(merge: &mut Merge, files: &mut [(Arc<str>, Contents)]) -> Vec<String> {
    let files = files.iter_mut().map(|(path, contents)| (&*path, contents));
    let shown = |change| match change {
        Change::Put(object) => {
            let generation = object.meta().revision.generation;
            vec![format!("+{} {generation}", object.key().name)]
        }
        Change::Delete(key) => vec![format!("-{}", key.name)],
        Change::File(path, problems) => {
            let problems = problems.iter();
            let lines = problems.map(|found| format!("{path} {} {}", found.at, found.message));
            lines.collect()
        }
        other => panic!("{other:?}"),
    };
    merge.update(files).into_iter().flat_map(shown).collect()
}

#[test]
fn only_what_differs_is_sent_and_a_new_content_is_a_new_generation() {
    let mut merge = Merge::default();
    let read = |a: (u8, u32)| {
        let found = vec![found("b", 1, 1, None), found("a", a.0, a.1, None)];
        [file("x", found)]
    };
    assert_eq!(update(&mut merge, &mut read((1, 5))), ["+a 1", "+b 1"]);
    let mut again = read((1, 5));
    assert_eq!(update(&mut merge, &mut again), [""; 0]);
    let AnyObject::Namespace(shared) = &again[0].1.found[1].object else {
        panic!("it is a namespace");
    };
    assert_eq!(
        Arc::strong_count(shared),
        2,
        "what was sent, here and there"
    );
    // Elsewhere in the file, then with another content, then gone.
    assert_eq!(update(&mut merge, &mut read((1, 6))), ["+a 1"]);
    assert_eq!(update(&mut merge, &mut read((2, 6))), ["+a 2"]);
    assert!(merge.has(&key("a")) && !merge.has(&key("c")));
    let mut less = [file("x", vec![found("a", 2, 6, None)])];
    assert_eq!(update(&mut merge, &mut less), ["-b"]);
    assert_eq!(update(&mut merge, &mut []), ["-a"]);
}

#[test]
fn of_several_with_one_name_the_same_counts_whatever_the_files_are_called() {
    let (c, d) = (Some("c"), Some("d"));
    for (x, y, expected) in [
        (None, None, "y 2:1 Namespace m is already defined at x:1:1"),
        (
            c,
            None,
            "x 1:1 Namespace m is already defined as an object of its own",
        ),
        (
            d,
            c,
            "x 1:1 Namespace m is already defined in the annotation of Namespace c",
        ),
        (c, c, "y 2:1 Namespace m is already defined at x:1:1"),
    ] {
        let mut files = [
            file("x", vec![found("m", 1, 1, x)]),
            file("y", vec![found("m", 1, 2, y)]),
        ];
        let said = update(&mut Merge::default(), &mut files);
        assert_eq!(said, ["+m 1", expected], "{x:?} {y:?}");
    }
}
