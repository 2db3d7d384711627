//! The secrets that are looked for.

/// Secrets of every shape, each with its name. Only the last is ever repeated by a good answer's body.
pub(crate) const SECRETS: [(&str, &str); 12] = [
    ("project", "sk-proj-T9vXq2LmWz7RbKd4HsYf8NcJg3PuEa6VxQtB5"),
    ("escapes", "sk-q\"W\\e/R+t=Y%u&I<o>P'aS9dF"),
    ("spaces", "Hq7 Vd2Zk 9PwXr LmT4bY"),
    ("escaped already", "sk-%41Bx%2FqZ\\u0041Kw7&amp;Tr9"),
    ("gemini", "AIzaSyD3kQ9xVbW5mRtZ7pLfHn2CjYs8Ga4UeXo"),
    ("anthropic", "sk-ant-api03-mZ8xKq5VtLw3RfYd-9HbNcPj2SgAe7UxTo"),
    ("hexadecimal", "9f3c1be07d52a8464be9d01c7a35f682"),
    ("prefix", "sk-Jw83kd02mQpLx7Rt"),
    ("prefixed", "sk-Jw83kd02mQpLx7Rt-9fZtBn4KyVc6"),
    ("short", "Zq7#kW"),
    ("shortest", "qZ7x"),
    ("open", "gsk_V5rNz8QeKt2WxMj7LbYd9HcPf4SgUa3TvRoXk6"),
];

/// The one that a good answer's body repeats.
pub(crate) const OPEN: usize = SECRETS.len() - 1;

/// Secrets as providers make them: only these can be known in a place where nobody expects one.
pub(crate) const RECOGNISABLE: [&str; 6] =
    ["project", "gemini", "anthropic", "hexadecimal", "prefixed", "open"];

/// The secret of that name.
pub(crate) fn secret(name: &str) -> &'static str {
    SECRETS.iter().find(|(known, _)| *known == name).expect("one of them").1
}
