//! What becomes of the path: rewrites on the way to an upstream, and the targets of redirects.

use std::borrow::Cow;

use super::{
    PathError, RequestPolicy, Rewrite,
    path::rewritten,
    route::{RedirectPath, RegexRewrite},
};

impl Rewrite {
    /// The path for the upstream, made of the canonical path of the request; itself canonical. An error means that the
    /// client hid a dot segment or half an escape at the joint.
    pub fn apply<'p>(
        &'p self,
        path: &'p str,
        policy: RequestPolicy,
    ) -> Result<Cow<'p, str>, PathError> {
        match self {
            Self::Keep => Ok(Cow::Borrowed(path)),
            Self::Prefix {
                matched,
                replacement,
            } => rewritten(join(path, *matched, replacement), policy),
            Self::Whole(replacement) => rewritten(Cow::Borrowed(replacement), policy),
            Self::Regex(rewrite) => rewritten(rewrite.replace(path), policy),
        }
    }
}

impl RedirectPath {
    /// Path and query to redirect to: the query of the request, unless the replacement has one of its own.
    pub fn apply<'p>(
        &'p self,
        path: &'p str,
        query: Option<&'p str>,
        policy: RequestPolicy,
    ) -> Result<(Cow<'p, str>, Option<&'p str>), PathError> {
        let path = match self {
            Self::Keep => Cow::Borrowed(path),
            Self::Whole(replacement) => {
                let (path, own) = match replacement.split_once('?') {
                    Some((path, own)) => (path, Some(own)),
                    None => (&**replacement, query),
                };
                return Ok((rewritten(Cow::Borrowed(path), policy)?, own));
            }
            Self::Prefix {
                matched,
                replacement,
            } => rewritten(join(path, *matched, replacement), policy)?,
            Self::Regex(rewrite) => rewritten(rewrite.replace(path), policy)?,
        };
        Ok((path, query))
    }
}

impl RegexRewrite {
    /// Every match is replaced.
    fn replace<'p>(&self, path: &'p str) -> Cow<'p, str> {
        self.regex.replace_all(path, &*self.substitution)
    }
}

/// Puts `replacement` in the place of the first `matched` bytes. Where prefix and rest met at a slash, replacement and rest
/// meet at exactly one; a prefix that ended within a segment leaves the rest of that segment as it is.
fn join<'p>(path: &'p str, matched: usize, replacement: &'p str) -> Cow<'p, str> {
    let (prefix, rest) = path.split_at_checked(matched).unwrap_or((path, ""));
    if rest.is_empty() {
        return Cow::Borrowed(replacement);
    }
    let met_at_slash = prefix.ends_with('/') || rest.starts_with('/');
    let head = replacement.strip_suffix('/');
    let tail = rest.strip_prefix('/').unwrap_or(rest);
    match head {
        // The rest begins with the slash that the replacement ends with.
        Some("") if rest.starts_with('/') => Cow::Borrowed(rest),
        // So does the prefix, and the rest follows it.
        Some("") if prefix.ends_with('/') => Cow::Borrowed(&path[matched - 1..]),
        Some(head) => Cow::Owned([head, "/", tail].concat()),
        None if met_at_slash => Cow::Owned([replacement, "/", tail].concat()),
        None => Cow::Owned([replacement, rest].concat()),
    }
}

#[cfg(test)]
mod tests;
