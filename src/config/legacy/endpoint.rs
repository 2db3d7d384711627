//! Where a provider listens and how it speaks, out of what the prototype knew.

use url::Url;

use super::bag::{Bag, Found};
use super::desk::Desk;
use super::json::{Json, JsonKind};
use super::kind::{self, Kind};
use super::section::Section;
use crate::config::endpoint::{BaseUrl, PlainText, check};
use crate::config::preset::Preset;

/// What people put behind the address that the client puts there itself.
const OVERLONG: [&str; 3] = ["/chat/completions", "/completions", "/embeddings"];

/// A provider's names.
#[derive(Clone, Copy)]
pub(super) struct Named<'a> {
    /// What it is called now.
    pub(super) id: &'a str,
    /// What the prototype called it.
    pub(super) before: &'a str,
}

impl Named<'_> {
    fn kind(self) -> Option<Kind> {
        kind::called(self.before)
    }
}

/// Whether a provider can be called.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Reach {
    /// On this machine, where nobody asks for a key.
    Loopback,
    /// Somewhere else.
    Beyond,
    /// Nobody knows where it is.
    Nowhere,
}

/// Reads what is said of it into `section`.
pub(super) fn read(
    section: &mut Section,
    desk: &mut Desk,
    named: Named<'_>,
    bag: &mut Bag<'_>,
    json: &Json,
) -> Reach {
    let said = bag.take(desk, &["type", "provider", "kind", "preset", "providertype", "dialect"]);
    let kind = said.as_ref().and_then(|found| kind::called(found.json.text()?));
    let is_understood = kind.is_some();
    let offset = said.as_ref().map_or(json.offset, |found| found.json.offset);
    let reach = read_address_and_kind(section, desk, named, bag, (kind.or(named.kind()), offset));
    // What is understood is written otherwise, unless nothing can be written.
    if let Some(found) = said.filter(|_| !is_understood || reach == Reach::Nowhere) {
        section.keep(desk, &found);
    }
    reach
}

fn read_address_and_kind(
    section: &mut Section,
    desk: &mut Desk,
    named: Named<'_>,
    bag: &mut Bag<'_>,
    (kind, offset): (Option<Kind>, usize),
) -> Reach {
    let path = bag.path.clone();
    let json = &Json { offset, kind: JsonKind::Null };
    let address =
        bag.take(desk, &["baseurl", "apibase", "apibaseurl", "endpoint", "apiendpoint", "url", "host"]);
    let address = match address {
        Some(found) => match read_address(section, desk, named.id, &found) {
            Some(address) => Some((address, found)),
            None => return Reach::Nowhere,
        },
        None => None,
    };

    match (kind, address) {
        (Some(Kind::Preset(preset)), None) if preset.base_url.is_none() => {
            let message =
                "has an address of its own with each user, and there is none: left out, but for a comment";
            desk.attention(&path, json, message);
            Reach::Nowhere
        }
        (Some(Kind::Preset(preset)), address) => {
            section.set("preset", preset.name, offset);
            read_preset(section, desk, preset, address)
        }
        (kind @ (Some(Kind::Dialect(_)) | None), Some((address, found))) => {
            let dialect = match kind {
                Some(Kind::Dialect(dialect)) => dialect,
                Some(Kind::Preset(_)) | None => {
                    let message = "is no provider that is known here: taken to speak as OpenAI does \
                                   (`dialect = \"http\"` is for others)";
                    desk.attention(&path, json, message);
                    "openai"
                }
            };
            section.set("dialect", dialect, offset);
            set_address(section, desk, &address, &found);
            reach(&address)
        }
        (Some(Kind::Dialect(_)) | None, None) => {
            let message =
                "is no provider that is known here, and there is no address: left out, but for a comment";
            desk.attention(&path, json, message);
            Reach::Nowhere
        }
    }
}

const fn reach(address: &BaseUrl) -> Reach {
    if address.is_loopback { Reach::Loopback } else { Reach::Beyond }
}

fn read_address(section: &mut Section, desk: &mut Desk, id: &str, found: &Found<'_>) -> Option<BaseUrl> {
    let Some(text) = found.json.text() else {
        section.comments.push(desk.misfit(found, "an address"));
        return None;
    };
    let short = OVERLONG.iter().find_map(|end| text.trim_end_matches('/').strip_suffix(end));
    if short.is_some() {
        desk.told(
            &found.path,
            found.json,
            "ends with the path of one call: only the address before it was taken",
        );
    }
    match check(short.unwrap_or(text), PlainText::Anywhere) {
        Ok(address) => Some(address),
        Err((message, _)) => {
            desk.attention(
                &found.path,
                found.json,
                format!("{message}: the provider is left out, but for a comment"),
            );
            // Such an address may hold a password.
            let place = desk.place(&format!("{id}.address"), text);
            section.comments.push(format!("kept: {} = \"{}\"", found.path, place.escape_default()));
            None
        }
    }
}

fn read_preset(
    section: &mut Section,
    desk: &mut Desk,
    preset: Preset,
    address: Option<(BaseUrl, Found<'_>)>,
) -> Reach {
    let usual = preset.base_url.and_then(|base_url| check(base_url, PlainText::Anywhere).ok());
    let Some((mut address, found)) = address else {
        return usual.as_ref().map_or(Reach::Beyond, reach);
    };
    if let Some(completed) = completed(&address, preset) {
        desk.told(&found.path, found.json, "the version's path was added");
        address = completed;
    }
    if usual.as_ref() != Some(&address) {
        set_address(section, desk, &address, &found);
    }
    reach(&address)
}

/// An address of the preset's own host without its path: with the path.
fn completed(address: &BaseUrl, preset: Preset) -> Option<BaseUrl> {
    let (ours, usual) = (Url::parse(&address.text).ok()?, Url::parse(preset.base_url?).ok()?);
    let is_loopback = |url: &Url| check(url.as_str(), PlainText::Anywhere).is_ok_and(|url| url.is_loopback);
    let same_host = ours.host() == usual.host() || (is_loopback(&ours) && is_loopback(&usual));
    let bare = ours.path() == "/" && usual.path() != "/";
    let same_port = ours.port_or_known_default() == usual.port_or_known_default();
    let completed = format!("{}{}", address.text, usual.path());
    (same_host && same_port && bare).then(|| check(&completed, PlainText::Anywhere).ok())?
}

fn set_address(section: &mut Section, desk: &mut Desk, address: &BaseUrl, found: &Found<'_>) {
    section.set("base_url", &*address.text, found.json.offset);
    if address.text.starts_with("http://") && !address.is_loopback {
        section.set("allow_http", true, found.json.offset);
        let message = "plain http shows the keys to everybody on the way: `allow_http = true` lets it be as it was; \
                       better use https";
        desk.attention(&found.path, found.json, message);
    }
}
