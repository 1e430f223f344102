//! How much may be under way to an upstream at a time.

/// Limits for requests of each priority.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Breakers {
    pub default: Limits,
    pub high: Limits,
}

/// Limits over all workers of a replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Limits {
    /// Of HTTP/1.
    pub connections: usize,
    /// Requests that wait for one of these.
    pub pending: usize,
    pub requests: usize,
    /// Requests that are being sent once more.
    pub retries: usize,
}

/// Which limits a request counts for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Priority {
    #[default]
    Default,
    High,
}

impl Default for Limits {
    /// As in Envoy.
    fn default() -> Self {
        Self {
            connections: 1024,
            pending: 1024,
            requests: 1024,
            retries: 3,
        }
    }
}

impl std::fmt::Display for Breakers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { default, high } = self;
        write!(f, "{default}")?;
        if *high != Limits::default() {
            write!(f, " high {high}")?;
        }
        Ok(())
    }
}

impl std::fmt::Display for Limits {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            connections,
            pending,
            requests,
            retries,
        } = self;
        write!(f, "{connections}/{pending}/{requests}/{retries}")
    }
}
