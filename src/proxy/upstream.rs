//! The connections of one worker to its upstreams.
