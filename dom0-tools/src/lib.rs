//! User-space tools of the first domain. They arrive with the first guests; the crate holds their place
//! in the house so that the workspace's shape is fixed from the start.
#![forbid(unsafe_code)]
