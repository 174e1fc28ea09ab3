//! What is installed: the unit in a real systemd, keys, limits, the API, the audit log, secrets.

mod api;
mod audit;
mod credentials;
mod hidden_proc;
mod keys;
mod leak;
mod limits;
mod namespaces;
mod observability;
mod power;
mod sandbox;
mod secrets;
mod unit;

use evonic_tests::installation;
