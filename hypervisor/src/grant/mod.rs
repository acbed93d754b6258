//! Grant tables, version 1: memory that one domain lets another map or copy.
