use super::*;

/// Of two ranks the first wins by what the line is about, and loses by everything that the order looks at later.
fn wins(by: &str, first: Rank, second: Rank) {
    let loser_otherwise = Rank {
        path_length: 9,
        exact: true,
        header_weight: 9,
        query_weight: 9,
        prefix: "z".into(),
        method: "z".into(),
        keys: Arc::from(["z".to_owned()]),
        tie: "z".into(),
        precedence: 9,
    };
    // Fields up to the one in question are those of the two ranks, the later ones speak for the second.
    let order = [
        "precedence",
        "path_length",
        "exact",
        "header_weight",
        "query_weight",
        "prefix",
        "method",
        "keys",
        "tie",
    ];
    let line = order.iter().position(|name| *name == by).expect(by);
    let mut second = second;
    for later in &order[line + 1..] {
        let from = &loser_otherwise;
        match *later {
            "path_length" => second.path_length = from.path_length,
            "exact" => second.exact = from.exact,
            "header_weight" => second.header_weight = from.header_weight,
            "query_weight" => second.query_weight = from.query_weight,
            "prefix" => second.prefix = Arc::clone(&from.prefix),
            "method" => second.method = Arc::clone(&from.method),
            "keys" => second.keys = Arc::clone(&from.keys),
            _ => second.tie = Arc::clone(&from.tie),
        }
    }
    assert!(
        first > second,
        "{by}: {first:?} must come before {second:?}"
    );
    let mut sorted = [second.clone(), first.clone()];
    sorted.sort_by(|a, b| b.cmp(a));
    assert_eq!(sorted, [first, second]);
}

fn rank() -> Rank {
    Rank::default()
}

#[test]
fn precedence_comes_before_everything() {
    wins(
        "precedence",
        Rank {
            precedence: 1,
            ..rank()
        },
        rank(),
    );
    wins(
        "precedence",
        rank(),
        Rank {
            precedence: -1,
            ..rank()
        },
    );
}

#[test]
fn the_longer_path_comes_first() {
    wins(
        "path_length",
        Rank {
            path_length: 8,
            ..rank()
        },
        Rank {
            path_length: 4,
            ..rank()
        },
    );
}

#[test]
fn an_exact_path_comes_before_a_prefix_of_the_same_text() {
    wins(
        "exact",
        Rank {
            exact: true,
            ..rank()
        },
        rank(),
    );
}

#[test]
fn more_text_in_header_conditions_comes_first() {
    wins(
        "header_weight",
        Rank {
            header_weight: 15,
            ..rank()
        },
        Rank {
            header_weight: 11,
            ..rank()
        },
    );
}

#[test]
fn more_text_in_query_conditions_comes_first() {
    wins(
        "query_weight",
        Rank {
            query_weight: 2,
            ..rank()
        },
        rank(),
    );
}

#[test]
fn the_greater_text_of_the_prefix_comes_first() {
    wins(
        "prefix",
        Rank {
            prefix: "/b".into(),
            ..rank()
        },
        Rank {
            prefix: "/a".into(),
            ..rank()
        },
    );
}

#[test]
fn the_greater_method_comes_first() {
    wins(
        "method",
        Rank {
            method: "POST".into(),
            ..rank()
        },
        Rank {
            method: "GET".into(),
            ..rank()
        },
    );
}

#[test]
fn the_greater_keys_come_first_compared_one_by_one() {
    let keys = |keys: &[&str]| Rank {
        keys: keys.iter().map(|key| (*key).to_owned()).collect(),
        ..rank()
    };
    wins("keys", keys(&["b-1"]), keys(&["a-9", "z-9"]));
    wins("keys", keys(&["a-1", "b-1"]), keys(&["a-1"]));
}

#[test]
fn what_is_left_is_told_apart_by_the_tie() {
    wins(
        "tie",
        Rank {
            tie: "b".into(),
            ..rank()
        },
        Rank {
            tie: "a".into(),
            ..rank()
        },
    );
}
