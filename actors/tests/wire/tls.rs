//! Whose certificate is taken: a server that isn't the one meant hears no byte of a request.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::future::{Either, join, select};
use http::Method;
use keywheel_actors::upstream::{Call, HttpOptions, TransportError, Wire};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_rustls::TlsAcceptor;

use super::desk::{Desk, Whole, ask, call, hear, story};

const HI: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi";

/// Who vouches for certificates.
struct Authority {
    root: CertificateDer<'static>,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new(name: &str) -> Self {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(Vec::new()).expect("a certificate");
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let root = params.self_signed(&key).expect("a certificate").der().clone();
        Self { root, issuer: Issuer::new(params, key) }
    }

    /// A server with a certificate for this name, until this year.
    fn server(&self, name: &str, until_year: i32, speaks: &[&str]) -> TlsAcceptor {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new([name.to_owned()]).expect("a certificate");
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(until_year, 1, 1);
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate").der().clone();
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)
            .expect("a key and its certificate");
        config.alpn_protocols = speaks.iter().map(|name| name.as_bytes().to_vec()).collect();
        TlsAcceptor::from(Arc::new(config))
    }
}

/// A call by TLS, and whether the server got to hear anything.
async fn answered(
    desk: &Desk,
    wire: &Wire,
    acceptor: &TlsAcceptor,
    says: &[u8],
) -> (Result<Whole, TransportError>, Option<String>) {
    let base_url = format!("https://{}", desk.addr());
    join(ask(wire, call(&base_url, Method::POST, "secret")), async {
        let mut peer = acceptor.accept(desk.accept().await).await.ok()?;
        let heard = hear(&mut peer).await;
        peer.write_all(says).await.expect("the client listens");
        peer.flush().await.expect("the client listens");
        // It hangs up without a word of farewell.
        Some(heard)
    })
    .await
}

fn trusting(authority: &Authority) -> Wire {
    Wire::trusting(HttpOptions::default(), vec![authority.root.clone()]).expect("a client")
}

#[test]
fn a_server_with_a_good_certificate_is_served_on_one_connection() {
    let authority = Authority::new("ours");
    let wire = trusting(&authority);
    let acceptor = authority.server("127.0.0.1", 2999, &["h2", "http/1.1"]);
    story(async |desk| {
        let base_url = format!("https://{}", desk.addr());
        let served = async {
            let mut peer = acceptor.accept(desk.accept().await).await.expect("a handshake");
            assert_eq!(peer.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
            for _ in 0..3 {
                hear(&mut peer).await;
                peer.write_all(HI).await.expect("the client listens");
                peer.flush().await.expect("the client listens");
            }
            peer
        };
        let called = async {
            for _ in 0..3 {
                let answer = ask(&wire, call(&base_url, Method::POST, "secret")).await;
                assert_eq!(answer.expect("an answer").body, b"hi");
            }
        };
        let ((), mut peer) = join(called, served).await;
        assert!(!desk.is_called().await);
        drop(wire);
        assert_eq!(peer.read(&mut [0]).await.unwrap_or(0), 0);
    });
}

#[test]
fn whoever_isn_t_the_one_meant_hears_nothing() {
    let (authority, stranger) = (Authority::new("ours"), Authority::new("a stranger"));
    let wire = trusting(&authority);
    for (acceptor, why) in [
        (authority.server("elsewhere.example", 2999, &[]), "not valid for name"),
        (authority.server("127.0.0.2", 2999, &[]), "not valid for name"),
        (authority.server("127.0.0.1", 2021, &[]), "expired"),
        (stranger.server("127.0.0.1", 2999, &[]), "UnknownIssuer"),
        (authority.server("127.0.0.1", 2999, &["h2"]), "NoApplicationProtocol"),
    ] {
        story(async |desk| {
            let (answer, heard) = answered(desk, &wire, &acceptor, HI).await;
            let error = answer.expect_err(why);
            assert!(matches!(error, TransportError::Connect(_)), "{error}");
            assert!(error.to_string().contains(why), "{error}");
            assert_eq!(heard, None, "{why}");
        });
    }
}

#[test]
fn a_call_that_is_withdrawn_while_it_connects_doesnt_leave() {
    let authority = Authority::new("ours");
    let wire = trusting(&authority);
    let acceptor = authority.server("127.0.0.1", 2999, &[]);
    story(async |desk| {
        let base_url = format!("https://{}", desk.addr());
        let withdrawn = Arc::new(AtomicBool::new(false));
        let calling = call(&base_url, Method::POST, "secret");
        let calling = Call { withdrawn: Some(Arc::clone(&withdrawn)), ..calling };
        let asked = pin!(ask(&wire, calling));
        let heard = pin!(async {
            let tcp = desk.accept().await;
            withdrawn.store(true, Ordering::Release);
            let mut peer = acceptor.accept(tcp).await.expect("a handshake");
            hear(&mut peer).await
        });
        match select(asked, heard).await {
            Either::Left((answer, _)) => {
                assert!(matches!(answer, Err(TransportError::Withdrawn)), "{answer:?}");
            }
            Either::Right((heard, _)) => panic!("it left: {heard}"),
        }
    });
}

#[test]
fn roots_of_one_s_own_are_trusted_only_when_named() {
    let authority = Authority::new("ours");
    let acceptor = authority.server("127.0.0.1", 2999, &[]);
    story(async |desk| {
        let (answer, heard) = answered(desk, &desk.wire, &acceptor, HI).await;
        assert!(matches!(answer, Err(TransportError::Connect(_))), "{answer:?}");
        assert_eq!(heard, None);
        let (answer, heard) = answered(desk, &trusting(&authority), &acceptor, HI).await;
        assert_eq!(answer.expect("an answer").body, b"hi");
        assert!(heard.expect("a request").ends_with("secret"));
    });
}

#[test]
fn an_end_without_farewell_may_be_somebody_else_s_doing() {
    let authority = Authority::new("ours");
    let acceptor = authority.server("127.0.0.1", 2999, &[]);
    story(async |desk| {
        let (answer, _) =
            answered(desk, &trusting(&authority), &acceptor, b"HTTP/1.1 200 OK\r\n\r\nhi").await;
        assert!(matches!(answer, Err(TransportError::Cut(_))), "{answer:?}");
    });
}

#[test]
fn a_server_that_speaks_no_tls_is_none() {
    let wire = trusting(&Authority::new("ours"));
    story(async |desk| {
        let base_url = format!("https://{}", desk.addr());
        let (answer, ()) = join(ask(&wire, call(&base_url, Method::GET, "")), async {
            desk.accept().await.write_all(HI).await.expect("the client listens");
        })
        .await;
        assert!(matches!(answer, Err(TransportError::Connect(_))), "{answer:?}");
    });
}
