//! End-to-end tests of both real programs against real parts.
//!
//! | Module | Contents |
//! |---|---|
//! | [`pair`] | a supervisor and its worker, started in folders of their own |
//! | [`escape`] | what an agent's command tries, to reach what is not its own |
//! | [`http`] | a byte-exact HTTP/1.1 client that tells refused, reset and cut short apart |
//! | [`load`] | many clients at once, and what they saw |
//! | [`installation`] | the package on such a machine |
//! | [`machine`] | a Debian machine with systemd as its first process |
//! | [`openapi`] | the API's document, requests made from it, and whether answers keep to it |
//! | [`scripted`] | an OpenAI-compatible server with scripted answers |
//! | [`process`] | descriptors, memory and wake-ups of a process, from `/proc` |
//! | [`fault`] | what the test-only worker does wrong |
//! | [`poll`] | waits with a deadline and the last state in the failure |
//! | [`testbed`] | a pair with workplaces on a real sshd and a real Docker engine |
//! | [`troubleshooting`] | the tables of what is seen when something is wrong, compared with what is |
//! | [`recorder`] | a proxy before a model's endpoint that keeps what was asked and answered |
//! | [`residue`] | what a pair has on this machine: what it left, when it should have nothing |
//! | [`size`] | sizes by environment variable, and printed measurements |

pub mod escape;
pub mod fault;
pub mod http;
pub mod installation;
pub mod load;
pub mod machine;
pub mod openapi;
pub mod pair;
pub mod poll;
pub mod process;
pub mod recorder;
pub mod residue;
pub mod scripted;
pub mod size;
pub mod testbed;
pub mod troubleshooting;
