//! What is asked of a server's certificate.

use std::sync::Arc;

use rustls::ClientConfig;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::CertificateDer;
use rustls_platform_verifier::Verifier;

use super::super::TransportError;

/// TLS as every connection speaks it: certificates are checked against the platform's roots and these, always.
///
/// # Errors
/// [`TransportError::Unsendable`] if there are no roots to check against.
pub(super) fn config(roots: Vec<CertificateDer<'static>>) -> Result<Arc<ClientConfig>, TransportError> {
    // An embedder may have installed a provider; that one serves as well.
    let provider = CryptoProvider::get_default().cloned();
    let provider = provider.unwrap_or_else(|| Arc::new(ring::default_provider()));
    let unusable = |error: rustls::Error| TransportError::Unsendable(format!("TLS can't be set up: {error}"));
    let verifier = Verifier::new_with_extra_roots(roots, Arc::clone(&provider)).map_err(unusable)?;
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(unusable)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}
