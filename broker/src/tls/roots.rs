//! The authorities that this machine trusts, for peers that are asked who they are without a file being
//! named. Read once by whoever asks; `SSL_CERT_FILE` and `SSL_CERT_DIR` name others.

use std::sync::Arc;

use tokio_rustls::rustls::RootCertStore;

#[derive(Clone, Debug)]
pub struct Roots(pub(super) Arc<RootCertStore>);

impl Roots {
    /// Reads files, some hundred kilobytes. The error says why there are none.
    pub fn of_this_machine() -> Result<Roots, String> {
        let found = rustls_native_certs::load_native_certs();
        let mut roots = RootCertStore::empty();
        // What one of them cannot be is no reason to go without the others.
        let (added, _) = roots.add_parsable_certificates(found.certs);
        if added > 0 {
            return Ok(Roots(Arc::new(roots)));
        }
        let why = found.errors.first().map(ToString::to_string);
        let why = why.unwrap_or_else(|| "none found".to_owned());
        Err(format!("no authorities that this machine trusts: {why}"))
    }
}
