//! The accept loop and the life of a connection.
