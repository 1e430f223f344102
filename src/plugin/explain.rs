//! `explain`: what a code means.

use std::str::FromStr;

use clap::Args;
use serde_json::{Value, json};

use super::{
    check::catalogue::{CHECKS, Check},
    output::{Page, Verdict},
};
use crate::report::{
    Severity,
    code::{CODES, CodeInfo},
};

#[derive(Args, Debug)]
pub(super) struct Explain {
    /// The code: `PST2007` of an object, or its number; `PCK105` of a check
    #[arg(value_name = "CODE")]
    code: Numbered,
}

/// A code that exists.
#[derive(Clone, Copy, Debug)]
enum Numbered {
    Of(&'static CodeInfo),
    OfCheck(&'static Check),
}

/// How the codes of checks begin; those of objects, and a number alone, mean an object's.
const OF_CHECKS: &str = "PCK";

/// All there are, as they are written.
pub(super) fn codes() -> impl Iterator<Item = (String, &'static str)> {
    let of_objects = CODES
        .iter()
        .map(|info| (info.code.to_string(), info.reason));
    of_objects.chain(
        CHECKS
            .iter()
            .map(|check| (check.code.to_owned(), check.name)),
    )
}

impl FromStr for Numbered {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let digits = text.trim_start_matches(|c: char| c.is_ascii_alphabetic());
        let number: u16 = digits
            .parse()
            .map_err(|_| "write it like PST2007 or PCK105".to_owned())?;
        let family = &text[..text.len() - digits.len()];
        let is_of_check = family.eq_ignore_ascii_case(OF_CHECKS);
        let found = if is_of_check {
            let code = format!("{OF_CHECKS}{number:03}");
            let found = CHECKS.iter().find(|check| check.code == code);
            found.map(Self::OfCheck)
        } else {
            let found = CODES.iter().find(|info| info.number == number);
            found.map(Self::Of)
        };
        let distance = |code: &String| {
            let own = code.trim_start_matches(|c: char| c.is_ascii_alphabetic());
            own.parse::<u16>()
                .map_or(u16::MAX, |own| own.abs_diff(number))
        };
        found.ok_or_else(|| {
            let all = codes().map(|(code, _)| code);
            let of_family = all.filter(|code| code.starts_with(OF_CHECKS) == is_of_check);
            let near = of_family.min_by_key(distance).unwrap_or_default();
            format!("there is no such code; the nearest is {near}")
        })
    }
}

impl Explain {
    pub(super) fn page(&self) -> Page {
        let (code, data, text) = match self.code {
            Numbered::Of(info) => of_object(info),
            Numbered::OfCheck(check) => of_check(check),
        };
        Page {
            data,
            names: vec![code],
            blocks: Vec::new(),
            verdict: Verdict::Clean,
        }
        .with_text(text)
    }
}

fn of_object(info: &CodeInfo) -> (String, Value, String) {
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
    (info.code.to_string(), data, text)
}

fn of_check(check: &Check) -> (String, Value, String) {
    let Check {
        code,
        name,
        asks,
        harm,
        remedy,
    } = check;
    let data = json!({
        "code": code,
        "check": name,
        "asks": asks,
        "cause": harm,
        "remedy": remedy,
    });
    let text = format!(
        "{code} {name} (a check of `kubectl postern check`)\n\nIt asks whether {asks}. {harm}\n\nWhat to do: {remedy}"
    );
    ((*code).to_owned(), data, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_found_however_they_are_written() {
        for (text, code) in [
            ("PST2007", "PST2007"),
            ("pst2007", "PST2007"),
            ("2007", "PST2007"),
            ("PCK105", "PCK105"),
            ("pck105", "PCK105"),
        ] {
            let code_found = text.parse().map(|code| Explain { code }.page().names);
            assert_eq!(code_found, Ok(vec![code.to_owned()]), "{text}");
        }
        for text in [
            "",
            "PST",
            "PST9999999",
            "Conflict",
            "PST105",
            "PCK2007",
            "105",
        ] {
            assert!(text.parse::<Numbered>().is_err(), "{text}");
        }
        for (text, near) in [
            ("PST2999", "nearest is PST"),
            ("PCK100", "nearest is PCK101"),
        ] {
            let error = text.parse::<Numbered>().unwrap_err();
            assert!(error.contains(near), "{error}");
        }
    }

    #[test]
    fn every_code_that_is_printed_can_be_explained() {
        for (code, name) in codes() {
            let page = Explain {
                code: code.parse().unwrap(),
            }
            .page();
            assert_eq!(page.data["code"], *code);
            assert!(!page.data["remedy"].as_str().unwrap().is_empty());
            let text = page
                .render(crate::plugin::output::Format::Table, false)
                .unwrap();
            assert!(text.starts_with(&format!("{code} {name} (")), "{text}");
        }
    }
}
