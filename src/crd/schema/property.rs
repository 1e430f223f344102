//! What holds for every JSON that anybody could write.

use proptest::{collection, prelude::*};
use serde_json::{Map, Value};

use super::{
    Spec, Spelling, read,
    tree::{Node, Shape, Support},
};
use crate::crd::{GatewaySettingsSpec, HostSpec, ListenerSpec, MappingSpec, TlsContextSpec};

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "\\PC{0,12}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 6, |inner| {
        prop_oneof![
            collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            collection::btree_map("[a-zA-Z_.\\[]{0,12}", inner, 0..6)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

/// Values that fit a node, with no field that is not served.
fn fitting(node: &'static Node) -> BoxedStrategy<Value> {
    match &node.shape {
        Shape::Object(fields) => {
            let served = fields
                .list
                .iter()
                .filter(|field| field.support == Support::Full);
            let entries: Vec<_> = served
                .map(|field| {
                    let value = fitting(&field.node);
                    let value = if field.required {
                        value.prop_map(Some).boxed()
                    } else {
                        proptest::option::weighted(0.3, value).boxed()
                    };
                    value.prop_map(|value| Some((field.name.clone(), value?)))
                })
                .collect();
            entries
                .prop_map(|entries| Value::Object(entries.into_iter().flatten().collect()))
                .boxed()
        }
        Shape::Map { values, .. } => {
            collection::btree_map("[a-zA-Z_-]{1,8}", fitting(values), 0..3)
                .prop_map(|map| Value::Object(map.into_iter().collect()))
                .boxed()
        }
        Shape::List { items, .. } => collection::vec(fitting(items), 0..3)
            .prop_map(Value::from)
            .boxed(),
        Shape::Text { .. } => "\\PC{0,12}".prop_map(Value::from).boxed(),
        Shape::Choice(words) => {
            let words: Vec<_> = words.iter().map(|(word, _)| word.as_str()).collect();
            prop::sample::select(words).prop_map(Value::from).boxed()
        }
        Shape::Whole { min, max } => (*min..=*max).prop_map(Value::from).boxed(),
        Shape::Number(numbers) => prop::sample::select(numbers.as_slice())
            .prop_map(Value::from)
            .boxed(),
        Shape::Flag => any::<bool>().prop_map(Value::from).boxed(),
        Shape::Any => any_json().boxed(),
    }
}

/// The value with every field of an object in snake_case; the keys of maps stay.
fn in_snake_case(node: &Node, value: Value) -> Value {
    match (&node.shape, value) {
        (Shape::Object(fields), Value::Object(map)) => {
            let renamed = map.into_iter().map(|(name, value)| {
                let field = fields.camel(&name).expect("a field of the tree");
                (field.snake.clone(), in_snake_case(&field.node, value))
            });
            Value::Object(renamed.collect())
        }
        (Shape::Map { values, .. }, Value::Object(map)) => {
            let entries = map.into_iter();
            Value::Object(
                entries
                    .map(|(name, value)| (name, in_snake_case(values, value)))
                    .collect(),
            )
        }
        (Shape::List { items, .. }, Value::Array(list)) => list
            .into_iter()
            .map(|value| in_snake_case(items, value))
            .collect(),
        (_, value) => value,
    }
}

fn without_nulls(value: Value) -> Value {
    match value {
        Value::Object(map) => {
            let present = map.into_iter().filter(|(_, value)| !value.is_null());
            let fields: Map<_, _> = present
                .map(|(name, value)| (name, without_nulls(value)))
                .collect();
            Value::Object(fields)
        }
        Value::Array(list) => list.into_iter().map(without_nulls).collect(),
        value => value,
    }
}

fn reads_what_fits<S: Spec + serde::Serialize + PartialEq>() {
    let config = ProptestConfig::with_cases(48);
    proptest!(config, |(written in fitting(S::tree()))| {
        let (snake, problems) = read::<S>(in_snake_case(S::tree(), written.clone()), Spelling::Snake);
        prop_assert_eq!(problems, vec![]);
        let (camel, problems) = read::<S>(written.clone(), Spelling::Camel);
        // Only a rule about several fields can have something to say.
        prop_assert!(problems.iter().all(|problem| {
            S::RULES.iter().any(|rule| rule.message == problem.message)
        }), "{:?}", problems);
        prop_assert_eq!(&snake, &camel);
        prop_assert_eq!(without_nulls(serde_json::to_value(&camel).unwrap()), written);
    });
}

#[test]
fn what_fits_is_read_as_it_was_written_in_both_spellings() {
    reads_what_fits::<MappingSpec>();
    reads_what_fits::<HostSpec>();
    reads_what_fits::<ListenerSpec>();
    reads_what_fits::<GatewaySettingsSpec>();
    reads_what_fits::<TlsContextSpec>();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn any_json_is_read_without_a_panic(
        spec in any_json(),
        mut good in fitting(MappingSpec::tree()),
        names in collection::vec("prefix|service|headers|regexRewrite|port|hostBinding|hostname|tls", 0..4),
    ) {
        // Known fields with anything in them.
        for name in names {
            good[name] = spec.clone();
        }
        for spelling in [Spelling::Camel, Spelling::Snake] {
            for spec in [&spec, &good] {
                read::<MappingSpec>(spec.clone(), spelling);
                read::<HostSpec>(spec.clone(), spelling);
                read::<ListenerSpec>(spec.clone(), spelling);
                read::<GatewaySettingsSpec>(spec.clone(), spelling);
                read::<TlsContextSpec>(spec.clone(), spelling);
            }
        }
    }
}
