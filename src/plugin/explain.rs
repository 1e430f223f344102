//! `explain`: what a code means.

use std::str::FromStr;

use clap::Args;
use serde_json::json;

use super::output::{Page, Verdict};
use crate::report::{
    Severity,
    code::{CODES, CodeInfo},
};

#[derive(Args, Debug)]
pub(super) struct Explain {
    /// The code: `PST2007`, or its number
    #[arg(value_name = "CODE")]
    code: Numbered,
}

/// A code that exists.
#[derive(Clone, Copy, Debug)]
struct Numbered(&'static CodeInfo);

impl FromStr for Numbered {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let digits = text.trim_start_matches(|c: char| c.is_ascii_alphabetic());
        let number: u16 = digits
            .parse()
            .map_err(|_| "write it like PST2007".to_owned())?;
        let found = CODES.iter().find(|info| info.number == number);
        found.map(Numbered).ok_or_else(|| {
            let near = CODES.iter().min_by_key(|info| info.number.abs_diff(number));
            let near = near.map_or_else(String::new, |info| {
                format!("; the nearest is {}", info.code)
            });
            format!("there is no such code{near}")
        })
    }
}

impl Explain {
    pub(super) fn page(&self) -> Page {
        let info = self.code.0;
        let severity = match info.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
            Severity::Note => "note",
        };
        let data = json!({
            "code": info.code.to_string(),
            "reason": info.reason,
            "severity": severity,
            "condition": format!("{:?}", info.condition),
            "cause": info.cause,
            "example": info.example,
            "remedy": info.remedy,
        });
        let text = format!(
            "{code} {reason} ({severity}, condition {condition:?})\n\n{cause}\n\nExample:    {example}\nWhat to do: {remedy}",
            code = info.code,
            reason = info.reason,
            condition = info.condition,
            cause = info.cause,
            example = info.example,
            remedy = info.remedy,
        );
        Page {
            data,
            names: vec![info.code.to_string()],
            blocks: Vec::new(),
            verdict: Verdict::Clean,
        }
        .with_text(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_found_however_they_are_written() {
        for text in ["PST2007", "pst2007", "2007"] {
            assert_eq!(text.parse::<Numbered>().unwrap().0.number, 2007);
        }
        for text in ["", "PST", "PST9999999", "Conflict"] {
            assert!(text.parse::<Numbered>().is_err(), "{text}");
        }
        let error = "PST2999".parse::<Numbered>().unwrap_err();
        assert!(error.contains("nearest is PST"), "{error}");
    }
}
