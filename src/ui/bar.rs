//! A bar for a share of something.

/// `share` of one as a bar of `cells` characters, in halves of a cell.
pub fn bar(share: f64, cells: usize) -> String {
    let halves_all = cells * 2;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to a few dozen")]
    let halves = (share.clamp(0.0, 1.0) * halves_all as f64).round() as usize;
    let mut text = "━".repeat(halves / 2);
    if halves % 2 == 1 {
        text.push('╸');
    }
    let drawn = halves.div_ceil(2);
    text.push_str(&"─".repeat(cells - drawn));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grows_by_halves_and_never_leaves_its_place() {
        assert_eq!(bar(0.0, 4), "────");
        assert_eq!(bar(0.375, 4), "━╸──");
        assert_eq!(bar(0.5, 4), "━━──");
        assert_eq!(bar(1.0, 4), "━━━━");
        assert_eq!(bar(1.7, 4), "━━━━");
        assert_eq!(bar(f64::NAN, 4), "────");
    }
}
