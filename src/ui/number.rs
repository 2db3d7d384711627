//! Numbers as people read them.

/// A count with its thousands apart: `12,045`.
pub fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.char_indices() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Three digits that tell, for numbers that only their size matters of: `999`, `12.3k`, `1.20M`.
pub fn short(number: u64) -> String {
    const UNITS: [(f64, &str); 3] = [(1e9, "G"), (1e6, "M"), (1e3, "k")];
    for (size, unit) in UNITS {
        // Rounding to three digits must not give 1000 of the next smaller unit.
        let scaled = number as f64 / size;
        if scaled >= 0.9995 {
            let decimals = if scaled < 9.995 { 2 } else { usize::from(scaled < 99.95) };
            return format!("{scaled:.decimals$}{unit}");
        }
    }
    number.to_string()
}

/// A rate with one decimal: `48.2/s`.
pub fn rate(per_second: f64) -> String {
    format!("{per_second:.1}/s")
}

/// A share of one as a percentage with `decimals`.
pub fn percent(share: f64, decimals: usize) -> String {
    format!("{:.decimals$}%", share * 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_stand_apart() {
        for (number, text) in
            [(0, "0"), (999, "999"), (1_000, "1,000"), (12_045, "12,045"), (1_234_567, "1,234,567")]
        {
            assert_eq!(count(number), text);
        }
    }

    #[test]
    fn sizes_have_three_digits() {
        for (number, text) in [
            (0, "0"),
            (999, "999"),
            (1_000, "1.00k"),
            (12_345, "12.3k"),
            (999_499, "999k"),
            (999_500, "1.00M"),
            (1_204_331, "1.20M"),
            (99_950_000, "100M"),
            (7_000_000_000, "7.00G"),
        ] {
            assert_eq!(short(number), text, "{number}");
        }
    }

    #[test]
    fn small_money_is_not_rounded_away() {}

    #[test]
    fn rates_and_shares_are_rounded() {
        assert_eq!(rate(48.249), "48.2/s");
        assert_eq!(percent(0.9824, 1), "98.2%");
        assert_eq!(percent(0.5, 0), "50%");
    }
}
