//! Answers of an engine, as much of them as is used: an engine may be anybody.
//!
//! What is decoded into a value of bollard's is short (see [`super::bound`]). What may be long, or
//! would take many times its length in memory, is decoded into one of these: a field that is not
//! here takes none, and what is repeated must be there to be counted.

use std::{collections::HashMap, fmt, pin::Pin};

use bollard::errors::Error;
use bytes::{Bytes, BytesMut};
use http::Response;
use hyper::body::{Body, Incoming};
use serde::{
    Deserialize, Deserializer,
    de::{DeserializeOwned, IgnoredAny, SeqAccess, Visitor},
};

/// `GET /version`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Version {
    pub(super) version: Option<String>,
    pub(super) api_version: Option<String>,
    #[serde(rename = "MinAPIVersion")]
    pub(super) min_api_version: Option<String>,
    /// The processor of its machine: `amd64`.
    pub(super) arch: Option<String>,
    pub(super) components: Option<Vec<Component>>,
}

/// A part of an engine: `Engine`, `Podman Engine`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Component {
    pub(super) name: String,
}

/// `GET /containers/ID/json`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Inspected {
    pub(super) id: String,
    pub(super) state: State,
    pub(super) config: Option<Labelled>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct State {
    pub(super) running: bool,
    pub(super) paused: bool,
    #[serde(rename = "OOMKilled")]
    pub(super) oom_killed: bool,
    pub(super) exit_code: i64,
    /// Why it could not be started, where the engine knows.
    pub(super) error: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Labelled {
    pub(super) labels: Option<HashMap<String, String>>,
}

/// One of `GET /containers/json`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Listed {
    pub(super) id: String,
    #[serde(rename = "Names", deserialize_with = "first")]
    pub(super) name: Option<String>,
    /// `running`, `exited`, ...
    pub(super) state: String,
    /// In seconds since 1970.
    pub(super) created: i64,
}

/// `GET /volumes`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Volumes {
    pub(super) volumes: Option<Vec<Volume>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Volume {
    pub(super) name: String,
}

/// `GET /containers/ID/top`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Top {
    pub(super) processes: Option<Vec<IgnoredAny>>,
}

/// `GET /exec/ID/json`, which also has the whole script.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ExecState {
    pub(super) running: Option<bool>,
    pub(super) exit_code: Option<i64>,
}

/// What an engine says when it refuses.
#[derive(Debug, Default, Deserialize)]
struct Refusal {
    message: String,
}

/// The first of a list.
fn first<'de, D: Deserializer<'de>>(list: D) -> Result<Option<String>, D::Error> {
    struct First;
    impl<'de> Visitor<'de> for First {
        type Value = Option<String>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a list of names")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
            let first = list.next_element()?;
            while list.next_element::<IgnoredAny>()?.is_some() {}
            Ok(first)
        }
    }
    list.deserialize_seq(First)
}

/// Reads an answer to its end. It is as long as the transport lets it be.
///
/// # Errors
/// The transport's, [`Error::DockerResponseServerError`] with the engine's own words, or
/// [`Error::JsonDataError`] for what is something else.
pub(super) async fn read<T: DeserializeOwned>(answer: Response<Incoming>) -> Result<T, Error> {
    let status = answer.status();
    let body = body(answer.into_body()).await?;
    if status.is_success() {
        return Ok(serde_json::from_slice(&body)?);
    }
    Err(refusal(status.as_u16(), &body))
}

/// The error of an answer that is a refusal.
pub(super) fn refusal(status_code: u16, body: &[u8]) -> Error {
    let said: Refusal = serde_json::from_slice(body).unwrap_or_default();
    Error::DockerResponseServerError { status_code, message: said.message }
}

/// The whole body.
pub(super) async fn body(mut body: Incoming) -> Result<Bytes, Error> {
    let mut bytes = BytesMut::new();
    while let Some(frame) =
        std::future::poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await
    {
        if let Ok(data) = frame?.into_data() {
            bytes.extend_from_slice(&data);
        }
    }
    Ok(bytes.freeze())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_name_is_kept_and_what_is_not_used_is_passed_over() {
        let text = r#"[{"Id":"a","Names":["/one","/two"],"State":"running","Created":7,"Mounts":[{}]},
                       {"Id":"b","Names":[],"State":"exited","Created":8}]"#;
        let listed: Vec<Listed> = serde_json::from_str(text).unwrap();
        let names: Vec<_> = listed.iter().map(|one| one.name.as_deref()).collect();
        assert_eq!(names, [Some("/one"), None]);
        assert!(
            serde_json::from_str::<Vec<Listed>>("[{}]").is_err(),
            "would take 30 times as much"
        );
        let version = r#"{"Version":"28","ApiVersion":"1.51","MinAPIVersion":"1.24"}"#;
        let version: Version = serde_json::from_str(version).unwrap();
        assert_eq!(version.min_api_version.as_deref(), Some("1.24"));
    }
}
