//! Endpoints reached by TLS: who is trusted, and what happens with the others.

use std::{sync::Arc, time::Duration};

use evonic_net::{Authorities, client};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use tokio_rustls::TlsAcceptor;

use super::{
    ask, budget, hello,
    server::{Server, chunked, finish, once, status, text},
    settings, used,
};
use crate::{
    ModelError,
    openai::{OpenAi, RetryPauses},
};

/// An authority, and an endpoint's acceptor with a certificate of it for `localhost`.
fn authority() -> (CertificateDer<'static>, TlsAcceptor) {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let certificate = params.signed_by(&key, &issuer).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![certificate.der().clone()],
            PrivatePkcs8KeyDer::from(key.serialize_der()).into(),
        )
        .unwrap();
    (issuer.der().clone(), TlsAcceptor::from(Arc::new(config)))
}

fn answer() -> Vec<Vec<super::server::Step>> {
    once(chunked(&[text("secure"), finish("stop"), "[DONE]".to_owned()]))
}

/// Asks the server under this name, trusting this authority.
async fn ask_as(
    server: &Server,
    host: &str,
    authority: CertificateDer<'static>,
) -> Result<String, ModelError> {
    let mut settings = settings(&format!("https://{host}:{}/v1", server.port()));
    settings.retries = 2;
    let budget = budget(1);
    let mut model = OpenAi::new("gpt", &settings, &budget, || {
        client(Authorities::of(vec![authority]).unwrap(), None)
    })
    .unwrap();
    model.pauses = RetryPauses::new(Duration::from_millis(1), Duration::from_millis(1));
    let reply = ask(&model, &hello()).await.0;
    assert_eq!((used(&budget).descriptors, server.client_sockets()), (0, 0));
    reply.map(|reply| reply.text)
}

#[tokio::test]
async fn a_trusted_endpoint_answers() {
    let (authority, acceptor) = authority();
    let server = Server::over(answer(), Some(acceptor)).await;
    assert_eq!(ask_as(&server, "localhost", authority).await.unwrap(), "secure");
}

#[tokio::test]
async fn an_endpoint_that_is_not_trusted_gets_no_request_and_no_second_chance() {
    let (authority, acceptor) = authority();
    let (stranger, _) = self::authority();
    let server = Server::over(answer(), Some(acceptor)).await;
    // Of another authority, and of the right one but for another name.
    for (host, authority) in [("localhost", stranger), ("127.0.0.1", authority)] {
        let error = ask_as(&server, host, authority).await.unwrap_err().to_string();
        assert!(error.contains("after 1 attempts: no secure connection to"), "{error}");
        assert!(error.contains("certificate"), "{error}");
    }
    assert_eq!(server.requests().len(), 0);
    assert_eq!(server.accepted(), 2);
}

#[tokio::test]
async fn an_endpoint_without_tls_is_not_talked_to() {
    let server = Server::start(once(status("400 Bad Request", "", ""))).await;
    let error = ask_as(&server, "localhost", authority().0).await.unwrap_err();
    assert!(matches!(error, ModelError::Unavailable { attempts: 1, .. }), "{error:?}");
}

#[test]
fn without_authorities_nothing_is_trusted() {
    assert!(Authorities::of(Vec::new()).is_none());
    let rubbish = CertificateDer::from(vec![1, 2, 3]);
    assert!(Authorities::of(vec![rubbish]).is_none());
}
