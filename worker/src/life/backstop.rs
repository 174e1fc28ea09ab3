//! The plain thread that ends a drain which does not end.
