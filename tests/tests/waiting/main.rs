//! Turns whose model hangs, or is to be asked later: real pair, endpoints over real sockets.

mod endpoint;
mod later;
mod places;
