use http::{HeaderMap, StatusCode};

use super::*;

#[test]
fn segments_are_escaped() {
    assert_eq!(segment("runbook-2"), "runbook-2");
    assert_eq!(segment("../x?y=z \u{e4}"), "%2E%2E%2Fx%3Fy%3Dz%20%C3%A4");
}

#[test]
fn problems_become_sentences_and_exit_codes() {
    use evonic_shared::exit::ExitCode;

    let mut headers = HeaderMap::new();
    headers.insert(header::RETRY_AFTER, HeaderValue::from_static("2"));
    for (status, body, message, code) in [
        (
            404,
            r#"{"type":"about:blank","title":"Not Found","status":404,"detail":"no agent x"}"#,
            "Not Found (404): no agent x",
            ExitCode::Failure,
        ),
        (503, "<html>", "Service Unavailable (503)", ExitCode::Unavailable),
        (
            403,
            r#"{"detail":"only root and evonic may"}"#,
            "you may not do this: only root and evonic may",
            ExitCode::NoPermission,
        ),
    ] {
        let status = StatusCode::from_u16(status).expect("a status");
        let error = refusal(status, &headers, body.as_bytes());
        assert_eq!(error.to_string(), message);
        assert_eq!(error.exit_code(), code);
        let expected = (code != ExitCode::NoPermission).then(|| Duration::from_secs(2));
        assert_eq!(error.retry_after(), expected);
    }
}
