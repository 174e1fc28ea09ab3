//! A supervisor and its worker: work, leaks, faults, limits, load.

mod bad_input;
mod bounds;
mod configuration;
mod crash;
mod fault;
mod followers;
mod idle;
mod kill;
mod leak;
mod leak_loop;
mod limit;
mod lockout;
mod memory;
mod recycle;
mod requests;
mod work;
