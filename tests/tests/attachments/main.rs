//! Messages with attachments, and answers of a form, over real sockets.

mod client;
mod contents;
mod memory;
mod sent;
mod structured;
mod urls;
mod withheld;
