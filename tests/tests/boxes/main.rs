//! Files that are rewritten and copied, containers that are lost, output that cannot be stored, and
//! what operators are told of all of it.

mod containers;
mod copies;
mod images;
mod records;
mod rewriting;
