//! What comes from outside beside requests: attachments, and addresses to be asked.

use std::time::Duration;

use crate::config::{destination::Destination, table::section};

section! {
    /// Addresses that come from outside, such as `url` of an attachment: asked under one policy.
    /// Configured addresses (`models`, `docker`, hosts) are not among them.
    Outbound(reader, path) at "outbound" {
        /// Networks and hosts that may be asked although they are private, link-local, this
        /// machine's own or otherwise not of the public internet, such as `"10.1.0.0/16"` or
        /// `"files.example.lan"`.
        allow: Vec<Destination> = is([]);
        /// From the question to the last byte of the answer, redirects included.
        timeout: Duration = is("30s"), within "100ms" to "1h";
        /// Redirects that are followed; each is judged as a new address.
        max_redirects: u32 = is(5), within 0 to 20;
    }
}

section! {
    /// What is attached to messages.
    Attachments(reader, path) at "attachments" {
        /// The most bytes of one attachment.
        max_bytes: u32 = is(20971520), within 1024 to 1073741824;
        /// The most bytes that a session refers to, each content counted once.
        max_session_bytes: u64 = is(268435456), within 1024 to 1099511627776;
        /// The most attachments of one message.
        max_per_message: u32 = is(16), within 1 to 1000;
        /// How long an upload that no message refers to is kept.
        keep_unused: Duration = is("1h"), within "1m" to "30d";
    }
}
