//! Where no key may travel, whatever a configuration or a name server says.
//!
//! At link-local addresses, and at a few others, machines in clouds are served
//! their own credentials. Who is led there by a name gives a provider's key
//! away, and may give its caller an answer that is none of a provider's.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use url::Host;

/// Names under which clouds serve a machine its own credentials.
const METADATA_NAMES: [&str; 2] = ["metadata.google.internal", "metadata.goog"];

/// Addresses of the same kind that aren't link-local: Alibaba Cloud, Azure, Oracle Cloud's older machines; then Google
/// Cloud, Oracle Cloud, Scaleway and Alibaba Cloud over IPv6.
const METADATA_ADDRESSES: [IpAddr; 7] = [
    IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)),
    IpAddr::V4(Ipv4Addr::new(168, 63, 129, 16)),
    IpAddr::V4(Ipv4Addr::new(192, 0, 0, 192)),
    IpAddr::V6(Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xc1, 0, 0, 0, 0, 0xa9fe, 0xa9fe)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0x42, 0, 0, 0, 0, 0, 0x42)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0x100, 0, 0, 0, 0, 0x100, 0x200)),
];

/// What AWS's own services have over IPv6: `fd00:ec2::254` serves a machine's credentials, `fd00:ec2::23` a pod's.
const AWS_SERVICES: [u16; 2] = [0xfd00, 0xec2];

/// What stands before an IPv4 address that is reached by way of IPv6 (RFC 6052 §2.1).
const TRANSLATED: [u16; 6] = [0x64, 0xff9b, 0, 0, 0, 0];

/// A server that is not spoken to.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("it is a link-local or metadata address, where a machine in a cloud gets its own credentials")]
pub(super) struct OffLimits;

/// Whether this is a server that is never spoken to, as far as its address is written out. A name may still lead to one;
/// when it is looked up, that is seen.
pub fn is_off_limits<S: AsRef<str>>(host: &Host<S>) -> bool {
    match host {
        Host::Ipv4(address) => is_barred(IpAddr::V4(*address)),
        Host::Ipv6(address) => is_barred(IpAddr::V6(*address)),
        Host::Domain(name) => {
            let name = name.as_ref().trim_end_matches('.');
            METADATA_NAMES.iter().any(|barred| name.eq_ignore_ascii_case(barred))
        }
    }
}

/// Of the addresses that a name has those that may be spoken to.
///
/// # Errors
/// If it has only others. A name that has none at all is left to whoever connects.
pub(super) fn permitted(found: impl Iterator<Item = SocketAddr>) -> Result<Vec<SocketAddr>, OffLimits> {
    let (barred, permitted): (Vec<_>, Vec<_>) = found.partition(|address| is_barred(address.ip()));
    if permitted.is_empty() && !barred.is_empty() {
        return Err(OffLimits);
    }
    Ok(permitted)
}

fn is_barred(address: IpAddr) -> bool {
    // `::ffff:169.254.169.254` goes where `169.254.169.254` goes.
    let address = untranslated(address.to_canonical());
    let is_of_machine = match address {
        IpAddr::V4(address) => address.is_link_local(),
        IpAddr::V6(address) => {
            address.is_unicast_link_local() || address.segments().starts_with(&AWS_SERVICES)
        }
    };
    is_of_machine || METADATA_ADDRESSES.contains(&address)
}

/// Where an address leads in a network that has nothing but IPv6: `64:ff9b::a9fe:a9fe` to `169.254.169.254`.
fn untranslated(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V6(address) if address.segments().starts_with(&TRANSLATED) => {
            let [.., a, b, c, d] = address.octets();
            IpAddr::V4(Ipv4Addr::new(a, b, c, d))
        }
        IpAddr::V4(_) | IpAddr::V6(_) => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(addresses: &[&str]) -> Vec<SocketAddr> {
        addresses.iter().map(|address| address.parse().expect("an address")).collect()
    }

    #[test]
    fn a_name_that_leads_to_metadata_leads_nowhere() {
        for barred in [
            "169.254.169.254:80",
            "169.254.0.1:443",
            "[fe80::1]:443",
            "[febf::1]:443",
            "[::ffff:169.254.169.254]:443",
            "[64:ff9b::169.254.169.254]:443",
            "[fd00:ec2::254]:443",
            "[fd00:ec2::23]:80",
            "[fd20:ce::254]:80",
            "[fd00:c1::a9fe:a9fe]:80",
            "[fd00:42::42]:80",
            "[fd00:100::100:200]:80",
            "192.0.0.192:80",
            "100.100.100.200:80",
            "168.63.129.16:80",
        ] {
            assert_eq!(permitted(listed(&[barred]).into_iter()), Err(OffLimits), "{barred}");
            assert_eq!(permitted(listed(&[barred, barred]).into_iter()), Err(OffLimits), "{barred}");
            let mixed = listed(&["192.0.2.1:443", barred, "[2001:db8::1]:443"]);
            let rest = listed(&["192.0.2.1:443", "[2001:db8::1]:443"]);
            assert_eq!(permitted(mixed.into_iter()), Ok(rest), "{barred}");
        }
    }

    #[test]
    fn all_others_are_tried_in_their_order() {
        let others = ["127.0.0.1:1", "10.0.0.1:1", "169.253.255.255:1", "[::1]:1", "[fd00::1]:1"];
        let others = listed(&[&others[..], &["[64:ff9b::192.0.2.1]:1", "[fd00:ec3::254]:1"]].concat());
        assert_eq!(permitted(others.clone().into_iter()), Ok(others));
        assert_eq!(permitted([].into_iter()), Ok(Vec::new()));
    }

    #[test]
    fn names_are_known_however_they_are_written() {
        for name in ["metadata.google.internal", "Metadata.Google.Internal.", "metadata.goog"] {
            assert!(is_off_limits(&Host::Domain(name)), "{name}");
        }
        assert!(!is_off_limits(&Host::Domain("metadata.example.com")));
    }
}
