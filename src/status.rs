//! From the report to the status of objects in the API server; by the leader only, and only what differs.
