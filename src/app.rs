//! The composition root: builds all parts, joins them by channels, and stops them.
