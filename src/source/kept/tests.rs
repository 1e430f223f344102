use serde_json::json;

use super::*;

fn owner() -> Owner {
    Owner {
        server: "https://192.0.2.1:6443".to_owned(),
        installation: "default".to_owned(),
        namespace: "postern".to_owned(),
        watch_namespaces: vec!["apps".to_owned()],
    }
}

fn contents() -> Contents {
    let mapping = json!({"apiVersion": "postern.dev/v1alpha1", "kind": "Mapping",
        "metadata": {"namespace": "apps", "name": "a\nb"}, "spec": {"prefix": "/\u{2028}/"}});
    let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"namespace": "apps", "name": "tls"}});
    Contents {
        objects: vec![(
            "apps/mappings.postern.dev".into(),
            mapping.to_string().into(),
        )],
        secrets: vec![secret.to_string().into()],
        absent: vec![ObjectKey::new(Group::Core, Kind::Secret, "apps", "nowhere")],
    }
}

fn at() -> Timestamp {
    Timestamp::from_second(1_800_000_000).unwrap()
}

fn encoded() -> Vec<u8> {
    let mut bytes = Vec::new();
    encode(&contents(), &owner(), at(), &mut bytes).unwrap();
    bytes
}

#[test]
fn what_was_kept_is_read_as_it_was() {
    let kept = decode(&encoded(), &owner()).unwrap();
    let contents = contents();
    let text = |value: &Value| Arc::<str>::from(value.to_string());
    let objects: Vec<_> = kept
        .objects
        .iter()
        .map(|(watch, manifest)| (watch.clone(), text(manifest)))
        .collect();
    assert_eq!(objects, contents.objects);
    assert_eq!(
        kept.secrets.iter().map(text).collect::<Vec<_>>(),
        contents.secrets
    );
    assert_eq!(kept.absent, contents.absent);
    assert_eq!(kept.at, at());
}

#[test]
fn an_empty_set_is_a_set() {
    let mut bytes = Vec::new();
    encode(&Contents::default(), &owner(), at(), &mut bytes).unwrap();
    let kept = decode(&bytes, &owner()).unwrap();
    assert!(kept.objects.is_empty() && kept.secrets.is_empty());
}

#[test]
fn a_file_that_is_cut_off_anywhere_is_refused() {
    let whole = encoded();
    for length in 0..whole.len() {
        let error = decode(&whole[..length], &owner()).map(drop);
        assert!(error.is_err(), "the first {length} bytes were read");
    }
}

#[test]
fn a_file_with_any_byte_changed_is_refused() {
    let whole = encoded();
    for index in 0..whole.len() {
        let mut changed = whole.clone();
        changed[index] ^= 1;
        let read = decode(&changed, &owner()).map(drop);
        assert!(read.is_err(), "byte {index} was changed");
    }
}

#[test]
fn what_is_not_ones_own_is_refused_and_says_why() {
    let bytes = encoded();
    let others = [
        Owner {
            server: "https://192.0.2.2:6443".to_owned(),
            ..owner()
        },
        Owner {
            installation: "other".to_owned(),
            ..owner()
        },
        Owner {
            namespace: "other".to_owned(),
            ..owner()
        },
        Owner {
            watch_namespaces: Vec::new(),
            ..owner()
        },
    ];
    for other in others {
        let error = decode(&bytes, &other).unwrap_err();
        assert!(matches!(error, KeptError::Foreign), "{other:?}: {error}");
    }
    let text = String::from_utf8(bytes).unwrap();
    let newer = text.replacen(":1,", ":2,", 1);
    let error = decode(newer.as_bytes(), &owner()).unwrap_err();
    assert!(matches!(error, KeptError::Format(2)), "{error}");
    let error = decode(b"apiVersion: v1\n", &owner()).unwrap_err();
    assert!(matches!(error, KeptError::NoHeader), "{error}");
}

#[test]
fn a_file_is_replaced_as_a_whole_and_is_its_owners_alone() {
    let folder = tempfile::tempdir().unwrap();
    let state = StateDir {
        folder: folder.path().join("below"),
        is_good: |_| true,
        owner: owner(),
    };
    assert!(state.read().unwrap().is_none(), "there is no file yet");
    state.write(&contents(), at()).unwrap();
    // What a process left that was ended while it wrote.
    fs::write(state.folder.join(NEW_NAME), "half").unwrap();
    state.write(&Contents::default(), at()).unwrap();
    let kept = state.read().unwrap().unwrap();
    assert!(kept.objects.is_empty(), "the last one counts");
    let names: Vec<_> = fs::read_dir(&state.folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(names, [NAME], "nothing else is left");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = fs::metadata(state.path()).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{mode:o}");
    }
}

#[test]
fn what_cannot_be_written_leaves_the_last_one() {
    let folder = tempfile::tempdir().unwrap();
    let state = StateDir {
        folder: folder.path().to_owned(),
        is_good: |_| true,
        owner: owner(),
    };
    state.write(&contents(), at()).unwrap();
    // A folder in the way, that is not empty.
    fs::create_dir_all(state.folder.join(NEW_NAME).join("x")).unwrap();
    let error = state.write(&Contents::default(), at()).unwrap_err();
    assert!(matches!(error, KeptError::Io(_)), "{error}");
    assert_eq!(state.read().unwrap().unwrap().objects.len(), 1);
}
