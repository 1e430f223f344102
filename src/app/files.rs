//! The limit of open files: each connection needs one on both sides.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Raises the limit to what the process is allowed, and returns what it is now; none when there is no limit.
pub(super) fn raise_limit() -> Option<u64> {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    // Refused only where somebody forbids it on purpose: the old limit holds then.
    match setrlimit(Resource::Nofile, raised) {
        Ok(()) => limit.maximum,
        Err(_) => limit.current,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_is_what_is_allowed_at_most() {
        let allowed = getrlimit(Resource::Nofile).maximum;
        assert_eq!(raise_limit(), allowed);
        assert_eq!(getrlimit(Resource::Nofile).current, allowed);
    }
}
