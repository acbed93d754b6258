//! The boot options: one table that parses the command line and writes its own documentation.
