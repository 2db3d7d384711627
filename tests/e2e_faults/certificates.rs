//! Whose certificate isn't the right one hears not a byte of a request.

use crate::authority::Authority;
use crate::one::{ASKED, Kind, toml};
use crate::raw::{Door, Raw};
use crate::run::{Figures, Run};
use crate::support::live::{STATE, until};
use crate::support::program::Desk;
use crate::words::well;

/// Years in which the tests run.
const NOW: (i32, i32) = (2020, 2999);

/// Where the gateway finds whom it trusts. Elsewhere than on Linux and the BSDs it asks the system itself.
#[cfg(not(target_vendor = "apple"))]
const TRUSTED: &str = "SSL_CERT_FILE";

#[cfg(not(target_vendor = "apple"))]
#[tokio::test]
async fn whoever_is_not_the_one_meant_hears_nothing() {
    let (ours, strangers) = (Authority::new("ours"), Authority::new("a stranger"));
    for (imposter, told, alert) in [
        (ours.server("127.0.0.1", (2020, 2021)), "expired", "CertificateExpired"),
        (ours.server("127.0.0.1", (2998, 2999)), "not valid yet", "CertificateExpired"),
        (ours.server("elsewhere.example", NOW), "not valid for name", "BadCertificate"),
        (ours.server("127.0.0.2", NOW), "not valid for name", "BadCertificate"),
        (strangers.server("127.0.0.1", NOW), "UnknownIssuer", "UnknownCA"),
    ] {
        let imposter = Raw::behind(Door::Tls(imposter), well);
        let good = Raw::behind(Door::Tls(ours.server("127.0.0.1", NOW)), well);
        let config = toml("p0", &imposter.base_url(), "") + &toml("p1", &good.base_url(), "");
        let desk = Desk::new(&format!("{STATE}{config}")).with("roots.pem", &ours.pem());
        let mut run = Run::at(desk, vec![imposter, good], &[], &[(TRUSTED, "roots.pem")]);
        for (kind, attempts) in [Kind::Chat, Kind::Stream, Kind::Chat].into_iter().zip(ASKED) {
            run.one(kind).await.served_by("p1", attempts);
        }
        run.assert_keys_are_active(&["p0", "p1"]);
        let imposter = &run.providers[0];
        until("every handshake has ended", || imposter.seen().refusals.len() == 5);
        // All that came was the word that the certificate is no good.
        for refusal in &imposter.seen().refusals {
            assert_eq!(*refusal, format!("received fatal alert: {alert}"), "{told}");
        }
        until("it is logged", || run.logged().matches(told).count() == 5);
        assert_eq!(run.join().await, Figures { requests: 3, served: 3, calls: 3 });
    }
}
