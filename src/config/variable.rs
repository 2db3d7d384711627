//! The names of variables that hold keys.

/// The variable that the tools of the vendor `name` read: `OPENAI_API_KEY`.
pub fn usual_variable(name: &str) -> String {
    let letters = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' };
    let name: String = name.chars().map(letters).collect();
    let digit = if name.starts_with(|c: char| c.is_ascii_digit()) { "_" } else { "" };
    format!("{digit}{name}_API_KEY")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_makes_a_variable() {
        assert_eq!(usual_variable("openai"), "OPENAI_API_KEY");
        assert_eq!(usual_variable("2-gether.ai"), "_2_GETHER_AI_API_KEY");
    }
}
