//! Manifests: every document becomes an object with its problems, or is refused with a sentence; never a panic, and the same
//! each time.
#![no_main]

use libfuzzer_sys::fuzz_target;
use postern::{
    resource::decode::{self, Decoded},
    source::{annotation, yaml::Document},
};

fuzz_target!(|bytes: &[u8]| {
    for document in postern_fuzz::documents(bytes) {
        let read = || read(&document);
        let decoded = read();
        assert_eq!(
            format!("{decoded:?}"),
            format!("{:?}", read()),
            "decoded two ways"
        );
        match decoded {
            Decoded::Invalid(message) => assert!(!message.is_empty()),
            Decoded::UnknownKind(..) => {}
            Decoded::Object(object) => {
                assert!(!object.key().name.is_empty());
                let carried = annotation::objects(&object);
                assert!(carried.problems.iter().all(|problem| !problem.is_empty()));
            }
        }
    }
});

fn read(document: &Document) -> Decoded {
    let origin = postern_fuzz::origin(document.at);
    decode::object(
        &document.value,
        origin,
        "default",
        document.positions.clone().into(),
    )
}
