//! Tests over connections in memory: one file for each feature.

mod requests;
