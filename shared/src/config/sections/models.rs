//! Endpoints of models.

use std::{path::PathBuf, time::Duration};

use crate::config::{
    choice::{MaxTokensField, ModelKind},
    reader::Reader,
    table::section,
};

section! {
    /// A model's endpoint, under a name of your choice: 1 to 64 characters of a-z, 0-9 and `-`. The
    /// model `runbook` is embedded and needs no section. `docs/models.md` has examples by provider.
    Model(reader, path) at "models.NAME" {
        /// What it speaks: `openai` for Chat Completions, `anthropic` for Messages.
        kind: ModelKind = is("openai");
        /// The endpoint, up to and with its version: `https://api.openai.com/v1`.
        base_url: String = required();
        /// The model's name at the endpoint.
        model: String = required();
        /// Headers to send beside its own, such as `["x-title: evonic"]`. No key belongs here.
        headers: Vec<String> = is([]);
        /// Parameters of the address, such as `["api-version=2024-10-21"]`.
        query: Vec<String> = is([]);
        /// The header that carries the key as it is, such as `api-key`.
        key_header: Option<String> =
            absent("`authorization: Bearer KEY` for `openai`, `x-api-key` for `anthropic`");
        /// Tokens of a request and its reply together.
        context_tokens: Option<u64> = absent("what the endpoint says, or refuses"), within 256 to 100000000;
        /// The model that summarises what this one has no room for.
        summary_model: Option<String> = absent("the agent's own");
        /// Whether it takes images.
        images: Option<bool> = absent("it does until the endpoint refuses one");
        /// Models that are asked, one after the other, when this one is out of reach, refuses its
        /// key or has no quota left. One that was out of reach is asked last for a minute.
        fallback: Vec<String> = is([]);
        /// How much it reasons: a word of the endpoint's, such as `low` or `high`. For `anthropic`
        /// also a budget of tokens, from `1024` to below `max_tokens`.
        reasoning_effort: Option<String> = absent("the endpoint's own");
        /// Sampling temperature. Not of `anthropic`, which refuses it.
        temperature: Option<f64> = absent("the endpoint's own"), within 0.0 to 2.0;
        /// The most tokens of a reply: less than `context_tokens`, and never more than half of the
        /// window is asked for.
        max_tokens: Option<u32> =
            absent("the endpoint's own; 8192 for `anthropic`, which must be told"), within 1 to 100000000;
        /// The field of a request that says so.
        max_tokens_field: Option<MaxTokensField> =
            absent("`max_tokens`, or the other one once the endpoint refuses it");
        /// Fields of a request to leave out, such as `["stream_options", "temperature"]`. What the
        /// endpoint refuses by name is left out by itself.
        leave_out: Vec<String> = is([]);
        /// To connect.
        connect_timeout: Duration = is("10s"), within "10ms" to "10m";
        /// Silence: to the first byte of the response, and between two pieces of it. Keep-alive
        /// bytes are no silence.
        read_timeout: Duration = is("5m"), within "10ms" to "1h";
        /// From the question to the first token, of reasoning or of the reply. Keep-alive bytes are
        /// no tokens.
        first_token_timeout: Duration = computed(
            "`5m`, or `read_timeout` where that is more",
            read_timeout.max(Duration::from_secs(5 * 60))
        ), within "10ms" to "7days";
        /// The old name of `call_timeout`.
        timeout: Option<Duration> = absent("`call_timeout` says it"), within "10ms" to "7days";
        /// From the question to the whole reply, of one attempt.
        call_timeout: Duration = computed(
            "`30m`, or `read_timeout` or `first_token_timeout` where that is more",
            timeout.unwrap_or(
                Duration::from_secs(30 * 60).max(read_timeout).max(first_token_timeout)
            )
        ), within "10ms" to "7days";
        /// Retries of a failure that may pass, such as a status 500 or a reply that breaks off. How
        /// long an endpoint is waited for that is busy or out of reach, `patience` says.
        retries: u32 = is(4), within 0 to 100;
        /// The longest pause after the first failure; it doubles with each.
        retry_pause: Duration = is("500ms"), within "1ms" to "1h";
        /// The longest pause of all, unless the endpoint asks for more.
        max_retry_pause: Duration = is("1m"), within "1ms" to "1day";
        /// How long an endpoint is waited for that limits its rate, is overloaded or out of reach:
        /// from the first attempt for a reply.
        patience: Duration = is("10m"), within "0s" to "7days";
        /// The most bytes of a reply: its text, its reasoning, and the names and arguments of its
        /// calls. A larger one is not read to its end, and fails its turn.
        max_reply_bytes: u32 = is(1048576), within 1024 to 67108864;
        /// The price of a million tokens of input, in millionths of your currency.
        price_input: u64 = is(0), within 0 to 1000000000000;
        /// Of input that the endpoint's cache held.
        price_cached: u64 = computed("`price_input`", price_input), within 0 to 1000000000000;
        /// Of input that was written to the endpoint's cache.
        price_cache_write: u64 = computed("`price_input`", price_input), within 0 to 1000000000000;
        /// Of output, reasoning included.
        price_output: u64 = is(0), within 0 to 1000000000000;
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
