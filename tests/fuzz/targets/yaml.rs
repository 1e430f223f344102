//! Files: whatever their bytes are they are read without a panic, the same way each time, and what was read as YAML is read
//! the same as JSON.
#![no_main]

use libfuzzer_sys::fuzz_target;
use postern::source::yaml;
use serde_json::Value;

fuzz_target!(|bytes: &[u8]| {
    let reading = yaml::read(bytes);
    assert_eq!(reading, yaml::read(bytes), "read two ways");
    let lines = 1 + bytes
        .iter()
        .filter(|byte| matches!(byte, b'\n' | b'\r'))
        .count();
    for error in &reading.errors {
        assert!(error.at.line >= 1 && error.at.column >= 1, "{error:?}");
        assert!(
            !error.message.is_empty() && !error.message.ends_with('.'),
            "{error:?}"
        );
    }
    for document in &reading.documents {
        for at in document.positions.values().chain([&document.at]) {
            assert!(
                (1..=lines).contains(&(at.line as usize)),
                "{at} of {lines} lines"
            );
        }
        if document.value.is_object() {
            as_json(&document.value);
        }
    }
});

fn as_json(value: &Value) {
    let text = value.to_string();
    let reading = yaml::read(text.as_bytes());
    assert!(reading.errors.is_empty(), "{:?} in {text}", reading.errors);
    let values: Vec<_> = reading
        .documents
        .iter()
        .map(|document| &document.value)
        .collect();
    assert!(
        matches!(&*values, [read] if *read == value),
        "{values:?} was read of {text}"
    );
}
