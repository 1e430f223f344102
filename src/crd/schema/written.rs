//! A spec that is kept as text.

use std::{fmt, marker::PhantomData};

use super::Spec;

/// A spec as the JSON that it was read from: as large as what the user wrote, where the type has room for every field that
/// there is. For kinds of which there are many.
pub struct Written<S> {
    json: Box<str>,
    spec: PhantomData<fn() -> S>,
}

impl<S: Spec> Written<S> {
    /// The text, and what it says.
    pub(super) fn new(json: String) -> Result<(Self, S), serde_json::Error> {
        let spec = serde_json::from_str(&json)?;
        Ok((Self::of(json.into()), spec))
    }

    /// What it says.
    pub fn read(&self) -> S {
        serde_json::from_str(&self.json).expect("the text must be one that was read before")
    }
}

impl<S> Written<S> {
    fn of(json: Box<str>) -> Self {
        Self {
            json,
            spec: PhantomData,
        }
    }
}

impl<S> Default for Written<S> {
    /// A spec that says nothing.
    fn default() -> Self {
        Self::of("{}".into())
    }
}

impl<S> Clone for Written<S> {
    fn clone(&self) -> Self {
        Self::of(self.json.clone())
    }
}

impl<S> fmt::Debug for Written<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.json)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::crd::{
        MappingSpec,
        schema::{Spelling, read, written},
    };

    #[test]
    fn a_written_spec_says_what_was_read() {
        for (spec, spelling) in [
            (json!({ "prefix": "/a/", "weight": 7 }), Spelling::Camel),
            (
                json!({ "prefix": "/a/", "timeout_ms": 9, "headers": { "x-a": "b" } }),
                Spelling::Snake,
            ),
            (json!({ "prefix": 7, "service": "a" }), Spelling::Camel),
            (json!("nonsense"), Spelling::Camel),
            (json!(null), Spelling::Camel),
        ] {
            let (expected, problems) = read::<MappingSpec>(spec.clone(), spelling);
            let (text, same) = written::<MappingSpec>(spec.clone(), spelling);
            assert_eq!((text.read(), same), (expected, problems), "{spec}");
        }
        assert_eq!(
            Written::<MappingSpec>::default().read(),
            MappingSpec::default()
        );
    }
}
