//! The one canonical path of a request.
