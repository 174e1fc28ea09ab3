//! Endpoints of models.

use std::{path::PathBuf, time::Duration};

use crate::config::{reader::Reader, table::section};

section! {
    /// An OpenAI-compatible Chat Completions endpoint, under a name of your choice: 1 to 64
    /// characters of a-z, 0-9 and `-`. The model `runbook` is embedded and needs no section.
    OpenAi(reader, path) at "models.NAME" {
        /// The endpoint, up to and with its version: `https://api.openai.com/v1`.
        base_url: String = required();
        /// The model's name at the endpoint.
        model: String = required();
        /// To connect.
        connect_timeout: Duration = is("10s"), within "10ms" to "10m";
        /// To the first byte of the response, and between two pieces of it.
        read_timeout: Duration = is("2m"), within "10ms" to "1h";
        /// From the question to the whole reply, with every retry and every pause.
        timeout: Duration = computed(
            "`30m`, or `read_timeout` where that is more",
            read_timeout.max(Duration::from_secs(30 * 60))
        ), within "10ms" to "7days";
        /// Retries of a transient failure.
        retries: u32 = is(4), within 0 to 100;
        /// Sampling temperature.
        temperature: Option<f64> = absent("the endpoint's own"), within 0.0 to 2.0;
        /// The most tokens of a reply.
        max_tokens: Option<u32> = absent("the endpoint's own"), within 1 to 100000000;
        /// The most bytes of a reply: its text, and the names and arguments of its calls. A larger
        /// one is not read to its end, and fails its turn.
        max_reply_bytes: u32 = is(1048576), within 1024 to 67108864;
    }
    with {
        /// Where the key is; none when the endpoint needs none.
        key: Option<KeySource> = KeyPlaces::read(reader, path).source(reader, path);
    }
}

section! {
    /// Where the endpoint's key is: one of these, or none for an endpoint without a key.
    KeyPlaces(reader, path) at "models.NAME" {
        /// A variable of the service's environment that holds the key.
        key_env: Option<String> = absent("no key from there");
        /// A file that holds the key; white space around it is removed.
        key_file: Option<PathBuf> = absent("no key from there");
        /// A systemd credential that holds the key: its name in `$CREDENTIALS_DIRECTORY`.
        key_credential: Option<String> = absent("no key from there");
    }
}

impl KeyPlaces {
    fn source(self, reader: &mut Reader<'_>, path: &str) -> Option<KeySource> {
        let mut given = [
            self.key_env.map(|name| ("key_env", KeySource::Env(name))),
            self.key_file.map(|file| ("key_file", KeySource::File(file))),
            self.key_credential.map(|name| ("key_credential", KeySource::Credential(name))),
        ]
        .into_iter()
        .flatten();
        let (first, source) = given.next()?;
        for (more, _) in given {
            reader.refuse(
                &[&format!("{path}.{more}")],
                format!("`{first}` says already where the key is"),
                format!("remove one of `{first}` and `{more}`"),
            );
        }
        Some(source)
    }
}

/// Where a secret is. The secret itself is never part of the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeySource {
    /// `key_env`: a variable of the environment.
    Env(String),
    /// `key_file`: a file, its surrounding white space removed.
    File(PathBuf),
    /// `key_credential`: a systemd credential: a file of this name in `$CREDENTIALS_DIRECTORY`.
    Credential(String),
}
