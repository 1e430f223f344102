//! The page of one code.

use crate::report::{Condition, Severity, code::CodeInfo};

/// `docs/reference/codes/PSTnnnn.md`: `example` is a difference of manifests from which the code comes and by which it goes,
/// `said` what Postern says of those it comes from.
pub fn code_page(info: &CodeInfo, example: &str, said: &str) -> String {
    format!(
        "# {code} {reason}\n\n\
         {effect}\n\n\
         ## What it means\n\n\
         {cause}\n\n\
         ## Example\n\n\
         {lines}\n\n\
         ```diff\n{example}```\n\n\
         Of {these}, Postern says:\n\n\
         ```text\n{said}\n```\n\n\
         ## What to do\n\n\
         {remedy}\n\n\
         ## How to see it\n\n\
         ```\n\
         kubectl postern explain {code}\n\
         kubectl postern status -n NAMESPACE\n\
         {ask}\n\
         ```\n\n\
         All codes: [codes](../codes.md). From a symptom to its cause: [troubleshooting](../../guides/troubleshoot.md).\n",
        code = info.code,
        reason = info.reason,
        effect = effect(info),
        cause = info.cause,
        lines = lines(example),
        these = if changes(example) {
            "the manifests without that change"
        } else {
            "these manifests"
        },
        remedy = info.remedy,
        ask = info.ask(),
    )
}

/// What the code does to the conditions of an object.
fn effect(info: &CodeInfo) -> String {
    let (condition, reason) = (info.condition, info.reason);
    match (info.severity, condition) {
        (Severity::Error, _) => format!(
            "An error: the condition `{condition:?}` of the object is `False` with the reason `{reason}`, and so is `Ready`."
        ),
        (Severity::Warning, Condition::Programmed) => format!(
            "A warning: the condition `Programmed` of the object is `False` with the reason `{reason}`, and so is `Ready`, because \
             no request reaches it."
        ),
        (severity, _) => format!(
            "A {severity}: it stands in the message of the condition `{condition:?}`, which stays as it is."
        ),
    }
}

fn changes(example: &str) -> bool {
    example.lines().any(|line| line.starts_with(['-', '+']))
}

fn lines(example: &str) -> &'static str {
    if changes(example) {
        "With the lines marked `-` instead of those marked `+` it is said; the other way round it is not."
    } else {
        "It is said of these manifests as they are."
    }
}
