//! The pair: one module for each numbered point of what it must show.

mod bad_input;
mod configuration;
mod crash;
mod fault;
mod idle;
mod kill;
mod leak;
mod leak_loop;
mod limit;
mod recycle;
mod requests;
mod work;
