//! The word that somebody probably meant.

/// What other tools call our fields, too far from our names for a spelling to find them.
const SYNONYMS: [(&str, &str); 8] = [
    ("api_base", "base_url"),
    ("api_key", "secret"),
    ("api_keys", "key"),
    ("endpoint", "base_url"),
    ("max_concurrency", "concurrency"),
    ("token", "secret"),
    ("type", "dialect"),
    ("url", "base_url"),
];

/// The hint for a `word` that is none of `known`: the nearest of them, or all.
pub(crate) fn instead_of<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    let known: Vec<&str> = known.into_iter().collect();
    match nearest(word, &known) {
        Some(meant) => format!("did you mean `{meant}`?"),
        None if known.is_empty() => "there is none to choose from".to_owned(),
        None => format!("choose among {}", known.join(", ")),
    }
}

/// The one of `known` that `word` is a slip or a synonym of.
fn nearest<'a>(word: &str, known: &[&'a str]) -> Option<&'a str> {
    let word = plain(word);
    let meant = SYNONYMS.iter().find(|(synonym, _)| plain(synonym) == word).map(|(_, ours)| *ours);
    if let Some(ours) = known.iter().find(|ours| Some(**ours) == meant) {
        return Some(ours);
    }
    // One slip for each three letters, and never all of them: `pikc` is `pick`, but `d` isn't `c`.
    let letters = word.chars().count();
    let slips_max = (letters / 3).max(1).min(letters.saturating_sub(1));
    known
        .iter()
        .map(|candidate| (strsim::osa_distance(&word, &plain(candidate)), *candidate))
        .filter(|(slips, _)| *slips <= slips_max)
        .min_by_key(|(slips, _)| *slips)
        .map(|(_, candidate)| candidate)
}

/// Without case and without what separates words: `apiKey` is `api_key`.
fn plain(word: &str) -> String {
    word.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_slips_synonyms_and_otherwise_lists_all() {
        let fields = ["name", "secret", "weight"];
        assert_eq!(instead_of("wieght", fields), "did you mean `weight`?");
        assert_eq!(instead_of("apiKey", fields), "did you mean `secret`?");
        assert_eq!(instead_of("colour", fields), "choose among name, secret, weight");
        assert_eq!(instead_of("rmp", ["rpm", "tpm"]), "did you mean `rpm`?");
        assert_eq!(instead_of("d", ["c"]), "choose among c");
        assert_eq!(instead_of("x", []), "there is none to choose from");
    }
}
