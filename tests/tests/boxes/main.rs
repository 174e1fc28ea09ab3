//! Files that are rewritten, containers that are lost, and what operators are told of both.

mod rewriting;
