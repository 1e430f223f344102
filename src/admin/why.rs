//! `/why`: which route takes a request; see [`crate::graph::why`].

use http::StatusCode;
use serde_json::json;

use super::{Reply, diagnostics::parameters, json as reply_json};
use crate::graph::{Graph, why::Question};

pub(super) fn answer(graph: &Graph, query: &str) -> Reply {
    let answered =
        question(query).and_then(|asked| graph.why(&asked).map_err(|error| error.to_string()));
    match answered {
        Ok(answer) => reply_json(StatusCode::OK, &answer),
        Err(error) => reply_json(StatusCode::BAD_REQUEST, &json!({ "error": error })),
    }
}

/// The question that the parameters ask.
fn question(query: &str) -> Result<Question, String> {
    let mut question = Question::default();
    for (name, value) in parameters(query) {
        match &*name {
            "url" => question.url = value.into_owned(),
            "method" => question.method = Some(value.into_owned()),
            "header" => {
                let header = Question::header(&value).map_err(|error| error.to_string())?;
                question.headers.push(header);
            }
            "sni" => question.sni = Some(value.into_owned()),
            "from" => {
                let from = value.parse().map_err(|e| format!("from: {value:?}: {e}"))?;
                question.from = Some(from);
            }
            "" => {}
            other => return Err(format!("there is no parameter {other:?}")),
        }
    }
    if question.url.is_empty() {
        return Err("ask with ?url=http://host/path".to_owned());
    }
    Ok(question)
}
