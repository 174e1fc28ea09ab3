//! A line of a client: a request, and the token of who may give commands.

use std::fmt;

use serde_json::{Map, Value};

use super::Request;

/// The file in `runtime_dir` with the token that `restart`, `reload` and `drain` need of the
/// service's user. The supervisor makes it anew at each start; its user alone may read it.
pub const TOKEN_FILE: &str = "command.token";

/// The member of a request that carries the token.
const TOKEN_MEMBER: &str = "token";

/// What proves that a client may read the files of the service's user, which a command that is
/// confined may not.
#[derive(Clone, PartialEq, Eq)]
pub struct CommandToken(String);

impl CommandToken {
    /// A token of random bytes: two hexadecimal digits each.
    pub fn new(bytes: &[u8; 32]) -> Self {
        Self(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
    }

    /// The content of its file.
    pub fn parse(text: &str) -> Self {
        Self(text.trim().to_owned())
    }

    /// The digits, for the file and for the wire.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for CommandToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CommandToken")
    }
}

/// One line: the members of a [`Request`], and `token` beside them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestLine {
    /// What is asked for.
    pub request: Request,
    /// What the client showed.
    pub token: Option<CommandToken>,
}

impl RequestLine {
    /// Reads a line, with or without its end.
    ///
    /// # Errors
    /// It is no JSON object, its token is no text, or it is no request.
    pub fn decode(line: &[u8]) -> Result<Self, serde_json::Error> {
        let mut members: Map<String, Value> = serde_json::from_slice(line)?;
        let token = members.remove(TOKEN_MEMBER).map(serde_json::from_value::<String>);
        let token = token.transpose()?.map(CommandToken);
        Ok(Self { request: serde_json::from_value(Value::Object(members))?, token })
    }

    /// The line, with its end.
    pub fn encode(&self) -> String {
        let mut members =
            serde_json::to_value(&self.request).expect("a request has names for its members");
        if let (Value::Object(members), Some(token)) = (&mut members, &self.token) {
            members.insert(TOKEN_MEMBER.to_owned(), token.reveal().into());
        }
        format!("{members}\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_goes_with_any_request_and_is_shown_nowhere() {
        let token = Some(CommandToken::new(&[0xab; 32]));
        for request in
            [Request::Restart { wait: false }, Request::History { limit: Some(3) }, Request::Census]
        {
            for token in [&None, &token] {
                let line = RequestLine { request: request.clone(), token: token.clone() };
                let text = line.encode();
                assert_eq!(RequestLine::decode(text.trim().as_bytes()).unwrap(), line);
                assert_eq!(text.contains("abab"), token.is_some(), "{text}");
                assert!(!format!("{line:?}").contains("abab"));
            }
        }
    }

    #[test]
    fn what_is_no_request_is_refused() {
        for line in [
            r#"{"op":"restart","token":7}"#,
            r#"{"op":"history","tokens":"a"}"#,
            r#"{"token":"a"}"#,
            r#"["op","restart"]"#,
            "restart",
            "",
        ] {
            assert!(RequestLine::decode(line.as_bytes()).is_err(), "{line}");
        }
    }
}
